//! Runs the Works of one run: queues, places, attempts, retries.

mod cached;
mod refused;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::app::{Digest, RetryOn};
use crate::sandbox::{Failure, MAX_PAYLOAD, Payload, Started, Starting, Works};

use super::bound::{BoundApp, BoundWork};
use super::event::{Answer, Event, Observer, WorkId};
use super::journal::{End, Journal};
use super::lines;

/// What one run may hold of inputs of Works that have not ended, of inputs that wait for that room,
/// of outputs that its Flow has not dropped, and of answers that are kept for the same input again:
/// KiB each.
const INPUT_ROOM: usize = 256 << 10;
const WAITING_ROOM: usize = 256 << 10;
const OUTPUT_ROOM: usize = 1 << 20;
const CACHE_ROOM: usize = 256 << 10;
/// The wait before the second attempt; it doubles with each one.
const BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long short Works of one kind follow on each other before others have a turn.
const TURN: Duration = Duration::from_micros(200);
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
    closing: watch::Sender<bool>,
    observer: Option<Observer>,
    journal: Option<Arc<Journal>>,
}

/// One Work's starts, in the order in which they were asked for.
struct Queue {
    name: Arc<str>,
    work: Arc<BoundWork>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    /// Tasks that take jobs: at most as many as the Work may run at once.
    workers: usize,
    /// Where it is cached: the start whose answer serves, by the input's digest.
    cache: HashMap<Digest, Started>,
}

/// One start of a Work.
struct Job {
    id: WorkId,
    started: Started,
    /// The input's digest, where the answer is kept for it.
    cached: Option<Digest>,
}

impl Runner {
    /// Must be called within a tokio runtime, which then runs the Works.
    pub(super) fn new(
        app: &Arc<BoundApp>,
        observer: Option<Observer>,
        journal: Option<Arc<Journal>>,
    ) -> Arc<Self> {
        let queue = |(name, work): (&Arc<str>, &Arc<BoundWork>)| {
            let queue = Queue {
                name: Arc::clone(name),
                work: Arc::clone(work),
                waiting: Mutex::default(),
            };
            (Arc::clone(name), Arc::new(queue))
        };
        let first = journal.as_ref().map_or(1, |journal| journal.next_number());
        Arc::new(Self {
            queues: app.works.iter().map(queue).collect(),
            app: Arc::clone(app),
            inputs: Arc::new(Semaphore::new(INPUT_ROOM)),
            waiting: Arc::new(Semaphore::new(WAITING_ROOM)),
            outputs: Arc::new(Semaphore::new(OUTPUT_ROOM)),
            cache: Arc::new(Semaphore::new(CACHE_ROOM)),
            tasks: Mutex::default(),
            runtime: Handle::current(),
            next: AtomicU64::new(first),
            closing: watch::Sender::new(false),
            observer,
            journal,
        })
    }

