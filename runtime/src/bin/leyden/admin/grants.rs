//! A secret's standing grants: given, taken back, and told in a sentence.

use std::path::Path;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use leyden::App;
use leyden::app::{EnvName, SecretName};
use leyden::secrets::{Grant, Grantee, NewGrant, SecretInfo};
use maud::{Markup, html};

use super::address::InPath;
use super::form::Posted;
use super::new_secret::when;
use super::page::{Live, Tab, Visit};
use super::pieces::{badge, cell, digest, encoded, time};
use super::problem::Problem;
use super::secret::{named, path};
use super::{Admin, pieces};
use crate::cli::future;
use crate::trust::NOT_TEXT;
use crate::wide;

pub(super) fn routes() -> Router<Arc<Admin>> {
    Router::new()
        .route("/secret/{name}/grants", post(add))
        .route("/secret/{name}/revoke", post(revoke))
        .route("/secret/{name}/restrict", post(restrict))
}

/// The part of a secret's page that is about grants. A deleted one's can be taken back.
pub(super) fn section(visit: &Visit, secret: &SecretInfo, is_active: bool) -> Markup {
    html! {
        section aria-labelledby="grants" {
            h2 id="grants" { "Grants" }
            p.quiet {
                @if is_active { "An app that asks for this secret in its leyden.toml is refused, unless \
                    --secret or a grant allows it." }
                @else if secret.grants.is_empty() { "None." }
                @else { "They count again once it is restored." }
            }
            div id="grants-list" {
                @if !secret.grants.is_empty() {
                    table.rows {
                        thead { tr { th scope="col" { "To" } th scope="col" { "What it permits" } th scope="col" { "Given" } th scope="col" { span.hidden { "Take back" } } } }
                        tbody { @for grant in &secret.grants { (row(visit, &secret.name, grant)) } }
                    }
                }
            }
            @if is_active {
                details {
                    summary { "Grant it to an app" }
                    (new_form(visit, &secret.name, None))
                }
                (restriction(visit, secret))
            }
        }
    }
}

fn row(visit: &Visit, name: &str, grant: &Grant) -> Markup {
    let to = grant.to.to_string();
    let env = grant.env.as_deref().unwrap_or_default();
    let is_over = grant.expires.is_some_and(|at| at <= jiff::Timestamp::now());
    html! {
        tr {
            th scope="row" { (grantee(grant)) }
            (cell("Permits", html! { (sentence(name, grant)) @if is_over { " " (badge("bad", "expired")) } }))
            (cell("Given", html! { (time(grant.created)) " by " (grant.created_by) }))
            (cell("", visit.button(&path(name, "revoke"), &[("to", &to), ("env", env)], "warn", "Revoke")))
        }
    }
}

fn grantee(grant: &Grant) -> Markup {
    html! {
        @match &grant.to {
            Grantee::App(of) => {
                @let of = of.to_string();
                a href=(format!("/app/{}", encoded(&of))) { (grant.app.as_deref().unwrap_or("an app")) } " " (digest(&of))
            }
            Grantee::Folder(folder) => code { (folder) },
        }
    }
}

/// What a grant permits.
pub(super) fn sentence(secret: &str, grant: &Grant) -> Markup {
    html! {
        @match &grant.to {
            Grantee::App(_) => "This very version of the app may bind ",
            Grantee::Folder(_) => "Whatever app is in this folder may bind ",
        }
        strong { (secret) }
        @match &grant.env { Some(env) => { " as " code { (env) } }, None => " under any name" }
        ", whenever it runs." @if let Some(at) = grant.expires { " This ends " (time(at)) "." }
    }
}

/// The form for a grant; again with what was `typed` into it.
fn new_form(visit: &Visit, name: &str, typed: Option<&Posted>) -> Markup {
    let text = |name| typed.map(|typed| typed.text(name));
    visit.form(
        &path(name, "grants"),
        html! {
            @if let Some(typed) = typed {
                @for field in ["app", "from", "path"] {
                    input type="hidden" name=(field) value=(typed.text(field));
                }
            }
            div.field {
                label for="to" { "To" }
                input id="to" name="to" value=[text("to")] required maxlength="4000" autocomplete="off" spellcheck="false" aria-describedby="to-help";
                p.help id="to-help" { "An app's digest, " code { "sha256:…" } ", as " code { "leyden inspect APP" }
                    " shows it: this version of it alone. Or " code { "folder:/absolute/path" } ": whatever app is there, while developing." }
            }
            div.field {
                label for="env" { "As" }
                input id="env" name="env" value=[text("env")] autocomplete="off" spellcheck="false" placeholder="any name" aria-describedby="env-help";
                p.help id="env-help" { "The environment name that the app may see it under." }
            }
            div.field {
                label for="until" { "Until" }
                input id="until" name="expires" value=[text("expires")] autocomplete="off" placeholder="revoked" aria-describedby="until-help";
                p.help id="until-help" { "From now, such as " code { "30d" } ", or a time." }
            }
            button type="submit" { "Grant" }
            @if let Some(typed) = typed { a.button.quiet href=(back(typed, name)) { "Back" } }
        },
    )
}

fn restriction(visit: &Visit, secret: &SecretInfo) -> Markup {
    let (text, button, restricted) = match secret.restricted {
        true => (
            "Restricted: nothing but a grant to an app's digest binds it, not even --secret.",
            "Lift the restriction",
            "no",
        ),
        false => (
            "Not restricted: whoever may run leyden here can bind it with --secret.",
            "Restrict to grants",
            "yes",
        ),
    };
    html! {
        div.setting id="restriction" {
            p { (text) }
            (visit.button(&path(&secret.name, "restrict"), &[("restricted", restricted)], "quiet", button))
        }
    }
}

