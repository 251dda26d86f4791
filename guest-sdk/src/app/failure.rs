//! How a Work stands, and what can be wrong with one.

use std::time::Duration;

/// Where a started Work is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// It waits for its turn.
    Pending,
    /// It runs, or waits to be tried again after a failure.
    Running,
    /// It ended well; its output is there.
    Succeeded,
    /// It ended, and not well.
    Failed,
    /// It was stopped before its end.
    Stopped,
}

/// How a Work failed. Where its host tried it again, this is the last attempt's failure.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Failure {
    /// The Work itself returned this error.
    #[error("failed: {0}")]
    Error(String),
    /// It trapped, as it does after a panic: the reason in one line.
    #[error("trapped: {0}")]
    Trap(String),
    /// It is a program and ended with this exit status, which is not 0.
    #[error("ended with exit status {0}")]
    Exit(i32),
    /// It ran longer than this, its time limit.
    #[error("ran longer than its time limit of {0:?}")]
    TimedOut(Duration),
    /// It asked for more memory than its limit, in bytes.
    #[error("asked for more memory than its limit of {0} bytes")]
    OutOfMemory(u64),
    /// It was stopped before its end.
    #[error("was stopped")]
    Stopped,
    /// It was never run; says why, and what to do.
    #[error("was refused: {0}")]
    Refused(String),
}

/// Why there is no result of a Work. Always names the Work; repeats neither input nor output.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkError {
    /// The app has no such Work.
    #[error("the app has no Work {name}{}", hint(.nearest.as_deref(), .names))]
    Unknown {
        /// The name asked for.
        name: String,
        /// The name that may have been meant.
        nearest: Option<String>,
        /// All that there are.
        names: Vec<String>,
    },
    /// An input cannot be written as JSON.
    #[error("an input of {work} cannot be written as JSON: see `Serialize` of {is}")]
    Input {
        /// The Work.
        work: String,
        /// The input's type.
        is: String,
    },
    /// What the Work returned is not what was expected.
    #[error("what {work} returned cannot be read as {expected}: {reason}")]
    Output {
        /// The Work.
        work: String,
        /// The type expected.
        expected: String,
        /// What does not fit, and where.
        reason: String,
    },
    /// The Work failed.
    #[error("{work} {failure}")]
    Failed {
        /// The Work.
        work: String,
        /// How it failed.
        failure: Failure,
    },
}

impl WorkError {
    /// How the Work failed, if it did: what to look at to tell a time-out from the Work's own
    /// error.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed { failure, .. } => Some(failure),
            _ => None,
        }
    }
}

/// What may have been meant by an unknown name; else, what there is.
fn hint(nearest: Option<&str>, names: &[String]) -> String {
    match nearest {
        Some(name) => format!(": did you mean {name}?"),
        None if names.is_empty() => ": its leyden.toml names none".into(),
        None => format!(": its leyden.toml names {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_read_as_sentences() {
        for (failure, said) in [
            (Failure::Error("no data".into()), "train failed: no data"),
            (Failure::Exit(3), "train ended with exit status 3"),
            (
                Failure::TimedOut(Duration::from_millis(1500)),
                "train ran longer than its time limit of 1.5s",
            ),
            (Failure::Stopped, "train was stopped"),
        ] {
            let error = WorkError::Failed {
                work: "train".into(),
                failure,
            };
            assert_eq!(error.to_string(), said);
        }
    }
}
