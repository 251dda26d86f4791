//! Starts in the order in which they were asked for, without many that were stopped meanwhile.

use std::collections::VecDeque;

use crate::sandbox::Status;

use super::queue::Job;

/// So many may stand in a line before those that were stopped are looked for.
const LONG: usize = 1024;

/// Starts that wait. One that is stopped while it waits is not taken out at once; but a Flow that
/// starts and stops without end, behind one that runs, must not fill the host's memory.
pub(super) struct Line {
    jobs: VecDeque<Job>,
    /// At this length those that were stopped are taken out: twice what was left the last time, so
    /// that looking for them costs each start little, however many wait.
    looked_at: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self {
            jobs: VecDeque::new(),
            looked_at: LONG,
        }
    }
}

impl Line {
    /// Adds a start behind the others. Those that are handed out were stopped, and are to be ended.
    #[must_use]
    pub(super) fn push(&mut self, job: Job) -> Vec<Job> {
        self.jobs.push_back(job);
        if self.jobs.len() < self.looked_at {
            return Vec::new();
        }
        let is_stopped = |job: &Job| job.started.status() == Status::Stopped;
        let (stopped, waiting): (Vec<_>, Vec<_>) = self.jobs.drain(..).partition(is_stopped);
        self.jobs = waiting.into();
        self.looked_at = LONG.max(2 * self.jobs.len());
        stopped
    }

    /// Adds one that was asked for before all that wait.
    pub(super) fn push_first(&mut self, job: Job) {
        self.jobs.push_front(job);
    }

    /// Takes the first.
    pub(super) fn pop(&mut self) -> Option<Job> {
        self.jobs.pop_front()
    }

    /// Takes all.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Job> {
        self.jobs.drain(..)
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::tests::job;
    use super::*;

    #[test]
    fn starts_that_were_stopped_do_not_pile_up_and_the_others_keep_their_order() {
        let (mut line, mut ended) = (Line::default(), Vec::new());
        for number in 0..100_000 {
            let job = job(number);
            let started = job.started.clone();
            ended.extend(line.push(job).into_iter().map(|job| job.id.number));
            if number % 1000 > 0 {
                started.stop();
            }
            assert!(line.jobs.len() <= LONG);
        }
        let left: Vec<_> = line.drain().map(|job| job.id.number).collect();
        let waiting = left.iter().filter(|number| *number % 1000 == 0);
        assert!(waiting.copied().eq((0..100).map(|number| number * 1000)));
        assert!(left.is_sorted() && ended.is_sorted());
        assert_eq!(left.len() + ended.len(), 100_000);
    }

    #[test]
    fn starts_that_wait_all_stay() {
        let mut line = Line::default();
        for number in 0..10_000 {
            assert!(line.push(job(number)).is_empty());
        }
        assert_eq!(line.drain().count(), 10_000);
    }
}
