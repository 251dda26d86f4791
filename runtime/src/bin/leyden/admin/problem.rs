//! What went wrong, as a page says it.

use axum::Extension;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leyden::run::journal::JournalError;
use leyden::secrets::StoreError;
use maud::html;

use super::page::bare;
use super::pieces::sentence;
use crate::exit;

/// What went wrong.
pub(super) enum Problem {
    /// There is no session, or none any more.
    LoggedOut,
    /// A form without its session's token.
    Stale,
    /// A form that is none, or too large.
    BadForm(StatusCode),
    /// A form with two fields of one name.
    Twice,
    /// Nothing of that name.
    NotFound(String),
    /// What was asked for makes no sense.
    Usage(String),
    /// The store's, or a run's.
    Failed(StatusCode, String),
    /// Other requests take too long.
    Busy,
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
            | StoreError::AuditBroken { .. }
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

impl Problem {
    /// Whether others kept the store, so that nothing was done and the same may be asked again.
    pub(super) fn is_busy(&self) -> bool {
        matches!(
            self,
            Self::Busy | Self::Failed(StatusCode::SERVICE_UNAVAILABLE, _)
        )
    }

    /// The answer's status, its title, and what it says.
    pub(super) fn told(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::LoggedOut => (
                StatusCode::UNAUTHORIZED,
                "Log in",
                "The session has ended.".to_owned(),
            ),
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
            Self::Twice => (
                StatusCode::BAD_REQUEST,
                "Not a form",
                "A field stands in this form twice. Nothing was done.".to_owned(),
            ),
            Self::NotFound(text) => (StatusCode::NOT_FOUND, "Not there", text),
            Self::Usage(text) => (StatusCode::BAD_REQUEST, "That does not work", text),
            Self::Failed(status, text) => (status, "That could not be done", text),
            Self::Busy => {
                let text = "The store is busy with other requests. Nothing was done; try again.";
                let status = StatusCode::SERVICE_UNAVAILABLE;
                (status, "That could not be done", text.to_owned())
            }
            Self::NoRandom | Self::Panicked => (
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong",
                "This is Leyden's fault. Nothing more is known; leyden doctor may tell.".to_owned(),
            ),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        if matches!(self, Self::LoggedOut) {
            return logged_out(StatusCode::UNAUTHORIZED);
        }
        let (status, title, text) = self.told();
        let page = bare(
            title,
            html! {},
            html! {
                h1 { (title) }
                p.error role="alert" { (sentence(&text)) }
                p { a.button href="/secrets" { "To the secrets" } }
            },
        );
        let told = Told {
            title,
            text: sentence(&text),
        };
        (status, Extension(told), page).into_response()
    }
}

/// What such a page says, for whoever has more to put around it.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) title: &'static str,
    pub(super) text: String,
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

/// There is such a page, and not to be asked for in this way.
pub(super) async fn not_so() -> Problem {
    let text = "Something is done here by a form of another page, or only looked at.".to_owned();
    Problem::Failed(StatusCode::METHOD_NOT_ALLOWED, text)
}

/// There is no such page.
pub(super) async fn not_found() -> Problem {
    Problem::NotFound("There is no such page.".to_owned())
}
