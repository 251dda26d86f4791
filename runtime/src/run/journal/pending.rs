//! Records that wait to be written, and who writes them.
//!
//! What waits is written together, by a thread that starts with the first record. Whoever brings a
//! record for which somebody waits, and that no other will join, writes it himself: waking a thread,
//! and being woken by it, takes longer.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::sandbox::{Failure, Payload, Started};

use super::database::Database;
use super::sql::{EndedRow, QueuedRow, RunEnd};

/// Records that may wait, and the bytes of payloads in them; whoever brings more waits while they
/// are written.
const MAX_RECORDS: usize = 1024;
const MAX_BYTES: usize = 256 << 20;
/// How long what nobody waits for waits for others.
const LINGER: Duration = Duration::from_millis(2);

/// Something to be written.
pub(super) enum What {
    Queued(QueuedRow),
    Attempt(u64, u32, i64),
    Failed(u64, u32, i64, Failure),
    /// With whom it is to be told to once it is written.
    Ended(EndedRow, Started, Result<Payload, Failure>),
    RunEnded {
        end: RunEnd,
        done: oneshot::Sender<()>,
    },
}

impl What {
    /// Lets those know who wait for it.
    fn complete(self) {
        match self {
            Self::Ended(_, started, result) => started.end(result),
            Self::RunEnded { done, .. } => {
                let _ = done.send(());
            }
            Self::Queued(_) | Self::Attempt(..) | Self::Failed(..) => {}
        }
    }

    fn is_waited_for(&self) -> bool {
        matches!(self, Self::Ended(..) | Self::RunEnded { .. })
    }
}

/// The records of one run. Dropped, it writes what still waits.
pub(super) struct Pending(Arc<Shared>);

struct Shared {
    waiting: Mutex<Waiting>,
    /// For the thread.
    wake: Condvar,
    database: Mutex<Database>,
}

#[derive(Default)]
struct Waiting {
    records: Vec<What>,
    bytes: usize,
    /// Whether somebody waits for one of them.
    urgent: bool,
    /// Works that were started and have not ended: others whose end may join one.
    under_way: usize,
    thread: Thread,
    closed: bool,
}

/// What the thread does.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum Thread {
    #[default]
    NotStarted,
    Writes,
    WaitsForAny,
    WaitsForUrgent,
}

impl Pending {
    pub(super) fn new(database: Database) -> Self {
        Self(Arc::new(Shared {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            database: Mutex::new(database),
        }))
    }

    /// Whether a run that ends now is written without waiting for the disk.
    pub(super) fn ends_fast(&self) -> bool {
        lock(&self.0.database).ends_fast()
    }

    /// Adds a record with so many bytes of payload.
    pub(super) fn add(&self, what: What, bytes: usize) {
        let mut waiting = lock(&self.0.waiting);
        match &what {
            What::Queued(_) => waiting.under_way += 1,
            What::Ended(..) => waiting.under_way = waiting.under_way.saturating_sub(1),
            _ => {}
        }
        let urgent = what.is_waited_for();
        let alone = urgent && waiting.under_way == 0;
        waiting.urgent |= urgent;
        waiting.bytes += bytes;
        waiting.records.push(what);
        if waiting.records.len() >= MAX_RECORDS || waiting.bytes >= MAX_BYTES {
            drop(waiting);
            return self.0.write();
        }
        if alone {
            drop(waiting);
            return self.0.write_unless_another_does();
        }
        match waiting.thread {
            Thread::NotStarted => {
                waiting.thread = Thread::Writes;
                drop(waiting);
                let shared = Arc::clone(&self.0);
                let thread = std::thread::Builder::new().name("leyden-journal".into());
                if thread.spawn(move || shared.run()).is_err() {
                    // Without a thread, each writes for himself.
                    lock(&self.0.waiting).thread = Thread::NotStarted;
                    self.0.write();
                }
            }
            Thread::WaitsForUrgent if !urgent => {}
            Thread::WaitsForAny | Thread::WaitsForUrgent => self.0.wake.notify_one(),
            Thread::Writes => {}
        }
    }

    /// Adds the run's end, which is written on this thread, at once.
    pub(super) fn end_here(&self, what: What) {
        let mut waiting = lock(&self.0.waiting);
        waiting.records.push(what);
        drop(waiting);
        self.0.write();
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.write();
        lock(&self.0.waiting).closed = true;
        self.0.wake.notify_one();
    }
}

impl Shared {
    /// The thread.
    fn run(&self) {
        loop {
            let mut waiting = lock(&self.waiting);
            waiting.thread = Thread::WaitsForAny;
            let mut waiting = self
                .wake
                .wait_while(waiting, |waiting| {
                    waiting.records.is_empty() && !waiting.closed
                })
                .unwrap_or_else(PoisonError::into_inner);
            waiting.thread = Thread::WaitsForUrgent;
            let (mut waiting, _) = self
                .wake
                .wait_timeout_while(waiting, LINGER, |waiting| {
                    !waiting.urgent && !waiting.closed
                })
                .unwrap_or_else(PoisonError::into_inner);
            waiting.thread = Thread::Writes;
            if waiting.closed && waiting.records.is_empty() {
                return;
            }
            drop(waiting);
            self.write();
        }
    }

    /// Writes what waits, after whoever writes now.
    fn write(&self) {
        self.write_to(lock(&self.database));
        self.write_unless_another_does();
    }

    /// Writes what waits. Whoever does so already also writes this.
    fn write_unless_another_does(&self) {
        // Again for what came after the last look and before the lock was free.
        while !lock(&self.waiting).records.is_empty()
            && let Ok(database) = self.database.try_lock()
        {
            self.write_to(database);
        }
    }

    fn write_to(&self, mut database: MutexGuard<'_, Database>) {
        loop {
            let records = {
                let mut waiting = lock(&self.waiting);
                waiting.bytes = 0;
                waiting.urgent = false;
                std::mem::take(&mut waiting.records)
            };
            if records.is_empty() {
                return;
            }
            database.write(&records);
            records.into_iter().for_each(What::complete);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
