//! `leyden key`: what opens the store.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use leyden::secrets::{Key, SlotInfo, SlotKind, StoreError};
use serde_json::json;

use crate::cli::{KeyCommand, Report};
use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::progress::Shown;
use crate::report::{self, Format, cell, time};
use crate::unlock;

pub(crate) fn run(command: KeyCommand, paths: &Paths) -> anyhow::Result<()> {
    match command {
        KeyCommand::List(report) => list(&report, paths),
        KeyCommand::Add { label, new, report } => {
            add(&label, new.key_file_to.as_deref(), &report, paths)
        }
        KeyCommand::Export { to, yes } => export(to.as_deref(), yes, paths),
    }
}

fn list(report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let slots = unlock::open(paths)?.slots()?;
    if report.output == Format::Json {
        return report::json(&slots);
    }
    let row = |slot: &SlotInfo| {
        let current = if slot.current { "yes" } else { "" };
        [
            cell(&slot.label),
            cell(kind(slot)),
            cell(time(slot.created)),
            cell(current),
        ]
    };
    report::table(
        ["LABEL", "KIND", "CREATED", "OPENED THIS"],
        slots.iter().map(row),
    )
}

fn kind(slot: &SlotInfo) -> String {
    match slot.kind {
        SlotKind::KeyFile => "key file".into(),
        SlotKind::Passphrase(cost) => format!(
            "passphrase (Argon2id, {} MiB, {} passes, {} lanes)",
            cost.memory_kib / 1024,
            cost.passes,
            cost.lanes
        ),
        _ => "other".into(),
    }
}

/// Adds a slot with a new key file at that path, or with a passphrase.
fn add(label: &str, key_file: Option<&Path>, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    let store = unlock::open(paths)?;
    match key_file {
        Some(path) => {
            // The key is on disk before its slot is in the store: no slot without a key.
            let key = Key::generate()?;
            key.write_new(path)?;
            if let Err(error) = store.add_slot(label, &key) {
                return Err(without_slot(error, path));
            }
        }
        None => {
            let key = unlock::new_passphrase(paths)?;
            let _shown = Shown::now("stretching the passphrase");
            store.add_slot(label, &key)?;
        }
    }
    match report.output {
        Format::Json => report::json(&json!({ "label": label })),
        Format::Text => report::line(&format!("added the key slot {label}")),
    }
}

/// The key file of a slot that was not added goes away; what may open the store stays.
fn without_slot(error: StoreError, key_file: &Path) -> anyhow::Error {
    let shown = key_file.display();
    let kept = if error.may_be_committed() {
        Some(format!(
            "{shown} is kept, because the store may have its slot; leyden key list tells"
        ))
    } else {
        std::fs::remove_file(key_file)
            .err()
            .map(|removing| format!("{shown} opens nothing and could not be removed: {removing}"))
    };
    match kept {
        Some(kept) => anyhow::Error::new(error).context(kept),
        None => error.into(),
    }
}

fn export(to: Option<&Path>, yes: bool, paths: &Paths) -> anyhow::Result<()> {
    if to.is_none() && io::stdout().is_terminal() && !yes {
        return Err(usage(
            "whoever sees the key can open the store, so it is not shown on a terminal: write it \
             to a file with --to FILE, pipe it on, or say --yes",
        ));
    }
    // Told before the export is in the audit log; the file itself is made with O_EXCL.
    if let Some(path) = to.filter(|path| unlock::is_there(path)) {
        return Err(usage(format!("there is a file {} already", path.display())));
    }
    if !unlock::is_there(&paths.key_file) {
        return Err(usage(format!(
            "there is no key file at {} to copy; name it with --key-file, or make a new one with \
             leyden key add LABEL --key-file-to FILE",
            paths.key_file.display()
        )));
    }
    let store = unlock::open(paths)?;
    // A second time, because opening the store takes the key.
    let key = Key::from_file(&paths.key_file)
        .context("the key was not exported (one that comes through a pipe cannot be)")?;
    let text = store.export_key(&key)?;
    match to {
        Some(path) => {
            key.write_new(path).context("the key was not exported")?;
            say(&format!("wrote a copy of the key to {}", path.display()));
            Ok(())
        }
        None => report::print(text.as_bytes()),
    }
}
