//! `leyden trust`: grants an app what it asks for, once somebody has seen it.

use std::fmt::Write as _;
use std::path::{self, Component, Path, PathBuf};

use anyhow::Context as _;
use leyden::App;
use leyden::app::MANIFEST_FILE;
use leyden::secrets::{Grant, Grantee, GrantsFound};
use serde_json::json;

use crate::cli::Trust;
use crate::exit::{explain, say, usage};
use crate::inspect::Seen;
use crate::paths::Paths;
use crate::report::{self, Format};
use crate::{prompt, unlock, wide};

pub(crate) fn run(arguments: &Trust, paths: &Paths) -> anyhow::Result<()> {
    if arguments.revoke {
        return revoke(arguments, paths);
    }
    let app = App::from_path(&arguments.app).map_err(leyden::Error::from)?;
    let requests = app.manifest().requests();
    if requests.is_empty() {
        return Err(usage(
            "this app asks for nothing, so that there is nothing to grant",
        ));
    }
    let to = grantee(&app, arguments.folder)?;
    let store = unlock::open(paths)?;
    let seen = Seen::of(&app, Some(&store))?;
    say(&format!("this app asks for:\n{}", seen.text().trim_end()));
    if let Some(warning) = wide::warning(&to) {
        say(&format!("warning: {warning}"));
    }
    let question = match &to {
        Grantee::Folder(folder) => format!(
            "Grant that to whatever app is in {}, also when it changes?",
            report::in_line(folder)
        ),
        _ => "Grant that to this version of the app?".into(),
    };
    prompt::confirm_or_refuse(&question, arguments.yes, "nothing was granted")?;
    app.trust(&store, &to, arguments.expires)?;
    match arguments.report.output {
        Format::Json => report::json(&json!({ "to": to, "granted": requests.len() })),
        Format::Text => report::line(&format!(
            "granted {} to {}",
            report::counted(requests.len() as u64, "request"),
            report::in_line(&to)
        )),
    }
}

fn revoke(arguments: &Trust, paths: &Paths) -> anyhow::Result<()> {
    let named = &arguments.app;
    let digest = named.to_str().filter(|typed| typed.starts_with("sha256:"));
    let (from, before) = match digest {
        Some(typed) => {
            let digest = typed.parse().map_err(|error| usage(format!("{error}")))?;
            (vec![Grantee::App(digest)], None)
        }
        None if arguments.folder => {
            let (folder, before) = folders(&trusted_folder(named)?)?;
            (vec![folder], before)
        }
        None => (
            trusted_app(named).context(
                "nothing was taken back; where there is no such app any more, name its digest \
                 (sha256:…), or say --folder for what was granted to its folder",
            )?,
            None,
        ),
    };
    let store = unlock::open(paths)?;
    let mut found = Vec::new();
    for to in from {
        found.push((store.grants_to(&to)?, to));
    }
    if let Some(before) = before {
        let grants = store.grants_to(&before)?;
        if !grants.is_empty() {
            found.push((grants, before));
        }
    }
    for (grants, to) in &found {
        say(&standing(to, grants));
    }
    let from: Vec<Grantee> = found.into_iter().map(|(_, to)| to).collect();
    let shown: Vec<_> = from.iter().map(report::in_line).collect();
    let question = format!(
        "Take back all that was granted to {}?",
        shown.join(" and to ")
    );
    prompt::confirm_or_refuse(&question, arguments.yes, "nothing was taken back")?;
    let (mut rows, mut lines, mut damaged) = (Vec::new(), Vec::new(), Vec::new());
    for to in &from {
        let taken = store.distrust(to)?;
        let grants = report::counted(taken.revoked as u64, "grant");
        lines.push(format!("revoked {grants} to {}", report::in_line(to)));
        rows.push(json!({ "to": to, "revoked": taken.revoked }));
        // The same each time.
        damaged = taken.damaged;
    }
    match arguments.report.output {
        Format::Json => report::json(&rows)?,
        Format::Text => lines.iter().try_for_each(|line| report::line(line))?,
    }
    let last = damaged.pop();
    for error in &damaged {
        say(&error.to_string());
    }
    last.map_or(Ok(()), |error| {
        Err(anyhow::Error::new(error).context(
            "what else may be granted there could not be read, nor taken back; do so again once a \
             backup was restored",
        ))
    })
}