    /// Stops all Works and waits for them, for a while. Nothing can be started from then on.
    pub(super) async fn close(&self) {
        self.closing.send_replace(true);
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
            let jobs = std::mem::take(&mut lock(&queue.waiting).jobs);
            for job in jobs {
                job.started.stop();
                self.tell(&Event::Ended {
                    id: job.id,
                    attempts: 0,
                    took: Duration::ZERO,
                    answer: Answer::Ran,
                    result: Err(Failure::Stopped),
                });
            }
        }
    }

    /// Stops all Works without waiting: the run itself is dropped.
    pub(super) fn abort(&self) {
        self.closing.send_replace(true);
        lock(&self.tasks).abort_all();
        for queue in self.queues.values() {
            for job in std::mem::take(&mut lock(&queue.waiting).jobs) {
                job.started.stop();
            }
        }
    }

    async fn closed(&self) {
        // An error would be a sender that is gone, and it is ours.
        let _ = self.closing.subscribe().wait_for(|closing| *closing).await;
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
        if !*self.closing.borrow() {
            tasks.spawn_on(task, &self.runtime);
        }
    }

    async fn start_work(self: &Arc<Self>, name: &str, input: Vec<u8>) -> Started {
        let Some(queue) = self.queues.get(name) else {
            return self.refused_unknown(name, input.len()).await;
        };
        let refused = |why| self.refused(Arc::clone(&queue.name), input.len(), why);
        if *self.closing.borrow() {
            return refused("the run is being stopped".into()).await;
        }
        if input.len() > MAX_PAYLOAD {
            let why = format!(
                "its input has {} bytes, and the most is {MAX_PAYLOAD} (64 MiB): give it in parts, \
                 or as a file",
                input.len()
            );
            return refused(why).await;
        }
        let Some(room) = self.room(input.len()).await else {
            let why = "the inputs of Works that have not begun fill the run's room (512 MiB): wait \
                       for some, then start more";
            return refused(why.into()).await;
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
        if let (Some(journal), Some(known)) = (journal, &known)
            && let Some(result) = journal.answer(known)
        {
            let started = self.answered(id, result);
            if queue.work.cache
                && let Some(Ok(_)) = started.output_now()
                && queue.claim(Digest::of(&input), &started).is_none()
            {
                // Serves from now on, unless another does already.
                let answer = started.output_now().unwrap_or(Err(Failure::Stopped));
                self.keep(queue, Digest::of(&input), &started, &answer);
            }
            return started;
        }
        self.tell(&Event::Queued(id.clone()));
        if let Some(journal) = journal {
            journal.queued(&id, known.as_ref(), &input);
        }
        let cached = queue.work.cache.then(|| Digest::of(&input));
        let started = Started::new(Payload {
            bytes: input,
            room: Some(room),
        });
        let job = Job {
            id,
            started: started.clone(),
            cached,
        };
        match cached {
            None => self.enqueue(queue, job),
            Some(digest) if queue.claim(digest, &job.started).is_none() => {
                self.enqueue(queue, job);
            }
            Some(digest) => {
                let (runner, queue) = (Arc::clone(self), Arc::clone(queue));
                self.spawn(async move { runner.take_cached(&queue, digest, job).await });
            }
        }
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
        let size = result.as_ref().map(Bytes::len);
        self.tell(&Event::Ended {
            id,
            attempts: 0,
            took: Duration::ZERO,
            answer: Answer::Journal,
            result: size.map_err(|failure| self.masked(failure)),
        });
        Started::ended(match result {
            Ok(bytes) => self.output(bytes),
            Err(failure) => Err(failure),
        })
    }

    fn enqueue(self: &Arc<Self>, queue: &Arc<Queue>, job: Job) {
        let needs_worker = {
            let mut waiting = lock(&queue.waiting);
            waiting.jobs.push_back(job);
            let needs_worker = waiting.workers < queue.work.parallel;
            waiting.workers += usize::from(needs_worker);
            needs_worker
        };
        if needs_worker {
            let (runner, queue) = (Arc::clone(self), Arc::clone(queue));
            self.spawn(async move { runner.work_off(&queue).await });
        }
    }

    /// Takes jobs until none waits.
    async fn work_off(&self, queue: &Queue) {
        let mut last_turn = Instant::now();
        loop {
            // In the host's order first, so that a job is pending until it has a place.
            let place = tokio::select! {
                place = Arc::clone(&self.app.places).acquire_owned() => place.ok(),
                // What waits is stopped, for which nobody needs a place.
                () = self.closed() => None,
            };
            let job = {
                let mut waiting = lock(&queue.waiting);
                match waiting.jobs.pop_front() {
                    Some(job) => job,
                    None => {
                        waiting.workers -= 1;
                        return;
                    }
                }
            };
            self.do_job(queue, job).await;
            drop(place);
            // Whoever waits for it has a turn. Each yield may wake another thread, which costs as
            // much as a short Work: several of these share one.
            if last_turn.elapsed() > TURN {
                tokio::task::yield_now().await;
                last_turn = Instant::now();
            }
        }
    }

    async fn do_job(&self, queue: &Queue, job: Job) {
        let work = &*queue.work;
        let since = Instant::now();
        let Some(input) = job.started.take() else {
            let stopped = Err(Failure::Stopped);
            return self.finish(job, Answer::Ran, 0, since, stopped).await;
        };
        // Whatever happens to this task, its Flow must not wait for ever.
        let mut unended = Unended(Some(job.started.clone()));
        let mut attempt = 1;
        let result = loop {
            let result = self.attempt(work, &job, attempt, &input.bytes).await;
            let Err(failure) = &result else {
                break result;
            };
            let is_error = matches!(failure, Failure::Error(_) | Failure::Exit(_));
            let again = failure.is_fault() || (is_error && work.retry_on == RetryOn::Error);
            if !again || attempt > work.retries {
                break result;
            }
            let wait = backoff(attempt);
            let failure = self.masked(failure);
            if let Some(journal) = &self.journal {
                journal.failed(&job.id, attempt, &failure);
            }
            self.tell(&Event::Retrying(job.id.clone(), attempt, failure, wait));
            let stopped = tokio::select! {
                () = tokio::time::sleep(wait) => false,
                () = job.started.stop_asked() => true,
                () = self.closed() => true,
            };
            if stopped {
                break Err(Failure::Stopped);
            }
            attempt += 1;
        };
        drop(input);
        if let Some(digest) = job.cached {
            self.keep(queue, digest, &job.started, &result);
        }
        let result = match result {
            Ok(bytes) => self.output(bytes),
            Err(failure) => Err(failure),
        };
        self.finish(job, Answer::Ran, attempt, since, result).await;
        unended.0 = None;
    }

    async fn attempt(
        &self,
        work: &BoundWork,
        job: &Job,
        attempt: u32,
        input: &Bytes,
    ) -> Result<Bytes, Failure> {
        self.tell(&Event::Started(job.id.clone(), attempt));
        if let Some(journal) = &self.journal {
            journal.attempt(&job.id, attempt);
        }
        let name = job.id.work.to_string();
        let mut setup = work.component.setup(vec![name], &self.app.mask);
        if self.observer.is_some() || self.journal.is_some() {
            let (observer, journal) = (self.observer.clone(), self.journal.clone());
            let id = job.id.clone();
            let show = Arc::new(move |line: String| {
                if let Some(journal) = &journal {
                    journal.log(&id, &line);
                }
                if let Some(observer) = &observer {
                    observer.tell(&Event::Line(id.clone(), line));
                }
            });
            let also = Arc::clone(&show);
            setup.stdout = lines::output(move |line| show(line));
            setup.stderr = lines::output(move |line| also(line));
            setup.mask_stdout = true;
        }
        tokio::select! {
            biased;
            () = job.started.stop_asked() => Err(Failure::Stopped),
            () = self.closed() => Err(Failure::Stopped),
            result = work.component.program.work(setup, input.clone()) => {
                result.unwrap_or_else(|error| Err(Failure::Refused(error.to_string())))
            }
        }
    }

    /// An output with the room that it takes, or the failure of having none.
    fn output(&self, bytes: Bytes) -> Result<Payload, Failure> {
        match Arc::clone(&self.outputs).try_acquire_many_owned(kib(bytes.len())) {
            Ok(room) => Ok(Payload {
                bytes,
                room: Some(room),
            }),
            Err(_) => Err(Failure::Refused(format!(
                "its output of {} bytes finds no room: the Flow holds up to 1 GiB of outputs, and \
                 must drop some of those that it has read",
                bytes.len()
            ))),
        }
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
    async fn finish(
        &self,
        job: Job,
        answer: Answer,
        attempts: u32,
        since: Instant,
        result: Result<Payload, Failure>,
    ) {
        let told = match &result {
            Ok(output) => Ok(output.bytes.len()),
            Err(failure) => Err(self.masked(failure)),
        };
        self.tell_of_journal();
        let Job { id, started, .. } = job;
        self.tell(&Event::Ended {
            id: id.clone(),
            attempts,
            took: since.elapsed(),
            answer,
            result: told.clone(),
        });
        match &self.journal {
            None => started.end(result),
            // Once it is written: what a Flow has seen must not be done again.
            Some(journal) => {
                let end = End {
                    id,
                    attempt: attempts,
                    answer,
                    told,
                    started,
                    result,
                };
                journal.ended(end);
            }
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

/// Ends a Work as stopped if the task that runs it is dropped.
struct Unended(Option<Started>);

impl Drop for Unended {
    fn drop(&mut self) {
        if let Some(started) = &self.0 {
            started.end(Err(Failure::Stopped));
        }
    }
}

/// Whole KiB, rounded up: what is bounded to 64 MiB. At least one, for what stands beside the bytes.
fn kib(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(1024).max(1)).unwrap_or(u32::MAX)
}

/// The wait after an attempt.
fn backoff(attempt: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX);
    BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        assert_eq!(backoff(1), Duration::from_millis(100));
        assert_eq!(backoff(3), Duration::from_millis(400));
        assert_eq!(backoff(200), MAX_BACKOFF);
    }

    #[test]
    fn room_is_counted_in_whole_kib() {
        assert_eq!((kib(0), kib(1), kib(1024), kib(1025)), (1, 1, 1, 2));
    }
}
