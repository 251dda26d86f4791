//! Apps that left traces here, and finding one by its path.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use leyden::App;
use leyden::run::journal::RunInfo;
use leyden::secrets::{AuditEvent, AuditFilter, AuditOutcome, AuditRecord, StoreError};
use maud::{Markup, html};
use serde::Deserialize;

use super::address::InQuery;
use super::app::address;
use super::page::{Live, Tab, Visit};
use super::pieces::{cell, command, digest, empty, encoded, time};
use super::problem::Problem;
use super::{Admin, audit};

/// Runs and releases among which apps are looked for.
const RUNS: usize = 300;
const RELEASES: usize = 3000;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/apps", get(list))
        .route("/apps/look", get(look))
}

/// What is known of an app by its traces.
#[derive(Default)]
pub(super) struct Known {
    pub(super) name: String,
    /// Newest first.
    pub(super) runs: Vec<RunInfo>,
    /// Oldest first.
    releases: Vec<AuditRecord>,
}

impl Known {
    fn last(&self) -> Option<jiff::Timestamp> {
        let run = self.runs.first().map(|run| run.started);
        run.max(self.releases.last().map(|record| record.time))
    }

    /// The secrets that it was given or refused, by the names it saw them under: of each the last
    /// release and the last refusal.
    pub(super) fn got(&self) -> Vec<&AuditRecord> {
        let mut newest = BTreeMap::new();
        for record in &self.releases {
            let was_given = record.outcome == AuditOutcome::Done;
            let of = (&record.component, &record.env, &record.secret);
            newest.insert((of, !was_given), record);
        }
        newest.into_values().collect()
    }

    /// What stands for each name that it saw or asked for: the secret that it was given last, or, where
    /// it never was given one, was refused last.
    pub(super) fn bound(&self) -> Vec<&AuditRecord> {
        let mut bound = BTreeMap::<_, &AuditRecord>::new();
        for record in &self.releases {
            let kept = bound
                .entry((&record.component, &record.env))
                .or_insert(record);
            if record.outcome == AuditOutcome::Done || kept.outcome != AuditOutcome::Done {
                *kept = record;
            }
        }
        bound.into_values().collect()
    }
}

/// The apps that left traces.
#[derive(Default)]
pub(super) struct Traces {
    /// By digest.
    pub(super) apps: BTreeMap<String, Known>,
    /// Where the audit log is damaged, and whether older records were not looked at.
    pub(super) broken: Option<StoreError>,
    pub(super) older: bool,
}

/// All apps that left traces, or one.
pub(super) fn traces(admin: &Admin, only: Option<&str>) -> Result<Traces, Problem> {
    let mut apps = BTreeMap::<String, Known>::new();
    let filter = AuditFilter::default()
        .event(AuditEvent::Release)
        .limit(RELEASES)
        .among(audit::NEWEST);
    let filter = match only {
        Some(digest) => filter.app(digest),
        None => filter,
    };
    let found = admin.store.audit_look(&filter)?;
    for record in found.records {
        if let Some(digest) = record.app_digest.clone() {
            let app = apps.entry(digest).or_default();
            app.name = record.app.clone().unwrap_or_default();
            app.releases.push(record);
        }
    }
    for run in admin.runs.list(RUNS)?.into_iter().flatten() {
        if only.is_none_or(|digest| digest == run.digest) {
            let app = apps.entry(run.digest.clone()).or_default();
            if app.runs.is_empty() {
                app.name.clone_from(&run.app);
            }
            app.runs.push(run);
        }
    }
    Ok(Traces {
        apps,
        broken: found.broken,
        older: found.older.is_some(),
    })
}

async fn list(visit: Visit) -> Result<Markup, Problem> {
    let traces = visit.blocking(|admin| traces(admin, None)).await?;
    let mut apps: Vec<_> = traces.apps.into_iter().collect();
    apps.sort_by_key(|(_, app)| std::cmp::Reverse(app.last()));
    let content = html! {
        h1 { "Apps" }
        form.filters method="get" action="/apps/look" {
            label { span { "Look at an app on this machine" }
                input name="path" required placeholder="/home/ada/report" autocomplete="off" autocapitalize="none" spellcheck="false"; }
            button type="submit" { "Look" }
        }
        div id="list" {
            (audit::damage(traces.broken.as_ref()))
            @if apps.is_empty() {
                (empty("No app has run here yet", html! {
                    p { "Apps stand here once they have run, or have asked for a secret. Look at one above to see what \
                        it asks for, or run it in a terminal:" }
                    (command("leyden run app APP --secret NAME=my-secret"))
                }))
            } @else {
                table.rows {
                    thead { tr { th scope="col" { "App" } th scope="col" { "Digest" } th scope="col" { "Last" } th scope="col" { "Runs" } th scope="col" { "Secrets it was given" } } }
                    tbody { @for (of, app) in &apps { (row(of, app)) } }
                }
            }
            (audit::older(traces.older, "/audit?event=release"))
        }
    };
    Ok(visit.page(Tab::Apps, "Apps", Live::All, content))
}

fn row(of: &str, app: &Known) -> Markup {
    let given = app
        .releases
        .iter()
        .filter(|record| record.outcome == AuditOutcome::Done);
    let secrets: BTreeSet<_> = given
        .filter_map(|record| record.secret.as_deref())
        .collect();
    html! { tr {
        th scope="row" { a href=(address(of, "")) { (app.name) } }
        (cell("Digest", digest(of)))
        (cell("Last", html! { @if let Some(last) = app.last() { (time(last)) } }))
        (cell("Runs", html! { (app.runs.len()) }))
        (cell("Secrets", html! { span { @for (place, secret) in secrets.iter().enumerate() {
            @if place > 0 { ", " }
            a href=(format!("/secret/{}", encoded(secret))) { (secret) }
        } } }))
    } }
}

#[derive(Deserialize, Default)]
#[serde(default)]
pub(super) struct Asked {
    pub(super) path: String,
}

/// Goes to the page of the app that is at a path now.
async fn look(visit: Visit, InQuery(asked): InQuery<Asked>) -> Result<Response, Problem> {
    let path = PathBuf::from(asked.path.trim());
    if !path.is_absolute() {
        let text = "Where an app is must be an absolute path, such as /home/ada/report.";
        return Err(Problem::Usage(text.to_owned()));
    }
    let digest = visit
        .blocking(move |_| {
            let app = App::from_path(&path).map_err(leyden::Error::from)?;
            Ok(app.digest().map_err(leyden::Error::from)?)
        })
        .await?;
    let to = address(&digest.to_string(), asked.path.trim());
    Ok(Redirect::to(&to).into_response())
}
