//! How a Work failed: each kind told apart, for the Flow, the journal and whoever reads along.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ending::Ending;

/// How a Work failed (`failure` of `leyden:app/types@0.1.0`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "detail")]
#[non_exhaustive]
pub enum Failure {
    /// The Work itself returned this error.
    Error(String),
    /// It trapped; the reason in one line.
    Trap(String),
    /// It ended with this exit status in place of an output.
    Exit(i32),
    /// It ran longer than this.
    TimedOut(Duration),
    /// It asked for more memory than this many bytes and then trapped.
    OutOfMemory(u64),
    /// It was stopped before its end.
    Stopped,
    /// It was never run, its output could not be taken, or the host itself failed; why, and what to
    /// do.
    Refused(String),
}

impl Failure {
    /// Whether another attempt may end better: not where the Work itself said no, or nobody wants
    /// it any more.
    pub fn is_fault(&self) -> bool {
        matches!(
            self,
            Self::Trap(_) | Self::TimedOut(_) | Self::OutOfMemory(_)
        )
    }

    /// The kind, in a word or two: as the journal and events write it.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Error(_) => "error",
            Self::Trap(_) => "trap",
            Self::Exit(_) => "exit",
            Self::TimedOut(_) => "timed-out",
            Self::OutOfMemory(_) => "out-of-memory",
            Self::Stopped => "stopped",
            Self::Refused(_) => "refused",
        }
    }
}

/// What the end of its instance is for a Work that had an output to give.
impl From<Ending> for Failure {
    fn from(ending: Ending) -> Self {
        match ending {
            Ending::Exited(status) => Self::Exit(status),
            Ending::Trapped(reason) => Self::Trap(reason),
            Ending::TimedOut(limit) => Self::TimedOut(limit),
            Ending::OutOfMemory(limit) => Self::OutOfMemory(limit),
            Ending::OutputClosed | Ending::Stopped => Self::Stopped,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Error(text) => write!(f, "it returned an error: {text}"),
            Self::Trap(reason) => Ending::Trapped(reason.clone()).fmt(f),
            Self::Exit(status) => Ending::Exited(*status).fmt(f),
            Self::TimedOut(limit) => Ending::TimedOut(*limit).fmt(f),
            Self::OutOfMemory(limit) => Ending::OutOfMemory(*limit).fmt(f),
            Self::Stopped => f.write_str("it was stopped"),
            Self::Refused(why) => write!(f, "it was refused: {why}"),
        }
    }
}
