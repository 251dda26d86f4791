//! One Work's starts: those that wait for their turn, and those that wait for another's answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::app::Digest;
use crate::run::bound::BoundWork;
use crate::run::event::WorkId;
use crate::sandbox::{Payload, Started};

use super::line::Line;
use super::lock;

/// The starts of one Work, in the order in which they were asked for.
pub(super) struct Queue {
    pub(super) name: Arc<str>,
    pub(super) work: Arc<BoundWork>,
    waiting: Mutex<Waiting>,
}

#[derive(Default)]
struct Waiting {
    jobs: Line,
    /// Tasks that take jobs: at most as many as the Work may run at once.
    workers: usize,
    /// Where it is cached, by the input's digest.
    answers: HashMap<Digest, Answer>,
}

/// What answers an input.
enum Answer {
    /// A start that has not ended; these wait for it, in their order.
    Awaited(Line),
    /// This one.
    Kept(Payload),
}

/// One start of a Work.
pub(super) struct Job {
    pub(super) id: WorkId,
    pub(super) started: Started,
    /// The input's digest, where the answer is kept for it.
    pub(super) cached: Option<Digest>,
    /// Attempts that have begun.
    pub(super) attempts: u32,
    /// Whether the last of them has not ended.
    pub(super) is_under_way: bool,
    /// When the first began.
    pub(super) since: Option<Instant>,
}

/// What is to be done with a start whose answer is kept.
pub(super) enum Joined {
    /// It is the one that runs.
    Runs(Job),
    /// It is among those that wait for the one that runs. These are not any more: they were stopped.
    Waits(Vec<Job>),
    /// Here is its answer.
    Answered(Job, Bytes),
}

impl Job {
    pub(super) fn new(id: WorkId, started: Started, cached: Option<Digest>) -> Self {
        Self {
            id,
            started,
            cached,
            attempts: 0,
            is_under_way: false,
            since: None,
        }
    }

    /// Time since its first attempt began.
    pub(super) fn took(&self) -> Duration {
        self.since.map_or(Duration::ZERO, |since| since.elapsed())
    }
}

impl Queue {
    pub(super) fn new(name: &Arc<str>, work: &Arc<BoundWork>) -> Self {
        Self {
            name: Arc::clone(name),
            work: Arc::clone(work),
            waiting: Mutex::default(),
        }
    }

    /// Adds a start behind the others. Those that are handed out were stopped, and are to be ended.
    #[must_use]
    pub(super) fn push(&self, job: Job) -> Vec<Job> {
        lock(&self.waiting).jobs.push(job)
    }

    /// Adds one that was asked for before all that wait.
    pub(super) fn push_first(&self, job: Job) {
        lock(&self.waiting).jobs.push_first(job);
    }

    /// Whether a worker more may take jobs; it is then counted.
    pub(super) fn hires(&self) -> bool {
        let mut waiting = lock(&self.waiting);
        let hires = waiting.workers < self.work.parallel;
        waiting.workers += usize::from(hires);
        hires
    }

    /// The next job for a worker, who is dismissed where there is none.
    pub(super) fn pop(&self) -> Option<Job> {
        let mut waiting = lock(&self.waiting);
        let job = waiting.jobs.pop();
        waiting.workers -= usize::from(job.is_none());
        job
    }

    /// Takes all that waits.
    pub(super) fn drain(&self) -> Vec<Job> {
        let mut waiting = lock(&self.waiting);
        let mut all: Vec<Job> = waiting.jobs.drain().collect();
        for answer in waiting.answers.values_mut() {
            if let Answer::Awaited(jobs) = answer {
                all.extend(jobs.drain());
            }
        }
        all
    }

    /// A start asks for the answer to its input.
    pub(super) fn join(&self, digest: Digest, job: Job) -> Joined {
        lock(&self.waiting).join(digest, job)
    }

