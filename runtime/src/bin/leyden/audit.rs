//! `leyden audit`: who was given what, and whether anybody meddled with the record of it.

use leyden::secrets::{AuditFilter, AuditRecord};
use serde::Serialize;

use crate::cli::{AuditCommand, Report};
use crate::paths::Paths;
use crate::progress::Shown;
use crate::report::{self, Format, cell, time};
use crate::unlock;

pub(crate) fn run(command: AuditCommand, paths: &Paths) -> anyhow::Result<()> {
    match command {
        AuditCommand::List {
            secret,
            app,
            limit,
            report,
        } => {
            let mut filter = AuditFilter::default();
            (filter.secret, filter.app, filter.limit) = (secret, app, limit);
            list(&filter, &report, paths)
        }
        AuditCommand::Verify(report) => verify(&report, paths),
    }
}

fn list(filter: &AuditFilter, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let records = unlock::open(paths)?.audit_list(filter)?;
    if report.output == Format::Json {
        return report::json(&records);
    }
    if records.is_empty() {
        return report::line("there is no such record");
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
        store.verify()?
    };
    match report.output {
        Format::Json => report::json(&verified),
        Format::Text => report::line(&format!(
            "verified {}: {} secrets with {} versions, {} audit records",
            store.path().display(),
            verified.secrets,
            verified.versions,
            verified.audit_records
        )),
    }
}

/// An enumeration's word, as JSON has it.
fn word(value: &impl Serialize) -> String {
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

/// The secret and its version, or the key slot.
fn about(record: &AuditRecord) -> String {
    let secret = record
        .secret
        .clone()
        .or_else(|| record.slot.clone())
        .unwrap_or_default();
    match record.version {
        Some(version) => format!("{secret}@{version}"),
        None => secret,
    }
}

/// The app's name, which is a label, and the start of its digest, which is its identity.
fn app(record: &AuditRecord) -> String {
    const SHOWN: usize = "sha256:".len() + 12;
    let name = record.app.clone().unwrap_or_default();
    match record.app_digest.as_deref() {
        Some(digest) => format!("{name} {}", digest.get(..SHOWN).unwrap_or(digest)),
        None => name,
    }
}
