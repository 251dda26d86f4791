//! What stands before every page: which host was asked, from where a form came, who asks; and what
//! every answer tells the browser.

use std::sync::Arc;
use std::time::Instant;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, StatusCode};
use axum::middleware::Next;
use axum::response::{Html, IntoResponse as _, Redirect, Response};

use super::Admin;
use super::address::InPath;
use super::page::Visit;
use super::problem::{Problem, Told};
use super::rest;
use super::server::Place;
use super::session::{Session, Token};

/// The cookie of a session.
pub(super) const COOKIE: &str = "leyden";
/// Sent by the page's own script when it looks again by itself.
const LIVE: HeaderName = HeaderName::from_static("x-leyden-live");

/// Sent by the page's own script with a form that holds a value: a browser whose form is not answered
/// keeps what was posted. What it is answered is where to go on.
const FORM: HeaderName = HeaderName::from_static("x-leyden-form");
const GO: HeaderName = HeaderName::from_static("x-leyden-go");

/// Where it is said why a form was refused that no page of a session answers.
pub(super) const REFUSED: &str = "/refused";
/// Where the page is shown that a form was answered by.
pub(super) const ANSWER: &str = "/answer";
/// The most bytes of such a page: they hold what was typed beside a value.
const MOST_PAGE: usize = 1 << 20;

/// Nothing from elsewhere, no script or style inline, no frame around it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

const HEADERS: [(HeaderName, &str); 9] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    // Neither disk nor the history's memory keeps a page.
    (header::CACHE_CONTROL, "no-store"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    // `no-referrer` would take the origin off forms, too.
    (header::REFERRER_POLICY, "same-origin"),
    (
        HeaderName::from_static("cross-origin-opener-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("cross-origin-resource-policy"),
        "same-origin",
    ),
    (
        HeaderName::from_static("permissions-policy"),
        "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
    ),
    (HeaderName::from_static("x-robots-tag"), "noindex"),
];

/// Refuses what was not meant for this page (a name that somebody else's DNS leads here, a form on
/// another site), and adds the headers to every answer.
pub(super) async fn outer(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Response {
    let is_form = is_form(&request);
    let by_script = is_form && request.headers().contains_key(FORM);
    let (head, body) = request.into_parts();
    let (body, rest) = rest::keep(body);
    let request = Request::from_parts(head, body);
    let mut response = match check(&admin, &request) {
        Ok(()) => next.run(request).await,
        Err((status, text)) => (status, text).into_response(),
    };
    let status = response.status();
    // Whoever was too slow is not waited for again.
    if status != StatusCode::REQUEST_TIMEOUT {
        rest.throw_away().await;
    }
    if is_form && (status.is_client_error() || status.is_server_error()) {
        let to = format!("{REFUSED}/{}", status.as_u16());
        response = Redirect::to(&to).into_response();
    }
    if by_script && let Some(to) = response.headers_mut().remove(header::LOCATION) {
        *response.status_mut() = StatusCode::NO_CONTENT;
        response.headers_mut().insert(GO, to);
    }
    for (name, value) in HEADERS {
        let value = HeaderValue::from_static(value);
        response.headers_mut().insert(name, value);
    }
    response
}

/// Whether a page's form was sent, and not something by a script or a program.
fn is_form(request: &Request) -> bool {
    let mode = request.headers().get("sec-fetch-mode");
    let by_script = request.headers().contains_key(FORM);
    *request.method() == Method::POST && (by_script || mode.is_some_and(|mode| mode == "navigate"))
}

fn check(admin: &Admin, request: &Request) -> Result<(), (StatusCode, &'static str)> {
    let host = only(request.headers(), &header::HOST).unwrap_or_default();
    if !admin.names.iter().any(|name| name == without_port(host)) {
        let text = "This is not the address that `leyden admin` printed: open the newest link.\n";
        return Err((StatusCode::MISDIRECTED_REQUEST, text));
    }
    if matches!(*request.method(), Method::GET | Method::HEAD) {
        return Ok(());
    }
    let from = only(request.headers(), &header::ORIGIN);
    let from_here = from.is_none_or(|from| from.strip_prefix("http://") == Some(host));
    let site = only(
        request.headers(),
        &HeaderName::from_static("sec-fetch-site"),
    );
    match from_here && site.is_none_or(|site| site == "same-origin") {
        true => Ok(()),
        false => Err((StatusCode::FORBIDDEN, "This form was on another site.\n")),
    }
}

/// The value of a header; nothing good where it stands there twice.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    Some(match (values.next(), value.to_str()) {
        (None, Ok(value)) => value,
        _ => "",
    })
}

/// An SSH tunnel may begin at any port; what tells a rebound name is the name.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

