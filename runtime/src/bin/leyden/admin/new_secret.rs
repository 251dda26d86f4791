//! Making a secret: its name is checked by the store's rules while it is typed.

use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use leyden::app::{NameError, SecretName};
use leyden::secrets::{SecretState, SecretStore, SecretValue, StoreError, VersionOptions};
use maud::{Markup, html};
use serde::Deserialize;

use super::address::InQuery;
use super::form::Posted;
use super::page::{Live, Tab, Visit};
use super::pieces::sentence;
use super::problem::Problem;
use crate::cli::future;

pub(super) async fn show(visit: Visit) -> Markup {
    form(&visit, None)
}

/// The form; again with what was typed into it, and what is wrong.
fn form(visit: &Visit, again: Option<(&Posted, &str)>) -> Markup {
    let name = again.map_or("", |(posted, _)| posted.text("name"));
    let content = html! {
        h1 { "New secret" }
        (visit.form("/secrets/new", html! {
            (refusal(again))
            div.field {
                label for="name" { "Name" }
                input id="name" name="name" value=(name) required maxlength="253" autocomplete="off"
                    autocapitalize="none" spellcheck="false" autofocus
                    aria-describedby="name-help name-check" data-check="/secrets/check";
                p.help id="name-help" { "Letters, digits, dashes and periods; it starts with a letter." }
                p.check id="name-check" role="status" {}
            }
            (value_fields(true, again.map(|(posted, _)| posted)))
            button type="submit" { "Create secret" }
            a.button.quiet href="/secrets" { "Cancel" }
        }))
    };
    visit.page(Tab::Secrets, "New secret", Live::No, content)
}

/// Why a form with a value is shown again.
pub(super) fn refusal(again: Option<(&Posted, &str)>) -> Markup {
    html! {
        @if let Some((_, wrong)) = again {
            p.error role="alert" id="wrong" { (sentence(wrong)) " Nothing was stored; the value must be given again." }
        }
    }
}

/// Where a value is typed or a file chosen, and what stands beside it, as it was `typed` before. No
/// browser, password manager or spelling service is to keep the value.
pub(super) fn value_fields(is_new: bool, typed: Option<&Posted>) -> Markup {
    let text = |name| typed.map(|typed| typed.text(name));
    html! {
        div.field {
            label for="value" { "Value" }
            input.show type="checkbox" id="show-value";
            label.toggle for="show-value" { "Show what is typed" }
            textarea.masked id="value" name="value" rows="3" autocomplete="off" autocorrect="off"
                autocapitalize="none" spellcheck="false" translate="no" data-1p-ignore data-lpignore="true"
                data-bwignore="true" data-form-type="other" aria-describedby="value-help" {}
            p.help id="value-help" { "It is never shown again, here or anywhere on this page. Lines end by a \
                line feed, and nothing is added." }
        }
        div.field {
            label for="file" { "or a file, byte by byte" }
            input type="file" id="file" name="file";
        }
        // Where it is closed, a browser refuses a form for what is wrong in it, and cannot say so: the
        // server does.
        details open[typed.is_some()] {
            summary { "Expiry and more" }
            div.field {
                label for="expires" { "Expires" }
                input id="expires" name="expires" value=[text("expires")] placeholder="never" autocomplete="off" aria-describedby="expires-help";
                p.help id="expires-help" { "From now, such as " code { "90d" } ", or at a time, such as "
                    code { "2030-01-31T00:00:00Z" } ". Empty: never." }
            }
            div.field {
                label for="keep" { "Keep the newest" }
                input id="keep" name="keep" value=[text("keep")] inputmode="numeric" autocomplete="off" placeholder="all" aria-describedby="keep-help";
                p.help id="keep-help" { "Older versions are destroyed for good, by this one and each after it. 0 keeps all; empty "
                    (if is_new { "does, too." } else { "leaves it as it is." }) }
            }
            div.tick {
                input type="checkbox" id="empty" name="empty" value="yes" checked[typed.is_some_and(|typed| typed.ticked("empty"))];
                label for="empty" { "The value is empty, and meant to be" }
            }
        }
    }
}

