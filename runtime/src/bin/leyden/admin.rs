//! `leyden admin`: the store's page, for a browser on this machine.
//!
//! The page is a second face of the command line: it calls what the commands call, and holds no
//! rule of its own. It never shows a secret's value.

mod address;
mod app;
mod apps;
mod assets;
mod audit;
mod form;
mod grants;
mod guard;
mod keys;
mod live;
mod login;
mod new_secret;
mod page;
mod pieces;
mod problem;
mod rest;
mod runs;
mod secret;
mod secrets;
mod server;
mod session;
mod timeline;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::Redirect;
use axum::routing::{get, post};
use data_encoding::BASE32_NOPAD;
use leyden::run::journal::Runs;
use leyden::secrets::{SecretQuery, SecretStore, StoreError};
use tokio::sync::Semaphore;
use tower_http::timeout::TimeoutLayer;

use crate::cli;
use crate::exit::say;
use crate::paths::Paths;
use crate::{signals, unlock};
use problem::Problem;
use server::Listeners;
use session::Sessions;
use watch::Changes;

/// For reading a form, and answering; and where all of the store or of its log is read for that.
const REQUEST_TIME: Duration = Duration::from_secs(30);
const LONG_TIME: Duration = Duration::from_secs(600);
/// For other processes to let the store go, and for other requests to be done with it: both together
/// are over long before a request's time is, so that nothing is written that was not answered.
const STORE_TIME: Duration = Duration::from_secs(5);
const TURN_TIME: Duration = Duration::from_secs(10);
/// Readings of the whole store or log at once, which keep no others waiting.
const MOST_LONG: usize = 2;

/// What all pages share.
pub(crate) struct Admin {
    paths: Paths,
    store: SecretStore,
    /// Whose turn it is to ask the store, which answers one at a time.
    turn: Arc<Semaphore>,
    /// The same for what takes long and is read beside that.
    long: Arc<Semaphore>,
    /// The same for the newest records of the log, which wait for neither.
    newest: Arc<Semaphore>,
    runs: Runs,
    changes: Changes,
    sessions: Mutex<Sessions>,
    rotation: Mutex<Option<keys::Rotation>>,
    /// What this page may be called: the name in its links, and the loopback addresses.
    names: [String; 4],
    port: u16,
    /// When a link was last printed because somebody asked for it.
    link_printed: Mutex<Option<Instant>>,
    refused_log_ins: Mutex<u64>,
}

