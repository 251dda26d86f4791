//! What ran and runs: the list, one run's picture and log, and stopping it.

use std::sync::Arc;

use axum::Router;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use leyden::run::journal::{RunId, RunInfo, RunState, WorkInfo};
use leyden::secrets::{Act, StoreError};
use maud::{Markup, html};
use serde::Deserialize;

use super::address::{InPath, InQuery};
use super::form::Posted;
use super::page::{Live, Tab, Visit};
use super::pieces::{badge, cell, command, digest, empty, encoded, time};
use super::problem::Problem;
use super::{Admin, timeline};
use crate::report::counted;
use crate::runs::{ask_to_stop, log_of, state};
use crate::timeline::{duration, end, lasted, micros, outcome};

/// Runs on a page, Works in the table of one, and lines of its log.
const ON_A_PAGE: usize = 50;
const WORKS: usize = 200;
const LINES: usize = 400;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/runs", get(list))
        .route("/run/{id}", get(show))
        .route("/run/{id}/log", get(log))
        .route("/run/{id}/stop", post(stop))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Asked {
    page: usize,
    /// Whose lines of the log are wanted.
    of: String,
}

fn named(typed: &str) -> Result<RunId, Problem> {
    typed
        .parse()
        .map_err(|error| Problem::NotFound(format!("{error}")))
}

async fn list(visit: Visit, InQuery(asked): InQuery<Asked>) -> Result<Markup, Problem> {
    let newest = asked.page.max(1).saturating_mul(ON_A_PAGE);
    let mut runs = visit
        .blocking(move |admin| Ok(admin.runs.list(newest.saturating_add(1))?))
        .await?;
    let more = runs.len() > newest;
    runs.truncate(newest);
    // Past the last page, that one.
    let page = runs.len().div_ceil(ON_A_PAGE).max(1);
    let (mut read, mut damaged) = (Vec::new(), Vec::new());
    for run in runs.split_off((page - 1) * ON_A_PAGE) {
        match run {
            Ok(run) => read.push(run),
            Err(error) => damaged.push(error.to_string()),
        }
    }
    let content = html! {
        h1 { "Runs" }
        div id="list" {
            @for problem in &damaged { p { (problem) } }
            @if read.is_empty() && damaged.is_empty() && page == 1 {
                (empty("Nothing has run here yet", html! {
                    p { "A run and its Works are shown here while they go on. Start one in a terminal:" }
                    (command("leyden run app APP --secret NAME=my-secret"))
                }))
            } @else {
                (table(&read))
                nav.pager aria-label="Pages" {
                    @if page > 1 { a.button.quiet href=(format!("/runs?page={}", page - 1)) rel="prev" { "← Newer" } }
                    @if more { a.button.quiet href=(format!("/runs?page={}", page + 1)) rel="next" { "Older →" } }
                }
            }
        }
    };
    Ok(visit.page(Tab::Runs, "Runs", Live::Runs, content))
}

/// Runs in rows.
pub(super) fn table(runs: &[RunInfo]) -> Markup {
    html! {
        table.rows {
            thead { tr {
                th scope="col" { "App" } th scope="col" { "State" } th scope="col" { "Started" } th scope="col" { "Took" }
                th scope="col" { "Works" } th scope="col" { "Run" }
            } }
            tbody { @for run in runs { tr {
                th scope="row" { a href=(format!("/run/{}", run.id)) { (run.app) } }
                (cell("State", shown_state(run)))
                (cell("Started", time(run.started)))
                (cell("Took", html! {
                    @if let Some(ended) = run.ended { (duration(micros(run.started, ended))) }
                    @else if run.state == RunState::Interrupted { "not known" }
                }))
                (cell("Works", html! { (run.works) @if run.failed > 0 { ", " (run.failed) " failed" } }))
                (cell("Run", html! { code { (run.id) } }))
            } } }
        }
    }
}

fn shown_state(run: &RunInfo) -> Markup {
    let kind = match (run.state, run.status) {
        (RunState::Running, _) => "note",
        (RunState::Ended, Some(0)) if run.failed > 0 => "note",
        (RunState::Ended, Some(0)) => "good",
        _ => "bad",
    };
    badge(kind, state(run))
}

async fn show(
    visit: Visit,
    InPath(id): InPath,
    InQuery(asked): InQuery<Asked>,
) -> Result<Markup, Problem> {
    let id = named(&id)?;
    let of = Some(asked.of.trim().to_owned()).filter(|of| !of.is_empty());
    let wanted = of.clone();
    let (run, works, log) = visit
        .blocking(move |admin| {
            let runs = &admin.runs;
            let log = log_of(&runs.log(&id)?, wanted.as_deref());
            Ok((runs.show(&id)?, runs.works(&id)?, log))
        })
        .await?;
    let content = html! {
        div.heading {
            div {
                p.crumb { a href="/runs" { "Runs" } }
                h1.name { (run.app) }
                p.quiet { code { (run.id) } }
            }
            div.actions id="actions" {
                (shown_state(&run))
                @if run.state == RunState::Running {
                    (visit.button(&format!("/run/{}/stop", run.id), &[], "warn", "Stop"))
                }
            }
        }
        (facts(&run, &works))
        section aria-labelledby="when" {
            h2 id="when" { "Timeline" }
            div id="timeline" { (timeline::draw(&run, &works)) }
        }
        @if !works.is_empty() { (works_part(&run, &works)) }
        (log_part(&run, of.as_deref(), &log))
    };
    Ok(visit.page(
        Tab::Runs,
        &format!("{}, {}", run.app, run.id),
        Live::Runs,
        content,
    ))
}

