//! The Works of one run: starting them, the room that they take, and telling of their ends.

mod attempts;
mod cached;
mod line;
mod queue;
mod refused;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SetOnce};
use tokio::task::JoinSet;

use crate::app::Digest;
use crate::sandbox::{Failure, MAX_PAYLOAD, Payload, Started, Starting, Works};

use super::bound::BoundApp;
use super::event::{Answer, Event, Observer, WorkId};
use super::journal::{Earlier, End, Journal};

use queue::{Job, Queue};

/// What one run may hold of inputs of Works that have not ended, of inputs that wait for that room,
/// of outputs and errors that its Flow has not dropped, and of answers that are kept for the same
/// input again: KiB each.
const INPUT_ROOM: usize = 256 << 10;
const WAITING_ROOM: usize = 256 << 10;
const OUTPUT_ROOM: usize = 1 << 20;
const CACHE_ROOM: usize = 256 << 10;
/// How long Works have to end when their Flow has.
const GRACE: Duration = Duration::from_secs(2);

/// Everything that runs, or waits, beside the Flow of one run.
pub(super) struct Runner {
    app: Arc<BoundApp>,
    queues: BTreeMap<Arc<str>, Arc<Queue>>,
    inputs: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    outputs: Arc<Semaphore>,
    cache: Arc<Semaphore>,
    tasks: Mutex<JoinSet<()>>,
    runtime: Handle,
    next: AtomicU64,
    /// Set when nothing is to be started any more.
    closing: SetOnce<()>,
    observer: Option<Observer>,
    journal: Option<Arc<Journal>>,
}

impl Runner {
    /// Must be called within a tokio runtime, which then runs the Works.
    pub(super) fn new(
        app: &Arc<BoundApp>,
        observer: Option<Observer>,
        journal: Option<Arc<Journal>>,
    ) -> Arc<Self> {
        let first = journal.as_ref().map_or(1, |journal| journal.next_number());
        Arc::new(Self {
            queues: app
                .works
                .iter()
                .map(|(name, work)| (Arc::clone(name), Arc::new(Queue::new(name, work))))
                .collect(),
            app: Arc::clone(app),
            inputs: Arc::new(Semaphore::new(INPUT_ROOM)),
            waiting: Arc::new(Semaphore::new(WAITING_ROOM)),
            outputs: Arc::new(Semaphore::new(OUTPUT_ROOM)),
            cache: Arc::new(Semaphore::new(CACHE_ROOM)),
            tasks: Mutex::default(),
            runtime: Handle::current(),
            next: AtomicU64::new(first),
            closing: SetOnce::new(),
            observer,
            journal,
        })
    }

    /// Stops all Works and waits for them, for a while. Nothing can be started from then on.
    pub(super) async fn close(&self) {
        let _ = self.closing.set(());
        self.stop_waiting();
        let mut tasks = std::mem::take(&mut *lock(&self.tasks));
        let all = async { while tasks.join_next().await.is_some() {} };
        // Those that have not ended by then are aborted as `tasks` is dropped.
        let _ = tokio::time::timeout(GRACE, all).await;
        // What a task put there at the last moment.
        self.stop_waiting();
    }

    /// Stops what waits. Their Flow is gone, and the journal writes their end with the run's.
    fn stop_waiting(&self) {
        for queue in self.queues.values() {
            for job in queue.drain() {
                job.started.stop();
                self.tell(&Event::Ended {
                    attempts: job.attempts,
                    took: job.took(),
                    id: job.id,
                    answer: Answer::Ran,
                    result: Err(Failure::Stopped),
                });
            }
        }
    }

    /// Stops all Works without waiting: the run itself is dropped.
    pub(super) fn abort(&self) {
        let _ = self.closing.set(());
        lock(&self.tasks).abort_all();
        for queue in self.queues.values() {
            for job in queue.drain() {
                job.started.stop();
            }
        }
    }

    async fn closed(&self) {
        self.closing.wait().await;
    }

    fn tell(&self, event: &Event) {
        if let Some(observer) = &self.observer {
            observer.tell(event);
        }
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = lock(&self.tasks);
        // Those that have ended give up their entries.
        while tasks.try_join_next().is_some() {}
        if !self.closing.initialized() {
            tasks.spawn_on(task, &self.runtime);
        }
    }

