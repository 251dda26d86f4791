//! Logging in by a link that is printed where `leyden admin` runs, and logging out.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use leyden::secrets::{Act, SecretStore, StoreError};
use maud::html;
use serde::Deserialize;

use super::address::InQuery;
use super::form::Posted;
use super::guard::{COOKIE, session_of};
use super::page::bare;
use super::problem::{Problem, logged_out};
use super::server::Place;
use super::session::{Session, Sessions};
use super::{Admin, lock};
use crate::exit::say;

/// Links are printed no faster than this.
const BETWEEN_LINKS: Duration = Duration::from_secs(10);
/// How often it is looked which sessions have ended by time; nobody is let in by one in between.
const BETWEEN_SWEEPS: Duration = Duration::from_secs(60);

#[derive(Deserialize)]
pub(super) struct Link {
    #[serde(default)]
    token: String,
}

/// What the link leads to. The next page is led to by this one, and not by a redirect: a browser
/// that came from another site would leave the cookie out.
pub(super) async fn enter(
    State(admin): State<Arc<Admin>>,
    method: Method,
    headers: HeaderMap,
    place: Option<Extension<Arc<Place>>>,
    InQuery(link): InQuery<Link>,
) -> Result<Response, Problem> {
    if session_of(&admin, &headers, true).is_some() {
        return Ok(already());
    }
    if link.token.is_empty() || method != Method::GET {
        return Ok(logged_out(StatusCode::OK));
    }
    // Browsers and messengers look at links before anybody follows them.
    if headers.contains_key("sec-purpose") || headers.contains_key("purpose") {
        return Ok(StatusCode::SERVICE_UNAVAILABLE.into_response());
    }
    let begun = admin.blocking(move |admin| begin(admin, &link.token, place));
    let Some(session) = begun.await? else {
        return Ok(logged_out(StatusCode::FORBIDDEN));
    };
    let page = bare(
        "Logged in",
        html! {
            meta http-equiv="refresh" content="0; url=/secrets";
        },
        html! {
            h1 { "You are logged in" }
            p { a.button href="/secrets" autofocus { "Go on to the secrets" } }
        },
    );
    let mut response = page.into_response();
    let id = session.id.as_str();
    let cookie = format!("{COOKIE}={id}; HttpOnly; SameSite=Strict; Path=/");
    let cookie = HeaderValue::try_from(cookie).map_err(|_| Problem::NoRandom)?;
    response.headers_mut().insert(header::SET_COOKIE, cookie);
    Ok(response)
}

/// What somebody sees who is logged in: a link that was opened stays good, for another browser.
fn already() -> Response {
    let page = bare(
        "Logged in",
        html! {},
        html! {
            h1 { "You are logged in already" }
            p { "Log-in links are good once; none was used up." }
            p { a.button href="/secrets" autofocus { "Go on to the secrets" } }
        },
    );
    page.into_response()
}

/// Begins a session by a link, whether or not anybody still waits for it; none where the link is not
/// good. Nothing is used up, and no session makes room, unless that is in the audit log.
fn begin(
    admin: &Admin,
    token: &str,
    place: Option<Extension<Arc<Place>>>,
) -> Result<Option<Session>, Problem> {
    let taken = admin.sessions().take_link(token, Instant::now());
    let Some(link) = taken else {
        admin.refused_log_in();
        return Ok(None);
    };
    // The link may be used up: nobody else's connection may take the answer's place.
    if let Some(Extension(place)) = place {
        place.keep();
    }
    if let Err(problem) = record_log_in(admin) {
        admin.sessions().put_back(link);
        return Err(problem);
    }
    let begun = admin.sessions().begin(Instant::now());
    sweep(&admin.sessions, &admin.store, Instant::now());
    begun.map(Some).map_err(|_| Problem::NoRandom)
}

/// Ends the sessions whose time is over, and the oldest of those that are too many, and has the audit
/// log say so.
pub(super) fn sweep(sessions: &Mutex<Sessions>, store: &SecretStore, now: Instant) {
    let ended = lock(sessions).sweep(now);
    for _ in 0..ended {
        let recorded = store.record(Act::SessionEnd);
        // It has ended in any case.
        recorded.unwrap_or_else(|error| say(&format!("a session's end was not recorded: {error}")));
    }
}

