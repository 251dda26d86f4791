//! One run's journal, as those see it who write to it.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::oneshot;

use crate::app::Digest;
use crate::run::event::{Answer, WorkId};
use crate::sandbox::{Ending, Failure, Payload, SandboxError, Started};
use crate::secrets::RunKey;

use super::database::Database;
use super::id::RunId;
use super::log::Log;
use super::pending::{Pending, What};
use super::places::{Earlier, Place, Places};
use super::runs::Runs;
use super::sql::{EndedRow, QueuedRow, RunEnd};

/// What payloads are sealed as.
const INPUT: &str = "input";
pub(super) const OUTPUT: &str = "output";
pub(super) const ERROR: &str = "error";
pub(super) const EXIT: &str = "exit";

/// The journal of one run, while it is written.
pub struct Journal {
    id: RunId,
    key: Option<RunKey>,
    places: Places,
    first: u64,
    records: Pending,
    /// The others, and the folder among them.
    runs: Runs,
    folder: PathBuf,
    log: Log,
    failed: Arc<OnceLock<String>>,
    failure_told: AtomicBool,
}

/// How a Work ended, to be written before its Flow hears of it.
pub(in crate::run) struct End {
    pub(in crate::run) id: WorkId,
    pub(in crate::run) attempt: u32,
    pub(in crate::run) answer: Answer,
    /// As people may see it.
    pub(in crate::run) told: Result<usize, Failure>,
    pub(in crate::run) started: Started,
    pub(in crate::run) result: Result<Payload, Failure>,
}

/// What a journal is made of.
pub(super) struct Parts {
    pub(super) id: RunId,
    pub(super) runs: Runs,
    pub(super) folder: PathBuf,
    pub(super) key: Option<RunKey>,
    pub(super) places: Places,
    /// The first number that is free.
    pub(super) first: u64,
    pub(super) database: Database,
    /// Why nothing is written any more.
    pub(super) failed: Arc<OnceLock<String>>,
}

