//! A run on a task of its own: watched, stopped and waited for from elsewhere.

use std::sync::Arc;

use tokio::task::JoinHandle;

use crate::Error;

use super::bound::BoundApp;
use super::event::{Event, Observer};
use super::flow::{self, Outcome, Start, Stopper};
use super::unread::{self, Reader};

/// An app that runs. Dropping this stops it.
pub struct Running {
    stopper: Stopper,
    events: Reader,
    task: JoinHandle<Result<Outcome, Error>>,
}

impl Running {
    pub(crate) fn start(app: Arc<BoundApp>, mut start: Start) -> Self {
        let (writer, events) = unread::channel();
        let also = start.input.observer.take();
        start.input.observer = Some(Observer::new(move |event| {
            if let Some(observer) = &also {
                observer.tell(event);
            }
            writer.write(event.clone());
        }));
        let stopper = start.stopper.clone();
        let task = tokio::spawn(async move { flow::run(&app, start).await });
        Self {
            stopper,
            events,
            task,
        }
    }

    /// The next thing that happens; `None` once the run has ended. What is not read yet takes up to
    /// 4 MiB: whoever reads too slowly is told how many were missed ([`Event::Missed`]).
    pub async fn next_event(&mut self) -> Option<Event> {
        self.events.next().await
    }

    /// Asks the run to end: its Flow and its Works are stopped.
    pub fn stop(&self) {
        self.stopper.stop();
    }

    /// What stops it from elsewhere.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// As [`Bound::run`](crate::Bound::run).
    pub async fn outcome(mut self) -> Result<Outcome, Error> {
        match (&mut self.task).await {
            Ok(outcome) => outcome,
            Err(error) => Err(Error::Task(error.to_string())),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
