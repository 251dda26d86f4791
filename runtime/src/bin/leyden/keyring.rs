//! Keys in the operating system's keyring: the Secret Service on Linux, the keychain on macOS.
//!
//! The keyring is asked by a process of its own, which is this program again and ends when it has
//! answered: its client keeps threads, and copies of what it was told that nobody wipes. An entry is
//! of the service `leyden` and the user name that is the slot's label; it holds a key file's line.

use std::io::{IsTerminal as _, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use clap::ValueEnum;
use keyring::Error;
use keyring::v1::Entry;
use leyden::secrets::{self, Holder, Key};
use zeroize::Zeroizing;

use crate::exit::{Failure, usage};
use crate::report;

const SERVICE: &str = "leyden";
/// More than any key's line has.
const MOST_BYTES: u64 = 1024;

/// What the process that asks the keyring is to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Action {
    /// Print the key.
    Read,
    /// Print the key; where there is none of this name, the one that standard input holds, which is
    /// kept from now on.
    ReadOrMake,
    /// Keep the key that standard input holds, where there is none of this name.
    Make,
    /// Remove it.
    Remove,
}

/// The key that the keyring holds for the slot of this label.
///
/// # Errors
///
/// [`Failure::Denied`] where it has none, or there is no keyring.
pub(crate) fn read(label: &str) -> anyhow::Result<Key> {
    let text = ask(Action::Read, label, None)?;
    parse(&text, label)
}

/// The key that the keyring holds for the slot of this label, or a new one, which it holds from now
/// on: for the first slot of a store.
///
/// # Errors
///
/// [`Failure::Denied`] where there is no keyring.
pub(crate) fn read_or_make(label: &str) -> anyhow::Result<Key> {
    secrets::check_label(label)?;
    let new = Key::generate()?;
    let text = new.to_text().context("the key has no text")?;
    let text = ask(Action::ReadOrMake, label, Some(text.as_bytes()))?;
    parse(&text, label)
}

fn parse(text: &[u8], label: &str) -> anyhow::Result<Key> {
    match Key::from_text(text) {
        Ok(key) => Ok(key.held_by(Holder::Keyring)),
        Err(problem) => Err(Failure::Denied(format!(
            "what the keyring holds as {label} is no key: {problem}"
        ))
        .into()),
    }
}

/// A new random key, which the keyring holds from now on.
///
/// # Errors
///
/// [`Failure::Denied`] where it holds one of this label already, or there is no keyring.
pub(crate) fn make(label: &str) -> anyhow::Result<Key> {
    secrets::check_label(label)?;
    let key = Key::generate()?.held_by(Holder::Keyring);
    let text = key.to_text().context("the key has no text")?;
    ask(Action::Make, label, Some(text.as_bytes()))?;
    Ok(key)
}

/// Removes the key from the keyring.
///
/// # Errors
///
/// [`Failure::Denied`] where there is none, or no keyring.
pub(crate) fn remove(label: &str) -> anyhow::Result<()> {
    ask(Action::Remove, label, None).map(drop)
}

/// Starts the process that asks the keyring; what it prints.
fn ask(action: Action, label: &str, input: Option<&[u8]>) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    let program = std::env::current_exe().context("cannot find this program itself")?;
    let action = action.to_possible_value().context("a hidden action")?;
    let mut child = Command::new(program)
        .args(["keyring-entry", action.get_name(), "--", label])
        .stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot start the process that asks the keyring")?;
    if let (Some(mut stdin), Some(input)) = (child.stdin.take(), input) {
        // A process that ends without reading says why by its error.
        let _ = stdin.write_all(input);
    }
    answer(&mut child, label)
}

fn answer(child: &mut Child, label: &str) -> anyhow::Result<Zeroizing<Vec<u8>>> {
    // The whole capacity at once: a vector that grows leaves copies behind.
    let mut printed = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize + 1));
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(MOST_BYTES + 1).read_to_end(&mut printed);
        read.context("cannot read what the keyring says")?;
    }
    let mut said = String::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(MOST_BYTES).read_to_string(&mut said);
    }
    let status = child.wait().context("cannot wait for the keyring")?;
    if status.success() {
        return Ok(printed);
    }
    let said = said.trim().trim_start_matches("leyden: ");
    let said = if said.is_empty() { "nothing" } else { said };
    Err(Failure::Denied(format!(
        "the keyring does not serve the key {label}: {said}"
    ))
    .into())
}

/// What the process that asks the keyring does.
///
/// # Errors
///
/// [`Failure::Denied`], with what the keyring says.
pub(crate) fn serve(action: Action, label: &str) -> anyhow::Result<()> {
    if std::io::stdout().is_terminal() {
        return Err(usage(
            "other commands ask for this; a key is not shown on a terminal",
        ));
    }
    match (Entry::store_status(), Entry::new(SERVICE, label)) {
        (Ok(()), Ok(entry)) => act(action, &entry),
        (Err(error), _) => Err(denied(error)),
        (_, Err(error)) => Err(denied(&error)),
    }
}

fn act(action: Action, entry: &Entry) -> anyhow::Result<()> {
    if action == Action::Remove {
        return entry.delete_credential().map_err(|error| denied(&error));
    }
    let held = entry.get_secret().map(Zeroizing::new);
    match (held, action) {
        (Ok(_), Action::Make) => Err(Failure::Denied(
            "it holds one of that name already: choose another label, or remove that one from the \
             keyring"
                .into(),
        )
        .into()),
        (Ok(key), _) => report::print(&key),
        (Err(Error::NoEntry), Action::Make | Action::ReadOrMake) => {
            let mut key = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize));
            let read = std::io::stdin().take(MOST_BYTES).read_to_end(&mut key);
            read.context("cannot read the new key")?;
            entry.set_secret(&key).map_err(|error| denied(&error))?;
            report::print(&key)
        }
        (Err(error), _) => Err(denied(&error)),
    }
}

fn denied(error: &Error) -> anyhow::Error {
    let what = match error {
        Error::NoEntry => "it holds none of that name".into(),
        Error::NoStorageAccess(cause) => format!("it is locked, or cannot be reached: {cause}"),
        Error::PlatformFailure(cause) => format!("there is none, or it fails: {cause}"),
        Error::NoDefaultStore => "there is none".into(),
        // Some of the others carry what was read.
        _ => "it fails".into(),
    };
    Failure::Denied(what).into()
}
