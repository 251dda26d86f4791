//! `leyden secret`: makes, changes and lists secrets. Only `reveal` prints a value.

mod delete;
mod expire;
mod grant;
mod import;
mod reveal;

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::num::NonZeroU32;
use std::os::fd::AsFd as _;

use anyhow::Context as _;
use comfy_table::Cell;
use jiff::Timestamp;
use leyden::app::{SecretName, SecretRef};
use leyden::secrets::{
    AuditEvent, AuditFilter, AuditFound, AuditOutcome, AuditRecord, SecretInfo, SecretState,
    SecretStore, SecretValue, SecretsFound, StoreError, VersionOptions,
};
use serde_json::json;

use crate::cli::{NewValue, Report, SecretCommand};
use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::prompt::{self, NoTerminal};
use crate::report::{self, Format, cell, counted, time};
use crate::unlock;

pub(crate) fn run(command: SecretCommand, paths: &Paths) -> anyhow::Result<()> {
    match command {
        SecretCommand::Create(new) => create(&new, paths),
        SecretCommand::Set(new) => set(&new, paths),
        SecretCommand::List(report) => list(&report, paths),
        SecretCommand::Show { name, report } => show(&read_name(&name)?, &report, paths),
        SecretCommand::Versions { name, report } => versions(&read_name(&name)?, &report, paths),
        SecretCommand::Expire(arguments) => expire::run(&arguments, paths),
        SecretCommand::Reveal { name, yes } => reveal::run(&name, yes, paths),
        SecretCommand::Delete(arguments) => delete::run(&arguments, paths),
        SecretCommand::Restore { name, report } => {
            delete::restore(&read_name(&name)?, &report, paths)
        }
        SecretCommand::Import(arguments) => import::run(&arguments, paths),
        SecretCommand::Grant(arguments) => grant::run(&arguments, paths),
        SecretCommand::Revoke(arguments) => grant::revoke(&arguments, paths),
        SecretCommand::Restrict { name, lift, report } => {
            grant::restrict(&read_name(&name)?, !lift, &report, paths)
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
        match store.find(&name)? {
            None => {}
            Some(SecretInfo {
                name,
                state: SecretState::Active,
                ..
            }) => {
                return Err(StoreError::Exists { name }.into());
            }
            Some(SecretInfo { name, .. }) => return Err(StoreError::Deleted { name }.into()),
        }
    }
    let value = value(new)?;
    let store = store.map_or_else(|| unlock::open_or_make(paths), Ok)?;
    let version = store.create_secret_with(&name, value, &options(new))?;
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
    let (version, destroyed) = add_version(&store, &name, value(new)?, &options(new))?;
    if destroyed > 0 {
        say(&format!(
            "{} destroyed: no more are kept",
            report::counted(destroyed, "older version")
        ));
    }
    done(&new.report, &name, "set", version.get())
}

/// Adds a version; returns its number, and how many older ones were destroyed by it.
pub(crate) fn add_version(
    store: &SecretStore,
    name: &SecretName,
    value: SecretValue,
    options: &VersionOptions,
) -> Result<(NonZeroU32, u64), StoreError> {
    let before = store.show(name)?.versions;
    let version = store.set_secret_with(name, value, options)?;
    let after = store.show(name)?.versions;
    let first = after.first().map(|kept| kept.version);
    let destroyed = before.iter().filter(|old| Some(old.version) < first);
    Ok((version, destroyed.count() as u64))
}

fn options(new: &NewValue) -> VersionOptions {
    VersionOptions {
        expires: new.expires,
        keep: new.keep,
    }
}

fn done(report: &Report, name: &SecretName, what: &str, version: u32) -> anyhow::Result<()> {
    match report.output {
        Format::Json => report::json(&json!({ "name": name.as_str(), "version": version })),
        Format::Text => report::line(&format!("{what} {name}, version {version}")),
    }
}

fn list(report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let SecretsFound {
        secrets,
        mut damaged,
        ..
    } = unlock::open(paths)?.look()?;
    let last = damaged.pop();
    match report.output {
        Format::Json => report::json(&secrets)?,
        Format::Text if !secrets.is_empty() => table(&secrets)?,
        Format::Text if last.is_none() => {
            report::line("there is no secret yet; leyden secret create NAME makes one")?;
        }
        Format::Text => {}
    }
    for error in &damaged {
        say(&error.to_string());
    }
    last.map_or(Ok(()), |error| Err(error.into()))
}

fn table(secrets: &[SecretInfo]) -> anyhow::Result<()> {
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
    let store = unlock::open(paths)?;
    let secret = store.show(name)?;
    let released = AuditFilter::default()
        .secret(name.as_str())
        .event(AuditEvent::Release)
        .outcome(AuditOutcome::Done)
        .limit(1);
    // One of this name may have been destroyed before.
    let AuditFound {
        mut records,
        broken,
        ..
    } = store.audit_look(&released)?;
    let released = match broken {
        None => Ok(records
            .pop()
            .filter(|released| released.time >= secret.created)),
        // Any release may have stood there.
        Some(broken) => Err(format!(
            "not known: {broken}; leyden audit verify tells where the damage begins"
        )),
    };
    if report.output == Format::Json {
        let mut told = serde_json::to_value(&secret)?;
        if let Some(told) = told.as_object_mut() {
            match &released {
                Ok(released) => told.insert("last_released".into(), json!(released)),
                Err(why) => told.insert("last_released_problem".into(), json!(why)),
            };
        }
        return report::json(&told);
    }
    report::print(report::printable(&describe(&secret, &released)))
}

/// What is told of a secret, and of its last release, if there was one, or why that is not known.
fn describe(secret: &SecretInfo, released: &Result<Option<AuditRecord>, String>) -> String {
    let mut lines = Vec::new();
    let mut line = |name: &str, text: String| lines.push(format!("{name:<12}{text}\n"));
    line("name", secret.name.clone());
    line("state", state(secret));
    line("version", newest(secret));
    if let Some(version) = secret.versions.last() {
        line("size", counted(version.size, "byte"));
        let by = &version.created_by;
        line("set", format!("{} by {by}", time(version.created)));
        if version.expires.is_some() {
            line("expires", expiry(version.expires));
        }
    }
    let (created, by) = (time(secret.created), &secret.created_by);
    line("created", format!("{created} by {by}"));
    line("updated", time(secret.updated));
    if let Some(keep) = secret.keep {
        line("keeps", counted(u64::from(keep.get()), "version"));
    }
    if secret.restricted {
        line(
            "restricted",
            "only grants to an app's digest bind it".into(),
        );
    }
    for grant in &secret.grants {
        let name = grant.app.as_ref().map(|name| format!(" ({name})"));
        let env = grant.env.as_ref().map(|env| format!(" as {env}"));
        let until = grant
            .expires
            .map(|_| format!(", {}", expiry(grant.expires)));
        let optional = [name, env, until].map(Option::unwrap_or_default).concat();
        line(
            "granted to",
            format!("{}{optional}", report::in_line(&grant.to)),
        );
    }
    line(
        "released",
        match released {
            Ok(Some(released)) => last(released),
            Ok(None) => "never, as far as the audit log goes".into(),
            Err(why) => why.clone(),
        },
    );
    lines.concat()
}

/// What it was last released to.
fn last(record: &AuditRecord) -> String {
    let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
    let version = record.version.unwrap_or_default();
    format!(
        "version {version} at {} to {} {} as {}, by {}@{}",
        time(record.time),
        or_nothing(&record.app),
        or_nothing(&record.app_digest),
        or_nothing(&record.env),
        record.user,
        record.host
    )
}

/// Until when, as people read it.
fn expiry(expires: Option<Timestamp>) -> String {
    match expires {
        None => String::new(),
        Some(at) if at <= Timestamp::now() => format!("expired {}", time(at)),
        Some(at) => format!("until {}", time(at)),
    }
}

fn versions(name: &SecretName, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let versions = unlock::open(paths)?.versions(name)?;
    if report.output == Format::Json {
        return report::json(&versions);
    }
    let rows = versions.iter().map(|version| -> [Cell; 5] {
        [
            cell(version.version),
            cell(counted(version.size, "byte")),
            cell(time(version.created)),
            cell(&version.created_by),
            cell(expiry(version.expires)),
        ]
    });
    report::table(
        ["VERSION", "SIZE", "CREATED", "CREATED BY", "EXPIRES"],
        rows,
    )
}

fn state(secret: &SecretInfo) -> String {
    match secret.state {
        SecretState::Active => "active".into(),
        SecretState::Deleted {
            restorable_until: Some(until),
            ..
        } => format!("deleted; {}", restorable(until)),
        SecretState::Deleted { .. } => "deleted".into(),
        _ => "other".into(),
    }
}

fn restorable(until: Timestamp) -> String {
    let can = match until <= Timestamp::now() {
        true => "could",
        false => "can",
    };
    format!("it {can} be restored until {}", time(until))
}

fn newest(secret: &SecretInfo) -> String {
    secret
        .versions
        .last()
        .map_or_else(String::new, |version| version.version.to_string())
}

fn read_name(typed: &str) -> anyhow::Result<SecretName> {
    typed.parse().map_err(|error: leyden::app::NameError| {
        // It may be meant as a binding has it.
        let meant = typed.parse::<SecretRef>().ok();
        let more = meant.and_then(|meant| typed.strip_prefix(meant.name.as_str()));
        usage(match more {
            Some(more) => format!("a secret's name alone stands here: leave out `{more}`"),
            None => error.to_string(),
        })
    })
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
    if value.is_empty() {
        say("warning: the value is empty; was it meant to be?");
    }
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
    fn until_when_a_secret_can_be_restored_is_a_sentence() {
        let past = restorable(Timestamp::UNIX_EPOCH);
        assert!(
            past.starts_with("it could be restored until 1970"),
            "{past}"
        );
        let to_come = restorable(Timestamp::MAX);
        assert!(
            to_come.starts_with("it can be restored until 9999"),
            "{to_come}"
        );
    }

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
