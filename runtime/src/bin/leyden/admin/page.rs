//! What all pages share: their frame, who asks, what went wrong, and small pieces.

use std::fmt::Display;
use std::sync::Arc;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use jiff::Timestamp;
use leyden::run::journal::JournalError;
use leyden::secrets::{SecretStore, StoreError};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Admin;
use super::guard::ByPerson;
use super::session::Session;
use crate::exit;

/// The places that the navigation leads to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Tab {
    Secrets,
    Apps,
    Runs,
    Audit,
    Keys,
}

const TABS: [(Tab, &str, &str); 5] = [
    (Tab::Secrets, "Secrets", "/secrets"),
    (Tab::Apps, "Apps", "/apps"),
    (Tab::Runs, "Runs", "/runs"),
    (Tab::Audit, "Audit", "/audit"),
    (Tab::Keys, "Keys", "/keys"),
];

/// What a page is looked at again for.
#[derive(Clone, Copy)]
pub(super) enum Live {
    /// Any change of the store.
    Store,
    /// Any change of a run.
    Runs,
    /// Either.
    All,
    /// Nothing: it holds a form that somebody fills in.
    No,
}

impl Live {
    fn word(self) -> Option<&'static str> {
        match self {
            Self::Store => Some("store"),
            Self::Runs => Some("runs"),
            Self::All => Some("all"),
            Self::No => None,
        }
    }
}

/// A request of a session.
#[derive(Clone)]
pub(super) struct Visit {
    pub(super) admin: Arc<Admin>,
    session: Session,
    by_person: bool,
}

impl<S> FromRequestParts<S> for Visit
where
    Arc<Admin>: FromRef<S>,
    S: Send + Sync,
{
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let session = parts.extensions.get::<Session>().cloned();
        let by_person = parts.extensions.get::<ByPerson>();
        Ok(Self {
            admin: Arc::from_ref(state),
            session: session.ok_or(Problem::LoggedOut)?,
            by_person: by_person.is_none_or(|by| by.0),
        })
    }
}

impl Visit {
    /// Asks the store, which may block.
    pub(super) async fn store<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&SecretStore) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Problem> {
        self.blocking(move |admin| Ok(ask(&admin.store)?)).await
    }

    /// Does what may block.
    pub(super) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Admin) -> Result<T, Problem> + Send + 'static,
    ) -> Result<T, Problem> {
        self.admin.blocking(work).await
    }

    /// A page: with its frame, and what the session is to be told once.
    pub(super) fn page(&self, tab: Tab, title: &str, live: Live, content: Markup) -> Markup {
        // What was done is told to whoever did it, and not to the script that looks again.
        let notice = match self.by_person {
            true => self.admin.sessions().told(&self.session.id),
            false => None,
        };
        document(
            title,
            html! {},
            html! {
                a.skip href="#main" { "Skip to the content" }
                header.top {
                    a.brand href="/secrets" { (jar()) span { "Leyden" } }
                    nav aria-label="Main" {
                        @for (of, name, href) in TABS {
                            a href=(href) aria-current=[(of == tab).then_some("page")] { (name) }
                        }
                    }
                    (self.form("/logout", html! { button.quiet type="submit" { "Log out" } }))
                }
                main id="main" tabindex="-1" data-live=[live.word()] {
                    div id="notice" role="status" { @if let Some(notice) = notice { p.notice { (notice) } } }
                    (content)
                }
            },
        )
    }

    /// A form that changes something.
    pub(super) fn form(&self, action: &str, content: Markup) -> Markup {
        html! {
            form method="post" action=(action) enctype="multipart/form-data" autocomplete="off" {
                input type="hidden" name="csrf" value=(self.session.csrf.as_str());
                (content)
            }
        }
    }

    /// A button that does one thing.
    pub(super) fn button(
        &self,
        action: &str,
        fields: &[(&str, &str)],
        class: &str,
        text: &str,
    ) -> Markup {
        self.form(
            action,
            html! {
                @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
                button type="submit" class=(class) { (text) }
            },
        )
    }

    /// Goes on to a page, which says this once.
    pub(super) fn done(&self, to: &str, notice: impl Into<String>) -> Response {
        self.admin.sessions().tell(&self.session.id, notice.into());
        Redirect::to(to).into_response()
    }

    /// The session's cookie.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }
}

