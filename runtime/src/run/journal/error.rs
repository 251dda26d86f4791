//! What cannot be done with runs.

use std::io;
use std::path::PathBuf;

use crate::app::Digest;
use crate::secrets::StoreError;

use super::id::RunId;

/// What cannot be done with runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The folder or a file in it cannot be used.
    #[error("the journal in {} cannot be used: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// SQLite cannot read it.
    #[error(
        "the journal of the run {id} in {} cannot be read: {reason}; to remove it: \
         leyden runs remove {id}",
        folder.display()
    )]
    Damaged {
        /// The run.
        id: RunId,
        /// Where it is.
        folder: PathBuf,
        /// What SQLite says.
        reason: String,
    },
    /// There is no such run.
    #[error("there is no run {0}; `leyden runs list` shows those there are")]
    NotFound(RunId),
    /// It is still under way.
    #[error("the run {id} is under way, in {}", process(*pid))]
    UnderWay {
        /// The run.
        id: RunId,
        /// The process, where it has said so already.
        pid: Option<u32>,
    },
    /// No store was open to seal what is needed to go on.
    #[error(
        "the run {0} keeps metadata only, because no store was open to seal more: it cannot be \
         resumed"
    )]
    NotSealed(RunId),
    /// Its payloads do not open.
    #[error(
        "what the run {0} keeps does not open with this store: it was made with another one, or \
         before its root key was changed"
    )]
    OtherStore(RunId),
    /// The app is not the one that ran.
    #[error(
        "the app has changed since the run {id}: it was {was} and is {is}; what the one did is no \
         answer for the other, so start a new run"
    )]
    AppChanged {
        /// The run.
        id: RunId,
        /// The digest then.
        was: String,
        /// The digest now.
        is: Digest,
    },
    /// It has ended, and well.
    #[error("the run {0} has ended well: there is nothing to resume")]
    Ended(RunId),
    /// The store cannot make a key.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn process(pid: Option<u32>) -> String {
    pid.map_or_else(
        || "another process".to_owned(),
        |pid| format!("process {pid}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_a_run_is_named_where_that_is_known() {
        let id = RunId::new(jiff::Timestamp::UNIX_EPOCH);
        for (pid, shown) in [(Some(7), "in process 7"), (None, "in another process")] {
            let error = JournalError::UnderWay {
                id: id.clone(),
                pid,
            };
            assert!(error.to_string().ends_with(shown), "{error}");
        }
    }
}
