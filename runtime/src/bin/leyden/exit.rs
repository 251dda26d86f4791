//! Exit statuses, and the one paragraph on standard error that goes with a failure.

use std::io::Write as _;

use leyden::app::{AppError, ErrorKind, SourceError};
use leyden::run::journal::JournalError;
use leyden::sandbox::{Ending, SandboxError};
use leyden::secrets::StoreError;

use crate::outlet::{Outlet, Stream};
use crate::report::printable;

pub(crate) const DONE: u8 = 0;
/// `leyden doctor` found something that must be mended, or somebody said no.
pub(crate) const NO: u8 = 1;
pub(crate) const USAGE: u8 = 2;
/// `EX_NOPERM` of sysexits(3).
pub(crate) const DENIED: u8 = 77;
/// As `timeout` of the GNU coreutils.
pub(crate) const TIMED_OUT: u8 = 124;
const FAILED: u8 = 125;
const NOT_RUNNABLE: u8 = 126;
const NOT_FOUND: u8 = 127;
/// 128 + SIGHUP.
pub(crate) const HUNG_UP: u8 = 129;
/// 128 + SIGINT.
pub(crate) const INTERRUPTED: u8 = 130;
/// 128 + SIGABRT, as `wasmtime run`.
const TRAPPED: u8 = 134;
/// 128 + SIGPIPE.
pub(crate) const OUTPUT_CLOSED: u8 = 141;
/// 128 + SIGTERM.
pub(crate) const TERMINATED: u8 = 143;

/// The statuses, as `--help` lists them.
pub(crate) const HELP: &str = "\
Exit status:
  of the app  its own, where it ended by itself
  1           `leyden doctor` found something to mend, or a question was answered with no
  2           what was typed is wrong: an option, a name, a binding, a folder
  77          a secret may not be had: no store or key, a wrong key, a binding that was refused,
              a damaged or rolled-back store, a request of the app that nobody allowed
  124         the app ran longer than its time limit
  125         Leyden itself failed, or no cluster is configured for --cloud
  126         APP is there, but cannot be run
  127         APP is not there
  129         the terminal went away (SIGHUP)
  130, 143    interrupted (SIGINT), terminated (SIGTERM)
  134         the app trapped, or needed more memory than its limit
  141         the reader of the output went away";

/// What the command itself finds wrong; everything else has an error of the library.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// What was typed is wrong.
    #[error("{0}")]
    Usage(String),
    /// A secret may not be had.
    #[error("{0}")]
    Denied(String),
    /// Somebody answered a question with no.
    #[error("{0}")]
    Declined(&'static str),
    /// Somebody pressed Ctrl-C at a question.
    #[error("interrupted")]
    Interrupted,
    /// Nobody reads our standard output any more.
    #[error("the reader of the output went away")]
    OutputClosed,
}

/// A usage error.
pub(crate) fn usage(text: impl Into<String>) -> anyhow::Error {
    Failure::Usage(text.into()).into()
}

/// The exit status for an error.
pub(crate) fn status_of(error: &anyhow::Error) -> u8 {
    if let Some(failure) = error.downcast_ref() {
        return match failure {
            Failure::Usage(_) => USAGE,
            Failure::Denied(_) => DENIED,
            Failure::Declined(_) => NO,
            Failure::Interrupted => INTERRUPTED,
            Failure::OutputClosed => OUTPUT_CLOSED,
        };
    }
    // What uses the store alone has the store's own error.
    if let Some(error) = error.downcast_ref() {
        return of_store(error);
    }
    if let Some(error) = error.downcast_ref() {
        return of_journal(error);
    }
    match error.downcast_ref() {
        Some(leyden::Error::App(error)) => of_app(error),
        Some(leyden::Error::Store(error)) => of_store(error),
        Some(leyden::Error::NoStore(_) | leyden::Error::NotText { .. }) => DENIED,
        Some(leyden::Error::Source(error)) => of_source(error),
        Some(leyden::Error::Files(_)) => USAGE,
        Some(leyden::Error::Sandbox { source, .. } | leyden::Error::Engine(source)) => {
            of_sandbox(source)
        }
        _ => FAILED,
    }
}

fn of_app(error: &AppError) -> u8 {
    match error.kind() {
        ErrorKind::NotFound => NOT_FOUND,
        ErrorKind::NotRunnable => NOT_RUNNABLE,
        ErrorKind::Usage => USAGE,
        ErrorKind::Uncovered => DENIED,
    }
}

fn of_source(error: &SourceError) -> u8 {
    match error {
        SourceError::NotFound { .. } => NOT_FOUND,
        _ => NOT_RUNNABLE,
    }
}

fn of_sandbox(error: &SandboxError) -> u8 {
    match error {
        SandboxError::NotRunnable(_) => NOT_RUNNABLE,
        _ => FAILED,
    }
}

