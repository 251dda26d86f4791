//! The audit log: filtered, verified when somebody asks for it, and handed out as JSON lines.

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::stream;
use leyden::secrets::{
    AuditEvent, AuditFilter, AuditFound, AuditOutcome, AuditRecord, SecretStore, StoreError,
};
use maud::{Markup, html};
use serde::Deserialize;

use super::Admin;
use super::address::InQuery;
use super::form::Posted;
use super::page::{Live, Tab, Visit};
use super::pieces::{badge, cell, command, digest, empty, encoded, sentence, time};
use super::problem::Problem;
use crate::audit::{about, json_lines, want_app, want_secret, word};
use crate::cli::moment;
use crate::exit::say;

/// Records on a page.
const ON_A_PAGE: usize = 50;
/// Records among which other pages look for what they show: reading and verifying them takes some
/// 35 ms.
pub(super) const NEWEST: usize = 20_000;
/// Records among which this one looks at a time, before it asks whether to look further back.
const LOOKED_AT: usize = 100_000;

const EVENTS: [AuditEvent; 30] = [
    AuditEvent::Release,
    AuditEvent::SecretCreated,
    AuditEvent::SecretSet,
    AuditEvent::ExpirySet,
    AuditEvent::SecretDeleted,
    AuditEvent::SecretRestored,
    AuditEvent::SecretDestroyed,
    AuditEvent::VersionDestroyed,
    AuditEvent::SecretRestricted,
    AuditEvent::SecretUnrestricted,
    AuditEvent::Reveal,
    AuditEvent::GrantAdded,
    AuditEvent::GrantRevoked,
    AuditEvent::HostGranted,
    AuditEvent::HostRevoked,
    AuditEvent::KeyAdded,
    AuditEvent::KeyRemoved,
    AuditEvent::KeyExported,
    AuditEvent::RootRotated,
    AuditEvent::KekAdded,
    AuditEvent::KekRemoved,
    AuditEvent::StoreBackedUp,
    AuditEvent::StoreRestored,
    AuditEvent::AuditPruned,
    AuditEvent::StoreCreated,
    AuditEvent::RollbackAccepted,
    AuditEvent::LoggedIn,
    AuditEvent::LoggedOut,
    AuditEvent::SessionEnded,
    AuditEvent::RunStopped,
];

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new().route("/audit", get(show))
}

/// What reads all of the store, or of its log, before it answers.
pub(super) fn long_routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/audit/verify", post(verify))
        .route("/audit/leyden-audit.jsonl", get(export))
}

/// What is asked for, as the address has it.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    secret: String,
    app: String,
    event: String,
    outcome: String,
    since: String,
    until: String,
    before: Option<u64>,
}

impl Asked {
    /// What is wanted, or what is wrong with that.
    fn filter(&self) -> Result<AuditFilter, String> {
        fn given(text: &str) -> Option<&str> {
            Some(text.trim()).filter(|text| !text.is_empty())
        }
        let mut filter = AuditFilter::default();
        if let Some(secret) = given(&self.secret) {
            want_secret(&mut filter, secret).map_err(|wrong| format!("Secret: {wrong}"))?;
        }
        if let Some(app) = given(&self.app) {
            want_app(&mut filter, app).map_err(|wrong| format!("App or digest: {wrong}"))?;
        }
        if let Some(event) = given(&self.event) {
            let found = EVENTS.into_iter().find(|one| word(one) == event);
            let found = found.ok_or_else(|| format!("No event is called `{event}`"))?;
            filter.event = Some(found);
        }
        filter.outcome = match given(&self.outcome) {
            None => None,
            Some("done") => Some(AuditOutcome::Done),
            Some("denied") => Some(AuditOutcome::Denied),
            Some(other) => return Err(format!("No outcome is called `{other}`: done or denied")),
        };
        let when = |what: &str, typed: &str| {
            let read = given(typed).map(moment).transpose();
            read.map_err(|wrong| format!("{what}: {wrong}"))
        };
        filter.since = when("Since", &self.since)?;
        filter.until = when("Until", &self.until)?;
        filter.before = self.before;
        Ok(filter)
    }

    /// Whether the newest records are asked for, whatever they are.
    fn is_newest(&self) -> bool {
        let Self {
            secret,
            app,
            event,
            outcome,
            since,
            until,
            before,
        } = self;
        let words = [secret, app, event, outcome, since, until];
        before.is_none() && words.iter().all(|word| word.trim().is_empty())
    }