/// What went wrong.
pub(super) enum Problem {
    /// There is no session, or none any more.
    LoggedOut,
    /// A form without its session's token.
    Stale,
    /// A form that is none, or too large.
    BadForm(StatusCode),
    /// Nothing of that name.
    NotFound(String),
    /// What was asked for makes no sense.
    Usage(String),
    /// The store's, or a run's.
    Failed(StatusCode, String),
    /// The operating system gives no random bytes.
    NoRandom,
    Panicked,
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let status = match &error {
            StoreError::NotFound { .. } | StoreError::NoSuchVersion { .. } => {
                return Self::NotFound(error.to_string());
            }
            StoreError::Deleted { .. }
            | StoreError::NotRestorable { .. }
            | StoreError::Permission { .. } => StatusCode::CONFLICT,
            StoreError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            StoreError::Busy { .. } => StatusCode::SERVICE_UNAVAILABLE,
            // As the command's exit status says it.
            other if exit::of_store(other) == exit::USAGE => StatusCode::CONFLICT,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self::Failed(status, exit::explain(&error.into()))
    }
}

impl From<leyden::Error> for Problem {
    fn from(error: leyden::Error) -> Self {
        match error {
            leyden::Error::Store(error) => error.into(),
            other => Self::Failed(StatusCode::CONFLICT, exit::explain(&other.into())),
        }
    }
}

impl From<JournalError> for Problem {
    fn from(error: JournalError) -> Self {
        match error {
            JournalError::NotFound(_) => Self::NotFound(error.to_string()),
            other => Self::Failed(StatusCode::CONFLICT, other.to_string()),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let (status, title, text) = match self {
            Self::LoggedOut => return logged_out(StatusCode::UNAUTHORIZED),
            Self::Stale => (
                StatusCode::FORBIDDEN,
                "This form is out of date",
                "It was made for another session, and nothing was done. Go back, load the page \
                 again, and send it once more."
                    .to_owned(),
            ),
            Self::BadForm(status) if status == StatusCode::PAYLOAD_TOO_LARGE => (
                status,
                "That is too much",
                "A value has 1 MiB at most. Nothing was done.".to_owned(),
            ),
            Self::BadForm(status) => {
                let text = "What came was none of this page's forms. Nothing was done.";
                (status, "Not a form", text.to_owned())
            }
            Self::NotFound(text) => (StatusCode::NOT_FOUND, "Not there", text),
            Self::Usage(text) => (StatusCode::BAD_REQUEST, "That does not work", text),
            Self::Failed(status, text) => (status, "That could not be done", text),
            Self::NoRandom | Self::Panicked => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "This is Leyden's fault. Nothing more is known; leyden doctor may tell.".to_owned(),
            ),
        };
        let page = bare(
            title,
            html! {},
            html! {
                h1 { (title) }
                p.error role="alert" { (text) }
                p { a.button href="/secrets" { "To the secrets" } }
            },
        );
        (status, page).into_response()
    }
}

/// What somebody without a session sees.
pub(super) fn logged_out(status: StatusCode) -> Response {
    let page = bare(
        "Log in",
        html! {},
        html! {
            h1 { "Log in" }
            p { "Open the link that " code { "leyden admin" } " printed where it runs. Each link is \
                good once, and for 15 minutes." }
            form method="post" action="/login/link" {
                button type="submit" { "Print a new link there" }
            }
        },
    );
    (status, page).into_response()
}

/// There is no such page.
pub(super) async fn not_found() -> Problem {
    Problem::NotFound("There is no such page.".to_owned())
}

/// A page without navigation.
pub(super) fn bare(title: &str, head: Markup, content: Markup) -> Markup {
    let content = html! {
        header.top { span.brand { (jar()) span { "Leyden" } } }
        main.narrow id="main" { (content) }
    };
    document(title, head, content)
}