impl Admin {
    fn sessions(&self) -> MutexGuard<'_, Sessions> {
        lock(&self.sessions)
    }

    fn link_printed(&self) -> MutexGuard<'_, Option<Instant>> {
        lock(&self.link_printed)
    }

    /// Prints a new log-in link, unless there are enough that are good.
    fn print_link(&self) -> Result<(), getrandom::Error> {
        let Some(token) = self.sessions().new_link(Instant::now())? else {
            return Ok(());
        };
        let [name, ..] = &self.names;
        say(&format!(
            "open this link in a browser on this machine; it is good once and for 15 minutes:\n  \
             http://{name}:{}/login?token={}",
            self.port,
            token.as_str()
        ));
        Ok(())
    }

    /// Does what may block, when it is its turn; it is not begun for whoever has gone.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.by_turn(&self.turn, work).await
    }

    /// Verifies, or reads the log, which may take long: others have their turns meanwhile.
    async fn long<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&SecretStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.by_turn(&self.long, |admin| Ok(work(&admin.store)?))
            .await
    }

    /// Reads the newest records of the log.
    async fn newest<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&SecretStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.by_turn(&self.newest, |admin| Ok(work(&admin.store)?))
            .await
    }

    async fn by_turn<T: Send + 'static>(
        self: &Arc<Self>,
        turn: &Arc<Semaphore>,
        work: impl FnOnce(&Self) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        let turn = Arc::clone(turn).acquire_owned();
        let turn = tokio::time::timeout(TURN_TIME, turn).await;
        let turn = turn.map_err(|_| Problem::Busy)?;
        let admin = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            let done = work(&admin);
            admin.paths.tell_of_audit_sink();
            done
        });
        let done = done.await;
        done.unwrap_or(Err(Problem::Panicked))
    }

    /// Somebody tried a token that is none.
    fn refused_log_in(&self) {
        let mut count = lock(&self.refused_log_ins);
        *count += 1;
        // Whoever tries many shall not fill the terminal.
        if count.is_power_of_two() {
            say(&format!(
                "refused {count} log-ins with a link that is not good"
            ));
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

pub(crate) fn run(arguments: &cli::Admin, paths: Paths) -> anyhow::Result<u8> {
    let paths = paths.waiting(STORE_TIME);
    let store = unlock::open_or_make(&paths)?;
    let runs = paths.runs();
    let changes = watch::start(store.path(), runs.folder());
    let signal = signals::first().context("cannot wait for signals")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let serve = async {
        let listeners = Listeners::bind(arguments.port).await;
        let listeners = listeners.with_context(|| {
            format!(
                "cannot listen on port {} of this machine; --port 0 takes a free one",
                arguments.port
            )
        })?;
        let admin = Arc::new(Admin {
            paths,
            store,
            turn: Arc::new(Semaphore::new(1)),
            long: Arc::new(Semaphore::new(MOST_LONG)),
            newest: Arc::new(Semaphore::new(1)),
            runs,
            changes,
            sessions: Mutex::default(),
            rotation: Mutex::default(),
            names: names()?,
            port: listeners.port()?,
            link_printed: Mutex::default(),
            refused_log_ins: Mutex::default(),
        });
        let names = Arc::clone(&admin);
        // So that the first page need not wait for the names; what is wrong, that page tells.
        tokio::task::spawn_blocking(move || drop(names.store.page(&SecretQuery::default())));
        admin.print_link()?;
        say("Ctrl-C ends it; leyden admin --help says how to reach it from another machine");
        anyhow::Ok(tokio::select! {
            () = listeners.serve(pages(Arc::clone(&admin))) => crate::exit::DONE,
            () = login::sweep_on(admin) => crate::exit::DONE,
            status = signal => status.unwrap_or(crate::exit::DONE),
        })
    };
    let status = runtime.block_on(serve);
    runtime.shutdown_background();
    status
}

/// A browser gives a cookie to every port of a name: nobody else's page is under this one. Browsers
/// look for names that end so on their own machine.
fn names() -> anyhow::Result<[String; 4]> {
    let mut random = [0; 5];
    getrandom::fill(&mut random)?;
    let random = BASE32_NOPAD.encode(&random).to_ascii_lowercase();
    let own = format!("leyden-{random}.localhost");
    Ok([own, "127.0.0.1".into(), "localhost".into(), "[::1]".into()])
}

fn pages(admin: Arc<Admin>) -> Router {
    let timeout = TimeoutLayer::with_status_code(StatusCode::REQUEST_TIMEOUT, REQUEST_TIME);
    let long = TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, LONG_TIME);
    let inside = Router::new()
        .route("/", get(Redirect::to("/secrets")))
        .route("/secrets", get(secrets::list))
        .route(
            "/secrets/new",
            get(new_secret::show).post(new_secret::create),
        )
        .route("/secrets/check", get(new_secret::check))
        .merge(secret::routes())
        .merge(apps::routes())
        .merge(app::routes())
        .merge(runs::routes())
        .merge(audit::routes())
        .merge(keys::routes())
        .route("/live", get(live::stream))
        .route("/logout", post(login::leave))
        .route(&format!("{}/{{name}}", guard::ANSWER), get(guard::answer))
        .layer(timeout)
        .merge(audit::long_routes().layer(long))
        .method_not_allowed_fallback(problem::not_so)
        .layer(from_fn_with_state(Arc::clone(&admin), guard::session));
    Router::new()
        .route("/login", get(login::enter))
        .route("/login/link", post(login::new_link))
        .route("/assets/style.css", get(assets::style))
        .route("/assets/script.js", get(assets::script))
        .route("/assets/icon.svg", get(assets::icon))
        .route(
            &format!("{}/{{status}}", guard::REFUSED),
            get(guard::refused),
        )
        .layer(timeout)
        .merge(inside)
        .fallback(problem::not_found)
        .layer(DefaultBodyLimit::max(form::MOST_BYTES))
        .layer(from_fn_with_state(Arc::clone(&admin), guard::outer))
        .with_state(admin)
}
