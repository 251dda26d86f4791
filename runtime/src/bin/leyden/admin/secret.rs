//! One secret: what is known of it, and what can be done with it.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use leyden::app::SecretName;
use leyden::secrets::{
    AuditEvent, AuditFilter, AuditFound, AuditOutcome, AuditRecord, Expiry, RECOVERY_WINDOW,
    SecretInfo, SecretState, StoreError, VersionInfo,
};
use maud::{Markup, html};

use super::address::InPath;
use super::form::Posted;
use super::new_secret::{meant_value, options, refusal, value_fields, when};
use super::page::{Live, Tab, Visit};
use super::pieces::{badge, cell, command, digest, encoded, time};
use super::problem::Problem;
use super::secrets::state;
use super::{Admin, audit, grants};
use crate::report::counted;
use crate::secret::add_version;

/// Records of the audit log that are shown.
const RECENT: usize = 12;
/// Records among which apps are looked for.
const RECORDS: usize = 1000;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/secret/{name}", get(show))
        .route("/secret/{name}/versions", get(add).post(set))
        .route("/secret/{name}/expire", post(expire))
        .route("/secret/{name}/delete", get(ask).post(delete))
        .route("/secret/{name}/restore", post(restore))
        .merge(grants::routes())
}

/// The name in an address.
pub(super) fn named(typed: &str) -> Result<SecretName, Problem> {
    typed
        .parse()
        .map_err(|error| Problem::NotFound(format!("{error}")))
}

/// All that is shown of a secret.
struct Seen {
    secret: SecretInfo,
    log: AuditFound,
}

async fn show(visit: Visit, InPath(name): InPath) -> Result<Markup, Problem> {
    let name = named(&name)?;
    let seen = visit
        .store(move |store| {
            let secret = store.show(&name)?;
            let filter = AuditFilter::default().secret(name.canonical());
            let filter = filter.limit(RECORDS).among(audit::NEWEST);
            let log = store.audit_look(&filter)?;
            Ok(Seen { secret, log })
        })
        .await?;
    let secret = &seen.secret;
    let is_active = secret.state == SecretState::Active;
    let content = html! {
        div.heading {
            div {
                p.crumb { a href="/secrets" { "Secrets" } }
                h1.name { (secret.name) }
            }
            p id="state" { (state(secret)) }
        }
        @if is_active {
            (command(&format!("leyden run app APP --secret {}={}", env_name(&secret.name), secret.name)))
        } @else {
            (deleted(&visit, secret))
        }
        (facts(secret))
        (versions(&visit, secret, is_active))
        (grants::section(&visit, secret, is_active))
        div id="damage" { (audit::damage(seen.log.broken.as_ref())) }
        (apps(&seen.log.records))
        section aria-labelledby="recent" {
            h2 id="recent" { "What happened" }
            div id="recent-list" { (audit::table(seen.log.records.iter().rev().take(RECENT), false)) }
            (audit::older(seen.log.older.is_some(), &format!("/audit?secret={}", secret.name)))
            p { a href=(format!("/audit?secret={}", secret.name)) { "All of it in the audit log" } }
        }
        @if is_active {
            section.danger aria-labelledby="end" {
                h2 id="end" { "Delete" }
                p { "No app can bind it any more. It can be restored for 30 days." }
                a.button.warn href=(path(&secret.name, "delete")) { "Delete…" }
            }
        }
    };
    Ok(visit.page(Tab::Secrets, &secret.name, Live::Store, content))
}

/// An address below a secret's.
pub(super) fn path(name: &str, what: &str) -> String {
    format!("/secret/{}/{what}", encoded(name))
}

/// A name that an app might see it under.
pub(super) fn env_name(secret: &str) -> String {
    secret.to_ascii_uppercase().replace(['-', '.'], "_")
}

fn deleted(visit: &Visit, secret: &SecretInfo) -> Markup {
    let until = match secret.state {
        SecretState::Deleted {
            restorable_until, ..
        } => restorable_until,
        _ => None,
    };
    html! {
        div.callout {
            p { "It is deleted: no app can bind it, and its name stays taken."
                @if let Some(until) = until { " The time to restore it ends " (time(until)) "." } }
            (visit.button(&path(&secret.name, "restore"), &[], "", "Restore"))
        }
    }
}

