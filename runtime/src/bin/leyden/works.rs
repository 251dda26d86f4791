//! What a person sees of an app's Works: live lines on a terminal, plain ones elsewhere, a summary.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{HumanDuration, MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use leyden::run::{Answer, Event, Observer, WorkId};
use leyden::sandbox::Failure;

use crate::outlet::{Outlet, Stream};
use crate::report::{self, counted, printable};

/// How often live lines are drawn anew, at most, in a second.
const REDRAWS: u8 = 10;
/// How many of the slowest and of the failed Works the summary names.
const NAMED: usize = 5;
/// How many kinds have a line of their own. A Flow may start what the app does not have, under any
/// name.
const KINDS: usize = 50;

/// Watches the Works of one run.
pub(crate) struct Watch {
    since: Instant,
    /// On a terminal only.
    live: Option<Live>,
    kinds: Mutex<BTreeMap<Arc<str>, Kind>>,
    ends: Mutex<Ends>,
}

/// Lines at the end of a terminal, drawn anew as things change.
struct Live {
    lines: MultiProgress,
    /// How many kinds have one.
    room: usize,
    /// Below them, how many have none.
    more: OnceLock<ProgressBar>,
}

/// All starts of one Work.
#[derive(Default)]
struct Kind {
    waiting: u64,
    running: u64,
    done: u64,
    failed: u64,
    stopped: u64,
    answered: u64,
    retries: u64,
    /// Those of the waiting that wait for another attempt, by their numbers.
    again: HashSet<u64>,
    bar: Option<ProgressBar>,
}

#[derive(Default)]
struct Ends {
    slowest: Vec<(Duration, WorkId)>,
    /// Those that are named.
    failed: Vec<(WorkId, u32, Failure)>,
    failed_too: u64,
}

impl Watch {
    /// Draws live lines where standard error is a terminal.
    pub(crate) fn new() -> Arc<Self> {
        let is_live = io::stderr().is_terminal();
        Arc::new(Self {
            since: Instant::now(),
            live: is_live
                .then(|| Live::new(ProgressDrawTarget::stderr_with_hz(REDRAWS), terminal_rows())),
            kinds: Mutex::default(),
            ends: Mutex::default(),
        })
    }

    pub(crate) fn observer(self: &Arc<Self>) -> Observer {
        let watch = Arc::clone(self);
        Observer::new(move |event| watch.see(event))
    }

    /// The Flow's output where live lines are on the same terminal: they make way for it.
    pub(crate) fn output(self: &Arc<Self>, stream: Stream) -> leyden::Output {
        let on_terminal = match stream {
            Stream::Stdout => io::stdout().is_terminal(),
            Stream::Stderr => io::stderr().is_terminal(),
        };
        match (&self.live, stream) {
            (Some(_), _) if on_terminal => {
                let watch = Arc::clone(self);
                leyden::Output::to(move |bytes| watch.write(stream, bytes))
            }
            (_, Stream::Stdout) => leyden::Output::stdout(),
            (_, Stream::Stderr) => leyden::Output::stderr(),
        }
    }

    fn write(&self, stream: Stream, bytes: &[u8]) -> io::Result<()> {
        let write = || Outlet::new(stream).write_all(bytes);
        match &self.live {
            Some(live) => live.lines.suspend(write),
            None => write(),
        }
    }

