//! `leyden secret`: makes, changes and lists secrets. It never prints a value.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use comfy_table::Cell;
use leyden::app::SecretName;
use leyden::secrets::{SecretInfo, SecretState, SecretValue, StoreError};
use serde_json::json;

use crate::cli::{NewValue, Report, SecretCommand};
use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::prompt::{self, NoTerminal};
use crate::report::{self, Format, cell, time};
use crate::unlock;

pub(crate) fn run(command: SecretCommand, paths: &Paths) -> anyhow::Result<()> {
    match command {
        SecretCommand::Create(new) => create(&new, paths),
        SecretCommand::Set(new) => set(&new, paths),
        SecretCommand::List(report) => list(&report, paths),
        SecretCommand::Show { name, report } => show(&read_name(&name)?, &report, paths),
        SecretCommand::Versions { name, report } => versions(&read_name(&name)?, &report, paths),
        SecretCommand::Delete { name, yes, report } => {
            delete(&read_name(&name)?, yes, &report, paths)
        }
    }
}

fn create(new: &NewValue, paths: &Paths) -> anyhow::Result<()> {
    let name = checked_name(new)?;
    // Whoever has a store is told that a name is taken before typing a value; whoever has none
    // gets one only once there is a value to keep.
    let store = unlock::is_there(&paths.store)
        .then(|| unlock::open_or_make(paths))
        .transpose()?;
    if let Some(store) = &store {
        match store.show(&name) {
            Err(StoreError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(SecretInfo {
                name,
                state: SecretState::Active,
                ..
            }) => {
                return Err(StoreError::Exists { name }.into());
            }
            Ok(SecretInfo { name, .. }) => return Err(StoreError::Deleted { name }.into()),
        }
    }
    let value = value(new)?;
    let store = store.map_or_else(|| unlock::open_or_make(paths), Ok)?;
    let version = store.create_secret(&name, value)?;
    done(&new.report, &name, "created", version.get())
}

fn set(new: &NewValue, paths: &Paths) -> anyhow::Result<()> {
    let name = checked_name(new)?;
    let store = unlock::open(paths)?;
    if let SecretInfo {
        name,
        state: SecretState::Deleted { .. },
        ..
    } = store.show(&name)?
    {
        return Err(StoreError::Deleted { name }.into());
    }
    let version = store.set_secret(&name, value(new)?)?;
    done(&new.report, &name, "set", version.get())
}

fn done(report: &Report, name: &SecretName, what: &str, version: u32) -> anyhow::Result<()> {
    match report.output {
        Format::Json => report::json(&json!({ "name": name.as_str(), "version": version })),
        Format::Text => report::line(&format!("{what} {name}, version {version}")),
    }
}

fn list(report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let secrets = unlock::open(paths)?.list()?;
    if report.output == Format::Json {
        return report::json(&secrets);
    }
    if secrets.is_empty() {
        return report::line("there is no secret yet; leyden secret create NAME makes one");
    }
    let row = |secret: &SecretInfo| {
        [
            cell(&secret.name),
            cell(state(secret)),
            cell(newest(secret)),
            cell(time(secret.updated)),
            cell(&secret.created_by),
        ]
    };
    let header = ["NAME", "STATE", "VERSION", "UPDATED", "CREATED BY"];
    report::table(header, secrets.iter().map(row))
}

fn show(name: &SecretName, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let secret = unlock::open(paths)?.show(name)?;
    if report.output == Format::Json {
        return report::json(&secret);
    }
    let size = secret.versions.last().map_or(0, |version| version.size);
    report::print(report::printable(&format!(
        "name        {}\nstate       {}\nversion     {}\nsize        {size} bytes\ncreated     {} by {}\nupdated     {}\n",
        secret.name,
        state(&secret),
        newest(&secret),
        time(secret.created),
        secret.created_by,
        time(secret.updated),
    )))
}

fn versions(name: &SecretName, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let versions = unlock::open(paths)?.versions(name)?;
    if report.output == Format::Json {
        return report::json(&versions);
    }
    let rows = versions.iter().map(|version| -> [Cell; 4] {
        [
            cell(version.version),
            cell(format!("{} bytes", version.size)),
            cell(time(version.created)),
            cell(&version.created_by),
        ]
    });
    report::table(["VERSION", "SIZE", "CREATED", "CREATED BY"], rows)
}

fn delete(name: &SecretName, yes: bool, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let store = unlock::open(paths)?;
    let secret = store.show(name)?;
    if matches!(secret.state, SecretState::Deleted { .. }) {
        return Err(StoreError::Deleted { name: secret.name }.into());
    }
    let question = format!("Delete {}? No app can bind it any more.", secret.name);
    prompt::confirm_or_refuse(&question, yes, "nothing was deleted")?;
    store.delete(name)?;
    match report.output {
        Format::Json => report::json(&json!({ "name": secret.name, "state": "deleted" })),
        Format::Text => report::line(&format!("deleted {}", secret.name)),
    }
}

fn state(secret: &SecretInfo) -> &'static str {
    match secret.state {
        SecretState::Active => "active",
        SecretState::Deleted { .. } => "deleted",
        _ => "other",
    }
}

