//! One app: what it asks for and got, and granting it that.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use leyden::App;
use leyden::app::{Ask, Digest, Request, shell_word};
use leyden::secrets::{Coverage, Grantee, GrantsFound};
use maud::{Markup, html};

use super::address::{InPath, InQuery};
use super::apps::{Asked, Known, Traces, traces};
use super::form::Posted;
use super::grants::sentence;
use super::page::{Live, Tab, Visit};
use super::pieces::{badge, cell, command, digest, encoded, time};
use super::problem::Problem;
use super::secret::path as secret_path;
use super::{Admin, audit, runs, secrets};
use crate::inspect::told;
use crate::runs::Invocation;

/// Runs of one app that are shown.
const SHOWN_RUNS: usize = 10;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
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
    /// What else there is to say of them.
    traces: Traces,
    found: Found,
    grants: GrantsFound,
}

fn see(admin: &Admin, of: &Digest, path: &str) -> Result<Seen, Problem> {
    let mut traces = traces(admin, Some(&of.to_string()))?;
    let known = traces.apps.remove(&of.to_string()).unwrap_or_default();
    Ok(Seen {
        found: find(admin, of, path, &known)?,
        grants: admin.store.grants_to(&Grantee::App(*of))?,
        known,
        traces,
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
        .map_err(|error| Problem::NotFound(format!("{error}")))
}

async fn show(
    visit: Visit,
    InPath(of): InPath,
    InQuery(asked): InQuery<Asked>,
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
        (got(&of, &seen))
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
            Found::Same(same) => {
                @let path = same.path.display().to_string();
                (command(&run_line(&shell_word(&path), &same.asks, &seen.known)))
                (not_in_line())
            },
            Found::Changed(path, is) => div.callout {
                p { "What is at " code { (path.display()) } " now is another version, to which none of this applies: "
                    a href=(address(is, &path.display().to_string())) { (digest(is)) } }
            },
            Found::Gone(Some((path, why))) => div.callout { p { "It is not at " code { (path.display()) } " any more: " (why) } },
            Found::Gone(None) => {
                @if !seen.known.got().is_empty() { (command(&run_line("APP", &[], &seen.known))) (not_in_line()) }
                p.quiet { "Where it lies is not known: no run of it has kept that." }
            },
        }
    }
}

fn not_in_line() -> Markup {
    html! { p.quiet { "The line has its secrets and hosts alone: folders, plain environment entries and other \
    options that it needs are to be added." } }
}

/// What runs it with all that it asks for, and what it was given or refused before.
fn run_line(app: &str, asks: &[(Request, Coverage)], known: &Known) -> String {
    let mut words = vec!["leyden run app".to_owned(), app.to_owned()];
    let mut bound = BTreeSet::new();
    let mut options = BTreeSet::new();
    for (request, coverage) in asks {
        let work = request.work.as_ref().map(ToString::to_string);
        if let Ask::Secret(secret) = &request.ask {
            bound.insert((work.clone(), secret.env.as_str().to_owned()));
        }
        if coverage.is_granted() {
            continue;
        }
        let scope = work.map(|work| format!("{work}:")).unwrap_or_default();
        options.insert(match &request.ask {
            Ask::Secret(secret) => format!("--secret {}", shell_word(&format!("{scope}{secret}"))),
            Ask::Host(host) => format!("--allow-host {}", shell_word(&format!("{scope}{host}"))),
        });
    }
    for record in known.bound() {
        let work = record.component.clone().filter(|of| of != "flow");
        let Some(env) = &record.env else {
            continue;
        };
        // The log has no name that no secret had: it may have been a value.
        let secret = record.secret.as_deref().unwrap_or("SECRET");
        if !bound.contains(&(work.clone(), env.clone())) {
            let scope = work.map(|work| format!("{work}:")).unwrap_or_default();
            options.insert(format!(
                "--secret {}",
                shell_word(&format!("{scope}{env}={secret}"))
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
    let found = &seen.grants;
    let of_deleted = found.of_deleted.iter().map(|grant| (grant, true));
    let standing = found.grants.iter().map(|grant| (grant, false));
    let standing: Vec<_> = standing.chain(of_deleted).collect();
    // Which hosts they are, what it asks for tells.
    let granted = !standing.is_empty() || !found.hosts.is_empty();
    html! {
        section aria-labelledby="grants-title" {
            h2 id="grants-title" { "Standing grants to this version" }
            div id="grants" {
                (secrets::damage(&found.damaged))
                @if standing.is_empty() { p.quiet { "None of a secret." } }
                @else {
                    table.rows {
                        thead { tr { th scope="col" { "Secret" } th scope="col" { "What it permits" } th scope="col" { "Given" } th scope="col" { span.hidden { "Take back" } } } }
                        tbody { @for ((secret, grant), is_deleted) in standing { tr {
                            th scope="row" { a href=(format!("/secret/{}", encoded(secret))) { (secret) } }
                            (cell("Permits", html! { span { (sentence(secret, grant)) @if is_deleted { " " (badge("note", "deleted")) } } }))
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

fn got(of: &str, seen: &Seen) -> Markup {
    let got = seen.known.got();
    html! {
        section aria-labelledby="got-title" {
            h2 id="got-title" { "What it got" }
            div id="got" {
                (audit::damage(seen.traces.broken.as_ref()))
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
                (audit::older(seen.traces.older, &format!("/audit?event=release&app={}", encoded(of))))
            }
        }
    }
}

async fn trust(visit: Visit, InPath(of): InPath, posted: Posted) -> Result<Response, Problem> {
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

async fn distrust(visit: Visit, InPath(of): InPath, posted: Posted) -> Result<Response, Problem> {
    let of = parsed(&of)?;
    let to = address(&of.to_string(), posted.text("path"));
    let taken = visit
        .store(move |store| store.distrust(&Grantee::App(of)))
        .await?;
    let grants = crate::report::counted(taken.revoked as u64, "grant");
    let notice = match taken.damaged.is_empty() {
        true => format!("Took back {grants}."),
        false => format!(
            "Took back {grants}. What damaged secrets grant could not be read, nor taken back."
        ),
    };
    Ok(visit.done(&to, notice))
}