    async fn start_work(self: &Arc<Self>, name: &str, input: Vec<u8>) -> Started {
        let Some(queue) = self.queues.get(name) else {
            return self.refused_unknown(name, input.len());
        };
        let refused = |why| self.refused(Arc::clone(&queue.name), input.len(), why);
        if self.closing.initialized() {
            return refused("the run is being stopped".into());
        }
        if input.len() > MAX_PAYLOAD {
            let why = format!(
                "its input has {} bytes, and the most is {MAX_PAYLOAD} (64 MiB): give it in parts, \
                 or as a file",
                input.len()
            );
            return refused(why);
        }
        let Some(room) = self.room(input.len()).await else {
            let why = "the inputs of Works that have not begun fill the run's room (512 MiB): wait \
                       for some, then start more";
            return refused(why.into());
        };
        let input = Bytes::from(input);
        let digest = queue.work.component.program.digest();
        let journal = self.journal.as_deref();
        let known = journal.and_then(|journal| journal.place(name, digest, &input));
        let number = match &known {
            Some(known) if known.number.is_some() => known.number.unwrap_or_default(),
            _ => self.next.fetch_add(1, Ordering::Relaxed),
        };
        let id = WorkId {
            work: Arc::clone(&queue.name),
            number,
        };
        let earlier = match (journal, &known) {
            (Some(journal), Some(known)) => journal.answer(known),
            _ => Earlier::Nothing,
        };
        if let Earlier::Answer(result) = earlier {
            let started = self.answered(id, result);
            if queue.work.cache
                && let Some(Ok(bytes)) = started.output_now()
            {
                self.serve(queue, Digest::of(&input), bytes);
            }
            return started;
        }
        self.tell(&Event::Queued(id.clone()));
        if let (Some(journal), Earlier::Damaged) = (journal, earlier) {
            journal.log(&id, "its answer in the journal is damaged: it runs again");
            self.tell(&Event::AnswerDamaged(id.clone()));
        }
        if let Some(journal) = journal {
            journal.queued(&id, known.as_ref(), &input);
        }
        let cached = queue.work.cache.then(|| Digest::of(&input));
        let started = Started::new(Payload {
            bytes: input,
            room: Some(room),
        });
        let job = Job::new(id, started.clone(), cached);
        let Some(digest) = cached else {
            self.enqueue(queue, job);
            return started;
        };
        // Another start with this input was answered in an earlier life.
        if let (Some(journal), Some(known)) = (journal, &known)
            && let Some(bytes) = journal.same(known)
        {
            self.serve(queue, digest, bytes);
        }
        self.start_cached(queue, digest, job);
        started
    }

    /// Room for an input, for which it waits, while what waits is not too much itself.
    async fn room(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let kib = kib(bytes);
        if let Ok(room) = Arc::clone(&self.inputs).try_acquire_many_owned(kib) {
            return Some(room);
        }
        let _waiting = self.waiting.try_acquire_many(kib).ok()?;
        // Never closed.
        Arc::clone(&self.inputs).acquire_many_owned(kib).await.ok()
    }

    /// A Work that ended in an earlier life of this run, and as it ended then.
    fn answered(&self, id: WorkId, result: Result<Bytes, Failure>) -> Started {
        self.tell(&Event::Queued(id.clone()));
        let started = Started::new(Payload::default());
        let result = self.held(&started, result);
        self.tell(&Event::Ended {
            id,
            attempts: 0,
            took: Duration::ZERO,
            answer: Answer::Journal,
            result: self.told(&result),
        });
        started.end(result);
        started
    }

    /// What others than the Flow are told of a Work's end.
    fn told(&self, result: &Result<Payload, Failure>) -> Result<usize, Failure> {
        match result {
            Ok(output) => Ok(output.bytes.len()),
            Err(failure) => Err(self.masked(failure)),
        }
    }

    /// What a Work answered, with the room that it takes: an output has it with it, and for an error
    /// the handle has.
    fn held(&self, started: &Started, result: Result<Bytes, Failure>) -> Result<Payload, Failure> {
        match result {
            Ok(bytes) => self.output(bytes),
            Err(Failure::Error(text)) => {
                started.takes(self.room_for("error", text.len())?);
                Err(Failure::Error(text))
            }
            Err(failure) => Err(failure),
        }
    }

    /// An output with the room that it takes, or the failure of having none.
    fn output(&self, bytes: Bytes) -> Result<Payload, Failure> {
        let room = self.room_for("output", bytes.len())?;
        Ok(Payload {
            bytes,
            room: Some(room),
        })
    }

    fn room_for(&self, what: &str, bytes: usize) -> Result<OwnedSemaphorePermit, Failure> {
        let room = Arc::clone(&self.outputs).try_acquire_many_owned(kib(bytes));
        room.map_err(|_| {
            Failure::Refused(format!(
                "its {what} of {bytes} bytes finds no room: the Flow holds up to 1 GiB of outputs \
                 and errors, and must drop some of those that it has read"
            ))
        })
    }

    /// Tells, once, if the journal has failed.
    fn tell_of_journal(&self) {
        if let Some(reason) = self
            .journal
            .as_ref()
            .and_then(|journal| journal.new_failure())
        {
            self.tell(&Event::JournalFailed(reason));
        }
    }

    /// Tells of a Work's end: to whoever watches, to the journal, and then to the Flow.
    fn finish(&self, job: Job, answer: Answer, result: Result<Payload, Failure>) {
        let told = self.told(&result);
        self.tell_of_journal();
        self.tell(&Event::Ended {
            id: job.id.clone(),
            attempts: job.attempts,
            took: job.took(),
            answer,
            result: told.clone(),
        });
        match &self.journal {
            None => job.started.end(result),
            // Once it is written: what a Flow has seen must not be done again.
            Some(journal) => journal.ended(End {
                attempt: if job.is_under_way { job.attempts } else { 0 },
                id: job.id,
                answer,
                told,
                started: job.started,
                result,
            }),
        }
    }
}

impl Works for Arc<Runner> {
    fn names(&self) -> Vec<String> {
        self.queues.keys().map(|name| name.to_string()).collect()
    }

    fn start<'a>(&'a self, work: &'a str, input: Vec<u8>) -> Starting<'a> {
        Box::pin(self.start_work(work, input))
    }
}

/// Whole KiB, rounded up: what is bounded to 64 MiB. At least one, for what stands beside the bytes.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_counted_in_whole_kib() {
        assert_eq!((kib(0), kib(1), kib(1024), kib(1025)), (1, 1, 1, 2));
    }
}