    fn see(&self, event: &Event) {
        match event {
            Event::Queued(id) => self.change(&id.work, |kind| kind.waiting += 1),
            Event::Started(id, attempt) => self.change(&id.work, |kind| {
                kind.retries += u64::from(*attempt > 1);
                kind.again.remove(&id.number);
                kind.waiting = kind.waiting.saturating_sub(1);
                kind.running += 1;
            }),
            Event::Retrying(id, attempt, failure, wait) => {
                self.change(&id.work, |kind| {
                    kind.again.insert(id.number);
                    kind.running = kind.running.saturating_sub(1);
                    kind.waiting += 1;
                });
                let wait = report::span(*wait);
                self.say(&format!(
                    "{id}: attempt {attempt} failed: {}; again in {wait}",
                    report::failure(failure)
                ));
            }
            Event::AnswerDamaged(id) => self.say(&format!(
                "{id}: warning: its answer in the journal is damaged: it runs again"
            )),
            Event::Line(id, line) => self.say(&format!("{id}: {line}")),
            Event::Ended {
                id,
                attempts,
                took,
                answer,
                result,
            } => {
                self.change(&id.work, |kind| {
                    let waited = kind.again.remove(&id.number) || *attempts == 0;
                    match waited {
                        true => kind.waiting = kind.waiting.saturating_sub(1),
                        false => kind.running = kind.running.saturating_sub(1),
                    }
                    kind.answered += u64::from(*answer != Answer::Ran);
                    match result {
                        Ok(_) => kind.done += 1,
                        Err(Failure::Stopped) => kind.stopped += 1,
                        Err(_) => kind.failed += 1,
                    }
                });
                if let Err(failure) = result
                    && *failure != Failure::Stopped
                {
                    self.say(&format!("{id}: failed: {}", report::failure(failure)));
                }
                self.ends().add(id, *attempts, *took, result.as_ref().err());
            }
            Event::JournalFailed(reason) => {
                self.say(&format!("leyden: {}", journal_failed(reason)))
            }
            _ => {}
        }
    }

    fn change(&self, work: &Arc<str>, change: impl FnOnce(&mut Kind)) {
        let mut kinds = self.kinds();
        let work = match kinds.len() >= KINDS && !kinds.contains_key(work) {
            true => &Arc::from("others"),
            false => work,
        };
        let before = kinds.len();
        let kind = kinds.entry(Arc::clone(work)).or_insert_with(|| Kind {
            bar: self.live.as_ref().and_then(|live| live.line(work, before)),
            ..Kind::default()
        });
        change(kind);
        if let Some(bar) = &kind.bar {
            bar.set_message(format!(
                "waiting {}  running {}  done {}  failed {}",
                kind.waiting, kind.running, kind.done, kind.failed
            ));
        }
    }

    /// One line on standard error, above the live ones.
    fn say(&self, line: &str) {
        // Nobody is left to tell where standard error is closed.
        let _ = self.write(
            Stream::Stderr,
            format!("{}\n", printable_line(line)).as_bytes(),
        );
    }

    /// Takes the live lines away; what happened in all, where any Work was started.
    pub(crate) fn summary(&self) -> Option<String> {
        if let Some(live) = &self.live {
            let _ = live.lines.clear();
            // They would be drawn once more as they tick, and as they are dropped.
            live.lines.set_draw_target(ProgressDrawTarget::hidden());
        }
        let kinds = self.kinds();
        if kinds.is_empty() {
            return None;
        }
        let total = |count: fn(&Kind) -> u64| kinds.values().map(count).sum::<u64>();
        let (done, failed) = (total(|kind| kind.done), total(|kind| kind.failed));
        let stopped = total(|kind| kind.stopped);
        let count = counted(done + failed + stopped, "Work");
        let took = shown(self.since.elapsed());
        let mut text = format!("{count} in {took}: {done} done, {failed} failed");
        let width = kinds
            .keys()
            .map(|name| name.len())
            .max()
            .unwrap_or_default();
        for (name, kind) in kinds.iter() {
            let _ = write!(
                text,
                "\n  {name:width$}  done {}  failed {}",
                kind.done, kind.failed
            );
            for (what, count) in [
                ("stopped", kind.stopped),
                ("retries", kind.retries),
                ("answered", kind.answered),
            ] {
                if count > 0 {
                    let _ = write!(text, "  {what} {count}");
                }
            }
        }
        let ends = self.ends();
        let long = |(took, _): &&(Duration, WorkId)| *took >= Duration::from_millis(1);
        if ends.slowest.iter().filter(long).count() > 1 {
            let slowest: Vec<_> = ends
                .slowest
                .iter()
                .filter(long)
                .map(|(took, id)| format!("{id} {}", shown(*took)))
                .collect();
            let _ = write!(text, "\n  slowest: {}", slowest.join(", "));
        }
        for (id, attempts, failure) in &ends.failed {
            let attempts = match attempts {
                0 | 1 => String::new(),
                many => format!(" (attempt {many})"),
            };
            // A Work's own words make no line of ours.
            let failure = report::failure(failure);
            let _ = write!(text, "\n  failed: {id}{attempts}: {failure}");
        }
        if ends.failed_too > 0 {
            let _ = write!(text, "\n  failed: and {} more", ends.failed_too);
        }
        Some(text)
    }