fn facts(run: &RunInfo, works: &[WorkInfo]) -> Markup {
    let took = lasted(run, end(run, works));
    html! {
        div id="facts" {
            @if let Some(reason) = run.reason.as_ref().filter(|_| run.status != Some(0)) { p.error { (reason) } }
            @if run.state == RunState::Interrupted {
                div.callout { p { "Its process died; what was under way did not end." } }
            }
            dl.facts {
                div { dt { "Started" } dd { (time(run.started)) } }
                div { dt { "Took" } dd { (took) } }
                div { dt { "Works" } dd { (run.works) @if run.failed > 0 { ", " (run.failed) " failed" } } }
                div { dt { "App" } dd { a href=(format!("/app/{}", encoded(&run.digest))) { (digest(&run.digest)) } } }
                div { dt { "By" } dd { (run.user) "@" (run.host) " (" (run.pid) ")" } }
                @if run.lives > 1 { div { dt { "Resumed" } dd { (counted(u64::from(run.lives - 1), "time")) } } }
            }
            @if run.state != RunState::Running && run.status != Some(0) && run.sealed {
                p.quiet { "To go on with it, where it stopped:" }
                (command(&format!("leyden runs resume {}", run.id)))
            }
        }
    }
}

fn works_part(run: &RunInfo, works: &[WorkInfo]) -> Markup {
    html! {
        section aria-labelledby="works-title" {
            h2 id="works-title" { "Works" }
            div id="works" {
                table.rows.log {
                    thead { tr {
                        th scope="col" { "Work" } th scope="col" { "How it went" } th scope="col" { "Started" }
                        th scope="col" { "Input" } th scope="col" { "Output" } th scope="col" { "Log" }
                    } }
                    tbody { @for work in works.iter().take(WORKS) { (work_row(run, work)) } }
                }
                @if works.len() > WORKS {
                    p.quiet { "and " (works.len() - WORKS) " more; all of them:" }
                    (command(&format!("leyden runs show {} --all", run.id)))
                }
            }
        }
    }
}

fn work_row(run: &RunInfo, work: &WorkInfo) -> Markup {
    let name = format!("{}#{}", work.work, work.number);
    let (kind, word) = match (&work.failure, work.ended) {
        (Some(_), _) => ("bad", "failed"),
        (None, Some(_)) => ("good", "done"),
        (None, None) => ("note", "under way"),
    };
    // The badge says so already.
    let how = outcome(run, work);
    html! { tr {
        th scope="row" { (name) }
        (cell("How", html! { span { (badge(kind, word)) " " (how.strip_prefix("failed: ").unwrap_or(&how)) } }))
        (cell("Started", time(work.queued)))
        (cell("Input", html! { (counted(work.input_size, "byte")) }))
        (cell("Output", html! { @if let Some(size) = work.output_size { (counted(size, "byte")) } }))
        (cell("Log", html! { a href=(format!("/run/{}?of={}#log-title", run.id, encoded(&name))) { "lines" span.hidden { " of " (name) } } }))
    } }
}

fn log_part(run: &RunInfo, of: Option<&str>, log: &str) -> Markup {
    let count = log.lines().count();
    let shown: Vec<_> = log.lines().skip(count.saturating_sub(LINES)).collect();
    html! {
        section aria-labelledby="log-title" {
            div.heading {
                h2 id="log-title" { "Log" @if let Some(of) = of { " of " (of) } }
                div.actions {
                    @if of.is_some() { a href=(format!("/run/{}#log-title", run.id)) { "Of all" } }
                    a href=(format!("/run/{}/log", run.id)) { "Whole log as text" }
                }
            }
            div id="log-lines" {
                @if shown.is_empty() { p.quiet { "Nothing was written. Secrets that the app was given are taken out of what is." } }
                @else {
                    @if count > LINES { p.quiet { "The last " (LINES) " of " (count) " lines." } }
                    pre.lines id="log" tabindex="0" role="region" aria-labelledby="log-title" { (shown.join("\n")) }
                }
            }
        }
    }
}

async fn log(visit: Visit, InPath(id): InPath) -> Result<Response, Problem> {
    let id = named(&id)?;
    let log = visit
        .blocking(move |admin| Ok(log_of(&admin.runs.log(&id)?, None)))
        .await?;
    let kind = "text/plain; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], log).into_response())
}

async fn stop(visit: Visit, InPath(id): InPath, _posted: Posted) -> Result<Response, Problem> {
    let id = named(&id)?;
    let to = format!("/run/{id}");
    let said = visit
        .blocking(move |admin| {
            let run = admin.runs.show(&id)?;
            let act = Act::StopRun {
                run: run.id.as_str(),
                app: &run.app,
                digest: &run.digest,
            };
            let asked = ask_to_stop(&run, || Ok(admin.store.record(act)?));
            asked.map_err(|error| match error.downcast::<StoreError>() {
                Ok(of_store) => Problem::from(of_store),
                Err(other) => Problem::Usage(crate::exit::explain(&other)),
            })
        })
        .await?;
    let mut said = said;
    if let Some(first) = said.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    Ok(visit.done(&to, format!("{said}.")))
}