/// Whom somebody named.
fn named_grantee(posted: &Posted) -> Result<Grantee, String> {
    match posted.optional("to") {
        Ok(Some(to)) => Ok(to),
        Ok(None) => Err("Who is meant?".to_owned()),
        Err(wrong) => Err(format!("What was typed is {wrong}")),
    }
}

/// To whom something is to be granted.
fn grantee_of(posted: &Posted) -> Result<Grantee, String> {
    Ok(match named_grantee(posted)? {
        // As the command line does: without links.
        Grantee::Folder(folder) => {
            let found = Path::new(&folder).canonicalize();
            let found = found.map_err(|error| format!("{folder}: {error}"))?;
            Grantee::folder(&found).ok_or_else(|| format!("{folder} {NOT_TEXT}"))?
        }
        app => app,
    })
}

/// Asks before a secret is granted to a folder that is no app's own.
fn ask(visit: &Visit, name: &SecretName, posted: &Posted, warning: &str) -> Markup {
    let back = back(posted, name.as_str());
    let content = html! {
        p.crumb { a href="/secrets" { "Secrets" } " / " a href=(back) { (name) } }
        h1 { "Grant " (name) " to that folder?" }
        div.callout { p { (pieces::sentence(warning)) } }
        (visit.form(&path(name.as_str(), "grants"), html! {
            @for field in ["to", "env", "app", "expires", "from", "path"] {
                input type="hidden" name=(field) value=(posted.text(field));
            }
            button.warn type="submit" name="sure" value="yes" { "Grant it all the same" }
            a.button.quiet href=(back) autofocus { "Do not" }
        }))
    };
    visit.page(Tab::Secrets, &format!("Grant {name}?"), Live::No, content)
}

/// The form again, with what is wrong in it.
fn again(visit: &Visit, name: &SecretName, posted: &Posted, wrong: &str) -> Markup {
    let content = html! {
        p.crumb { a href="/secrets" { "Secrets" } " / " a href=(back(posted, name.as_str())) { (name) } }
        h1 { "Grant " (name) " to an app" }
        p.error role="alert" { (pieces::sentence(wrong)) " Nothing was granted." }
        (new_form(visit, name.as_str(), Some(posted)))
    };
    visit.page(Tab::Secrets, &format!("Grant {name}"), Live::No, content)
}

fn granted(posted: &Posted) -> Result<NewGrant, String> {
    Ok(NewGrant {
        to: grantee_of(posted)?,
        env: posted.optional::<EnvName>("env")?,
        app: posted.optional("app")?,
        expires: when(posted, future)?,
    })
}

/// The app that is granted to, where it can be looked at: in its folder, or at the path where the
/// form has it.
fn app(to: &Grantee, path: &str) -> Option<App> {
    let path = match to {
        Grantee::Folder(folder) => Path::new(folder),
        Grantee::App(_) => Path::new(path),
    };
    let app = App::from_path(path).ok()?;
    let digest = app.digest().ok()?;
    match to {
        Grantee::App(of) if *of != digest => None,
        _ => Some(app),
    }
}

async fn add(visit: Visit, InPath(name): InPath, posted: Posted) -> Result<Response, Problem> {
    let name = named(&name)?;
    let new = match granted(&posted) {
        Ok(new) => new,
        Err(wrong) => {
            let page = again(&visit, &name, &posted, &wrong);
            return Ok((StatusCode::UNPROCESSABLE_ENTITY, page).into_response());
        }
    };
    let warning = wide::warning(&new.to).filter(|_| !posted.ticked("sure"));
    if let Some(warning) = warning {
        return Ok(ask(&visit, &name, &posted, &warning).into_response());
    }
    let (wanted, to) = (name.clone(), new.to.clone());
    let path = posted.text("path").to_owned();
    visit
        .blocking(move |admin| {
            match app(&new.to, &path) {
                Some(app) => app.grant(&admin.store, &wanted, &new)?,
                None => admin.store.grant(&wanted, &new)?,
            }
            Ok(())
        })
        .await?;
    Ok(visit.done(
        &back(&posted, name.as_str()),
        format!("Granted {name} to {to}."),
    ))
}

async fn revoke(visit: Visit, InPath(name): InPath, posted: Posted) -> Result<Response, Problem> {
    let name = named(&name)?;
    // A folder that is gone is taken back, too.
    let to = named_grantee(&posted).map_err(Problem::Usage)?;
    let env: Option<EnvName> = posted.optional("env").map_err(Problem::Usage)?;
    let (wanted, from) = (name.clone(), to.clone());
    visit
        .store(move |store| store.revoke(&wanted, &from, env.as_ref()))
        .await?;
    let notice = format!("Revoked {name} from {to}. What runs keeps what it was lent.");
    Ok(visit.done(&back(&posted, name.as_str()), notice))
}

/// Where a form stood: on the secret's page, or on an app's.
fn back(posted: &Posted, name: &str) -> String {
    match posted.text("from") {
        "" => format!("/secret/{name}"),
        digest => super::app::address(digest, posted.text("path")),
    }
}

async fn restrict(visit: Visit, InPath(name): InPath, posted: Posted) -> Result<Response, Problem> {
    let name = named(&name)?;
    // Nothing but the word itself lifts it.
    let restricted = match posted.text("restricted") {
        "yes" => true,
        "no" => false,
        _ => return Err(Problem::Usage("Restrict it, or lift that?".to_owned())),
    };
    let wanted = name.clone();
    visit
        .store(move |store| store.restrict(&wanted, restricted))
        .await?;
    let notice = match restricted {
        true => format!("Restricted {name}."),
        false => format!("Lifted the restriction of {name}."),
    };
    Ok(visit.done(&format!("/secret/{name}"), notice))
}
