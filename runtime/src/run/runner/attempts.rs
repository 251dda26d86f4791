//! Turns, places and attempts: runs what waits, and what failed once more.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;

use crate::app::RetryOn;
use crate::run::bound::BoundWork;
use crate::run::event::{Answer, Event};
use crate::run::lines;
use crate::sandbox::{Failure, Payload, Started};

use super::Runner;
use super::queue::{Job, Queue};

/// The wait before the second attempt; it doubles with each one.
const BACKOFF: Duration = Duration::from_millis(100);
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// How long short Works of one kind follow on each other before others have a turn.
const TURN: Duration = Duration::from_micros(200);

impl Runner {
    /// Lets a start wait for its turn.
    pub(super) fn enqueue(self: &Arc<Self>, queue: &Arc<Queue>, job: Job) {
        for stopped in queue.push(job) {
            self.ended(queue, stopped, Err(Failure::Stopped));
        }
        self.hire(queue);
    }

    fn hire(self: &Arc<Self>, queue: &Arc<Queue>) {
        if queue.hires() {
            let (runner, queue) = (Arc::clone(self), Arc::clone(queue));
            self.spawn(async move { runner.work_off(&queue).await });
        }
    }

    /// Takes jobs until none waits.
    async fn work_off(self: &Arc<Self>, queue: &Arc<Queue>) {
        let mut last_turn = Instant::now();
        loop {
            // In the host's order first, so that a job is pending until it has a place.
            let place = tokio::select! {
                place = Arc::clone(&self.app.places).acquire_owned() => place.ok(),
                // What waits is stopped, for which nobody needs a place.
                () = self.closed() => None,
            };
            let Some(job) = queue.pop() else {
                return;
            };
            // Where it panics nonetheless, its place is given back and others go on.
            let _ = caught(self.do_job(queue, job)).await;
            drop(place);
            // Whoever waits for it has a turn. Each yield may wake another thread, which costs as
            // much as a short Work: several of these share one.
            if last_turn.elapsed() > TURN {
                tokio::task::yield_now().await;
                last_turn = Instant::now();
            }
        }
    }

    /// One attempt, and what follows from how it ended.
    async fn do_job(self: &Arc<Self>, queue: &Arc<Queue>, mut job: Job) {
        // Where all is stopped, nothing begins any more.
        let input = job.started.take().filter(|_| !self.closing.initialized());
        let Some(input) = input else {
            return self.ended(queue, job, Err(Failure::Stopped));
        };
        // Whatever happens to this task, its Flow must not wait for ever.
        let mut unended = Unended(Some(job.started.clone()));
        job.attempts += 1;
        job.is_under_way = true;
        job.since.get_or_insert_with(Instant::now);
        let result = caught(self.attempt(&queue.work, &job, &input.bytes)).await;
        let result = result.unwrap_or_else(|_| Err(host_failed()));
        match &result {
            Err(failure) if tries_again(&queue.work, failure, job.attempts) => {
                self.again(queue, job, input, failure);
            }
            _ => {
                drop(input);
                self.ended(queue, job, result);
            }
        }
        unended.0 = None;
    }

    /// Another attempt after a while, in which others have its place.
    fn again(self: &Arc<Self>, queue: &Arc<Queue>, mut job: Job, input: Payload, why: &Failure) {
        let (attempt, wait) = (job.attempts, backoff(job.attempts));
        job.is_under_way = false;
        let failure = self.masked(why);
        if let Some(journal) = &self.journal {
            journal.failed(&job.id, attempt, &failure);
        }
        self.tell(&Event::Retrying(job.id.clone(), attempt, failure, wait));
        if !job.started.put_back(input) || self.closing.initialized() {
            return self.ended(queue, job, Err(Failure::Stopped));
        }
        let (runner, queue) = (Arc::clone(self), Arc::clone(queue));
        self.spawn(async move {
            tokio::select! {
                () = tokio::time::sleep(wait) => {
                    // It was asked for before all that wait.
                    queue.push_first(job);
                    runner.hire(&queue);
                    return;
                }
                () = job.started.stop_asked() => {}
                () = runner.closed() => {}
            }
            runner.ended(&queue, job, Err(Failure::Stopped));
            // A start that waited for this one's answer may have its turn now.
            runner.hire(&queue);
        });
    }

    /// A start has ended. Whoever calls this then takes the next job.
    fn ended(&self, queue: &Queue, job: Job, result: Result<Bytes, Failure>) {
        let waited = match job.cached {
            Some(digest) => self.settle(queue, digest, &result),
            None => Default::default(),
        };
        let bytes = result.as_ref().ok().cloned().unwrap_or_default();
        let result = self.held(&job.started, result);
        self.finish(job, Answer::Ran, result);
        for job in waited {
            self.answer(job, bytes.clone());
        }
    }

    async fn attempt(&self, work: &BoundWork, job: &Job, input: &Bytes) -> Result<Bytes, Failure> {
        self.tell(&Event::Started(job.id.clone(), job.attempts));
        if let Some(journal) = &self.journal {
            journal.attempt(&job.id, job.attempts);
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
}

/// Ends a Work as stopped if the task that runs it is dropped, and as failed if it panics.
struct Unended(Option<Started>);

impl Drop for Unended {
    fn drop(&mut self) {
        if let Some(started) = &self.0 {
            started.end(Err(match std::thread::panicking() {
                true => host_failed(),
                false => Failure::Stopped,
            }));
        }
    }
}

/// What a future comes to, or an error where it panics, of which the process's panic hook has told.
fn caught<T>(future: impl Future<Output = T>) -> impl Future<Output = std::thread::Result<T>> {
    // What it leaves behind is dropped with it; our locks hold their data whole.
    AssertUnwindSafe(future).catch_unwind()
}

fn host_failed() -> Failure {
    Failure::Refused(
        "the host failed: a panic in the program that runs the app, which its standard error \
         tells of; start the Work again"
            .into(),
    )
}

fn tries_again(work: &BoundWork, failure: &Failure, attempts: u32) -> bool {
    let is_error = matches!(failure, Failure::Error(_) | Failure::Exit(_));
    let is_tried = failure.is_fault() || (is_error && work.retry_on == RetryOn::Error);
    is_tried && attempts <= work.retries
}

/// The wait after an attempt.
fn backoff(attempt: u32) -> Duration {
    let doubled = 1_u32.checked_shl(attempt - 1).unwrap_or(u32::MAX);
    BACKOFF.saturating_mul(doubled).min(MAX_BACKOFF)
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
}
