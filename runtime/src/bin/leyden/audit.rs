//! `leyden audit`: who was given what, and whether anybody meddled with the record of it.

use std::num::NonZeroU32;

use jiff::Timestamp;
use leyden::app::{Digest, SecretRef, check_app_name};
use leyden::secrets::{AuditFilter, AuditOutcome, AuditRecord, StoreError};
use serde::Serialize;
use serde_json::json;

use crate::cli::{AuditCommand, Report};
use crate::exit::{Failure, say, usage};
use crate::paths::Paths;
use crate::progress::Shown;
use crate::report::{self, Format, cell, time};
use crate::{prompt, unlock};

pub(crate) fn run(command: AuditCommand, paths: &Paths) -> anyhow::Result<()> {
    match command {
        AuditCommand::List {
            secret,
            app,
            outcome,
            since,
            until,
            limit,
            report,
        } => {
            let mut filter = AuditFilter::default();
            if let Some(secret) = &secret {
                want_secret(&mut filter, secret).map_err(usage)?;
            }
            if let Some(app) = &app {
                want_app(&mut filter, app).map_err(usage)?;
            }
            filter.limit = limit;
            (filter.since, filter.until) = (since, until);
            filter.outcome = outcome.map(|outcome| match outcome.as_str() {
                "denied" => AuditOutcome::Denied,
                _ => AuditOutcome::Done,
            });
            list(&filter, &report, paths)
        }
        AuditCommand::Verify(report) => verify(&report, paths),
        AuditCommand::Prune {
            before,
            yes,
            report,
        } => prune(before, yes, &report, paths),
    }
}

/// Has a filter want a secret, which may never have been made, or one version, as records show them:
/// `my-secret` or `my-secret@3`.
pub(crate) fn want_secret(filter: &mut AuditFilter, typed: &str) -> Result<(), String> {
    let of: SecretRef = typed.parse().map_err(|error| format!("{error}"))?;
    filter.secret = Some(of.name.canonical().to_owned());
    filter.version = of.version.map(NonZeroU32::get);
    Ok(())
}

/// Has a filter want an app as records show it: its name, with or without a Work, or its digest, or the
/// beginning of that.
pub(crate) fn want_app(filter: &mut AuditFilter, typed: &str) -> Result<(), String> {
    const LEAST: usize = 8;
    match typed.strip_prefix("sha256:") {
        Some(hex) if hex.len() < LEAST => {
            let wrong = "too little of a digest: at least eight digits of it are needed";
            return Err(format!("`{typed}` is {wrong}"));
        }
        // The rest may be anything: what it has is looked at.
        Some(hex) => {
            let whole = format!("sha256:{hex:0<64}").parse::<Digest>();
            whole.map_err(|error| format!("`{typed}`: {error}"))?;
        }
        None => {
            let checked = check_app_name(typed);
            checked.map_err(|problem| format!("no app is called so: a name {problem}"))?;
        }
    }
    filter.app = Some(typed.to_owned());
    Ok(())
}

fn list(filter: &AuditFilter, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let records = unlock::open(paths)?.audit_list(filter);
    let records = records.map_err(|error| {
        let what = "leyden audit verify tells where the damage begins";
        or_damaged(error, what)
    })?;
    if records.is_empty() {
        say("no records match");
        return Ok(());
    }
    if report.output == Format::Json {
        return report::print(json_lines(&records)?);
    }
    let header = [
        "NO", "TIME", "EVENT", "OUTCOME", "SECRET", "AS", "APP", "BY",
    ];
    let row = |record: &AuditRecord| {
        let or_nothing = |text: &Option<String>| text.clone().unwrap_or_default();
        [
            cell(record.sequence),
            cell(time(record.time)),
            cell(word(&record.event)),
            cell(outcome(record)),
            cell(about(record)),
            cell(or_nothing(&record.env)),
            cell(app(record)),
            cell(format!("{}@{} ({})", record.user, record.host, record.pid)),
        ]
    };
    report::table(header, records.iter().map(row))
}

