//! Apps: what ran here, what each asks for and got, and granting it that.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Query};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use leyden::App;
use leyden::app::{Ask, Digest, Request};
use leyden::run::journal::RunInfo;
use leyden::secrets::{
    AuditEvent, AuditFilter, AuditOutcome, AuditRecord, Coverage, Grant, Grantee,
};
use maud::{Markup, html};
use serde::Deserialize;

use super::form::Posted;
use super::grants::sentence;
use super::page::{
    Live, Problem, Tab, Visit, badge, cell, command, digest, empty, encoded, quoted, time,
};
use super::secret::path as secret_path;
use super::{Admin, audit, runs};
use crate::inspect::told;
use crate::runs::Invocation;

/// Runs and releases among which apps are looked for.
const RUNS: usize = 300;
const RELEASES: usize = 3000;
/// Runs of one app that are shown.
const SHOWN_RUNS: usize = 10;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/apps", get(list))
        .route("/apps/look", get(look))
        .route("/app/{digest}", get(show))
        .route("/app/{digest}/trust", post(trust))
        .route("/app/{digest}/distrust", post(distrust))
}

/// The address of an app's page; `path` says where it is, where no run has told.
pub(super) fn address(digest: &str, path: &str) -> String {
    let digest = encoded(digest);
    match path {
        "" => format!("/app/{digest}"),
        path => format!("/app/{digest}?path={}", encoded(path)),
    }
}

/// What is known of an app by its traces.
#[derive(Default)]
struct Known {
    name: String,
    /// Newest first.
    runs: Vec<RunInfo>,
    /// Oldest first.
    releases: Vec<AuditRecord>,
}

impl Known {
    fn last(&self) -> Option<jiff::Timestamp> {
        let run = self.runs.first().map(|run| run.started);
        run.max(self.releases.last().map(|record| record.time))
    }

    /// The secrets that it was given, by the names it saw them under: the newest of each.
    fn got(&self) -> Vec<&AuditRecord> {
        let mut newest = BTreeMap::new();
        for record in &self.releases {
            newest.insert((&record.component, &record.env, &record.secret), record);
        }
        newest.into_values().collect()
    }
}

