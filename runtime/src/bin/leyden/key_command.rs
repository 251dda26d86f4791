//! A shell command that hands out a key, or takes one: what a key management service or a hardware
//! token is asked with.

use std::ffi::OsStr;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use anyhow::Context as _;
use leyden::secrets::{Holder, Key};
use zeroize::Zeroizing;

use crate::exit::Failure;

/// More than any key file has.
const MOST_BYTES: u64 = 1024;

/// The key that the command prints.
///
/// # Errors
///
/// [`Failure::Denied`] where the command fails or prints something else.
pub(crate) fn read(command: &OsStr) -> anyhow::Result<Key> {
    // Standard input is the guest's; a token that wants a PIN asks on the terminal.
    let mut child = start(command, Stdio::null(), Stdio::piped())?;
    // The whole capacity at once: a vector that grows leaves copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(MOST_BYTES as usize + 1));
    if let Some(stdout) = child.stdout.take() {
        let read = stdout.take(MOST_BYTES + 1).read_to_end(&mut text);
        read.context("cannot read what the key command prints")?;
    }
    succeeded(&mut child)?;
    match Key::from_text(&text) {
        Ok(key) => Ok(key.held_by(Holder::Command)),
        Err(problem) => {
            Err(Failure::Denied(format!("what the key command prints is no key: {problem}")).into())
        }
    }
}

/// Hands the key's line to the command, on its standard input.
///
/// # Errors
///
/// [`Failure::Denied`] where the command fails.
pub(crate) fn write(command: &OsStr, key: &Key) -> anyhow::Result<()> {
    let text = key.to_text().context("the key has no text")?;
    let mut child = start(command, Stdio::piped(), Stdio::inherit())?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that ends without reading says so by its status, or takes no key.
        let written = stdin.write_all(text.as_bytes());
        drop(stdin);
        succeeded(&mut child)?;
        written.context("the key command did not read the key")?;
    }
    Ok(())
}

/// Makes sure that the command prints this key.
///
/// # Errors
///
/// Those of [`read`]; [`Failure::Denied`] where it prints another one.
pub(crate) fn check(command: &OsStr, key: &Key) -> anyhow::Result<()> {
    match read(command)?.to_text() == key.to_text() {
        true => Ok(()),
        false => Err(Failure::Denied("the command prints another key".into()).into()),
    }
}

fn start(command: &OsStr, stdin: Stdio, stdout: Stdio) -> anyhow::Result<Child> {
    Command::new("sh")
        .arg("-c")
        .arg(command)
        .stdin(stdin)
        .stdout(stdout)
        .spawn()
        .context("cannot start a shell for the key command")
}

fn succeeded(child: &mut Child) -> anyhow::Result<()> {
    let status = child.wait().context("cannot wait for the key command")?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::Denied(format!("the key command failed: {status}")).into())
}