impl Journal {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            id: parts.id,
            key: parts.key,
            places: parts.places,
            first: parts.first,
            records: Pending::new(parts.database),
            log: Log::new(&parts.folder),
            runs: parts.runs,
            folder: parts.folder,
            failed: parts.failed,
            failure_told: AtomicBool::new(false),
        }
    }

    /// The run's name.
    pub fn id(&self) -> &RunId {
        &self.id
    }

    /// Whether payloads are kept, so that the run can be resumed.
    pub fn keeps_payloads(&self) -> bool {
        self.key.is_some()
    }

    /// Why nothing is written any more, if that is so: a full disk, say. The run goes on.
    pub fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    /// The same, for the first who asks.
    pub(in crate::run) fn new_failure(&self) -> Option<String> {
        let reason = self.failure()?;
        let told = self.failure_told.swap(true, Ordering::Relaxed);
        (!told).then(|| reason.to_owned())
    }

    pub(in crate::run) fn next_number(&self) -> u64 {
        self.first
    }

    /// A start's place; none where payloads are not kept.
    pub(in crate::run) fn place(
        &self,
        work: &str,
        component: Digest,
        input: &Bytes,
    ) -> Option<Place> {
        let key = self.key.as_ref()?;
        Some(self.places.next(key, work, component, input))
    }

    /// What an earlier life of the run has there.
    pub(in crate::run) fn answer(&self, place: &Place) -> Earlier {
        match &self.key {
            Some(key) => self.places.answer(key, place),
            None => Earlier::Nothing,
        }
    }

    /// The output of any start with the same Work and input in an earlier life, once: for those
    /// that are cached.
    pub(in crate::run) fn same(&self, place: &Place) -> Option<Bytes> {
        self.places.same(self.key.as_ref()?, place)
    }

    pub(in crate::run) fn queued(&self, id: &WorkId, place: Option<&Place>, input: &Bytes) {
        let row = QueuedRow {
            number: id.number,
            name: Arc::clone(&id.work),
            place: place.map(|place| place.hash),
            occurrence: place.map_or(0, |place| place.occurrence),
            at: now(),
            input: self.seal(INPUT, id.number, input),
            input_size: input.len(),
        };
        let size = row.input.as_ref().map_or(0, Vec::len);
        self.records.add(What::Queued(row), size);
    }

    /// A start of what cannot be run; its input is not kept.
    pub(in crate::run) fn refused(&self, id: &WorkId, input_size: usize) {
        let row = QueuedRow {
            number: id.number,
            name: Arc::clone(&id.work),
            place: None,
            occurrence: 0,
            at: now(),
            input: None,
            input_size,
        };
        self.records.add(What::Queued(row), 0);
    }

    pub(in crate::run) fn attempt(&self, id: &WorkId, attempt: u32) {
        self.records
            .add(What::Attempt(id.number, attempt, now()), 0);
    }

    pub(in crate::run) fn failed(&self, id: &WorkId, attempt: u32, failure: &Failure) {
        let what = What::Failed(id.number, attempt, now(), failure.clone());
        self.records.add(what, 0);
    }

    /// Writes a Work's end, and then lets its Flow know.
    pub(in crate::run) fn ended(&self, end: End) {
        let number = end.id.number;
        let output = match &end.result {
            Ok(output) => self.seal(OUTPUT, number, &output.bytes),
            Err(Failure::Error(text)) => self.seal(ERROR, number, text.as_bytes()),
            Err(Failure::Exit(status)) => self.seal(EXIT, number, &status.to_be_bytes()),
            Err(_) => None,
        };
        let size = output.as_ref().map_or(0, Vec::len);
        let row = EndedRow {
            number,
            attempt: end.attempt,
            at: now(),
            answer: end.answer.word(),
            output_size: end.told.as_ref().ok().copied(),
            failure: end.told.err(),
            output,
        };
        self.records
            .add(What::Ended(row, end.started, end.result), size);
    }

    /// A line of a Work's.
    pub(in crate::run) fn log(&self, id: &WorkId, line: &str) {
        self.log.line(id, line);
    }

    /// A line of the Flow's.
    pub(in crate::run) fn log_flow(&self, line: &str) {
        self.log.line(&"flow", line);
    }

    /// Writes the run's end and waits until all is written.
    pub(in crate::run) async fn end(&self, ending: &Result<Ending, SandboxError>) {
        let (done, written) = oneshot::channel();
        let (kind, status, reason) = match ending {
            Ok(ending @ Ending::Exited(status)) => {
                (ending.kind(), Some(*status), ending.to_string())
            }
            Ok(ending) => (ending.kind(), None, ending.to_string()),
            Err(error) => ("host-failed", None, error.to_string()),
        };
        let end = RunEnd {
            at: now(),
            ending: kind,
            status,
            reason,
        };
        let what = What::RunEnded { end, done };
        match self.records.ends_fast() {
            true => self.records.end_here(what),
            false => self.records.add(what, 0),
        }
        // An error is a writer that is gone, which has written what it could.
        let _ = written.await;
        if self.runs.is_much(&self.folder) {
            let runs = self.runs.clone();
            // Removing large files takes a while. What fails is tried again later.
            let _ = tokio::task::spawn_blocking(move || runs.prune()).await;
        }
    }

    fn seal(&self, what: &str, number: u64, bytes: &[u8]) -> Option<Vec<u8>> {
        // Without random bytes there is no seal, and the payload is not kept.
        self.key.as_ref()?.seal(what, number, bytes).ok()
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

pub(super) fn now() -> i64 {
    Timestamp::now().as_microsecond()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_journal_that_fails_holds_nobody_up_and_says_so_once() {
        let folder = tempfile::tempdir().unwrap();
        let failed = Arc::default();
        let lock = tempfile::tempfile().unwrap();
        let database = Database::resume(folder.path().into(), lock, Arc::clone(&failed), 1);
        let journal = Journal::new(Parts {
            id: "1".parse().unwrap(),
            runs: Runs::new(folder.path()),
            folder: folder.path().to_owned(),
            key: None,
            places: Places::default(),
            first: 1,
            database,
            failed,
        });
        let id = WorkId {
            work: "work".into(),
            number: 1,
        };
        let started = Started::new(Payload::default());
        journal.queued(&id, None, &Bytes::new());
        let end = End {
            id,
            attempt: 1,
            answer: Answer::Ran,
            told: Ok(0),
            started: started.clone(),
            result: Ok(Payload::default()),
        };
        journal.ended(end);
        assert!(started.output().await.is_ok());
        assert!(journal.new_failure().is_some());
        assert!(journal.new_failure().is_none());
        journal.end(&Ok(Ending::Exited(0))).await;
    }
}