    fn address(&self, path: &str, before: Option<u64>) -> String {
        let before = before
            .map(|before| format!("&before={before}"))
            .unwrap_or_default();
        format!(
            "{path}?secret={}&app={}&event={}&outcome={}&since={}&until={}{before}",
            encoded(&self.secret),
            encoded(&self.app),
            encoded(&self.event),
            encoded(&self.outcome),
            encoded(&self.since),
            encoded(&self.until)
        )
    }
}

async fn show(visit: Visit, InQuery(asked): InQuery<Asked>) -> Result<Response, Problem> {
    let filter = match asked.filter() {
        Ok(filter) => filter.limit(ON_A_PAGE + 1).among(LOOKED_AT),
        Err(wrong) => {
            // What was typed right stays.
            let content = html! {
                h1 { "Audit log" }
                (filters(&asked))
                p.error role="alert" { (sentence(&wrong)) }
            };
            let page = visit.page(Tab::Audit, "Audit log", Live::No, content);
            return Ok((StatusCode::BAD_REQUEST, page).into_response());
        }
    };
    let look = move |store: &SecretStore| store.audit_look(&filter);
    let AuditFound {
        mut records,
        broken,
        older,
        ..
    } = match asked.is_newest() {
        true => visit.admin.newest(look).await?,
        // It may be found far back.
        false => visit.admin.long(look).await?,
    };
    // One too many was asked for, to see whether there are more; or there may be, where nobody looked.
    let more = records.len() > ON_A_PAGE;
    if more {
        records.remove(0);
    }
    let (text, older) = match more {
        true => ("Older →", records.first().map(|record| record.sequence)),
        false => ("Look further back →", older),
    };
    let content = html! {
        div.heading {
            h1 { "Audit log" }
            div.actions {
                (visit.button("/audit/verify", &[], "", "Verify all"))
                a.button.quiet href=(asked.address("/audit/leyden-audit.jsonl", None)) download { "Export JSON lines" }
            }
        }
        (filters(&asked))
        div id="list" {
            (damage(broken.as_ref()))
            @if !records.is_empty() { (table(records.iter().rev(), true)) }
            @else if let Some(before) = older {
                p.quiet { "None from record " (before) " on is like that" @if asked.before.is_some() { ", among those that were not shown yet" } "." }
            } @else {
                (empty("There is no such record", html! {
                    p { "Fewer filters find more: " a href="/audit" { "Show all" } ". Or look in a terminal:" }
                    (command("leyden audit list --limit 20"))
                }))
            }
            nav.pager aria-label="Pages" {
                @if asked.before.is_some() { a.button.quiet href=(asked.address("/audit", None)) { "↑ Newest" } }
                @if older.is_some() { a.button.quiet href=(asked.address("/audit", older)) rel="next" { (text) } }
            }
        }
    };
    let page = visit.page(Tab::Audit, "Audit log", Live::Store, content);
    Ok(page.into_response())
}

/// Where the log is damaged, as far as a page has read it.
pub(super) fn damage(broken: Option<&StoreError>) -> Markup {
    html! {
        @if let Some(broken) = broken {
            div.callout role="alert" {
                p { strong { "Somebody or something has damaged the audit log: " } (broken) "." }
                p { "Records that are still what was written are shown, and no others. Where the damage begins, in all of the log:" }
                (command("leyden audit verify"))
            }
        }
    }
}

/// Says that a page has not read all of the log, and what has.
pub(super) fn older(is_older: bool, all: &str) -> Markup {
    html! {
        @if is_older {
            p.quiet { "Older records were not looked at for this page; " a href=(all) { "the audit log" } " has them." }
        }
    }
}

fn filters(asked: &Asked) -> Markup {
    html! {
        form.filters method="get" action="/audit" role="search" {
            label { span { "Secret" } input name="secret" value=(asked.secret) autocomplete="off" autocapitalize="none" spellcheck="false"; }
            label { span { "App or digest" } input name="app" value=(asked.app) autocomplete="off" spellcheck="false"; }
            label { span { "Event" } select name="event" {
                option value="" { "Any" }
                @for event in EVENTS { @let word = word(&event); option value=(word) selected[word == asked.event] { (word) } }
            } }
            label { span { "Outcome" } select name="outcome" {
                @for (value, text) in [("", "Any"), ("done", "Done"), ("denied", "Denied")] {
                    option value=(value) selected[value == asked.outcome] { (text) }
                }
            } }
            label { span { "Since" } input name="since" value=(asked.since) placeholder="24h, 2030-01-31" autocomplete="off"; }
            label { span { "Until" } input name="until" value=(asked.until) placeholder="now" autocomplete="off"; }
            button type="submit" { "Filter" }
        }
    }
}

