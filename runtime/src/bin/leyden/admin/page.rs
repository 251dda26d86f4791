//! What all pages share: their frame, and who asks for them.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{FromRef, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};
use leyden::secrets::{SecretStore, StoreError};
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Admin;
use super::guard::ByPerson;
use super::pieces::exact_times;
use super::problem::{Problem, Told};
use super::session::Session;

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
    /// The address's path that was asked for.
    path: String,
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
            path: parts.uri.path().to_owned(),
        })
    }
}

impl Visit {
    pub(super) fn new(admin: Arc<Admin>, session: Session, by_person: bool, path: &str) -> Self {
        Self {
            admin,
            session,
            by_person,
            path: path.to_owned(),
        }
    }

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
            true => self.admin.sessions().told(&self.session.id, &self.path),
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
                    (exact_times())
                    (self.form("/logout", html! { button.quiet type="submit" { "Log out" } }))
                }
                main id="main" tabindex="-1" data-live=[live.word()] {
                    div id="notice" role="status" { @if let Some(notice) = notice { p.notice { (notice) } } }
                    // What the script says where the page is not live any more.
                    @if live.word().is_some() { div id="standing" role="status" {} }
                    (content)
                }
            },
        )
    }

    /// What went wrong at an address, with the way back to where it was asked for: `from`, an
    /// address of this page.
    pub(super) fn problem(&self, told: &Told, at: &str, from: Option<&str>) -> Markup {
        // What is done with one of them has its address below theirs.
        let is_at = |href: &str| at.starts_with(href.trim_end_matches('s'));
        let tab = TABS.into_iter().find(|(_, _, href)| is_at(href));
        let (tab, _, href) = tab.unwrap_or(TABS[0]);
        let content = html! {
            h1 { (told.title) }
            p.error role="alert" { (told.text) }
            p { a.button href=(from.unwrap_or(href)) { "Back" } }
        };
        self.page(tab, told.title, Live::No, content)
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
        let path = to.split(['?', '#']).next().unwrap_or_default().to_owned();
        let mut sessions = self.admin.sessions();
        sessions.tell(&self.session.id, path, notice.into());
        Redirect::to(to).into_response()
    }

    /// Whether the session has not ended meanwhile.
    pub(super) fn is_open(&self) -> bool {
        let ends = self.admin.sessions().ends(&self.session.id);
        ends.is_some_and(|ends| ends > Instant::now())
    }

    /// The session's cookie.
    pub(super) fn session(&self) -> &Session {
        &self.session
    }
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