fn newest(secret: &SecretInfo) -> String {
    secret
        .versions
        .last()
        .map_or_else(String::new, |version| version.version.to_string())
}

fn read_name(typed: &str) -> anyhow::Result<SecretName> {
    typed
        .parse()
        .map_err(|error: leyden::app::NameError| usage(error.to_string()))
}

fn checked_name(new: &NewValue) -> anyhow::Result<SecretName> {
    if !new.extra.is_empty() {
        return Err(usage(
            "a secret's value is not taken from the command line, where other users and the \
             shell's history see it (so do not use what you just typed): leave it out to be asked \
             for it, pipe it into standard input, or name a file with --from-file FILE",
        ));
    }
    read_name(&new.name)
}

/// The value: from a file, asked for, or from a pipe, exactly as it is.
fn value(new: &NewValue) -> anyhow::Result<SecretValue> {
    let value = if let Some(path) = &new.from_file {
        let file = File::open(path)
            .map_err(|error| usage(format!("cannot read {}: {error}", path.display())))?;
        SecretValue::read_from(file).with_context(|| format!("{}", path.display()))?
    } else if io::stdin().is_terminal() {
        return asked(&new.name);
    } else {
        // Not through std's buffered standard input, which would keep a copy.
        let stdin = io::stdin()
            .as_fd()
            .try_clone_to_owned()
            .context("cannot read stdin")?;
        SecretValue::read_from(File::from(stdin))?
    };
    let trimmed = without_line_end(value.expose());
    if trimmed.len() == value.len() {
        return Ok(value);
    }
    if new.trim_newline {
        return Ok(SecretValue::new(trimmed.to_vec())?);
    }
    say("warning: the value ends with a line end, which is kept; --trim-newline drops it");
    Ok(value)
}

fn asked(name: &str) -> anyhow::Result<SecretValue> {
    let value = prompt::value(name).map_err(|error| match error.is::<NoTerminal>() {
        true => usage(
            "there is no terminal to ask for the value on: pipe it into standard input, or name a \
             file with --from-file FILE",
        ),
        false => error,
    })?;
    if value.is_empty() {
        say("warning: the value is empty");
    }
    Ok(value)
}

/// The value without one `\n` or `\r\n` at its end.
fn without_line_end(value: &[u8]) -> &[u8] {
    match value.strip_suffix(b"\n") {
        Some(line) => line.strip_suffix(b"\r").unwrap_or(line),
        None => value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_end_is_dropped_and_nothing_else() {
        for (value, trimmed) in [
            ("", ""),
            ("a", "a"),
            ("a\n", "a"),
            ("a\r\n", "a"),
            ("a\n\n", "a\n"),
            ("a\r", "a\r"),
            ("a ", "a "),
            ("\n", ""),
            ("\na", "\na"),
        ] {
            assert_eq!(
                without_line_end(value.as_bytes()),
                trimmed.as_bytes(),
                "{value:?}"
            );
        }
    }
}
