//! The journal: what was started in each run, how it ended, and what came of it.
//!
//! Each run has a folder of its own, which is removed with it:
//!
//! ```text
//! runs/20261124-110809-123k3fq/
//!   journal.db     SQLite: the run, its Works, their attempts; payloads sealed
//!   log, log.1     what the Flow wrote to standard error, and the Works to either output
//!   lock           held (flock) by the process that runs it, whose number is in it: free, the run
//!                  has ended, or its process has died; `log` behind the number: journal.db has a
//!                  log (journal.db-wal) until it is closed
//! ```
//!
//! Inputs, outputs and the exact texts of errors are sealed under a random key for each run, which
//! is itself sealed under a key that comes from the store's root key. A run without a store keeps
//! the rest: names, times, sizes, endings. None of that is a secret's value: the app's secrets are
//! taken out of log lines and failures.
//!
//! A Work counts as ended once that is committed, and only then its Flow hears of it; but that it
//! stopped what still waited it hears at once, since that runs again when the run is gone on with.
//! Commits are shared by all that waits (`synchronous=NORMAL`: a killed process loses none of them).

mod database;
mod error;
mod id;
mod lock;
mod log;
mod pending;
mod places;
mod read;
mod rows;
mod runs;
mod sql;
mod wal;
mod writer;

pub use error::JournalError;
pub use id::RunId;
pub(super) use places::Earlier;
pub use read::{AttemptInfo, RunInfo, RunState, WorkInfo};
pub(crate) use runs::Beginning;
pub use runs::{Claim, Keep, Runs};
pub(super) use writer::End;
pub use writer::Journal;
