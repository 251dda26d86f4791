//! Questions: passphrases and values, on the terminal itself and never through standard input, and
//! yes or no.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use leyden::secrets::SecretValue;
use rustix::termios::{QueueSelector, tcflush};
use zeroize::Zeroizing;

use crate::exit::{Failure, usage};
use crate::{hidden, signals};

/// Asks for something that is not shown while it is typed.
///
/// # Errors
///
/// [`NoTerminal`] where there is none; [`Failure::Interrupted`] after Ctrl-C or Ctrl-D; a usage
/// error where what was typed is no text.
pub(crate) fn hidden(question: &str) -> anyhow::Result<Zeroizing<String>> {
    let typed = signals::during_prompt(question, hidden::read);
    typed.map_err(|error| match error.kind() {
        io::ErrorKind::Interrupted | io::ErrorKind::UnexpectedEof => Failure::Interrupted.into(),
        io::ErrorKind::InvalidData => usage(format!(
            "{error}, so nothing was done; what is no line of UTF-8 text comes from a file or a pipe"
        )),
        _ => NoTerminal(error).into(),
    })
}

/// There is no terminal to ask on.
#[derive(Debug, thiserror::Error)]
#[error("there is no terminal to ask on")]
pub(crate) struct NoTerminal(#[source] io::Error);

/// Asks twice for something that is not shown, so that a slip of the finger is noticed.
fn hidden_twice(what: &str) -> anyhow::Result<Zeroizing<String>> {
    let first = hidden(&format!("{what}: "))?;
    let second = hidden(&format!("{what}, again: "))?;
    if *first != *second {
        return Err(usage(
            "the two entries differ, so nothing was stored; try again",
        ));
    }
    Ok(first)
}

/// Asks for a secret's value.
pub(crate) fn value(name: &str) -> anyhow::Result<SecretValue> {
    Ok(SecretValue::from_text(hidden_twice(&format!(
        "Value of {name}"
    ))?)?)
}

/// Asks for a new passphrase.
pub(crate) fn new_passphrase() -> anyhow::Result<Zeroizing<String>> {
    hidden_twice("New passphrase")
}

/// Asks a question that only `y` or `yes` affirms.
fn confirm(question: &str) -> anyhow::Result<bool> {
    // What was typed before it was asked answers something else.
    let _ = tcflush(io::stdin(), QueueSelector::IFlush);
    let mut stderr = io::stderr().lock();
    write!(stderr, "{} [y/N] ", crate::report::printable(question))?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().lock().read_line(&mut answer)?;
    if !answer.ends_with('\n') {
        // Ctrl-D ends no line.
        writeln!(stderr)?;
    }
    Ok(matches!(
        answer.trim().to_ascii_lowercase().as_str(),
        "y" | "yes"
    ))
}

/// Asks a question, unless `yes` answers it already.
///
/// # Errors
///
/// A usage error where nobody can answer; [`Failure::Declined`], with what then was not done, where
/// the answer is no.
pub(crate) fn confirm_or_refuse(
    question: &str,
    yes: bool,
    declined: &'static str,
) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(usage("this asks first; say --yes where nobody can answer"));
    }
    match confirm(question)? {
        true => Ok(()),
        false => Err(Failure::Declined(declined).into()),
    }
}
