//! Works that are cached: the same input in the same run is answered by one start of them.

use std::sync::Arc;

use bytes::Bytes;

use crate::app::Digest;
use crate::run::event::Answer;
use crate::sandbox::{Failure, Payload};

use super::queue::{Job, Joined, Queue};
use super::{Runner, kib};

impl Runner {
    /// Runs a start, or answers it, or lets it wait for the one that runs with the same input.
    pub(super) fn start_cached(self: &Arc<Self>, queue: &Arc<Queue>, digest: Digest, job: Job) {
        match queue.join(digest, job) {
            Joined::Runs(job) => self.enqueue(queue, job),
            Joined::Waits(stopped) => {
                for job in stopped {
                    self.finish(job, Answer::Ran, Err(Failure::Stopped));
                }
            }
            Joined::Answered(job, bytes) => self.answer(job, bytes),
        }
    }

    /// The start that runs has ended. If it ended well, those that are returned wait for that
    /// answer; else the next of them runs.
    pub(super) fn settle(
        &self,
        queue: &Queue,
        digest: Digest,
        result: &Result<Bytes, Failure>,
    ) -> Vec<Job> {
        match result {
            Ok(bytes) => queue.answered(digest, self.kept(bytes)),
            Err(_) => {
                // It was asked for before all that wait. Whoever calls this takes the next job.
                if let Some(next) = queue.next(digest) {
                    queue.push_first(next);
                }
                Vec::new()
            }
        }
    }

    /// An answer that is known from elsewhere serves from now on.
    pub(super) fn serve(&self, queue: &Queue, digest: Digest, bytes: Bytes) {
        if let Some(kept) = self.kept(&bytes) {
            queue.keep(digest, kept);
        }
    }

    /// Answers a start with what another one has answered.
    pub(super) fn answer(&self, job: Job, bytes: Bytes) {
        let result = match job.started.take() {
            Some(_) => self.output(bytes),
            None => Err(Failure::Stopped),
        };
        let answer = match result {
            Ok(_) => Answer::Cached,
            Err(_) => Answer::Ran,
        };
        self.finish(job, answer, result);
    }

    /// An answer with the room that it takes, apart from what the Flow holds of it. Where there is
    /// none, the next start with that input runs.
    fn kept(&self, bytes: &Bytes) -> Option<Payload> {
        let room = Arc::clone(&self.cache).try_acquire_many_owned(kib(bytes.len()));
        Some(Payload {
            bytes: bytes.clone(),
            room: Some(room.ok()?),
        })
    }
}
