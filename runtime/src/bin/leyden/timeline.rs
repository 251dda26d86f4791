//! A run's timeline, drawn with characters.

use std::fmt::Write as _;

use bytesize::ByteSize;
use jiff::Timestamp;
use leyden::run::journal::{RunInfo, RunState, WorkInfo};
use leyden::sandbox::Failure;

use crate::report::{self, counted, printable, time};
use crate::runs::state;

/// Columns of the picture.
const WIDTH: usize = 40;
/// Works that are shown of many: the first, the slowest, and those that failed.
const FIRST: usize = 10;
const SLOWEST: usize = 10;
const FAILED: usize = 20;

const WAITS: char = '·';
const RUNS: char = '█';
const FAILS: char = '▒';

/// Draws a run.
pub(crate) fn draw(run: &RunInfo, works: &[WorkInfo], all: bool) -> String {
    let end = end(run, works);
    let mut text = String::new();
    head(&mut text, run, &lasted(run, end));
    let (shown, left_out) = match all {
        true => (works.iter().collect(), 0),
        false => choose(works),
    };
    // Where there are Works, the last thing is known that is.
    if let Some(end) = end.filter(|_| !shown.is_empty()) {
        let name = |work: &WorkInfo| printable(&format!("{}#{}", work.work, work.number));
        let names: Vec<_> = shown.iter().map(|work| name(work)).collect();
        let width = names.iter().map(|name| name.chars().count()).max();
        let width = width.unwrap_or_default();
        let scale = Scale::new(run.started, end);
        let _ = writeln!(
            text,
            "\n{:width$}  0{:>pad$}",
            "",
            duration(scale.total),
            pad = WIDTH - 1
        );
        for (work, name) in shown.iter().zip(&names) {
            let _ = writeln!(
                text,
                "{name:width$}  {}  {}",
                bar(run, work, &scale),
                outcome(run, work)
            );
        }
        if left_out > 0 {
            let _ = writeln!(text, "and {left_out} more; --all shows them");
        }
        let _ = writeln!(
            text,
            "\n{WAITS} waits  {RUNS} runs  {FAILS} an attempt that failed"
        );
    }
    text
}

fn head(text: &mut String, run: &RunInfo, lasted: &str) {
    let mut line = |what: &str, value: &str| {
        let _ = writeln!(text, "{what:9}{}", printable(value));
    };
    line("run", run.id.as_str());
    line("app", &format!("{} ({})", run.app, run.digest));
    let reason = match (&run.reason, run.state) {
        (Some(reason), _) => format!("{}: {reason}", state(run)),
        (None, RunState::Interrupted) => {
            "interrupted: its process died; what was under way did not end".to_owned()
        }
        (None, _) => state(run),
    };
    line("state", &reason);
    if let Some(damage) = &run.damage {
        line("damaged", damage);
    }
    line("started", &format!("{}, {lasted}", time(run.started)));
    line("by", &format!("{}@{} ({})", run.user, run.host, run.pid));
    if run.lives > 1 {
        line("resumed", &counted(u64::from(run.lives - 1), "time"));
    }
    line("works", &format!("{}, {} failed", run.works, run.failed));
    let size = ByteSize::b(run.size);
    let keeps = match (run.sealed, run.works) {
        (true, _) => format!("{size}, inputs and outputs among it"),
        // An app without Works opens no store for its journal.
        (false, 0) => format!("{size}, metadata only: no Work was started"),
        (false, _) => format!("{size}, metadata only: no store was open to seal more"),
    };
    line("keeps", &keeps);
}

/// When the run ended, or the last thing that is known of it; of one whose process died before a Work
/// was started, that is nothing.
pub(crate) fn end(run: &RunInfo, works: &[WorkInfo]) -> Option<Timestamp> {
    if run.ended.is_some() {
        return run.ended;
    }
    if run.state == RunState::Running {
        return Some(Timestamp::now());
    }
    let attempts = works.iter().flat_map(|work| &work.attempts);
    let known = attempts.flat_map(|attempt| [Some(attempt.started), attempt.ended]);
    let known = known.chain(works.iter().map(|work| Some(work.queued)));
    known.flatten().max()
}

/// For how long it ran, up to its [`end`], or what is known of that.
pub(crate) fn lasted(run: &RunInfo, end: Option<Timestamp>) -> String {
    let Some(end) = end else {
        return "until when is not known".to_owned();
    };
    let took = duration(micros(run.started, end));
    match run.state {
        RunState::Interrupted => format!("last heard of after {took}"),
        RunState::Running | RunState::Ended => took,
    }
}

