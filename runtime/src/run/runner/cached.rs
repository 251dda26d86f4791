//! Works that are cached: the same input in the same run is answered by one start of them.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::app::Digest;
use crate::run::event::Answer;
use crate::sandbox::{Failure, Payload, Started, Status};

use super::{Job, Queue, Runner, kib, lock};

impl Runner {
    /// Waits for another start with the same input, whose answer then serves; where that does not
    /// end well, this one runs, and others wait for it.
    pub(super) async fn take_cached(self: Arc<Self>, queue: &Arc<Queue>, digest: Digest, job: Job) {
        while let Some(other) = queue.claim(digest, &job.started) {
            tokio::select! {
                () = other.wait() => {}
                () = job.started.stop_asked() => {}
                () = self.closed() => {}
            }
            let given_up = *self.closing.borrow() || job.started.status() == Status::Stopped;
            let result = match other.output_now() {
                _ if given_up => Err(Failure::Stopped),
                Some(Ok(_)) if job.started.take().is_none() => Err(Failure::Stopped),
                Some(Ok(bytes)) => self.output(bytes),
                _ => continue,
            };
            let answer = match result {
                Ok(_) => Answer::Cached,
                Err(_) => Answer::Ran,
            };
            return self.finish(job, answer, 0, Instant::now(), result).await;
        }
        self.enqueue(queue, job);
    }

    /// Keeps an answer for the same input again, apart from what the Flow holds of it. Where there
    /// is no room for it, the next start with that input runs.
    pub(super) fn keep(
        &self,
        queue: &Queue,
        digest: Digest,
        started: &Started,
        result: &Result<Bytes, Failure>,
    ) {
        let room = |bytes: &Bytes| {
            let kib = kib(bytes.len());
            Arc::clone(&self.cache).try_acquire_many_owned(kib).ok()
        };
        let kept = match result {
            Ok(bytes) => room(bytes).map(|room| (bytes.clone(), room)),
            // What has failed is no answer; who waits for it sees that itself.
            Err(_) => return,
        };
        let mut waiting = lock(&queue.waiting);
        if !waiting.cache.get(&digest).is_some_and(|of| of.is(started)) {
            return;
        }
        match kept {
            Some((bytes, room)) => {
                let room = Some(room);
                let kept = Started::ended(Ok(Payload { bytes, room }));
                waiting.cache.insert(digest, kept);
            }
            None => {
                waiting.cache.remove(&digest);
            }
        }
    }
}

impl Queue {
    /// Makes a start the one whose answer serves for its input; `None` if it is, or the other one
    /// that does already.
    pub(super) fn claim(&self, digest: Digest, started: &Started) -> Option<Started> {
        let mut waiting = lock(&self.waiting);
        if let Some(other) = waiting.cache.get(&digest)
            && !matches!(other.status(), Status::Failed | Status::Stopped)
        {
            return Some(other.clone());
        }
        waiting.cache.insert(digest, started.clone());
        None
    }
}