/// All apps that left traces, by digest.
fn known(admin: &Admin, only: Option<&str>) -> Result<BTreeMap<String, Known>, Problem> {
    let mut apps = BTreeMap::<String, Known>::new();
    let filter = AuditFilter::default()
        .event(AuditEvent::Release)
        .limit(RELEASES);
    let filter = match only {
        Some(digest) => filter.app(digest),
        None => filter,
    };
    for record in admin.store.audit_list(&filter)? {
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
    Ok(apps)
}

async fn list(visit: Visit) -> Result<Markup, Problem> {
    let apps = visit.blocking(|admin| known(admin, None)).await?;
    let mut apps: Vec<_> = apps.into_iter().collect();
    apps.sort_by_key(|(_, app)| std::cmp::Reverse(app.last()));
    let content = html! {
        h1 { "Apps" }
        form.filters method="get" action="/apps/look" {
            label { span { "Look at an app on this machine" }
                input name="path" required placeholder="/home/ada/report" autocomplete="off" autocapitalize="none" spellcheck="false"; }
            button type="submit" { "Look" }
        }
        div id="list" {
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
struct Asked {
    path: String,
}

/// Goes to the page of the app that is at a path now.
async fn look(visit: Visit, Query(asked): Query<Asked>) -> Result<Response, Problem> {
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

/// The app itself, where it can still be found.
enum Found {
    /// At this path, and to the byte the same.
    Same(Box<Same>),
    /// Something else is there now.
    Changed(PathBuf, String),
    /// Nothing that runs is there, or nobody has said where.
    Gone(Option<(PathBuf, String)>),
}

struct Same {
    path: PathBuf,
    name: String,
    asks: Vec<(Request, Coverage)>,
}

struct Seen {
    known: Known,
    found: Found,
    grants: Vec<(String, Grant)>,
}

fn see(admin: &Admin, of: &Digest, path: &str) -> Result<Seen, Problem> {
    let known = known(admin, Some(&of.to_string()))?.remove(&of.to_string());
    let known = known.unwrap_or_default();
    Ok(Seen {
        found: find(admin, of, path, &known)?,
        grants: admin.store.grants_to(&Grantee::App(*of))?,
        known,
    })
}

/// Looks where somebody says that the app is, or where it was when it last ran.
fn find(admin: &Admin, of: &Digest, path: &str, known: &Known) -> Result<Found, Problem> {
    let path = match path {
        "" => known.runs.iter().find_map(|run| {
            let kept = admin.runs.invocation(&run.id, &admin.store).ok()?;
            Invocation::from_bytes(&kept).ok()?.app()
        }),
        path => Some(PathBuf::from(path)),
    };
    let Some(path) = path else {
        return Ok(Found::Gone(None));
    };
    let read = App::from_path(&path).and_then(|app| Ok((app.digest()?, app)));
    let (is, app) = match read {
        Ok(read) => read,
        Err(error) => return Ok(Found::Gone(Some((path, error.to_string())))),
    };
    if is != *of {
        return Ok(Found::Changed(path, is.to_string()));
    }
    Ok(Found::Same(Box::new(Same {
        name: app.display_name().to_owned(),
        asks: app.coverage(&admin.store)?,
        path,
    })))
}

fn parsed(typed: &str) -> Result<Digest, Problem> {
    typed
        .parse()
        .map_err(|error| Problem::NotFound(format!("{error}.")))
}

async fn show(
    visit: Visit,
    Path(of): Path<String>,
    Query(asked): Query<Asked>,
) -> Result<Markup, Problem> {
    let of = parsed(&of)?;
    let seen = visit
        .blocking(move |admin| see(admin, &of, asked.path.trim()))
        .await?;
    let name = match (&seen.found, seen.known.name.as_str()) {
        (Found::Same(same), _) => same.name.clone(),
        (_, "") => "Unknown app".to_owned(),
        (_, name) => name.to_owned(),
    };
    let of = of.to_string();
    let content = html! {
        div.heading { div {
            p.crumb { a href="/apps" { "Apps" } }
            h1.name { (name) }
            p.quiet { code { (of) } }
        } }
        div id="run-line" { (place(&seen)) }
        @if let Found::Same(same) = &seen.found { (asks(&visit, &of, same)) }
        (grants(&visit, &of, &seen))
        (got(&seen.known))
        @if !seen.known.runs.is_empty() {
            section aria-labelledby="runs-title" {
                h2 id="runs-title" { "Runs" }
                div id="runs" { (runs::table(seen.known.runs.get(..SHOWN_RUNS).unwrap_or(&seen.known.runs))) }
            }
        }
    };
    Ok(visit.page(Tab::Apps, &name, Live::All, content))
}

/// Where it is, and the line that runs it.
fn place(seen: &Seen) -> Markup {
    html! {
        @match &seen.found {
            Found::Same(same) => (command(&run_line(same, &seen.known))),
            Found::Changed(path, is) => div.callout {
                p { "What is at " code { (path.display()) } " now is another version, to which none of this applies: "
                    a href=(address(is, &path.display().to_string())) { (digest(is)) } }
            },
            Found::Gone(Some((path, why))) => div.callout { p { "It is not at " code { (path.display()) } " any more: " (why) } },
            Found::Gone(None) => p.quiet { "Where it lies is not known: no run of it has kept that." },
        }
    }
}

/// What runs it with all that it asks for, and what it was given before.
fn run_line(same: &Same, known: &Known) -> String {
    let mut words = vec![
        "leyden run app".to_owned(),
        quoted(&same.path.display().to_string()),
    ];
    let mut bound = BTreeSet::new();
    let mut options = BTreeSet::new();
    for (request, coverage) in &same.asks {
        let work = request.work.as_ref().map(ToString::to_string);
        if let Ask::Secret(secret) = &request.ask {
            bound.insert((work.clone(), secret.env.as_str().to_owned()));
        }
        if coverage.is_granted() {
            continue;
        }
        let scope = work.map(|work| format!("{work}:")).unwrap_or_default();
        options.insert(match &request.ask {
            Ask::Secret(secret) => format!("--secret {}", quoted(&format!("{scope}{secret}"))),
            Ask::Host(host) => format!("--allow-host {}", quoted(&format!("{scope}{host}"))),
        });
    }
    for record in known.got() {
        let work = record.component.clone().filter(|of| of != "flow");
        let (Some(env), Some(secret)) = (&record.env, &record.secret) else {
            continue;
        };
        if record.outcome == AuditOutcome::Done && !bound.contains(&(work.clone(), env.clone())) {
            let scope = work.map(|work| format!("{work}:")).unwrap_or_default();
            options.insert(format!(
                "--secret {}",
                quoted(&format!("{scope}{env}={secret}"))
            ));
        }
    }
    words.extend(options);
    words.join(" ")
}

fn asks(visit: &Visit, of: &str, same: &Same) -> Markup {
    let path = same.path.display().to_string();
    let missing = same
        .asks
        .iter()
        .filter(|(_, found)| !found.is_granted())
        .count();
    html! {
        section aria-labelledby="asks-title" {
            h2 id="asks-title" { "What it asks for" }
            div id="asks" {
                @if same.asks.is_empty() { p.quiet { "Nothing: its leyden.toml asks for no secret and no host." } }
                @else {
                    table.rows {
                        thead { tr { th scope="col" { "It asks for" } th scope="col" { "Now" } th scope="col" { "A grant permits" } th scope="col" { span.hidden { "Grant" } } } }
                        tbody { @for (request, found) in &same.asks { (ask_row(visit, of, same, &path, request, found)) } }
                    }
                    @if missing > 0 {
                        div.setting {
                            p { "Granting all lets this very version have all of the above whenever it runs, without being told \
                                to each time. One that differs by a byte asks again." }
                            (visit.button(&format!("/app/{}/trust", encoded(of)), &[("path", &path)], "", "Grant all it asks for"))
                        }
                    }
                }
            }
        }
    }
}

fn ask_row(
    visit: &Visit,
    of: &str,
    same: &Same,
    path: &str,
    request: &Request,
    found: &Coverage,
) -> Markup {
    let granted = found.is_granted();
    html! { tr {
        th scope="row" { (request) }
        (cell("Now", badge(if granted { "good" } else { "note" }, told(found))))
        (cell("Permits", match &request.ask {
            Ask::Secret(secret) => html! { span { "This very version may bind " strong { (secret.secret.name) } " as " code { (secret.env) } ", whenever it runs." } },
            Ask::Host(host) => html! { span { "It may connect to " code { (host) } ", and send there what it has." } },
        }))
        (cell("", html! { @if let (Ask::Secret(secret), false) = (&request.ask, granted) {
            (visit.button(&secret_path(secret.secret.name.as_str(), "grants"), &[
                ("to", of), ("env", secret.env.as_str()), ("app", &same.name), ("from", of), ("path", path),
            ], "", "Grant"))
        } }))
    } }
}

fn grants(visit: &Visit, of: &str, seen: &Seen) -> Markup {
    let path = match &seen.found {
        Found::Same(same) => same.path.display().to_string(),
        _ => String::new(),
    };
    // Of hosts, what it asks for tells.
    let granted = !seen.grants.is_empty()
        || matches!(&seen.found, Found::Same(same) if same.asks.iter().any(|(_, found)| found.is_granted()));
    html! {
        section aria-labelledby="grants-title" {
            h2 id="grants-title" { "Standing grants to this version" }
            div id="grants" {
                @if seen.grants.is_empty() { p.quiet { "None of a secret." } }
                @else {
                    table.rows {
                        thead { tr { th scope="col" { "Secret" } th scope="col" { "What it permits" } th scope="col" { "Given" } th scope="col" { span.hidden { "Take back" } } } }
                        tbody { @for (secret, grant) in &seen.grants { tr {
                            th scope="row" { a href=(format!("/secret/{}", encoded(secret))) { (secret) } }
                            (cell("Permits", html! { span { (sentence(secret, grant)) } }))
                            (cell("Given", html! { span { (time(grant.created)) " by " (grant.created_by) } }))
                            (cell("", visit.button(&secret_path(secret, "revoke"), &[
                                ("to", of), ("env", grant.env.as_deref().unwrap_or_default()), ("from", of), ("path", &path),
                            ], "warn", "Revoke")))
                        } } }
                    }
                }
                @if granted {
                    div.setting {
                        p { "Taking all back ends every grant to this version, of secrets and of hosts. What runs keeps what it was lent." }
                        (visit.button(&format!("/app/{}/distrust", encoded(of)), &[("path", &path)], "warn", "Take all back"))
                    }
                }
            }
        }
    }
}

fn got(known: &Known) -> Markup {
    let got = known.got();
    html! {
        section aria-labelledby="got-title" {
            h2 id="got-title" { "What it got" }
            div id="got" {
                @if got.is_empty() { p.quiet { "No secret, as far as the audit log goes." } }
                @else {
                    table.rows {
                        thead { tr { th scope="col" { "As" } th scope="col" { "Secret" } th scope="col" { "Component" } th scope="col" { "Last" } th scope="col" { "Outcome" } } }
                        tbody { @for record in got { tr {
                            th scope="row" { code { (record.env.as_deref().unwrap_or_default()) } }
                            (cell("Secret", html! { (crate::audit::about(record)) }))
                            (cell("Component", html! { (record.component.as_deref().unwrap_or_default()) }))
                            (cell("Last", time(record.time)))
                            (cell("Outcome", audit::outcome(record)))
                        } } }
                    }
                }
            }
        }
    }
}

async fn trust(visit: Visit, Path(of): Path<String>, posted: Posted) -> Result<Response, Problem> {
    let of = parsed(&of)?;
    let path = posted.text("path").to_owned();
    let to = address(&of.to_string(), &path);
    visit
        .blocking(move |admin| {
            let app = App::from_path(&path).map_err(leyden::Error::from)?;
            // What was shown is what is granted.
            if app.digest().map_err(leyden::Error::from)? != of {
                let text = "The app has changed since it was shown, and nothing was granted. Look at it again.";
                return Err(Problem::Usage(text.to_owned()));
            }
            Ok(app.trust(&admin.store, &Grantee::App(of), None)?)
        })
        .await?;
    Ok(visit.done(&to, "Granted all that it asks for."))
}

async fn distrust(
    visit: Visit,
    Path(of): Path<String>,
    posted: Posted,
) -> Result<Response, Problem> {
    let of = parsed(&of)?;
    let to = address(&of.to_string(), posted.text("path"));
    let revoked = visit
        .store(move |store| store.distrust(&Grantee::App(of)))
        .await?;
    Ok(visit.done(&to, format!("Took back {revoked} grants.")))
}
