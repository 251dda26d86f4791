//! What happens in a run, for whoever watches.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use crate::sandbox::Failure;

/// One start of a Work: the Work's name, and a number that counts the starts of the run from 1.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct WorkId {
    /// The Work.
    pub work: Arc<str>,
    /// The start.
    pub number: u64,
}

impl fmt::Display for WorkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.work, self.number)
    }
}

/// Something that happened in a run. Texts are without the app's secrets.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// The Flow started a Work, which waits for its turn.
    Queued(WorkId),
    /// What it answered in an earlier life of the run is damaged in the journal: it runs again.
    AnswerDamaged(WorkId),
    /// An attempt begins, counted from 1.
    Started(WorkId, u32),
    /// An attempt failed; the next one begins after this time.
    Retrying(WorkId, u32, Failure, Duration),
    /// What a Work wrote for people: one line, without its end.
    Line(WorkId, String),
    /// So many events were not read in time.
    Missed(u64),
    /// The journal cannot be written any more, and why. The run goes on; it can be resumed to where
    /// the journal ends.
    JournalFailed(String),
    /// A Work has ended.
    Ended {
        /// Which.
        id: WorkId,
        /// How many attempts that took; 0 where it never ran.
        attempts: u32,
        /// Time since its first attempt began.
        took: Duration,
        /// Where the answer came from.
        answer: Answer,
        /// The output's size in bytes, or how it failed.
        result: Result<usize, Failure>,
    },
}

/// Where a Work's answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// It ran.
    Ran,
    /// The same input in the same run (`cache = true`).
    Cached,
    /// The journal, where a run was resumed.
    Journal,
}

impl Answer {
    /// In a word, as the journal and events write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Cached => "cached",
            Self::Journal => "journal",
        }
    }
}

/// Called with each event, in order, by the threads that run the app: it should be quick. Where it
/// panics, the run goes on, and it is called with the next event all the same.
#[derive(Clone)]
pub struct Observer(Arc<dyn Fn(&Event) + Send + Sync>);

impl Observer {
    /// Calls this with each event.
    pub fn new(observe: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(observe))
    }

    pub(super) fn tell(&self, event: &Event) {
        // It would take the task with it that runs the Flow or a Work. What state it leaves behind is
        // its own affair; the process's panic hook has told of it.
        let _ = catch_unwind(AssertUnwindSafe(|| (self.0)(event)));
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}