/// An app as it is now and its folder, if it has one: whoever takes back what it may do means both.
fn trusted_app(named: &Path) -> anyhow::Result<Vec<Grantee>> {
    let app = App::from_path(named).map_err(leyden::Error::from)?;
    let folder = app.folder().and_then(Grantee::folder).map(Ok);
    let version = std::iter::once(grantee(&app, false));
    version.chain(folder).collect()
}

/// An app's folder, which need not be there any more, nor hold an app.
fn trusted_folder(named: &Path) -> anyhow::Result<PathBuf> {
    let app = App::from_path(named).map_err(anyhow::Error::from);
    if let Err(problem) = app.and_then(|app| grantee(&app, true)) {
        say(&format!(
            "no app can be had from there now, but what was granted to the folder can be taken back: {}",
            explain(&problem)
        ));
    }
    let named =
        path::absolute(named).map_err(|error| usage(format!("{}: {error}", named.display())))?;
    let is_manifest = named.ends_with(MANIFEST_FILE) && !named.is_dir();
    let folder = named.parent().filter(|_| is_manifest);
    Ok(folder.unwrap_or(&named).to_owned())
}

/// Whom a folder's name means to somebody who takes back: the folder that is there, and, if that is
/// another, the one that was there before a link was.
pub(crate) fn folders(named: &Path) -> anyhow::Result<(Grantee, Option<Grantee>)> {
    let named =
        path::absolute(named).map_err(|error| usage(format!("{}: {error}", named.display())))?;
    let there = of_folder(&without_links(&named))?;
    let before = Grantee::folder(&without_dots(&named)).filter(|before| *before != there);
    Ok((there, before))
}

/// An absolute path without symbolic links as far as it is there: what is granted to a folder that
/// is gone can be taken back, too.
fn without_links(folder: &Path) -> PathBuf {
    for above in folder.ancestors() {
        if let Ok(mut found) = above.canonicalize() {
            found.extend(folder.strip_prefix(above).into_iter().flatten());
            return without_dots(&found);
        }
    }
    without_dots(folder)
}

/// An absolute path without `..`, whatever is there.
fn without_dots(folder: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in folder.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            part => plain.push(part),
        }
    }
    plain
}

/// What is granted to somebody, for whoever takes it back.
fn standing(to: &Grantee, found: &GrantsFound) -> String {
    let secret = |(name, grant): &(String, Grant), note: &str| {
        let env = grant.env.as_ref().map(|env| format!(" as {env}"));
        format!("the secret `{name}`{}{note}", env.unwrap_or_default())
    };
    let secrets = found.grants.iter().map(|one| secret(one, ""));
    let of_deleted = found.of_deleted.iter();
    let of_deleted = of_deleted.map(|one| secret(one, ", which was deleted"));
    let hosts = found.hosts.iter().map(|host| {
        let by = host.work.as_ref();
        let by = by.map_or_else(
            || "the Flow".to_owned(),
            |work| format!("the Work `{work}`"),
        );
        format!("to reach {}, for {by}", host.host)
    });
    let all: Vec<_> = secrets.chain(of_deleted).chain(hosts).collect();
    let to = report::in_line(to);
    if all.is_empty() {
        return format!("nothing is granted to {to}");
    }
    let mut out = format!("granted to {to}:");
    for one in all {
        // Writing to a string cannot fail.
        let _ = write!(out, "\n  {}", report::in_line(one));
    }
    out
}

fn grantee(app: &App, folder: bool) -> anyhow::Result<Grantee> {
    if !folder {
        let digest = app.digest().map_err(leyden::Error::from)?;
        return Ok(Grantee::App(digest));
    }
    let folder = app
        .folder()
        .context("a bare component has no folder of its own")?;
    of_folder(folder)
}

/// Why a folder cannot be granted to.
pub(crate) const NOT_TEXT: &str = "has a path that is not UTF-8, and such a folder cannot be granted to: rename it, or grant to the app's digest";

/// A folder as somebody that is granted to.
pub(crate) fn of_folder(folder: &Path) -> anyhow::Result<Grantee> {
    Grantee::folder(folder).ok_or_else(|| usage(format!("{} {NOT_TEXT}", folder.display())))
}