/// What is said of a version beside its value.
pub(super) fn options(posted: &Posted) -> Result<VersionOptions, String> {
    Ok(VersionOptions {
        expires: when(posted, future)?,
        keep: posted
            .optional("keep")
            .map_err(|_| "How many versions are kept is a number.")?,
    })
}

/// The value. An empty one is refused where nobody said that it is meant.
pub(super) fn meant_value(posted: &mut Posted) -> Result<SecretValue, String> {
    if posted.has_two_values() {
        return Err("A value was typed and a file was chosen: which one is meant?".into());
    }
    let value = posted
        .take_value()
        .filter(|value| !value.is_empty() || posted.ticked("empty"));
    value.ok_or_else(|| {
        "There is no value: type one, choose a file, or tick that it is empty (under Expiry and more).".into()
    })
}

/// The expiry, as the command line reads it: by `read`.
pub(super) fn when<T>(
    posted: &Posted,
    read: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, String> {
    let typed = Some(posted.text("expires")).filter(|typed| !typed.is_empty());
    typed.map(read).transpose()
}

pub(super) async fn create(visit: Visit, mut posted: Posted) -> Result<Response, Problem> {
    let name = posted.text("name").parse::<SecretName>();
    let given = name.map_err(|error| error.to_string()).and_then(|name| {
        let options = options(&posted)?;
        Ok((name, options, meant_value(&mut posted)?))
    });
    let again = |wrong: &str, status| {
        let page = form(&visit, Some((&posted, wrong)));
        Ok((status, page).into_response())
    };
    let (name, options, value) = match given {
        Ok(given) => given,
        Err(wrong) => return again(&wrong, StatusCode::UNPROCESSABLE_ENTITY),
    };
    let wanted = name.clone();
    let made = visit
        .blocking(move |admin| Ok(admin.store.create_secret_with(&wanted, value, &options)))
        .await;
    let problem = match made {
        Ok(Ok(version)) => {
            let notice = format!("Created {name}, version {version}.");
            return Ok(visit.done(&format!("/secret/{name}"), notice));
        }
        Ok(Err(error @ (StoreError::Exists { .. } | StoreError::Deleted { .. }))) => {
            return again(&error.to_string(), StatusCode::CONFLICT);
        }
        Ok(Err(error)) => error.into(),
        Err(problem) => problem,
    };
    if problem.is_busy() {
        let (status, _, text) = problem.told();
        return again(&text, status);
    }
    Err(problem)
}

#[derive(Deserialize)]
pub(super) struct Typed {
    #[serde(default)]
    name: String,
}

/// Whether a name can be had: empty where it can, else why not.
pub(super) async fn check(visit: Visit, InQuery(typed): InQuery<Typed>) -> Result<String, Problem> {
    let name = match typed.name.trim().parse::<SecretName>() {
        Ok(name) => name,
        Err(error) => return Ok(wrong(&error)),
    };
    visit.store(move |store| is_free(store, &name)).await
}

fn wrong(error: &NameError) -> String {
    let problem = sentence(&error.problem().to_string());
    match error.suggestion() {
        Some(good) => format!("{problem} Did you mean {good}?"),
        None => problem,
    }
}

fn is_free(store: &SecretStore, name: &SecretName) -> Result<String, StoreError> {
    Ok(match store.find(name) {
        Ok(None) => String::new(),
        Ok(Some(secret)) => match secret.state {
            SecretState::Active => format!("There is a secret {} already.", secret.name),
            _ => format!("There was a secret {}, which is deleted.", secret.name),
        },
        // Nothing can be made there.
        Err(error @ StoreError::Tampered { .. }) => sentence(&error.to_string()),
        Err(error) => return Err(error),
    })
}