/// The same, from time to time, for ever.
pub(super) async fn sweep_on(admin: Arc<Admin>) {
    loop {
        tokio::time::sleep(BETWEEN_SWEEPS).await;
        let swept = admin.blocking(|admin| {
            sweep(&admin.sessions, &admin.store, Instant::now());
            Ok(())
        });
        let _ = swept.await;
    }
}

/// Writes it to the audit log, first.
fn record_log_in(admin: &Admin) -> Result<(), Problem> {
    match admin.store.record(Act::LogIn) {
        // Nothing can be changed or released on a log with a damaged end. Somebody must get in to see
        // where it is.
        Err(error @ StoreError::AuditBroken { .. }) => {
            say(&format!("a log-in was not recorded: {error}"));
            Ok(())
        }
        recorded => Ok(recorded?),
    }
}

/// Prints a new link, where nobody is logged in: whoever reaches the port may ask, so that no earlier
/// one ends by it, and neither how often nor how many can be chosen by whoever asks.
pub(super) async fn new_link(State(admin): State<Arc<Admin>>) -> Result<Response, Problem> {
    let may = {
        let mut last = admin.link_printed();
        let now = Instant::now();
        let may = last.is_none_or(|last| now.duration_since(last) >= BETWEEN_LINKS);
        may.then(|| *last = Some(now)).is_some()
    };
    if may {
        admin.print_link().map_err(|_| Problem::NoRandom)?;
    }
    let page = bare(
        "Log in",
        html! {},
        html! {
            h1 { "Look where leyden admin runs" }
            p { "The newest link that it has printed there is good once, and for 15 minutes from then. Open it \
                in this browser." }
            p.quiet { "No more than four links are good at once: where four were printed in the last minutes, any of \
                those that was not used yet is." }
        },
    );
    Ok(page.into_response())
}

/// Ends the session, and has the browser forget the cookie and what it kept of the pages.
pub(super) async fn leave(
    State(admin): State<Arc<Admin>>,
    Extension(session): Extension<Session>,
    _form: Posted,
) -> Response {
    admin.sessions().end(&session.id);
    let recorded = admin.blocking(|admin| {
        let recorded = admin.store.record(Act::LogOut);
        // It has ended in any case.
        recorded.unwrap_or_else(|error| say(&format!("a log-out was not recorded: {error}")));
        Ok(())
    });
    if recorded.await.is_err() {
        say("a log-out was not recorded: the store is busy");
    }
    let mut response = Redirect::to("/login").into_response();
    let gone = HeaderValue::from_static("leyden=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    response.headers_mut().insert(header::SET_COOKIE, gone);
    response.headers_mut().insert(
        "clear-site-data",
        // Not the cookies: those of other ports of this host are among them.
        HeaderValue::from_static("\"cache\", \"storage\""),
    );
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use leyden::secrets::{AuditEvent, AuditFilter, Key, StoreOptions};

    use super::*;

    #[test]
    fn a_session_that_ended_by_time_is_in_the_audit_log_once() {
        let folder = tempfile::tempdir().unwrap();
        let options = StoreOptions::default().state_dir(folder.path());
        let store = options.create(folder.path().join("store.db"), Key::generate().unwrap());
        let store = store.unwrap();
        let (sessions, now) = (Mutex::new(Sessions::default()), Instant::now());
        let ends = lock(&sessions).begin(now).unwrap().ends;
        let recorded = || {
            let filter = AuditFilter::default().event(AuditEvent::SessionEnded);
            store.audit_list(&filter).unwrap().len()
        };
        sweep(&sessions, &store, now);
        assert_eq!(recorded(), 0);
        for _ in 0..2 {
            sweep(&sessions, &store, ends);
            assert_eq!(recorded(), 1);
        }
        // Those that made room, too.
        for _ in 0..20 {
            lock(&sessions).begin(now).unwrap();
        }
        sweep(&sessions, &store, now);
        assert_eq!(recorded(), 1 + 12);
    }
}