/// Of many Works, those that tell most; how many are left out.
pub(crate) fn choose(works: &[WorkInfo]) -> (Vec<&WorkInfo>, usize) {
    let mut slowest: Vec<_> = works.iter().collect();
    slowest.sort_by_key(|work| std::cmp::Reverse(took(work)));
    let failed = works
        .iter()
        .filter(|work| has_failed(work.failure.as_ref()));
    let mut shown: Vec<_> = works
        .iter()
        .take(FIRST)
        .chain(slowest.into_iter().take(SLOWEST))
        .chain(failed.take(FAILED))
        .collect();
    shown.sort_by_key(|work| work.number);
    shown.dedup_by_key(|work| work.number);
    let left_out = works.len() - shown.len();
    (shown, left_out)
}

/// How long it took, in the life of the run in which it ended.
pub(crate) fn took(work: &WorkInfo) -> i64 {
    let life = work.attempts.last().map(|last| last.life);
    let first = work.attempts.iter().find(|it| Some(it.life) == life);
    match (first, work.ended) {
        (Some(first), Some(ended)) => micros(first.started, ended),
        _ => 0,
    }
}

/// Places of moments in the picture.
struct Scale {
    start: Timestamp,
    total: i64,
}

impl Scale {
    fn new(start: Timestamp, end: Timestamp) -> Self {
        Self {
            start,
            total: micros(start, end).max(1),
        }
    }

    /// The column of a moment.
    fn column(&self, moment: Timestamp) -> usize {
        let width = i64::try_from(WIDTH).unwrap_or(i64::MAX);
        let at = micros(self.start, moment).saturating_mul(width) / self.total;
        usize::try_from(at).unwrap_or_default().min(WIDTH - 1)
    }
}

fn bar(run: &RunInfo, work: &WorkInfo, scale: &Scale) -> String {
    let mut bar = vec![' '; WIDTH];
    let last = match run.state {
        RunState::Running => WIDTH - 1,
        _ => scale.column(end(run, std::slice::from_ref(work)).unwrap_or(work.queued)),
    };
    let mut paint = |from: usize, to: usize, with: char| {
        for cell in bar.iter_mut().take(to + 1).skip(from) {
            *cell = with;
        }
    };
    let ended = work.ended.map_or(last, |ended| scale.column(ended));
    paint(scale.column(work.queued), ended, WAITS);
    for attempt in &work.attempts {
        let from = scale.column(attempt.started);
        let to = match attempt.ended {
            Some(ended) => scale.column(ended),
            // It was cut off by the end of its life, whenever that was.
            None if attempt.life < run.lives => from,
            None => last,
        };
        let with = match has_failed(attempt.failure.as_ref()) {
            true => FAILS,
            false => RUNS,
        };
        paint(from, to.max(from), with);
    }
    bar.into_iter().collect()
}

pub(crate) fn outcome(run: &RunInfo, work: &WorkInfo) -> String {
    let mut text = match (&work.failure, work.ended) {
        (Some(Failure::Stopped), _) if work.attempts.is_empty() => "stopped, never ran".to_owned(),
        (Some(Failure::Stopped), _) => "stopped".to_owned(),
        (Some(failure), _) => format!("failed: {}", report::failure(failure)),
        (None, Some(_)) => duration(took(work)),
        (None, None) if run.state != RunState::Running => "did not end".to_owned(),
        (None, None) if work.attempts.is_empty() => "waits".to_owned(),
        (None, None) => "runs".to_owned(),
    };
    if let Some(answer) = work.answer.as_deref().filter(|answer| *answer != "ran") {
        let _ = write!(text, ", {answer}");
    }
    if work.attempts.len() > 1 {
        let _ = write!(text, ", {} attempts", work.attempts.len());
    }
    printable(&text.replace('\n', " "))
}

/// What somebody stopped has not failed.
pub(crate) fn has_failed(failure: Option<&Failure>) -> bool {
    failure.is_some_and(|failure| *failure != Failure::Stopped)
}

pub(crate) fn micros(from: Timestamp, to: Timestamp) -> i64 {
    to.as_microsecond().saturating_sub(from.as_microsecond())
}

pub(crate) fn duration(micros: i64) -> String {
    let (milliseconds, seconds) = (micros / 1_000, micros / 1_000_000);
    match (seconds, milliseconds) {
        (..=0, ..=0) => format!("{} µs", micros.max(0)),
        (..=0, _) => format!("{milliseconds} ms"),
        (1..60, _) => format!("{seconds}.{} s", milliseconds / 100 % 10),
        _ => format!("{} min {} s", seconds / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_short() {
        for (micros, shown) in [
            (-5, "0 µs"),
            (12, "12 µs"),
            (3_400, "3 ms"),
            (1_250_000, "1.2 s"),
            (61_000_000, "1 min 1 s"),
        ] {
            assert_eq!(duration(micros), shown);
        }
    }

    #[test]
    fn every_moment_has_a_column() {
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let scale = Scale::new(at(10), at(20));
        let columns = [0, 10, 15, 20, 30].map(|second| scale.column(at(second)));
        assert_eq!(columns, [0, 0, WIDTH / 2, WIDTH - 1, WIDTH - 1]);
        // A run that took no time.
        assert_eq!(Scale::new(at(1), at(1)).column(at(1)), 0);
    }
}