fn facts(secret: &SecretInfo) -> Markup {
    html! {
        dl.facts id="facts" {
            div { dt { "Made" } dd { (time(secret.created)) " by " (secret.created_by) } }
            div { dt { "Changed" } dd { (time(secret.updated)) } }
            @if let Some(newest) = secret.versions.last() {
                div { dt { "Size" } dd { (counted(newest.size, "byte")) } }
            }
            div { dt { "Keeps" } dd {
                @match secret.keep { Some(keep) => { "the newest " (keep) }, None => "all versions" }
            } }
            div { dt { "Value" } dd { "never shown here" } }
        }
    }
}

fn versions(visit: &Visit, secret: &SecretInfo, is_active: bool) -> Markup {
    let row = |version: &VersionInfo| {
        let number = version.version.to_string();
        html! {
            tr {
                th scope="row" { (number) }
                (cell("Added", html! { (time(version.created)) " by " (version.created_by) }))
                (cell("Size", html! { (counted(version.size, "byte")) }))
                (cell("Expires", expires(version)))
                @if is_active {
                    (cell("", html! {
                        details.inline {
                            summary { "Expiry" span.hidden { " of version " (number) } }
                            (visit.form(&path(&secret.name, "expire"), html! {
                                input type="hidden" name="version" value=(number);
                                label { span { "Expires (90d, a time; empty: never)" }
                                    input name="expires" autocomplete="off"; }
                                button type="submit" { "Set" }
                                button.warn type="submit" name="now" value="yes" { "Expire now" }
                            }))
                        }
                    }))
                }
            }
        }
    };
    html! {
        section aria-labelledby="versions" {
            div.heading {
                h2 id="versions" { "Versions" }
                @if is_active { a.button href=(path(&secret.name, "versions")) { "Add version" } }
            }
            div id="versions-list" {
                table.rows {
                    thead { tr { th scope="col" { "No" } th scope="col" { "Added" } th scope="col" { "Size" } th scope="col" { "Expires" }
                        @if is_active { th scope="col" { span.hidden { "Change" } } } } }
                    tbody { @for version in secret.versions.iter().rev() { (row(version)) } }
                }
            }
        }
    }
}

fn expires(version: &VersionInfo) -> Markup {
    html! {
        @match version.expires {
            Some(at) if at <= jiff::Timestamp::now() => { (badge("bad", "expired")) " " (time(at)) },
            Some(at) => (time(at)),
            None => "never",
        }
    }
}

/// The apps that asked for it, each with the last time that it was released to it, and was not.
fn apps(records: &[AuditRecord]) -> Markup {
    let mut apps = BTreeMap::new();
    let is_release = |record: &&AuditRecord| record.event == AuditEvent::Release;
    for record in records.iter().filter(is_release) {
        if let Some(of) = &record.app_digest {
            let was_given = record.outcome == AuditOutcome::Done;
            apps.insert((of, was_given), record);
        }
    }
    let mut apps: Vec<_> = apps.into_iter().collect();
    apps.sort_by_key(|(_, record)| std::cmp::Reverse(record.time));
    html! {
        section aria-labelledby="apps" {
            h2 id="apps" { "Apps that used it, or asked to" }
            div id="apps-list" {
                @if apps.is_empty() { p.quiet { "None has asked for it yet, as far as the audit log goes." } }
                @else {
                    table.rows {
                        thead { tr { th scope="col" { "App" } th scope="col" { "Digest" } th scope="col" { "As" } th scope="col" { "Last" } th scope="col" { "Outcome" } } }
                        tbody { @for ((of, _), record) in apps {
                            tr {
                                th scope="row" { a href=(format!("/app/{}", encoded(of))) { (record.app.as_deref().unwrap_or("unnamed")) } }
                                (cell("Digest", digest(of)))
                                (cell("As", html! { code { (record.env.as_deref().unwrap_or_default()) } }))
                                (cell("Last", time(record.time)))
                                (cell("Outcome", audit::outcome(record)))
                            }
                        } }
                    }
                }
            }
        }
    }
}

/// The form for a new version.
async fn add(visit: Visit, InPath(name): InPath) -> Result<Markup, Problem> {
    let name = named(&name)?;
    let secret = visit.store(move |store| store.show(&name)).await?;
    if secret.state != SecretState::Active {
        return Err(StoreError::Deleted { name: secret.name }.into());
    }
    Ok(version_form(&visit, &secret.name, None))
}

