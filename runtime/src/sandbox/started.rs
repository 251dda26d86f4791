//! A Work that was started: where it is on its way, and what became of it.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, OwnedSemaphorePermit};

use super::failure::Failure;

/// The largest input and the largest output of a Work: 64 MiB.
pub const MAX_PAYLOAD: usize = 64 << 20;

/// Where a started Work is on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// It waits for its turn.
    Pending,
    /// It runs, or waits to be tried again.
    Running,
    /// It ended well.
    Succeeded,
    /// It ended, and not well.
    Failed,
    /// It was stopped before its end.
    Stopped,
}

/// An input or output, and the room that it takes of what its run may hold.
#[derive(Debug, Default)]
pub struct Payload {
    /// The bytes.
    pub bytes: Bytes,
    /// Given back when this is dropped.
    pub room: Option<OwnedSemaphorePermit>,
}

/// A Work that was started, shared by the Flow that waits for it and by whoever runs it.
#[derive(Clone)]
pub struct Started(Arc<Shared>);

struct Shared {
    progress: Mutex<Progress>,
    changed: Notify,
    /// What its error takes of the room that its run may hold.
    room: OnceLock<OwnedSemaphorePermit>,
}

enum Progress {
    Pending(Payload),
    /// It was run, and waits to be run again.
    Again(Payload),
    Running {
        stop: bool,
    },
    Ended(Result<Payload, Failure>),
}

impl Progress {
    fn output(&self) -> Option<Result<Bytes, Failure>> {
        match self {
            Self::Ended(Ok(output)) => Some(Ok(output.bytes.clone())),
            Self::Ended(Err(failure)) => Some(Err(failure.clone())),
            _ => None,
        }
    }
}

impl Started {
    /// One that waits for its turn, with this input.
    pub fn new(input: Payload) -> Self {
        Self::at(Progress::Pending(input))
    }

    /// One whose answer is known.
    pub fn ended(result: Result<Payload, Failure>) -> Self {
        Self::at(Progress::Ended(result))
    }

    fn at(progress: Progress) -> Self {
        Self(Arc::new(Shared {
            progress: Mutex::new(progress),
            changed: Notify::new(),
            room: OnceLock::new(),
        }))
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        match &*self.lock() {
            Progress::Pending(_) => Status::Pending,
            Progress::Again(_) | Progress::Running { .. } => Status::Running,
            Progress::Ended(Ok(_)) => Status::Succeeded,
            Progress::Ended(Err(Failure::Stopped)) => Status::Stopped,
            Progress::Ended(Err(_)) => Status::Failed,
        }
    }

    /// It is its turn: its input. `None` where it was stopped while it waited.
    pub fn take(&self) -> Option<Payload> {
        let mut progress = self.lock();
        match &mut *progress {
            Progress::Pending(input) | Progress::Again(input) => {
                let input = std::mem::take(input);
                *progress = Progress::Running { stop: false };
                Some(input)
            }
            _ => None,
        }
    }

    /// It is to have another turn, with its input. False where it was stopped meanwhile.
    pub fn put_back(&self, input: Payload) -> bool {
        let mut progress = self.lock();
        match &*progress {
            Progress::Running { stop: false } => {
                *progress = Progress::Again(input);
                true
            }
            _ => false,
        }
    }

    /// It ended. What has ended already stays as it ended.
    pub fn end(&self, result: Result<Payload, Failure>) {
        let mut progress = self.lock();
        if !matches!(*progress, Progress::Ended(_)) {
            *progress = Progress::Ended(result);
            drop(progress);
            self.0.changed.notify_waiters();
        }
    }

    /// Its error takes this room, until the last who holds this lets it go.
    pub fn takes(&self, room: OwnedSemaphorePermit) {
        // It has one error.
        let _ = self.0.room.set(room);
    }

    /// Asks for its end; at once where it waits for its turn.
    pub fn stop(&self) {
        let mut progress = self.lock();
        match &mut *progress {
            Progress::Pending(_) | Progress::Again(_) => {
                *progress = Progress::Ended(Err(Failure::Stopped));
            }
            Progress::Running { stop } => *stop = true,
            Progress::Ended(_) => return,
        }
        drop(progress);
        self.0.changed.notify_waiters();
    }

    /// Waits until somebody asks for its end, or it has ended.
    pub async fn stop_asked(&self) {
        self.until(|progress| match progress {
            Progress::Running { stop: true } | Progress::Ended(_) => Some(()),
            _ => None,
        })
        .await;
    }

    /// Waits for its end.
    pub async fn wait(&self) {
        self.until(|progress| matches!(progress, Progress::Ended(_)).then_some(()))
            .await;
    }

    /// Waits for its end; what became of it.
    pub async fn output(&self) -> Result<Bytes, Failure> {
        self.until(Progress::output).await
    }

    /// What became of it, if it has ended.
    pub fn output_now(&self) -> Option<Result<Bytes, Failure>> {
        self.lock().output()
    }

    async fn until<T>(&self, look: impl Fn(&Progress) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.0.changed.notified());
            // Before the look: a change in between must wake us.
            changed.as_mut().enable();
            if let Some(found) = look(&self.lock()) {
                return found;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn payload(bytes: &'static [u8]) -> Payload {
        Payload {
            bytes: Bytes::from_static(bytes),
            room: None,
        }
    }

    #[test]
    fn what_was_stopped_before_its_turn_never_gets_one() {
        let started = Started::new(payload(b"in"));
        assert_eq!(started.status(), Status::Pending);
        started.stop();
        assert_eq!(started.status(), Status::Stopped);
        assert!(started.take().is_none());
    }

    #[test]
    fn what_has_ended_stays_as_it_ended() {
        let started = Started::new(payload(b"in"));
        assert_eq!(started.take().unwrap().bytes, "in");
        assert_eq!(started.status(), Status::Running);
        assert!(started.take().is_none(), "one turn only");
        started.end(Ok(payload(b"out")));
        started.stop();
        started.end(Err(Failure::Stopped));
        assert_eq!(started.status(), Status::Succeeded);
    }

    #[test]
    fn what_waits_for_another_turn_is_stopped_at_once() {
        let started = Started::new(payload(b"in"));
        let input = started.take().unwrap();
        assert!(started.put_back(input));
        assert_eq!(started.status(), Status::Running);
        let input = started.take().unwrap();
        assert_eq!(input.bytes, "in");
        assert!(started.put_back(input));
        started.stop();
        assert_eq!(started.status(), Status::Stopped);
        assert!(started.take().is_none());
        // One that is stopped while it runs has no other turn.
        let started = Started::new(payload(b"in"));
        let input = started.take().unwrap();
        started.stop();
        assert!(!started.put_back(input));
    }

    #[tokio::test]
    async fn waiting_ends_with_the_work() {
        let started = Started::new(Payload::default());
        let waiting = tokio::spawn({
            let started = started.clone();
            async move { started.output().await }
        });
        tokio::task::yield_now().await;
        started.take().unwrap();
        started.end(Err(Failure::Exit(3)));
        assert_eq!(waiting.await.unwrap(), Err(Failure::Exit(3)));
        assert_eq!(started.status(), Status::Failed);
    }

    #[tokio::test]
    async fn a_running_one_hears_that_it_is_to_stop() {
        let started = Started::new(Payload::default());
        started.take().unwrap();
        let heard = tokio::spawn({
            let started = started.clone();
            async move { started.stop_asked().await }
        });
        tokio::task::yield_now().await;
        started.stop();
        heard.await.unwrap();
        assert_eq!(started.status(), Status::Running, "until it has ended");
    }
}
