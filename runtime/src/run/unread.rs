//! Events that wait for whoever reads them, bounded by the memory that they take.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::sandbox::Failure;

use super::event::Event;

/// What is kept for whoever is slow to read it, in bytes: tens of thousands of short events, or some
/// 60 errors of the longest. Older ones are then missed.
const ROOM: usize = 4 << 20;

/// Takes events; the last one has come once it is dropped.
pub(super) struct Writer(Arc<Shared>);

/// Gives them out, in their order.
pub(super) struct Reader(Arc<Shared>);

#[derive(Default)]
struct Shared {
    unread: Mutex<Unread>,
    wake: Notify,
}

#[derive(Default)]
struct Unread {
    events: VecDeque<Event>,
    bytes: usize,
    missed: u64,
    is_last: bool,
}

pub(super) fn channel() -> (Writer, Reader) {
    let shared = Arc::<Shared>::default();
    (Writer(Arc::clone(&shared)), Reader(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Unread> {
        self.unread.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    pub(super) fn write(&self, event: Event) {
        self.0.lock().add(event);
        self.0.wake.notify_one();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.0.lock().is_last = true;
        self.0.wake.notify_one();
    }
}

impl Reader {
    /// The next event; [`Event::Missed`] where some were, and `None` after the last.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            {
                let mut unread = self.0.lock();
                let event = unread.take();
                if event.is_some() || unread.is_last {
                    return event;
                }
            }
            // What comes in between is kept for the next call of this.
            self.0.wake.notified().await;
        }
    }
}

impl Unread {
    fn add(&mut self, event: Event) {
        self.bytes += size(&event);
        self.events.push_back(event);
        while self.bytes > ROOM
            && let Some(oldest) = self.events.pop_front()
        {
            self.bytes -= size(&oldest);
            self.missed += 1;
        }
    }

    fn take(&mut self) -> Option<Event> {
        if self.missed > 0 {
            return Some(Event::Missed(std::mem::take(&mut self.missed)));
        }
        let event = self.events.pop_front()?;
        self.bytes -= size(&event);
        Some(event)
    }
}

/// What an event takes, but for names, which all events of a Work share.
fn size(event: &Event) -> usize {
    let text = match event {
        Event::Line(_, text) | Event::JournalFailed(text) => text.len(),
        Event::Retrying(_, _, failure, _)
        | Event::Ended {
            result: Err(failure),
            ..
        } => match failure {
            Failure::Error(text) | Failure::Trap(text) | Failure::Refused(text) => text.len(),
            _ => 0,
        },
        _ => 0,
    };
    size_of::<Event>() + text
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::run::event::{Answer, WorkId};
    use crate::sandbox::MAX_ERROR;

    #[tokio::test]
    async fn what_nobody_reads_is_bounded_and_what_is_missed_is_told() {
        let (writer, mut reader) = channel();
        let failed = |number, text: usize| Event::Ended {
            id: WorkId {
                work: "work".into(),
                number,
            },
            attempts: 1,
            took: Duration::ZERO,
            answer: Answer::Ran,
            result: Err(Failure::Error("x".repeat(text))),
        };
        for number in 0..1000 {
            writer.write(failed(number, MAX_ERROR));
            assert!(reader.0.lock().bytes <= ROOM);
        }
        let missed = match reader.next().await {
            Some(Event::Missed(missed)) => missed,
            _ => 0,
        };
        assert!(missed > 0);
        for expected in missed..1000 {
            let next = reader.next().await.unwrap();
            assert!(matches!(next, Event::Ended { id, .. } if id.number == expected));
        }
        assert_eq!(reader.0.lock().bytes, 0);
        // Short ones are kept, by the thousand.
        for number in 0..10_000 {
            writer.write(failed(number, 0));
        }
        drop(writer);
        for expected in 0..10_000 {
            let next = reader.next().await.unwrap();
            assert!(matches!(next, Event::Ended { id, .. } if id.number == expected));
        }
        assert!(reader.next().await.is_none());
        assert!(reader.next().await.is_none());
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_by_an_event_and_by_the_last() {
        let (writer, mut reader) = channel();
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        let reads = tokio::spawn(async move {
            while let Some(event) = reader.next().await {
                told.send(event).unwrap();
            }
        });
        for text in ["one", "two"] {
            tokio::task::yield_now().await;
            writer.write(Event::JournalFailed(text.into()));
            assert!(matches!(heard.recv().await, Some(Event::JournalFailed(it)) if it == text));
        }
        tokio::task::yield_now().await;
        drop(writer);
        reads.await.unwrap();
    }
}
