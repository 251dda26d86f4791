//! A service that runs a component for each request, with the secrets of the tenant who asks.
//!
//! Each tenant is bound once, at the start: its secrets are resolved, audited and opened then.
//! A request runs one instance of the component, with its own memory, out of what was bound.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use leyden::secrets::StoreOptions;
use leyden::{App, Bound, Ending, Host, Input, Key, Output};

/// The most that a response holds, in bytes.
const MAX_RESPONSE: usize = 1 << 20;

type Tenants = Arc<HashMap<String, Bound>>;

#[tokio::main]
async fn main() -> Result<()> {
    let settings = Settings::from_arguments(std::env::args().skip(1))?;
    let tenants = Arc::new(settings.bind().await?);
    let service = Router::new()
        .route("/{tenant}", get(run))
        .with_state(tenants);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    announce(&listener)?;
    axum::serve(listener, service).await?;
    Ok(())
}

/// `GET /TENANT`: what the component prints for that tenant.
async fn run(
    State(tenants): State<Tenants>,
    Path(tenant): Path<String>,
) -> Result<Vec<u8>, (StatusCode, String)> {
    let Some(bound) = tenants.get(&tenant) else {
        return Err((StatusCode::NOT_FOUND, "no such tenant\n".into()));
    };
    let (stdout, printed) = Output::capture(MAX_RESPONSE);
    let input = Input {
        stdout,
        ..Input::default()
    };
    let outcome = bound
        .run(input)
        .await
        .map_err(|error| (StatusCode::SERVICE_UNAVAILABLE, format!("{error}\n")))?;
    match outcome.ending {
        Ending::Exited(0) => Ok(printed.take()),
        ending => Err((StatusCode::BAD_GATEWAY, format!("{ending}\n"))),
    }
}

struct Settings {
    component: PathBuf,
    store: PathBuf,
    key_file: PathBuf,
    state: PathBuf,
    /// A tenant's name and its secret's, from `TENANT=SECRET`.
    tenants: Vec<(String, String)>,
}

impl Settings {
    fn from_arguments(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut next = |what: &str| {
            arguments.next().with_context(|| {
                format!(
                    "{what} is missing: embed-service COMPONENT STORE KEY_FILE STATE_FOLDER \
                     TENANT=SECRET..."
                )
            })
        };
        let settings = Self {
            component: next("COMPONENT")?.into(),
            store: next("STORE")?.into(),
            key_file: next("KEY_FILE")?.into(),
            state: next("STATE_FOLDER")?.into(),
            tenants: Vec::new(),
        };
        let tenants = arguments
            .map(|argument| match argument.split_once('=') {
                Some((tenant, secret)) => Ok((tenant.to_owned(), secret.to_owned())),
                None => bail!("{argument} is not TENANT=SECRET"),
            })
            .collect::<Result<_>>()?;
        Ok(Self {
            tenants,
            ..settings
        })
    }

    /// Binds the component once for each tenant, to that tenant's secret.
    async fn bind(&self) -> Result<HashMap<String, Bound>> {
        let store = StoreOptions::new()
            .state_dir(&self.state)
            .open(&self.store, Key::from_file(&self.key_file)?)?;
        let host = Host::builder()
            .secrets(store)
            .protect(&self.key_file)
            .build()?;
        let mut bound = HashMap::new();
        for (tenant, secret) in &self.tenants {
            let app = App::from_path(&self.component)?
                .name(tenant)
                .env("FOO", tenant)?
                .secret("MY_APP_SECRET", secret)?
                .timeout(Duration::from_secs(5))
                .memory(64 << 20);
            bound.insert(tenant.clone(), host.bind(&app).await?);
        }
        Ok(bound)
    }
}

/// Tells where the service listens.
#[allow(clippy::print_stdout, reason = "a program's own output")]
fn announce(listener: &tokio::net::TcpListener) -> Result<()> {
    println!("http://{}", listener.local_addr()?);
    Ok(())
}
