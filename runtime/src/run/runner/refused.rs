//! Works that are not run at all, and what people may see of failures.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::app::nearest;
use crate::run::event::{Answer, Event, WorkId};
use crate::sandbox::{Failure, MAX_ERROR, Started};

use super::{Job, Runner};

/// How much of a name that the app has no Work for is kept, in characters.
const MAX_UNKNOWN: usize = 64;
/// How much of it is searched for secrets before that: more than the longest piece of one that is
/// looked for, wherever in the part that is kept it begins.
const MAX_SEARCHED: usize = 4096;

impl Runner {
    /// A Work that the app does not have. Anything may stand for its name: secrets are taken out
    /// before it is cut, because one that was cut would not be found any more. That is for people:
    /// what the Flow is told does not depend on it, or it could try values that were not given to it
    /// and see which are taken out.
    pub(super) fn refused_unknown(&self, name: &str, input_size: usize) -> Started {
        let start: String = name.chars().take(MAX_SEARCHED).collect();
        let why = self.unknown(&start);
        let name = self.app.mask.hide(&start);
        // On one line, wherever it is shown.
        let shown = |of: char| if of.is_control() { '\u{fffd}' } else { of };
        let name: String = name.chars().take(MAX_UNKNOWN).map(shown).collect();
        self.refused(Arc::from(&*name), input_size, why)
    }

    /// A Work that is not run at all, which is told and written as other ends are.
    pub(super) fn refused(&self, work: Arc<str>, input_size: usize, why: String) -> Started {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = WorkId { work, number };
        self.tell(&Event::Queued(id.clone()));
        if let Some(journal) = &self.journal {
            journal.refused(&id, input_size);
        }
        let failure = Failure::Refused(why);
        // At once: there is no answer that the journal could be asked for.
        let started = Started::ended(Err(failure.clone()));
        let job = Job::new(id, started.clone(), None);
        self.finish(job, Answer::Ran, Err(failure));
        started
    }

    fn unknown(&self, name: &str) -> String {
        let names = || self.queues.keys().map(|name| &**name);
        match nearest(name, names()) {
            Some(nearest) => format!("the app has no Work of that name; did you mean `{nearest}`?"),
            None if self.queues.is_empty() => "the app has no Works".into(),
            None => {
                let names: Vec<_> = names().take(20).collect();
                format!(
                    "the app has no Work of that name; it has: {}",
                    names.join(", ")
                )
            }
        }
    }

    /// A failure as people may see it.
    pub(super) fn masked(&self, failure: &Failure) -> Failure {
        let hide = |text: &str| self.app.mask.hide(text).into_owned();
        match failure {
            Failure::Error(text) => {
                let mut shown = hide(text);
                if text.len() > MAX_ERROR {
                    // It was cut, perhaps within a secret, whose beginning is then not found.
                    let whole = shown.len().saturating_sub(MAX_SEARCHED);
                    shown.truncate(shown.floor_char_boundary(whole));
                    shown.push('…');
                }
                Failure::Error(shown)
            }
            // With the name that it was started by, which may be anything.
            Failure::Refused(why) => Failure::Refused(hide(why)),
            other => other.clone(),
        }
    }
}