/// Records in rows; about which secret, where they are not all about one.
pub(super) fn table<'r>(records: impl Iterator<Item = &'r AuditRecord>, of_all: bool) -> Markup {
    html! {
        table.rows.log {
            thead { tr {
                th scope="col" { "No" } th scope="col" { "Time" } th scope="col" { "Event" }
                @if of_all { th scope="col" { "About" } }
                th scope="col" { "As" } th scope="col" { "App" } th scope="col" { "By" }
            } }
            tbody { @for record in records {
                tr {
                    th scope="row" { (record.sequence) }
                    (cell("Time", time(record.time)))
                    (cell("Event", html! { (word(&record.event)) @if record.outcome != AuditOutcome::Done { " " (outcome(record)) } }))
                    @if of_all { (cell("About", subject(record))) }
                    (cell("As", html! { @if let Some(env) = &record.env { code { (env) } } }))
                    (cell("App", app(record)))
                    (cell("By", html! { (record.user) "@" (record.host) small { " (" (record.pid) ")" } }))
                }
            } }
        }
    }
}

fn subject(record: &AuditRecord) -> Markup {
    let about = about(record);
    html! {
        @match &record.secret {
            Some(secret) => a href=(format!("/secret/{}", encoded(secret))) { (about) },
            None if record.run.is_some() => a href=(format!("/run/{}", encoded(&about))) { (about) },
            None => (about),
        }
    }
}

fn app(record: &AuditRecord) -> Markup {
    html! {
        @if let Some(name) = &record.app { (name) }
        @if let Some(work) = record.component.as_deref().filter(|of| *of != "flow") { "/" (work) }
        @match record.app_digest.as_ref().or(record.grantee.as_ref()) {
            // The whole of it is on the app's page.
            Some(of) if of.starts_with("sha256:") => { " " a href=(format!("/app/{}", encoded(of))) { (digest(of)) } },
            Some(folder) => { " " code { (folder) } },
            None => "",
        }
    }
}

/// How it ended, where that was not well.
pub(super) fn outcome(record: &AuditRecord) -> Markup {
    html! {
        @match (&record.outcome, &record.reason) {
            (AuditOutcome::Done, _) => (badge("good", "done")),
            (outcome, Some(reason)) => (badge("bad", format!("{}: {reason}", word(outcome)))),
            (outcome, None) => (badge("bad", word(outcome))),
        }
    }
}

async fn verify(visit: Visit, _posted: Posted) -> Result<Markup, Problem> {
    let verified = visit.admin.long(|store| Ok(store.verify())).await?;
    let title = match &verified {
        Ok(_) => "All is as it was written",
        Err(_) => "Something is not as it was written",
    };
    let content = html! {
        p.crumb { a href="/audit" { "Audit log" } }
        h1 { (title) }
        @match verified {
            Ok(verified) => {
                p.notice { "Verified " (crate::report::verified(&verified))
                    @if verified.pruned_records > 0 { " after " (verified.pruned_records) " that were pruned" } "." }
            }
            Err(error) => {
                p.error role="alert" { (sentence(&crate::exit::explain(&error.into()))) }
            }
        }
        (command("leyden audit verify"))
    };
    Ok(visit.page(Tab::Audit, title, Live::No, content))
}

/// The records as they are read, a thousand at a time: the log may be larger than memory.
async fn export(visit: Visit, InQuery(asked): InQuery<Asked>) -> Result<Response, Problem> {
    let filter = asked.filter().map_err(Problem::Usage)?;
    // Half a log is not handed out as if it were one: it is verified first.
    let begun = visit.admin.long(SecretStore::audit_begin).await?;
    let lines = stream::try_unfold(begun, move |mut place| {
        let (visit, filter) = (visit.clone(), filter.clone());
        async move {
            if !visit.is_open() {
                return Err(broken_off(Problem::LoggedOut));
            }
            let read = visit.store(move |store| {
                let records = store.audit_next(&mut place, &filter)?;
                Ok(records.map(|records| (records, place)))
            });
            let Some((records, place)) = read.await.map_err(broken_off)? else {
                return Ok(None);
            };
            let lines = json_lines(&records).map_err(|_| broken_off(Problem::Panicked))?;
            Ok(Some((lines, place)))
        }
    });
    let headers = [
        (header::CONTENT_TYPE, "application/jsonl"),
        (
            header::CONTENT_DISPOSITION,
            "attachment; filename=\"leyden-audit.jsonl\"",
        ),
    ];
    Ok((headers, Body::from_stream(lines)).into_response())
}

/// The browser sees that its download was cut off; why, only the terminal can tell.
fn broken_off(why: Problem) -> io::Error {
    let (_, _, why) = why.told();
    say(&format!("an export of the audit log was broken off: {why}"));
    io::Error::other("broken off")
}
