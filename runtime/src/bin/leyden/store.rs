//! `leyden store`: backup, restore and upgrade.

use std::path::Path;

use leyden::secrets::{StoreError, Verified};
use serde_json::json;

use crate::audit::or_damaged;
use crate::cli::{Report, StoreCommand};
use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::progress::Shown;
use crate::report::{self, Format};
use crate::{prompt, unlock};

pub(crate) fn run(command: StoreCommand, paths: &Paths) -> anyhow::Result<()> {
    match command {
        StoreCommand::Backup { to, report } => backup(&to, &report, paths),
        StoreCommand::Restore { from, yes, report } => restore(&from, yes, &report, paths),
        StoreCommand::Upgrade(report) => upgrade(&report, paths),
    }
}

fn backup(to: &Path, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(usage(format!(
            "there is no folder {}: make it, or name another place for the backup",
            report::in_line(folder.display())
        )));
    }
    let store = unlock::open(paths)?;
    let verified = {
        let _shown = Shown::now("writing the backup");
        let written = store.backup(to);
        written
            .map_err(|error| or_damaged(error, "no backup was written, which would hide that"))?
    };
    done("wrote", to, &verified, report)
}

fn restore(from: &Path, yes: bool, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    // What cannot be done is told without asking.
    if !from.is_file() {
        return Err(usage(format!(
            "there is no backup at {}: name a file that leyden store backup wrote",
            from.display()
        )));
    }
    let replaces = unlock::is_there(&paths.store);
    if replaces {
        let question = format!(
            "Replace the store {} by {}? What is in it now is lost.",
            paths.store.display(),
            from.display()
        );
        prompt::confirm_or_refuse(&question, yes, "nothing was replaced")?;
    }
    let key = unlock::key(paths)?;
    let verified = {
        let _shown = Shown::now("restoring");
        paths.store_options().restore(from, &paths.store, &key)
    };
    let verified = verified.map_err(|error| {
        let of_key = matches!(error, StoreError::WrongKey { .. });
        let error = anyhow::Error::new(error);
        match of_key {
            true => error.context("nothing was replaced; give a key that opened the store then"),
            false => error,
        }
    })?;
    done("restored", &paths.store, &verified, report)?;
    if !replaces {
        say(
            "if the store that this backup is of is still at another path on this machine, it counts \
             as rolled back from now on, because one state of a store is remembered, wherever it is: \
             go on with one of the two (--accept-rollback says with which)",
        );
    }
    Ok(())
}

fn done(what: &str, path: &Path, verified: &Verified, report: &Report) -> anyhow::Result<()> {
    match report.output {
        Format::Json => report::json(&json!({ "path": path, "verified": verified })),
        Format::Text => report::line(&format!(
            "{what} {}: verified {}",
            path.display(),
            report::verified(verified)
        )),
    }
}

/// There is one format so far: opening the store is the check that it is of that one.
fn upgrade(report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let store = unlock::open(paths)?;
    match report.output {
        Format::Json => report::json(&json!({ "path": store.path(), "upgraded": false })),
        Format::Text => report::line(&format!(
            "{} has the newest format already; there is nothing to do",
            store.path().display()
        )),
    }
}
