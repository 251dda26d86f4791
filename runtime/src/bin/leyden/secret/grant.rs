//! `leyden secret grant`, `revoke` and `restrict`.

use std::path::Path;

use anyhow::Context as _;
use leyden::App;
use leyden::app::{EnvName, NameError, SecretName};
use leyden::secrets::{Grantee, NewGrant, StoreError};
use serde_json::json;

use super::read_name;
use crate::cli::{Grant, Report, Revoke, To};
use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::report::{self, Format};
use crate::{prompt, trust, unlock, wide};

/// Grants a secret.
pub(super) fn run(arguments: &Grant, paths: &Paths) -> anyhow::Result<()> {
    let name = read_name(&arguments.name)?;
    let (to, app) = grantee(&arguments.to)?;
    if let Grantee::Folder(path) = &to
        && !Path::new(path).is_dir()
    {
        return Err(usage(format!(
            "{path} is no folder; name the app's own, or a component with --app"
        )));
    }
    let is_named = matches!(to, Grantee::App(_));
    let label = app.as_ref().filter(|_| is_named).map(App::display_name);
    let new = NewGrant {
        to,
        env: env(arguments.env.as_deref())?,
        app: label.map(str::to_owned),
        expires: arguments.expires,
    };
    if let Some(warning) = wide::warning(&new.to) {
        say(&format!("warning: {warning}"));
        let question = format!("Grant {name} to it?");
        prompt::confirm_or_refuse(&question, arguments.yes, "nothing was granted")?;
    }
    let store = unlock::open(paths)?;
    match app {
        Some(app) => app.grant(&store, &name, &new)?,
        None => store.grant(&name, &new)?,
    }
    done(&arguments.report, "granted", "to", &name, &new.to)
}

/// Takes grants back.
pub(super) fn revoke(arguments: &Revoke, paths: &Paths) -> anyhow::Result<()> {
    let name = read_name(&arguments.name)?;
    let (mut to, before) = match &arguments.to.folder {
        Some(folder) => trust::folders(folder)?,
        None => (grantee(&arguments.to)?.0, None),
    };
    let env = env(arguments.env.as_deref())?;
    let store = unlock::open(paths)?;
    match (store.revoke(&name, &to, env.as_ref()), before) {
        (Err(StoreError::NoGrant { .. }), Some(before)) => {
            store.revoke(&name, &before, env.as_ref())?;
            to = before;
        }
        (revoked, _) => drop(revoked?),
    }
    done(&arguments.report, "revoked", "from", &name, &to)
}

/// Restricts a secret, or lifts that.
pub(super) fn restrict(
    name: &SecretName,
    restricted: bool,
    report: &Report,
    paths: &Paths,
) -> anyhow::Result<()> {
    unlock::open(paths)?.restrict(name, restricted)?;
    match report.output {
        Format::Json => report::json(&json!({ "name": name.as_str(), "restricted": restricted })),
        Format::Text if restricted => report::line(&format!("restricted {name}")),
        Format::Text => report::line(&format!("lifted the restriction of {name}")),
    }
}

/// Who is meant, and the app, where it can be looked at: in a folder there may be none yet.
fn grantee(to: &To) -> anyhow::Result<(Grantee, Option<App>)> {
    if let Some(folder) = &to.folder {
        let app = App::from_path(folder).ok();
        return Ok((
            trust::folders(folder)?.0,
            app.filter(|app| app.digest().is_ok()),
        ));
    }
    let app = to.app.as_deref().context("neither an app nor a folder")?;
    match app.to_str().filter(|typed| typed.starts_with("sha256:")) {
        Some(typed) => {
            let digest = typed.parse().map_err(|error| usage(format!("{error}")))?;
            Ok((Grantee::App(digest), None))
        }
        None => {
            let app = App::from_path(app).map_err(leyden::Error::from)?;
            let digest = app.digest().map_err(leyden::Error::from)?;
            Ok((Grantee::App(digest), Some(app)))
        }
    }
}

fn env(typed: Option<&str>) -> anyhow::Result<Option<EnvName>> {
    let parse = |typed: &str| typed.parse().map_err(|e: NameError| usage(e.to_string()));
    typed.map(parse).transpose()
}

fn done(
    report: &Report,
    what: &str,
    preposition: &str,
    name: &SecretName,
    to: &Grantee,
) -> anyhow::Result<()> {
    match report.output {
        Format::Json => report::json(&json!({ "name": name.as_str(), "to": to, "done": what })),
        Format::Text => report::line(&format!(
            "{what} {name} {preposition} {}",
            report::in_line(to)
        )),
    }
}
