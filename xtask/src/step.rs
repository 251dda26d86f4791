//! One step of a task: an outside program, shown as it is run.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context, Result, bail};

/// Shows a command, runs it to its end, and fails where it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    eprintln!("$ {}", shown(command));
    let status = command
        .status()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("{} failed: {status}", command.get_program().display());
    }
    Ok(())
}

/// The same, and notes all that the command prints in a file.
pub(crate) fn run_noting(command: &mut Command, at: &Path) -> Result<()> {
    let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
    command.stdout(writer.try_clone()?).stderr(writer);
    let noting = File::create(at).map(|file| thread::spawn(move || note(reader, file)))?;
    let ran = run(command);
    // The command holds the pipe's other end until it is told to print elsewhere.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    match noting.join() {
        Ok(noted) => noted.context("cannot note what was printed")?,
        Err(_) => bail!("the thread that notes what was printed has panicked"),
    }
    ran
}

fn note(mut from: impl Read, mut file: File) -> io::Result<()> {
    let mut bytes = [0; 8192];
    loop {
        let length = from.read(&mut bytes)?;
        let Some(read) = bytes.get(..length).filter(|read| !read.is_empty()) else {
            return Ok(());
        };
        io::stderr().write_all(read)?;
        file.write_all(read)?;
    }
}

/// What a command prints, without its last newline; an error where it fails. Not shown.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{} failed: {}\n{said}", shown(command), output.status);
    }
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

/// A command as it would be typed.
fn shown(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        value.map(|value| format!("{}={}", name.display(), quoted(&value.to_string_lossy())))
    });
    let words = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| quoted(&word.to_string_lossy()));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quoted(word: &str) -> String {
    if word.contains([' ', '"', '*', '$']) {
        format!("'{word}'")
    } else {
        word.to_owned()
    }
}
