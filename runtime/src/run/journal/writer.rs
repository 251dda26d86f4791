//! Writing one run's journal: a thread that takes what waits and commits it together.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};

use crate::app::Digest;
use crate::run::event::{Answer, WorkId};
use crate::sandbox::{Ending, Failure, Payload, SandboxError, Started};
use crate::secrets::RunKey;

use super::id::RunId;
use super::log::Log;
use super::places::{Place, Places};
use super::sql::{self, EndedRow, QueuedRow};

/// What payloads are sealed as.
const INPUT: &str = "input";
pub(super) const OUTPUT: &str = "output";
pub(super) const ERROR: &str = "error";

/// Records that may wait to be written, and the KiB of payloads in them.
const MAX_WAITING: usize = 1024;
const MAX_PAYLOADS: usize = 256 << 10;

/// The journal of one run, while it is written.
pub struct Journal {
    id: RunId,
    key: Option<RunKey>,
    places: Places,
    first: u64,
    records: mpsc::Sender<Record>,
    room: Arc<Semaphore>,
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

/// Something to be written.
struct Record {
    what: What,
    /// Given back once it is written.
    _room: Option<OwnedSemaphorePermit>,
}

enum What {
    Queued(QueuedRow),
    Attempt(u64, u32, i64),
    Failed(u64, u32, i64, Failure),
    Ended(EndedRow, Started, Result<Payload, Failure>),
    RunEnded {
        at: i64,
        ending: &'static str,
        status: Option<i32>,
        reason: String,
        done: oneshot::Sender<()>,
    },
}

/// What a journal begins with.
pub(super) struct Parts {
    pub(super) id: RunId,
    pub(super) folder: PathBuf,
    /// Held until the last record is written.
    pub(super) lock: File,
    pub(super) key: Option<RunKey>,
    pub(super) places: Places,
    /// The first number that is free.
    pub(super) first: u64,
    pub(super) life: u32,
}

impl Journal {
    /// Starts the thread, which first opens the database by `open`.
    pub(super) fn start(
        parts: Parts,
        open: impl FnOnce(&Path) -> rusqlite::Result<Connection> + Send + 'static,
    ) -> std::io::Result<Self> {
        let (records, waiting) = mpsc::channel(MAX_WAITING);
        let failed = Arc::new(OnceLock::new());
        let writer = Writer {
            waiting,
            life: parts.life,
            failed: Arc::clone(&failed),
        };
        let path = parts.folder.join("journal.db");
        let lock = parts.lock;
        std::thread::Builder::new()
            .name("leyden-journal".into())
            .spawn(move || {
                writer.run(|| open(&path));
                drop(lock);
            })?;
        Ok(Self {
            id: parts.id,
            key: parts.key,
            places: parts.places,
            first: parts.first,
            records,
            room: Arc::new(Semaphore::new(MAX_PAYLOADS)),
            log: Log::new(&parts.folder),
            failed,
            failure_told: AtomicBool::new(false),
        })
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
    pub(in crate::run) fn answer(&self, place: &Place) -> Option<Result<Bytes, Failure>> {
        self.places.answer(self.key.as_ref()?, place)
    }

    pub(in crate::run) async fn queued(&self, id: &WorkId, place: Option<&Place>, input: &Bytes) {
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
        self.send(What::Queued(row), size).await;
    }

    /// A start of what cannot be run; its input is not kept.
    pub(in crate::run) async fn refused(&self, id: &WorkId, input_size: usize) {
        let row = QueuedRow {
            number: id.number,
            name: Arc::clone(&id.work),
            place: None,
            occurrence: 0,
            at: now(),
            input: None,
            input_size,
        };
        self.send(What::Queued(row), 0).await;
    }

    pub(in crate::run) async fn attempt(&self, id: &WorkId, attempt: u32) {
        self.send(What::Attempt(id.number, attempt, now()), 0).await;
    }

    pub(in crate::run) async fn failed(&self, id: &WorkId, attempt: u32, failure: &Failure) {
        let what = What::Failed(id.number, attempt, now(), failure.clone());
        self.send(what, 0).await;
    }

    /// Writes a Work's end, and then lets its Flow know.
    pub(in crate::run) async fn ended(&self, end: End) {
        let number = end.id.number;
        let output = match &end.result {
            Ok(output) => self.seal(OUTPUT, number, &output.bytes),
            Err(Failure::Error(text)) => self.seal(ERROR, number, text.as_bytes()),
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
        self.send(What::Ended(row, end.started, end.result), size)
            .await;
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
        let what = What::RunEnded {
            at: now(),
            ending: kind,
            status,
            reason,
            done,
        };
        self.send(what, 0).await;
        // The writer that drops it has written what it could.
        let _ = written.await;
    }

    async fn send(&self, what: What, size: usize) {
        let kib = u32::try_from(size.div_ceil(1024)).unwrap_or(u32::MAX);
        let room = match kib {
            0 => None,
            _ => Arc::clone(&self.room).acquire_many_owned(kib).await.ok(),
        };
        let record = Record { what, _room: room };
        if let Err(unsent) = self.records.send(record).await {
            // The writer has ended, which it does with the run.
            unsent.0.complete();
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

impl Record {
    /// Lets those know who wait for it.
    fn complete(self) {
        match self.what {
            What::Ended(_, started, result) => started.end(result),
            What::RunEnded { done, .. } => {
                let _ = done.send(());
            }
            What::Queued(_) | What::Attempt(..) | What::Failed(..) => {}
        }
    }
}

struct Writer {
    waiting: mpsc::Receiver<Record>,
    life: u32,
    failed: Arc<OnceLock<String>>,
}

impl Writer {
    fn run(mut self, open: impl FnOnce() -> rusqlite::Result<Connection>) {
        let mut journal = self.noted(open());
        let mut has_log = false;
        let mut batch = Vec::with_capacity(MAX_WAITING);
        while self.waiting.blocking_recv_many(&mut batch, MAX_WAITING) > 0 {
            let is_last = |record: &Record| matches!(record.what, What::RunEnded { .. });
            let ended = batch.iter().any(is_last);
            if let Some(connection) = &mut journal {
                // What follows on a gap would tell something that was not: only how the run ended
                // is still written, if there is room for that.
                if !has_log && !batch.iter().all(is_last) {
                    has_log = self.noted(sql::write_ahead(connection)).is_some();
                }
                if self.failed.get().is_none() {
                    self.noted(self.write(connection, &batch));
                }
                if let (Some(reason), true) = (self.failed.get(), ended) {
                    let _ = Self::write_end(connection, &batch, reason);
                }
            }
            if ended {
                // Its last connection copies the log into the database and removes it.
                journal = None;
            }
            batch.drain(..).for_each(Record::complete);
            if ended {
                return;
            }
        }
    }

    /// Writes the run's end behind a gap.
    fn write_end(connection: &Connection, batch: &[Record], gap: &str) -> rusqlite::Result<()> {
        for record in batch {
            if let What::RunEnded {
                at,
                ending,
                status,
                reason,
                ..
            } = &record.what
            {
                let reason = format!("{reason} (its journal has a gap: {gap})");
                sql::run_ended_alone(connection, *at, ending, *status, &reason)?;
            }
        }
        Ok(())
    }

    fn write(&self, connection: &mut Connection, batch: &[Record]) -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        for record in batch {
            match &record.what {
                What::Queued(row) => sql::queued(&transaction, row)?,
                What::Attempt(number, attempt, at) => {
                    sql::attempt(&transaction, *number, self.life, *attempt, *at)?;
                }
                What::Failed(number, attempt, at, failure) => {
                    let failure = Some(failure);
                    sql::attempt_ended(&transaction, *number, self.life, *attempt, *at, failure)?;
                }
                What::Ended(row, ..) => {
                    let failure = row.failure.as_ref();
                    let (number, attempt) = (row.number, row.attempt);
                    if attempt > 0 {
                        sql::attempt_ended(
                            &transaction,
                            number,
                            self.life,
                            attempt,
                            row.at,
                            failure,
                        )?;
                    }
                    sql::ended(&transaction, row)?;
                }
                What::RunEnded {
                    at,
                    ending,
                    status,
                    reason,
                    ..
                } => sql::run_ended(&transaction, *at, ending, *status, reason)?,
            }
        }
        transaction.commit()
    }

    fn noted<T>(&self, result: rusqlite::Result<T>) -> Option<T> {
        result
            .map_err(|error| self.failed.set(error.to_string()))
            .ok()
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
        let parts = Parts {
            id: "1".parse().unwrap(),
            folder: folder.path().to_owned(),
            lock: tempfile::tempfile().unwrap(),
            key: None,
            places: Places::default(),
            first: 1,
            life: 1,
        };
        let journal = Journal::start(parts, |_| Err(rusqlite::Error::InvalidQuery)).unwrap();
        let id = WorkId {
            work: "work".into(),
            number: 1,
        };
        let started = Started::new(Payload::default());
        journal.queued(&id, None, &Bytes::new()).await;
        let end = End {
            id,
            attempt: 1,
            answer: Answer::Ran,
            told: Ok(0),
            started: started.clone(),
            result: Ok(Payload::default()),
        };
        journal.ended(end).await;
        assert!(started.output().await.is_ok());
        assert!(journal.new_failure().is_some());
        assert!(journal.new_failure().is_none());
        journal.end(&Ok(Ending::Exited(0))).await;
    }
}
