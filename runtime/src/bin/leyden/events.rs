//! An app's run as events: one JSON object on each line of standard output.
//!
//! `{"event":"started","app":…,"world":…,"run":…,"resumable":…}`, then `{"event":"stdout","text":…}` and `"stderr"` as
//! the Flow writes, with `"base64"` in place of `"text"` for what is not UTF-8, then
//! `{"event":"ended","ending":…,"status":…}`, with a `"reason"` where it did not end by itself.
//! Between them, for each Work: `work-queued`, `work-started`, `work-retrying`, `work-line` and
//! `work-ended`, each with the `"work"` and its `"number"`, and `work-answer-damaged` where a run is
//! resumed and the Work runs again for that.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use data_encoding::BASE64;
use leyden::run::journal::Journal;
use leyden::run::{Event as RunEvent, Observer, WorkId};
use leyden::sandbox::{Ending, Failure, World};
use serde::Serialize;

use crate::outlet::Stream;

/// Writes events, whole lines at a time and in the order of what happens.
pub(crate) struct Events<W>(Mutex<Writer<W>>);

struct Writer<W> {
    to: W,
    /// Of stdout and stderr: a character whose other bytes the app has not written yet.
    pending: [Vec<u8>; 2],
}

#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Event<'a> {
    Started {
        app: &'a str,
        world: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        run: Option<&'a str>,
        resumable: bool,
    },
    WorkQueued(Of<'a>),
    WorkStarted {
        #[serde(flatten)]
        of: Of<'a>,
        attempt: u32,
    },
    WorkRetrying {
        #[serde(flatten)]
        of: Of<'a>,
        attempt: u32,
        failure: &'a Failure,
        #[serde(rename = "after-ms")]
        after_ms: u128,
    },
    WorkAnswerDamaged(Of<'a>),
    WorkLine {
        #[serde(flatten)]
        of: Of<'a>,
        text: &'a str,
    },
    JournalFailed {
        reason: &'a str,
    },
    WorkEnded {
        #[serde(flatten)]
        of: Of<'a>,
        attempts: u32,
        #[serde(rename = "took-ms")]
        took_ms: f64,
        answer: &'static str,
        #[serde(skip_serializing_if = "Option::is_none", rename = "output-bytes")]
        output_bytes: Option<usize>,
        #[serde(skip_serializing_if = "Option::is_none")]
        failure: Option<&'a Failure>,
    },
    Stdout(Chunk<'a>),
    Stderr(Chunk<'a>),
    Ended {
        ending: &'static str,
        status: u8,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// Which start of which Work.
#[derive(Serialize)]
struct Of<'a> {
    work: &'a str,
    number: u64,
}

impl<'a> From<&'a WorkId> for Of<'a> {
    fn from(id: &'a WorkId) -> Self {
        Self {
            work: &id.work,
            number: id.number,
        }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Chunk<'a> {
    Text(&'a str),
    Base64(String),
}

impl<W: Write + Send + 'static> Events<W> {
    pub(crate) fn new(to: W) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Writer {
            to,
            pending: Default::default(),
        })))
    }

    /// Where the app writes, so that it becomes events.
    pub(crate) fn output(self: &Arc<Self>, stream: Stream) -> leyden::Output {
        let events = Arc::clone(self);
        leyden::Output::to(move |bytes| events.with(|writer| writer.written(stream, bytes)))
    }

    /// The app starts, with this journal of its run.
    pub(crate) fn started(
        &self,
        app: &str,
        world: World,
        journal: Option<&Journal>,
    ) -> io::Result<()> {
        self.with(|writer| {
            writer.event(&Event::Started {
                app,
                world: world.to_string(),
                run: journal.map(|journal| journal.id().as_str()),
                resumable: journal.is_some_and(Journal::keeps_payloads),
            })
        })
    }

    /// Writes what happens to Works.
    pub(crate) fn observer(self: &Arc<Self>) -> Observer {
        let events = Arc::clone(self);
        // A reader that went away ends the Flow at its next word.
        Observer::new(move |event| drop(events.with(|writer| writer.seen(event))))
    }

    /// The app ended, and the command ends with this status.
    pub(crate) fn ended(&self, ending: &Ending, status: u8) -> io::Result<()> {
        let reason = (!matches!(ending, Ending::Exited(_))).then(|| ending.to_string());
        self.end(&Event::Ended {
            ending: ending.kind(),
            status,
            reason,
        })
    }

    /// A signal ended it.
    pub(crate) fn signalled(&self, status: u8) -> io::Result<()> {
        self.end(&Event::Ended {
            ending: "signal",
            status,
            reason: None,
        })
    }

    fn end(&self, event: &Event<'_>) -> io::Result<()> {
        self.with(|writer| {
            writer.rest(Stream::Stdout)?;
            writer.rest(Stream::Stderr)?;
            writer.event(event)
        })
    }

    fn with<T>(&self, use_it: impl FnOnce(&mut Writer<W>) -> T) -> T {
        use_it(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<W: Write> Writer<W> {
    fn written(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let mut all = std::mem::take(self.pending(stream));
        all.extend_from_slice(bytes);
        let complete = complete(&all);
        *self.pending(stream) = all.split_off(complete);
        self.chunk(stream, &all)
    }

    /// The bytes of a character that was never finished.
    fn rest(&mut self, stream: Stream) -> io::Result<()> {
        let rest = std::mem::take(self.pending(stream));
        self.chunk(stream, &rest)
    }

    fn pending(&mut self, stream: Stream) -> &mut Vec<u8> {
        let [stdout, stderr] = &mut self.pending;
        match stream {
            Stream::Stdout => stdout,
            Stream::Stderr => stderr,
        }
    }

    fn seen(&mut self, event: &RunEvent) -> io::Result<()> {
        self.event(&match event {
            RunEvent::Queued(id) => Event::WorkQueued(id.into()),
            RunEvent::Started(id, attempt) => Event::WorkStarted {
                of: id.into(),
                attempt: *attempt,
            },
            RunEvent::Retrying(id, attempt, failure, wait) => Event::WorkRetrying {
                of: id.into(),
                attempt: *attempt,
                failure,
                after_ms: wait.as_millis(),
            },
            RunEvent::AnswerDamaged(id) => Event::WorkAnswerDamaged(id.into()),
            RunEvent::Line(id, text) => Event::WorkLine {
                of: id.into(),
                text,
            },
            RunEvent::Ended {
                id,
                attempts,
                took,
                answer,
                result,
            } => Event::WorkEnded {
                of: id.into(),
                attempts: *attempts,
                // To the microsecond.
                took_ms: (took.as_secs_f64() * 1e6).round() / 1e3,
                answer: answer.word(),
                output_bytes: result.as_ref().ok().copied(),
                failure: result.as_ref().err(),
            },
            RunEvent::JournalFailed(reason) => Event::JournalFailed { reason },
            _ => return Ok(()),
        })
    }

    fn chunk(&mut self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let chunk = match std::str::from_utf8(bytes) {
            Ok(text) => Chunk::Text(text),
            Err(_) => Chunk::Base64(BASE64.encode(bytes)),
        };
        self.event(&match stream {
            Stream::Stdout => Event::Stdout(chunk),
            Stream::Stderr => Event::Stderr(chunk),
        })
    }

    fn event(&mut self, event: &Event<'_>) -> io::Result<()> {
        let mut line = serde_json::to_string(event)?;
        line.push('\n');
        self.to.write_all(line.as_bytes())?;
        self.to.flush()
    }
}

/// How many of the bytes can be shown now: all, but for a character at their end that has begun
/// and may go on.
fn complete(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        _ => bytes.len(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    /// The events that these writes to stdout give.
    fn events(writes: &[Vec<u8>]) -> Vec<Value> {
        let events = Events::new(Vec::new());
        for write in writes {
            events
                .with(|writer| writer.written(Stream::Stdout, write))
                .unwrap();
        }
        events.ended(&Ending::Exited(3), 3).unwrap();
        events.with(|writer| {
            let lines = std::str::from_utf8(&writer.to).unwrap().lines();
            lines
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        })
    }

    fn bytes(event: &Value) -> Vec<u8> {
        match (&event["text"], &event["base64"]) {
            (Value::String(text), Value::Null) => text.clone().into_bytes(),
            (Value::Null, Value::String(base64)) => BASE64.decode(base64.as_bytes()).unwrap(),
            _ => Vec::new(),
        }
    }

    #[test]
    fn a_character_that_is_written_in_parts_is_text() {
        let [first, second] = [vec![b'a', 0xc3], vec![0xa4, b'b']];
        let events = events(&[first, second]);
        assert_eq!(events[0], json!({ "event": "stdout", "text": "a" }));
        assert_eq!(events[1], json!({ "event": "stdout", "text": "äb" }));
        assert_eq!(
            events[2],
            json!({ "event": "ended", "ending": "exited", "status": 3 })
        );
    }

    #[test]
    fn what_is_no_text_is_base64() {
        let events = events(&[vec![0xff, b'a'], vec![0xc3]]);
        assert_eq!(events[0], json!({ "event": "stdout", "base64": "/2E=" }));
        assert_eq!(events[1], json!({ "event": "stdout", "base64": "ww==" }));
    }

    #[test]
    fn times_are_told_to_the_microsecond() {
        let events = Events::new(Vec::new());
        let id = WorkId {
            work: "work".into(),
            number: 1,
        };
        let ended = RunEvent::Ended {
            id,
            attempts: 1,
            took: std::time::Duration::from_nanos(1_234_567),
            answer: leyden::run::Answer::Ran,
            result: Ok(1),
        };
        events.with(|writer| writer.seen(&ended)).unwrap();
        events.with(|writer| {
            let line = std::str::from_utf8(&writer.to).unwrap();
            assert!(line.contains("\"took-ms\":1.235,"), "{line}");
        });
    }

    proptest! {
        #[test]
        fn no_byte_is_lost_or_moved(writes: Vec<Vec<u8>>) {
            let seen: Vec<u8> = events(&writes).iter().flat_map(bytes).collect();
            prop_assert_eq!(seen, writes.concat());
        }

        #[test]
        fn text_stays_text_however_it_is_cut(text: String, cuts: Vec<prop::sample::Index>) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let writes: Vec<_> =
                cuts.windows(2).map(|cut| text.as_bytes()[cut[0]..cut[1]].to_vec()).collect();
            let events = events(&writes);
            prop_assert!(events.iter().all(|event| event["base64"].is_null()));
            prop_assert_eq!(events.iter().flat_map(bytes).collect::<Vec<_>>(), text.into_bytes());
        }
    }
}
