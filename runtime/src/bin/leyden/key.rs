//! `leyden key`: what opens the store.

use std::io::{self, IsTerminal as _};
use std::path::Path;

use anyhow::Context as _;
use leyden::secrets::{Holder, Key, RootRotation, SecretStore, SlotInfo, SlotKind, StoreError};
use serde_json::json;
use zeroize::Zeroizing;

use crate::audit::or_damaged;
use crate::cli::{KeyCommand, NewKey, Report, Rotate};
use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::progress::Shown;
use crate::report::{self, Format, cell, time};
use crate::{key_command, keyring, prompt, unlock};

pub(crate) fn run(command: KeyCommand, paths: &Paths) -> anyhow::Result<()> {
    match command {
        KeyCommand::List(report) => list(&report, paths),
        KeyCommand::Add {
            label,
            new,
            key_from,
            report,
        } => add(&label, &new, key_from.as_deref(), &report, paths),
        KeyCommand::Remove {
            label,
            from_keyring,
            yes,
            report,
        } => remove(&label, from_keyring, yes, &report, paths),
        KeyCommand::Rotate(rotate) => self::rotate(&rotate, paths),
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

pub(crate) fn kind(slot: &SlotInfo) -> String {
    match slot.kind {
        SlotKind::KeyFile => "key file".into(),
        SlotKind::KeyCommand => "key command".into(),
        SlotKind::Keyring => "keyring".into(),
        SlotKind::Recovery => "recovery code".into(),
        SlotKind::Passphrase(cost) => format!(
            "passphrase (Argon2id, {} MiB, {} passes, {} lanes)",
            cost.memory_kib / 1024,
            cost.passes,
            cost.lanes
        ),
        _ => "other".into(),
    }
}

/// Adds a slot with a new key, which is kept where it was asked for, or with a passphrase.
fn add(
    label: &str,
    new: &NewKey,
    key_from: Option<&str>,
    report: &Report,
    paths: &Paths,
) -> anyhow::Result<()> {
    let store = unlock::open(paths)?;
    // A key is kept before its slot is in the store: no slot without a key.
    if let Some(path) = &new.key_file_to {
        let key = Key::generate()?;
        key.write_new(path)?;
        if let Err(error) = store.add_slot(label, &key) {
            return Err(without_slot(error, path));
        }
    } else if let Some(command) = &new.key_to {
        let key = Key::generate()?.held_by(Holder::Command);
        key_command::write(command.as_ref(), &key)?;
        let opens_nothing = "no slot was added, so the key that the command took opens nothing";
        if let Some(command) = key_from {
            key_command::check(command.as_ref(), &key).context(opens_nothing)?;
        }
        if let Err(error) = store.add_slot(label, &key) {
            let said = match error.may_be_committed() {
                true => {
                    "the command should keep the key, because the store may have its slot; leyden key list tells"
                }
                false => opens_nothing,
            };
            return Err(anyhow::Error::new(error).context(said));
        }
        if key_from.is_none() {
            // Whether that command keeps it, another one must tell.
            say(
                "before you rely on it, try whether it opens the store: leyden key list \
                 --key-command 'THE COMMAND THAT PRINTS IT'",
            );
        }
    } else if new.to_keyring {
        let key = keyring::make(label)?;
        if let Err(error) = store.add_slot(label, &key) {
            return Err(without_keyring_slot(error, label));
        }
    } else if new.recovery {
        return add_recovery(&store, label, report);
    } else {
        let key = unlock::new_passphrase(paths)?;
        {
            let _shown = Shown::now("stretching the passphrase");
            store.add_slot(label, &key)?;
        }
        unlock::warn_of_short(&key);
    }
    match report.output {
        Format::Json => report::json(&json!({ "label": label })),
        Format::Text => report::line(&format!("added the key slot {label}")),
    }
}

/// Adds a slot that a recovery code opens. The code is shown first: no slot whose code nobody saw.
fn add_recovery(store: &SecretStore, label: &str, report: &Report) -> anyhow::Result<()> {
    let (key, code) = Key::generate_recovery()?;
    match report.output {
        Format::Json => report::json(&json!({ "label": label, "recovery_code": *code }))?,
        Format::Text => report::print(Zeroizing::new(format!("{}\n", *code)).as_bytes())?,
    }
    if let Err(error) = store.add_slot(label, &key) {
        let said = match error.may_be_committed() {
            true => {
                "keep the recovery code, because the store may have its slot; leyden key list tells"
            }
            false => "the recovery code above opens nothing, so do not keep it",
        };
        return Err(anyhow::Error::new(error).context(said));
    }
    say(&format!(
        "added the key slot {label}. Write its recovery code on paper and keep it elsewhere: it is \
         not shown again, and whoever has it and the store can read every secret"
    ));
    Ok(())
}

fn remove(
    label: &str,
    from_keyring: bool,
    yes: bool,
    report: &Report,
    paths: &Paths,
) -> anyhow::Result<()> {
    let store = unlock::open(paths)?;
    let slots = store.slots()?;
    let slot = slots.iter().find(|slot| slot.label == label);
    let current = slot.is_some_and(|slot| slot.current);
    let in_keyring = slot.is_some_and(|slot| slot.kind == SlotKind::Keyring);
    if from_keyring && slot.is_some() && !in_keyring {
        return Err(usage(format!(
            "the key of the slot {label} is not in the keyring"
        )));
    }
    // What cannot be done is told without asking.
    if slots.len() > 1 && slots.iter().any(|slot| slot.label == label) {
        let warning = if current {
            " It is what opened the store now."
        } else {
            ""
        };
        let question = format!("Remove the key slot {label}?{warning} Its key opens nothing then.");
        prompt::confirm_or_refuse(&question, yes, "nothing was removed")?;
    }
    store.remove_slot(label)?;
    if from_keyring {
        keyring::remove(label).context("the slot is removed, but its key stays in the keyring")?;
    } else if in_keyring {
        say(&format!(
            "the key {label} stays in the keyring, where it opens copies of the store from before"
        ));
    }
    match report.output {
        Format::Json => report::json(&json!({ "label": label, "removed": true })),
        Format::Text => report::line(&format!("removed the key slot {label}")),
    }
}

fn rotate(rotate: &Rotate, paths: &Paths) -> anyhow::Result<()> {
    let (mut store, key) = unlock::open_keeping_key(paths)?;
    let root = rotate
        .root
        .then(|| rotate_root(&mut store, key, rotate, paths))
        .transpose()?;
    let rotated = {
        let shown = Shown::so_far("rotating");
        store.rotate_kek(|done, of| shown.at(done, of))?
    };
    if rotate.report.output == Format::Json {
        return report::json(&json!({ "root": root, "kek": rotated }));
    }
    if rotated.resumed {
        report::line("went on with a rotation that was broken off")?;
    }
    report::line(&format!(
        "encrypted the keys of {} under key {}",
        report::counted(rotated.rewrapped, "version"),
        rotated.kek
    ))
}

fn rotate_root(
    store: &mut SecretStore,
    key: Key,
    rotate: &Rotate,
    paths: &Paths,
) -> anyhow::Result<RootRotation> {
    let mut keep = vec![key];
    for file in &rotate.keep_key_file {
        keep.push(Key::from_file(file)?);
    }
    for file in &rotate.keep_passphrase_file {
        keep.push(Key::from_passphrase_file(file)?);
    }
    for label in &rotate.keep_keyring {
        keep.push(keyring::read(label)?);
    }
    for number in 1..=rotate.keep_asked {
        let question = format!("Passphrase or recovery code to keep ({number}): ");
        keep.push(unlock::typed_key(&question)?);
    }
    let plan = {
        let _shown = Shown::now("trying the keys");
        store
            .plan_root_rotation(&keep)
            .context("a key that is to be kept opens no slot")?
    };
    if !plan.dropped.is_empty() {
        let question = format!(
            "Make a new root key? Kept: {}. Dropped, so that their keys open nothing: {}.",
            plan.kept.join(", "),
            plan.dropped.join(", "),
        );
        prompt::confirm_or_refuse(&question, rotate.yes, "nothing was changed")?;
    }
    {
        let _shown = Shown::now("making a new root key");
        store.rotate_root_as(&plan, &keep).map_err(|error| {
            let changed = matches!(error, StoreError::Busy { .. });
            let error = or_damaged(
                error,
                "the root key stays, because a new one would hide that",
            );
            match changed {
                true => error.context(
                    "nothing was changed: a key slot was added or removed meanwhile; run it again",
                ),
                false => error,
            }
        })?;
    }
    // The stretched and plain credentials are no longer needed.
    drop(keep);
    if rotate.report.output == Format::Text {
        report::line(&format!(
            "made a new root key for {}; kept: {}",
            paths.store.display(),
            plan.kept.join(", ")
        ))?;
    }
    Ok(plan)
}

/// The keyring's key of a slot that was not added goes away; what may open the store stays.
fn without_keyring_slot(error: StoreError, label: &str) -> anyhow::Error {
    if error.may_be_committed() {
        let kept = "the key is kept in the keyring, because the store may have its slot; leyden key list tells";
        return anyhow::Error::new(error).context(kept);
    }
    match keyring::remove(label) {
        Ok(()) => error.into(),
        Err(removing) => anyhow::Error::new(error).context(format!(
            "the key {label} in the keyring opens nothing and could not be removed: {removing:#}"
        )),
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