pub(crate) fn of_store(error: &StoreError) -> u8 {
    match error {
        // What was given cannot be stored or used, whatever the store holds.
        StoreError::Exists { .. }
        | StoreError::StoreExists { .. }
        | StoreError::FileExists { .. }
        | StoreError::PastExpiry { .. }
        | StoreError::TooLarge { .. }
        | StoreError::KeepsTooMany { .. }
        | StoreError::TooManyVersions { .. }
        | StoreError::TooManyGrants { .. }
        | StoreError::RestrictedToApps { .. }
        | StoreError::NotDeleted { .. }
        | StoreError::NoGrant { .. }
        | StoreError::NoSuchVersion { .. }
        | StoreError::Slot { .. }
        | StoreError::LastSlot { .. }
        | StoreError::NoSuchSlot { .. } => USAGE,
        // The machine failed, not the right to a secret.
        StoreError::Busy { .. }
        | StoreError::AuditSink { .. }
        | StoreError::Database { .. }
        | StoreError::Io { .. }
        | StoreError::NoStateDir
        | StoreError::Random { .. }
        | StoreError::ReadValue { .. }
        | StoreError::SqliteTooOld { .. }
        | StoreError::StateNotWritten { .. }
        | StoreError::Stretch { .. } => FAILED,
        _ => DENIED,
    }
}

fn of_journal(error: &JournalError) -> u8 {
    match error {
        JournalError::Io { .. } | JournalError::Damaged { .. } => FAILED,
        JournalError::OtherStore(_) => DENIED,
        JournalError::Store(error) => of_store(error),
        _ => USAGE,
    }
}

/// The exit status for the end of a guest.
pub(crate) fn of_ending(ending: &Ending) -> u8 {
    match ending {
        Ending::Exited(status) => of_guest(*status),
        Ending::Trapped(_) | Ending::OutOfMemory(_) => TRAPPED,
        Ending::TimedOut(_) => TIMED_OUT,
        Ending::OutputClosed => OUTPUT_CLOSED,
        // By a signal, whose status the command has already, or by nobody.
        _ => TERMINATED,
    }
}

/// What a parent sees of a guest's status: its low 8 bits (POSIX, `_exit`), but never 0 for a
/// status that was not.
fn of_guest(status: i32) -> u8 {
    let [low, ..] = status.to_le_bytes();
    if low == 0 && status != 0 { 1 } else { low }
}

/// Says on standard error what went wrong.
pub(crate) fn tell(error: &anyhow::Error) {
    match error.downcast_ref() {
        // Whoever closed the pipe knows, and a person who pressed Ctrl-C does, too.
        Some(Failure::OutputClosed | Failure::Interrupted) => {}
        _ => say(&explain(error)),
    }
}

/// One line (or paragraph) on standard error.
pub(crate) fn say(text: &str) {
    // In one write, so that nobody else's words get into it. Nobody is left to tell where standard
    // error is closed.
    let line = format!("leyden: {}\n", printable(text));
    let _ = Outlet::new(Stream::Stderr).write_all(line.as_bytes());
}

/// An error and its causes, joined by `: `. Some errors show their cause themselves: it is not
/// said twice.
pub(crate) fn explain(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn guests_statuses_keep_their_low_bits_and_failures_stay_failures() {
        for (status, seen) in [
            (0, 0),
            (1, 1),
            (255, 255),
            (256, 1),
            (257, 1),
            (-1, 255),
            (512, 1),
        ] {
            assert_eq!(of_guest(status), seen, "{status}");
        }
    }

    #[test]
    fn endings_have_the_documented_statuses() {
        for (ending, status) in [
            (Ending::Exited(7), 7),
            (Ending::Trapped(String::new()), 134),
            (Ending::OutOfMemory(1), 134),
            (Ending::TimedOut(Duration::ZERO), 124),
            (Ending::OutputClosed, 141),
        ] {
            assert_eq!(of_ending(&ending), status, "{ending:?}");
            assert!(HELP.contains(&status.to_string()) || status == 7);
        }
    }

    #[test]
    fn errors_have_the_documented_statuses() {
        let path = || "p".into();
        let not_runnable = || SandboxError::NotRunnable(String::new());
        let errors: Vec<(anyhow::Error, u8)> = vec![
            (usage("x"), 2),
            (Failure::Denied(String::new()).into(), 77),
            (StoreError::MissingStore { path: path() }.into(), 77),
            (
                leyden::Error::Store(StoreError::WrongKey { path: path() }).into(),
                77,
            ),
            (StoreError::TooLarge { limit: 1 }.into(), 2),
            (StoreError::Busy { path: path() }.into(), 125),
            (leyden::Error::NoStore(1).into(), 77),
            (leyden::Error::Engine(not_runnable()).into(), 126),
            (
                leyden::Error::from(leyden::App::from_path("/not/there").unwrap_err()).into(),
                127,
            ),
            (
                leyden::Error::from(leyden::App::from_path("/").unwrap_err()).into(),
                126,
            ),
            (anyhow::anyhow!("other"), 125),
        ];
        for (error, status) in errors {
            assert_eq!(status_of(&error), status, "{error}");
            let in_context = error.context("while trying");
            assert_eq!(status_of(&in_context), status, "{in_context}");
        }
    }

    #[test]
    fn causes_are_joined_and_none_is_said_twice() {
        let cause = || std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(cause()).context("cannot read x");
        assert_eq!(explain(&error), "cannot read x: disk on fire");
        let error = leyden::Error::Sandbox {
            component: "app".into(),
            source: SandboxError::NotRunnable("it is odd".into()),
        };
        assert_eq!(explain(&error.into()), "app: it cannot be run: it is odd");
    }
}
