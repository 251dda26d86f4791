//! How an instance ended, and why, in one line.

use std::time::Duration;

use bytesize::ByteSize;
use wasmtime::Trap;
use wasmtime_wasi::I32Exit;

use super::limits::Limits;
use super::streams::OutputClosed;

/// How an instance ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ending {
    /// It ended by itself, with this exit status; 0 is success.
    Exited(i32),
    /// It trapped; the reason in one line.
    Trapped(String),
    /// It ran longer than this.
    TimedOut(Duration),
    /// It asked for more memory than this many bytes and then trapped.
    OutOfMemory(u64),
    /// Nobody reads its standard output or error any more.
    OutputClosed,
    /// It was stopped by whoever runs it.
    Stopped,
}

impl Ending {
    /// Which of these it is, in a word or two: as the journal and events write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Exited(_) => "exited",
            Self::Trapped(_) => "trapped",
            Self::TimedOut(_) => "timed-out",
            Self::OutOfMemory(_) => "out-of-memory",
            Self::OutputClosed => "output-closed",
            Self::Stopped => "stopped",
        }
    }

    /// Whether it ended with exit status 0.
    pub fn is_success(&self) -> bool {
        *self == Self::Exited(0)
    }

    /// Tells an error that ended a guest apart from the host's own failures.
    pub(super) fn of_error(error: &wasmtime::Error, limits: &Limits, refused_memory: bool) -> Self {
        if let Some(exit) = error.downcast_ref::<I32Exit>() {
            return Self::Exited(exit.0);
        }
        if error.downcast_ref::<OutputClosed>().is_some() {
            return Self::OutputClosed;
        }
        if refused_memory {
            return Self::OutOfMemory(limits.memory);
        }
        Self::Trapped(match error.downcast_ref::<Trap>() {
            Some(trap) => trap_reason(*trap),
            None => one_line(&error.root_cause().to_string()),
        })
    }
}

impl std::fmt::Display for Ending {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Exited(status) => write!(f, "it exited with status {status}"),
            Self::Trapped(reason) => write!(f, "it trapped: {reason}"),
            Self::TimedOut(limit) => {
                let limit = humantime::format_duration(*limit);
                write!(f, "it ran longer than its time limit of {limit}")
            }
            Self::OutOfMemory(limit) => {
                let limit = ByteSize::b(*limit);
                write!(f, "it needed more memory than its limit of {limit}")
            }
            Self::OutputClosed => f.write_str("the reader of its output went away"),
            Self::Stopped => f.write_str("it was stopped"),
        }
    }
}

fn trap_reason(trap: Trap) -> String {
    let text = trap.to_string();
    let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
    match trap {
        Trap::UnreachableCodeReached => {
            "it aborted (reached an `unreachable` instruction)".to_owned()
        }
        Trap::StackOverflow => "it ran out of stack (endless recursion?)".to_owned(),
        // Compilers put a program's own stack at the bottom of its memory, and run over its end.
        Trap::MemoryOutOfBounds => {
            "out of bounds memory access (a wild pointer, or endless recursion)".to_owned()
        }
        // What components that were built through the preview1 adapter do when their environment
        // or arguments do not fit into its arena.
        Trap::CannotLeaveComponent => {
            format!("{text} (or its environment is larger than it was built to take)")
        }
        _ => one_line(text),
    }
}

/// The first line of a message, bounded: the rest is a backtrace or the guest's own text.
pub(super) fn one_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    line.chars().filter(|c| !c.is_control()).take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_become_endings() {
        let limits = Limits::default();
        let of = |error: wasmtime::Error, refused| Ending::of_error(&error, &limits, refused);
        assert_eq!(of(I32Exit(7).into(), false), Ending::Exited(7));
        assert_eq!(of(OutputClosed.into(), false), Ending::OutputClosed);
        assert_eq!(
            of(Trap::UnreachableCodeReached.into(), true),
            Ending::OutOfMemory(limits.memory)
        );
        assert_eq!(
            of(Trap::IntegerDivisionByZero.into(), false).to_string(),
            "it trapped: integer divide by zero"
        );
    }

    #[test]
    fn a_reason_is_one_printable_line() {
        assert_eq!(one_line("a\u{1b}[2Jb\nc"), "a[2Jb");
    }
}