    fn kinds(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, Kind>> {
        self.kinds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ends(&self) -> MutexGuard<'_, Ends> {
        self.ends.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Live {
    /// On a terminal of so many rows: one is for the line below, and one for the cursor.
    fn new(target: ProgressDrawTarget, rows: usize) -> Self {
        Self {
            lines: MultiProgress::with_draw_target(target),
            room: rows.saturating_sub(2).max(1),
            more: OnceLock::new(),
        }
    }

    /// The line of a kind, before which so many others were seen; where there is no room for it, it
    /// is counted.
    fn line(&self, work: &str, before: usize) -> Option<ProgressBar> {
        if before < self.room {
            let bar = self.lines.add(bar(work));
            // Time goes on where nothing happens.
            bar.enable_steady_tick(Duration::from_millis(500));
            return Some(bar);
        }
        let more = self.more.get_or_init(|| {
            let line = ProgressBar::no_length();
            self.lines.add(match ProgressStyle::with_template("{msg}") {
                Ok(style) => line.with_style(style),
                Err(_) => line,
            })
        });
        let count = u64::try_from(before + 1 - self.room).unwrap_or(u64::MAX);
        more.set_message(format!("… and {}", counted(count, "more kind")));
        None
    }
}

/// How many rows the terminal at standard error has; what is usual where it does not say.
fn terminal_rows() -> usize {
    let size = rustix::termios::tcgetwinsize(io::stderr());
    match size.map(|size| size.ws_row) {
        Ok(0) | Err(_) => 24,
        Ok(rows) => rows.into(),
    }
}

/// What to say of a journal that cannot be written any more.
pub(crate) fn journal_failed(reason: &str) -> String {
    format!("warning: the journal of this run cannot be written any more: {reason}")
}

impl Ends {
    fn add(&mut self, id: &WorkId, attempts: u32, took: Duration, failure: Option<&Failure>) {
        if attempts > 0 {
            let at = self.slowest.partition_point(|(other, _)| *other >= took);
            if at < NAMED {
                self.slowest.insert(at, (took, id.clone()));
                self.slowest.truncate(NAMED);
            }
        }
        // All are counted; a few are named.
        if let Some(failure) = failure.filter(|failure| **failure != Failure::Stopped) {
            match self.failed.len() < NAMED {
                true => self.failed.push((id.clone(), attempts, failure.clone())),
                false => self.failed_too += 1,
            }
        }
    }
}

fn bar(work: &str) -> ProgressBar {
    // A Flow may start what the app does not have, under any name.
    let bar = ProgressBar::no_length().with_prefix(printable(work));
    match ProgressStyle::with_template("{prefix:12.bold}  {msg}  {elapsed}") {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

/// A time as the summary shows it.
fn shown(time: Duration) -> String {
    match time {
        time if time < Duration::from_secs(1) => format!("{} ms", time.as_millis()),
        time if time < Duration::from_secs(100) => format!("{:.1} s", time.as_secs_f64()),
        time => HumanDuration(time).to_string(),
    }
}

fn printable_line(line: &str) -> String {
    printable(&line.replace('\n', " "))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn watch() -> Watch {
        Watch {
            since: Instant::now(),
            live: None,
            kinds: Mutex::default(),
            ends: Mutex::default(),
        }
    }

    fn id(number: u64) -> WorkId {
        WorkId {
            work: "train".into(),
            number,
        }
    }

    #[test]
    fn what_waits_for_another_attempt_does_not_run() {
        let watch = watch();
        let now = || {
            let kinds = watch.kinds();
            let kind = kinds.values().next().unwrap();
            (kind.waiting, kind.running)
        };
        let retrying = || {
            Event::Retrying(
                id(1),
                1,
                Failure::Trap(String::new()),
                Duration::from_secs(1),
            )
        };
        watch.see(&Event::Queued(id(1)));
        assert_eq!(now(), (1, 0));
        watch.see(&Event::Started(id(1), 1));
        assert_eq!(now(), (0, 1));
        watch.see(&retrying());
        assert_eq!(now(), (1, 0));
        watch.see(&Event::Started(id(1), 2));
        assert_eq!(now(), (0, 1));
        watch.see(&retrying());
        watch.see(&Event::Ended {
            id: id(1),
            attempts: 2,
            took: Duration::from_secs(1),
            answer: Answer::Ran,
            result: Err(Failure::Stopped),
        });
        assert_eq!(now(), (0, 0));
    }

    #[test]
    fn the_summary_counts_and_names_the_slowest_and_the_failed() {
        let watch = watch();
        assert_eq!(watch.summary(), None);
        for number in 1..=8 {
            watch.see(&Event::Queued(id(number)));
            watch.see(&Event::Started(id(number), 1));
            watch.see(&Event::Ended {
                id: id(number),
                attempts: 1,
                took: Duration::from_millis(number * 10),
                answer: Answer::Ran,
                result: match number {
                    1 => Err(Failure::Error("one\nleyden: two".into())),
                    2 => Err(Failure::Stopped),
                    _ => Ok(1),
                },
            });
        }
        let summary = watch.summary().unwrap();
        for part in [
            "8 Works in ",
            ": 6 done, 1 failed",
            "\n  train  done 6  failed 1  stopped 1",
            "slowest: train#8 80 ms, train#7 70 ms",
            "failed: train#1: it returned an error: one leyden: two",
        ] {
            assert!(summary.contains(part), "{part} in {summary}");
        }
        assert!(!summary.contains("train#3 "), "{summary}");

        let mut ends = Ends::default();
        ends.add(&id(1), 1, Duration::from_micros(900), None);
        ends.add(&id(2), 1, Duration::from_millis(2), None);
        ends.add(&id(3), 1, Duration::from_millis(3), None);
        *watch.ends() = ends;
        let summary = watch.summary().unwrap();
        assert!(
            summary.ends_with("slowest: train#3 3 ms, train#2 2 ms"),
            "{summary}"
        );
    }

    #[test]
    fn a_name_drives_no_terminal_in_its_live_line_either() {
        assert_eq!(bar("a\u{202e}b").prefix(), "a\\u{202e}b");
    }

    #[test]
    fn kinds_without_room_on_the_terminal_are_counted_below_the_others() {
        let live = Live::new(ProgressDrawTarget::hidden(), 5);
        let watch = Watch {
            live: Some(live),
            ..watch()
        };
        for kind in 0..9 {
            for number in 1..=2 {
                let work = format!("kind-{kind}").into();
                watch.see(&Event::Queued(WorkId { work, number }));
            }
        }
        let drawn = |kind: &&Kind| kind.bar.is_some();
        assert_eq!(watch.kinds().values().filter(drawn).count(), 3);
        let live = watch.live.as_ref().unwrap();
        let more = live.more.get().map(ProgressBar::message);
        assert_eq!(more.as_deref(), Some("… and 6 more kinds"));
    }

    #[test]
    fn what_is_started_under_many_names_takes_few_lines() {
        let watch = watch();
        for number in 0..1000 {
            let id = WorkId {
                work: format!("unknown-{number}").into(),
                number,
            };
            watch.see(&Event::Queued(id.clone()));
            watch.see(&Event::Ended {
                id,
                attempts: 0,
                took: Duration::ZERO,
                answer: Answer::Ran,
                result: Err(Failure::Refused("there is none".into())),
            });
        }
        let summary = watch.summary().unwrap();
        assert!(summary.lines().count() < KINDS + 10, "{summary}");
        for part in [
            "1000 Works in ",
            "1000 failed",
            "  others ",
            "failed: and 995 more",
        ] {
            assert!(summary.contains(part), "{part} in {summary}");
        }
    }
}