fn document(title: &str, head: Markup, content: Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Leyden" }
                link rel="stylesheet" href="/assets/style.css";
                link rel="icon" href="/assets/icon.svg" type="image/svg+xml";
                script src="/assets/script.js" defer {}
                (head)
            }
            body { (content) }
        }
    }
}

/// The sign: a Leyden jar.
fn jar() -> Markup {
    PreEscaped(super::assets::ICON.to_owned())
}

/// A moment: how long ago, and exactly on hover.
pub(super) fn time(moment: Timestamp) -> Markup {
    let exact = crate::report::time(moment);
    html! {
        time datetime=(moment.strftime("%Y-%m-%dT%H:%M:%SZ")) title=(exact) {
            (relative(moment, Timestamp::now()))
        }
    }
}

/// How far a moment is from now, in one unit; `script.js` counts on in the same way.
fn relative(moment: Timestamp, now: Timestamp) -> String {
    let seconds = moment.as_second() - now.as_second();
    let (count, unit) = match seconds.unsigned_abs() {
        0..10 => return "just now".to_owned(),
        away @ 10..60 => (away, "second"),
        away @ 60..3_600 => (away / 60, "minute"),
        away @ 3_600..86_400 => (away / 3_600, "hour"),
        away @ 86_400..5_184_000 => (away / 86_400, "day"),
        away @ 5_184_000..63_072_000 => (away / 2_592_000, "month"),
        away => (away / 31_536_000, "year"),
    };
    let plural = if count == 1 { "" } else { "s" };
    match seconds < 0 {
        true => format!("{count} {unit}{plural} ago"),
        false => format!("in {count} {unit}{plural}"),
    }
}

/// A command line, with a button that copies it.
pub(super) fn command(line: &str) -> Markup {
    html! {
        div.command {
            code tabindex="0" { (line) }
            button.quiet.copy type="button" hidden data-copy=(line) { "Copy" }
        }
    }
}

/// What stands where there is nothing yet, and what to do next.
pub(super) fn empty(title: &str, content: Markup) -> Markup {
    html! { div.empty { h2 { (title) } (content) } }
}

/// A cell of a table, which names its column where the table is too narrow for columns.
pub(super) fn cell(column: &str, content: Markup) -> Markup {
    html! { td data-label=(column) { div { (content) } } }
}

/// A word that tells a state by its colour, too.
pub(super) fn badge(kind: &str, text: impl Display) -> Markup {
    html! { span class=(format!("badge {kind}")) { (text) } }
}

/// A digest, short; whole on hover.
pub(super) fn digest(digest: &str) -> Markup {
    const SHOWN: usize = "sha256:".len() + 12;
    html! { code.digest title=(digest) { (digest.get(..SHOWN).unwrap_or(digest)) } }
}

/// Text within a path or query of an address.
pub(super) fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// A word as a shell takes it.
pub(super) fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:@%+,".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_told_in_one_unit() {
        let now = Timestamp::from_second(1_000_000_000).unwrap_or_default();
        let at = |seconds: i64| Timestamp::from_second(1_000_000_000 + seconds).unwrap_or_default();
        for (seconds, told) in [
            (0, "just now"),
            (-9, "just now"),
            (-10, "10 seconds ago"),
            (-60, "1 minute ago"),
            (-7_200, "2 hours ago"),
            (86_400 * 3, "in 3 days"),
            (-86_400 * 90, "3 months ago"),
            (-86_400 * 800, "2 years ago"),
        ] {
            assert_eq!(relative(at(seconds), now), told);
        }
    }

    #[test]
    fn words_are_one_word_for_a_shell() {
        for (word, shown) in [
            ("a=b@3", "a=b@3"),
            ("", "''"),
            ("my app", "'my app'"),
            ("it's $HOME", r"'it'\''s $HOME'"),
        ] {
            assert_eq!(quoted(word), shown);
        }
    }

    #[test]
    fn text_stays_within_its_part_of_an_address() {
        assert_eq!(encoded("a/../b?c=d&e#ü"), "a%2F..%2Fb%3Fc%3Dd%26e%23%C3%BC");
    }
}