/// The page that a form was answered by.
pub(super) async fn answer(
    State(admin): State<Arc<Admin>>,
    axum::Extension(session): axum::Extension<Session>,
    InPath(name): InPath,
) -> Result<Response, Problem> {
    let answer = admin.sessions().answer(&session.id, &name);
    let (status, page) = answer.ok_or_else(|| {
        let text = "What this form was answered is kept no longer.";
        Problem::NotFound(text.to_owned())
    })?;
    Ok((status, Html(page)).into_response())
}

/// Why a form was refused.
pub(super) async fn refused(InPath(status): InPath) -> Problem {
    let (status, text) = match status.as_str() {
        "403" => (
            StatusCode::FORBIDDEN,
            "This form was on another site. Nothing was done.",
        ),
        "408" => (
            StatusCode::REQUEST_TIMEOUT,
            "This form took too long. Look at what it was to change before you send it again.",
        ),
        "504" => (
            StatusCode::GATEWAY_TIMEOUT,
            "The store and its log were read for ten minutes, and there was more to read. Nothing was \
             changed. In a terminal, leyden audit verify takes the time that it needs.",
        ),
        "404" | "405" => (
            StatusCode::NOT_FOUND,
            "What came was none of this page's forms. Nothing was done.",
        ),
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "This form could not be answered. Look at what it was to change before you send it again.",
        ),
    };
    Problem::Failed(status, text.to_owned())
}

/// The session whose cookie a request brings.
pub(super) fn session_of(admin: &Admin, headers: &HeaderMap, by_person: bool) -> Option<Session> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|line| line.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .filter(|(name, _)| *name == COOKIE)
        .find_map(|(_, id)| admin.sessions().find(id, Instant::now(), by_person))
}

/// Lets only sessions in, and hands them on.
///
/// What a form is answered by is shown at an address of its own: a browser keeps what was posted, a
/// secret's value too, with the page that answered it, in a history that is on disk.
pub(super) async fn session(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Response {
    let is_form = is_form(&request);
    let by_person = !request.headers().contains_key(LIVE) && request.uri().path() != "/live";
    let session = session_of(&admin, request.headers(), by_person);
    match session {
        Some(session) => {
            if let Some(place) = request.extensions().get::<Arc<Place>>() {
                place.keep();
            }
            request.extensions_mut().insert(session.clone());
            request.extensions_mut().insert(ByPerson(by_person));
            let (at, from) = (request.uri().path().to_owned(), from(request.headers()));
            let mut response = next.run(request).await;
            if let Some(told) = response.extensions_mut().remove::<Told>() {
                let visit = Visit::new(Arc::clone(&admin), session.clone(), by_person, &at);
                let page = visit.problem(&told, &at, from.as_deref());
                response.headers_mut().remove(header::CONTENT_LENGTH);
                *response.body_mut() = page.into_string().into();
            }
            match is_form && !response.status().is_redirection() {
                true => elsewhere(&admin, &session, response).await,
                false => response,
            }
        }
        None if is_form => Redirect::to("/login").into_response(),
        None => Problem::LoggedOut.into_response(),
    }
}

/// The address of this page that the browser says it came from: not one of another host, nor one that
/// leads there, nor what a form was answered.
fn from(headers: &HeaderMap) -> Option<String> {
    let host = only(headers, &header::HOST)?;
    let from = only(headers, &header::REFERER)?.strip_prefix("http://")?;
    let path = from.strip_prefix(host).filter(|_| !host.is_empty())?;
    let is_own = path.starts_with('/') && !path.starts_with("//") && !path.contains('\\');
    (is_own && !path.starts_with(ANSWER)).then(|| path.to_owned())
}

/// Leads to the page, which is kept for whoever asks for it.
async fn elsewhere(admin: &Admin, session: &Session, response: Response) -> Response {
    let (head, body) = response.into_parts();
    let page = to_bytes(body, MOST_PAGE).await.unwrap_or_default();
    let Ok(name) = Token::random() else {
        return Problem::NoRandom.into_response();
    };
    let answer = (head.status, page);
    let to = format!("{ANSWER}/{}", name.as_str());
    admin.sessions().keep_answer(&session.id, name, answer);
    Redirect::to(&to).into_response()
}

/// Whether a person asked, and not the page's own script.
#[derive(Clone, Copy)]
pub(super) struct ByPerson(pub(super) bool);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_taken_off_and_nothing_else() {
        for (host, name) in [
            ("localhost:7373", "localhost"),
            ("localhost", "localhost"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("localhost:7373.evil.test", "localhost:7373.evil.test"),
            ("localhost:", "localhost"),
            ("", ""),
        ] {
            assert_eq!(without_port(host), name);
        }
    }
}