fn version_form(visit: &Visit, name: &str, again: Option<(&Posted, &str)>) -> Markup {
    let content = html! {
        p.crumb { a href="/secrets" { "Secrets" } " / " a href=(format!("/secret/{name}")) { (name) } }
        h1 { "Add a version" }
        p { "Bindings without a version get it from now on; older versions can still be bound by their \
            number. Apps that run keep what they have." }
        (visit.form(&path(name, "versions"), html! {
            (refusal(again))
            (value_fields(false, again.map(|(posted, _)| posted)))
            button type="submit" { "Add version" }
            a.button.quiet href=(format!("/secret/{name}")) { "Cancel" }
        }))
    };
    visit.page(
        Tab::Secrets,
        &format!("Add a version of {name}"),
        Live::No,
        content,
    )
}

async fn set(visit: Visit, InPath(name): InPath, mut posted: Posted) -> Result<Response, Problem> {
    let name = named(&name)?;
    let given = options(&posted).and_then(|options| Ok((options, meant_value(&mut posted)?)));
    let again = |wrong: &str, status| {
        let page = version_form(&visit, name.as_str(), Some((&posted, wrong)));
        Ok((status, page).into_response())
    };
    let (options, value) = match given {
        Ok(given) => given,
        Err(wrong) => return again(&wrong, StatusCode::UNPROCESSABLE_ENTITY),
    };
    let wanted = name.clone();
    let added = visit.store(move |store| add_version(store, &wanted, value, &options));
    let (version, destroyed) = match added.await {
        Err(problem) if problem.is_busy() => {
            let (status, _, text) = problem.told();
            return again(&text, status);
        }
        added => added?,
    };
    let notice = match destroyed {
        0 => format!("Added version {version}."),
        _ => format!(
            "Added version {version}, and destroyed {}.",
            counted(destroyed, "older version")
        ),
    };
    Ok(visit.done(&format!("/secret/{name}"), notice))
}

async fn expire(visit: Visit, InPath(name): InPath, posted: Posted) -> Result<Response, Problem> {
    let name = named(&name)?;
    let version: Option<NonZeroU32> = posted
        .optional("version")
        .map_err(|_| Problem::Usage("A version is a number from 1 on.".to_owned()))?;
    let typed = when(&posted, crate::cli::ending).map_err(Problem::Usage)?;
    let expiry = match posted.ticked("now") {
        true => Expiry::Now,
        false => typed.unwrap_or(Expiry::Never),
    };
    let wanted = name.clone();
    let told = visit
        .store(move |store| store.expire(&wanted, version, expiry))
        .await?;
    let version = told.version;
    let notice = match told.expires {
        Some(at) => format!("Version {version} expires at {}.", crate::report::time(at)),
        None => format!("Version {version} does not expire."),
    };
    Ok(visit.done(&format!("/secret/{name}"), notice))
}

/// Asks before a secret is deleted.
async fn ask(visit: Visit, InPath(name): InPath) -> Result<Markup, Problem> {
    let name = named(&name)?;
    let secret = visit.store(move |store| store.show(&name)).await?;
    let name = &secret.name;
    let content = html! {
        p.crumb { a href="/secrets" { "Secrets" } " / " a href=(format!("/secret/{name}")) { (name) } }
        h1 { "Delete " (name) "?" }
        p { "No app can bind it any more. It can be restored for 30 days; its name stays taken until then. \
            Apps that run keep what they have." }
        (visit.form(&path(name, "delete"), html! {
            button.warn type="submit" { "Delete " (name) }
            a.button.quiet href=(format!("/secret/{name}")) autofocus { "Keep it" }
        }))
        p.quiet { "To destroy it at once, so that nothing brings it back:" }
        (command(&format!("leyden secret delete {name} --now")))
    };
    Ok(visit.page(Tab::Secrets, &format!("Delete {name}?"), Live::No, content))
}

async fn delete(visit: Visit, InPath(name): InPath, _posted: Posted) -> Result<Response, Problem> {
    let name = named(&name)?;
    let wanted = name.clone();
    visit
        .store(move |store| {
            store.delete_for(&wanted, RECOVERY_WINDOW)?;
            // As the command does: those whose time is over.
            store.purge()
        })
        .await?;
    Ok(visit.done(&format!("/secret/{name}"), format!("Deleted {name}.")))
}

async fn restore(visit: Visit, InPath(name): InPath, _posted: Posted) -> Result<Response, Problem> {
    let name = named(&name)?;
    let wanted = name.clone();
    visit.store(move |store| store.restore(&wanted)).await?;
    Ok(visit.done(&format!("/secret/{name}"), format!("Restored {name}.")))
}