fn verify(report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let store = unlock::open(paths)?;
    let verified = {
        let _shown = Shown::now("verifying");
        let verified = store.verify();
        verified.map_err(|error| or_damaged(error, "its secrets can be used as before"))?
    };
    match report.output {
        Format::Json => report::json(&verified),
        Format::Text => report::line(&format!(
            "verified {}: {}{}",
            store.path().display(),
            report::verified(&verified),
            match verified.pruned_records {
                0 => String::new(),
                pruned => format!(" after {pruned} that were pruned"),
            }
        )),
    }
}

fn prune(before: Timestamp, yes: bool, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let store = unlock::open(paths)?;
    let question = format!("Remove the audit records from before {}?", time(before));
    prompt::confirm_or_refuse(&question, yes, "nothing was removed")?;
    let pruned = {
        let _shown = Shown::now("pruning");
        let pruned = store.audit_prune(before);
        pruned.map_err(|error| or_damaged(error, "nothing was removed, which would hide that"))?
    };
    match report.output {
        Format::Json => report::json(&json!({ "pruned": pruned })),
        Format::Text => report::line(&format!(
            "removed {}",
            report::counted(pruned, "audit record")
        )),
    }
}

/// What is told where something is not done because the audit log is damaged: what then is so, and
/// what mends it.
pub(crate) fn or_damaged(error: StoreError, what: &str) -> anyhow::Error {
    match error {
        StoreError::AuditBroken { .. } => Failure::Denied(format!(
            "{error}; {what}: keep a copy of the store's files to find out what happened, and put a \
             backup from before in its place (leyden store restore FILE)"
        ))
        .into(),
        other => other.into(),
    }
}

/// A line each: a log is long, and read by tools that take it line by line.
pub(crate) fn json_lines(records: &[AuditRecord]) -> serde_json::Result<String> {
    let mut lines = String::new();
    for record in records {
        lines.push_str(&serde_json::to_string(record)?);
        lines.push('\n');
    }
    Ok(lines)
}

/// An enumeration's word, as JSON has it.
pub(crate) fn word(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(word)) => word,
        _ => "other".into(),
    }
}

fn outcome(record: &AuditRecord) -> String {
    match &record.reason {
        Some(reason) => format!("{}: {reason}", word(&record.outcome)),
        None => word(&record.outcome),
    }
}

/// The secret and its version, or the key slot, KEK, host, run or last record that it is about.
pub(crate) fn about(record: &AuditRecord) -> String {
    let kek = record.kek.map(|kek| format!("key {kek}"));
    let up_to = record.up_to.map(|last| format!("up to {last}"));
    let others = [&record.slot, &record.host_rule, &record.run, &kek, &up_to];
    let mut found = std::iter::once(&record.secret).chain(others);
    let secret = found.find_map(Clone::clone).unwrap_or_default();
    match record.version {
        Some(version) => format!("{secret}@{version}"),
        None => secret,
    }
}

/// The app's name, which is a label, and the start of its digest, which is its identity.
fn app(record: &AuditRecord) -> String {
    const SHOWN: usize = "sha256:".len() + 12;
    let mut name = record.app.clone().unwrap_or_default();
    // The Flow is the app; a Work stands beside it.
    if let Some(work) = record.component.as_deref().filter(|of| *of != "flow") {
        name = format!("{name}/{work}");
    }
    match record.app_digest.as_deref() {
        Some(digest) => format!("{name} {}", digest.get(..SHOWN).unwrap_or(digest)),
        // Of a grant: to whom.
        None => match record.grantee.as_deref() {
            Some(grantee) if grantee.starts_with("sha256:") => {
                format!("{name} {}", grantee.get(..SHOWN).unwrap_or(grantee))
            }
            Some(grantee) => format!("{name} {grantee}"),
            None => name,
        },
    }
}