    /// The start that runs has not ended well: the next one that waits for the same answer, which
    /// then is the one that runs.
    pub(super) fn next(&self, digest: Digest) -> Option<Job> {
        lock(&self.waiting).next(digest)
    }

    /// The start that runs has ended well, and this is kept of it: those that waited for it.
    pub(super) fn answered(&self, digest: Digest, kept: Option<Payload>) -> Vec<Job> {
        lock(&self.waiting).answered(digest, kept)
    }

    /// Keeps an answer from elsewhere, unless there is one, or one is on its way.
    pub(super) fn keep(&self, digest: Digest, answer: Payload) {
        let mut waiting = lock(&self.waiting);
        let entry = waiting.answers.entry(digest);
        entry.or_insert_with(|| Answer::Kept(answer));
    }
}

impl Waiting {
    fn join(&mut self, digest: Digest, job: Job) -> Joined {
        match self.answers.entry(digest) {
            Entry::Vacant(entry) => {
                entry.insert(Answer::Awaited(Line::default()));
                Joined::Runs(job)
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                Answer::Awaited(jobs) => Joined::Waits(jobs.push(job)),
                Answer::Kept(answer) => Joined::Answered(job, answer.bytes.clone()),
            },
        }
    }

    fn next(&mut self, digest: Digest) -> Option<Job> {
        let Entry::Occupied(mut entry) = self.answers.entry(digest) else {
            return None;
        };
        let next = match entry.get_mut() {
            Answer::Awaited(jobs) => jobs.pop(),
            Answer::Kept(_) => return None,
        };
        if next.is_none() {
            entry.remove();
        }
        next
    }

    fn answered(&mut self, digest: Digest, kept: Option<Payload>) -> Vec<Job> {
        let before = match kept {
            Some(answer) => self.answers.insert(digest, Answer::Kept(answer)),
            None => self.answers.remove(&digest),
        };
        match before {
            Some(Answer::Awaited(mut jobs)) => jobs.drain().collect(),
            _ => Vec::new(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One that waits.
    pub(in crate::run::runner) fn job(number: u64) -> Job {
        let work = "work".into();
        let started = Started::new(Payload::default());
        Job::new(WorkId { work, number }, started, None)
    }

    fn numbers(jobs: impl IntoIterator<Item = Job>) -> Vec<u64> {
        jobs.into_iter().map(|job| job.id.number).collect()
    }

    #[test]
    fn starts_with_one_input_run_one_after_the_other_until_one_ends_well() {
        let (mut waiting, input) = (Waiting::default(), Digest::of(b"input"));
        assert!(matches!(waiting.join(input, job(1)), Joined::Runs(_)));
        for number in 2..=5 {
            assert!(matches!(waiting.join(input, job(number)), Joined::Waits(_)));
        }
        let other = Digest::of(b"other");
        assert!(matches!(waiting.join(other, job(6)), Joined::Runs(_)));
        // The first fails, and so does the second: each time the next one alone has its turn.
        assert_eq!(numbers(waiting.next(input)), [2]);
        assert_eq!(numbers(waiting.next(input)), [3]);
        let answer = Payload {
            bytes: Bytes::from_static(b"output"),
            room: None,
        };
        assert_eq!(numbers(waiting.answered(input, Some(answer))), [4, 5]);
        assert!(matches!(
            waiting.join(input, job(7)),
            Joined::Answered(job, bytes) if job.id.number == 7 && bytes == "output"
        ));
    }

    #[test]
    fn what_has_no_answer_runs_again() {
        let (mut waiting, input) = (Waiting::default(), Digest::of(b"input"));
        assert!(matches!(waiting.join(input, job(1)), Joined::Runs(_)));
        assert!(waiting.next(input).is_none(), "nobody waits");
        assert!(matches!(waiting.join(input, job(2)), Joined::Runs(_)));
        // There was no room to keep it.
        assert!(waiting.answered(input, None).is_empty());
        assert!(matches!(waiting.join(input, job(3)), Joined::Runs(_)));
    }
}
