//! A run's timeline as a picture: the Flow, its Works, their attempts and failures.

use jiff::Timestamp;
use leyden::run::journal::{RunInfo, RunState, WorkInfo};
use maud::{Markup, html};

use crate::report::{self, counted};
use crate::timeline::{choose, duration, end, has_failed, lasted, micros, outcome};

/// The picture's measures, in its own units.
const WIDTH: i64 = 1000;
const NAMES: i64 = 190;
const ROW: i64 = 24;
const BAR: i64 = 14;
/// Room above for the scale.
const TOP: i64 = 30;
/// Of a bar that would be too short to be seen.
const LEAST: i64 = 2;
/// Letters of a name that fit in front of its bars.
const LETTERS: usize = 24;

/// Draws a run.
pub(super) fn draw(run: &RunInfo, works: &[WorkInfo]) -> Markup {
    let Some(end) = end(run, works) else {
        return html! { p.quiet { "Until when it ran is not known, and no Work was started." } };
    };
    let scale = Scale {
        start: run.started,
        total: micros(run.started, end).max(1),
    };
    let (shown, left_out) = choose(works);
    let rows = i64::try_from(shown.len()).unwrap_or_default() + 1;
    let height = TOP + rows * ROW + 6;
    html! {
        div.scroll tabindex="0" role="region" aria-label="Timeline" {
            svg.timeline viewBox=(format!("0 0 {WIDTH} {height}")) role="img" aria-label=(told(run, works, &lasted(run, Some(end)))) {
                (grid(&scale, height))
                (row(0, "Flow", "", html! { (bar("ran", &scale, 0, run.started, end, "the Flow")) }))
                @for (place, work) in (1..).zip(&shown) {
                    (row(place, &format!("{}#{}", work.work, work.number), &outcome(run, work), bars(place, run, work, &scale, end)))
                }
            }
        }
        ul.legend {
            li { (swatch("wait")) "waits" }
            li { (swatch("ran")) "runs" }
            li { (swatch("failed")) "an attempt that failed" }
            @if left_out > 0 { li { "and " (counted(left_out as u64, "more Work")) } }
        }
    }
}

fn told(run: &RunInfo, works: &[WorkInfo], lasted: &str) -> String {
    let (count, failed) = (works.len(), run.failed);
    let works = counted(count as u64, "Work");
    format!("{}: {works}, {failed} failed; {lasted}", run.app)
}

/// Places of moments in the picture.
struct Scale {
    start: Timestamp,
    total: i64,
}

impl Scale {
    fn at(&self, moment: Timestamp) -> i64 {
        self.place(micros(self.start, moment).clamp(0, self.total))
    }

    /// So many microseconds after the start.
    fn place(&self, away: i64) -> i64 {
        let wide = i128::from(WIDTH - NAMES - 10);
        let away = i128::from(away);
        let place = away * wide / i128::from(self.total);
        NAMES + i64::try_from(place).unwrap_or_default()
    }
}

fn grid(scale: &Scale, height: i64) -> Markup {
    html! {
        @let step = step(scale.total);
        @for mark in 0..=scale.total / step {
            @let x = scale.place(mark * step);
            line.grid x1=(x) y1=(TOP - 6) x2=(x) y2=(height) {}
            text.soft x=(x) y="17" text-anchor=(match mark { 0 => "start", _ if x > WIDTH - 40 => "end", _ => "middle" }) {
                (duration(mark * step))
            }
        }
    }
}

/// What the scale is divided into, in microseconds: a round time, of which five at most fit.
fn step(total: i64) -> i64 {
    const SECONDS: [i64; 15] = [
        1, 2, 5, 10, 30, 60, 120, 300, 600, 1_800, 3_600, 7_200, 18_000, 43_200, 86_400,
    ];
    let below = (0..6).flat_map(|zeros| [1, 2, 5].map(|of| of * 10_i64.pow(zeros)));
    let mut steps = below.chain(SECONDS.map(|seconds| seconds * 1_000_000));
    steps.find(|step| total / step <= 5).unwrap_or(total)
}

fn row(place: i64, name: &str, outcome: &str, bars: Markup) -> Markup {
    let y = TOP + place * ROW + BAR;
    let short: String = match name.chars().count() > LETTERS {
        true => name.chars().take(LETTERS - 1).chain(['…']).collect(),
        false => name.to_owned(),
    };
    html! {
        g {
            title { (name) @if !outcome.is_empty() { ": " (outcome) } }
            text x="10" y=(y) { (short) }
            (bars)
        }
    }
}

fn bars(place: i64, run: &RunInfo, work: &WorkInfo, scale: &Scale, end: Timestamp) -> Markup {
    let last = work.ended.unwrap_or(end);
    html! {
        (bar("wait", scale, place, work.queued, last, "waits"))
        @for attempt in &work.attempts {
            @let to = attempt.ended.unwrap_or(match run.state { RunState::Running => end, _ => last });
            @let told = match &attempt.failure {
                Some(failure) => format!("attempt {}: {}", attempt.attempt, report::failure(failure)),
                None => format!("attempt {}", attempt.attempt),
            };
            @let class = if has_failed(attempt.failure.as_ref()) { "failed" } else { "ran" };
            (bar(class, scale, place, attempt.started, to, &told))
        }
    }
}

fn bar(
    class: &str,
    scale: &Scale,
    place: i64,
    from: Timestamp,
    to: Timestamp,
    told: &str,
) -> Markup {
    let (x, until) = (scale.at(from), scale.at(to));
    let y = TOP + place * ROW + 3;
    html! {
        rect class=(class) x=(x) y=(y) width=((until - x).max(LEAST)) height=(BAR) rx="3" {
            title { (told) }
        }
    }
}

fn swatch(class: &str) -> Markup {
    html! { svg width="14" height="10" aria-hidden="true" { rect class=(class) width="14" height="10" rx="2" {} } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_has_few_and_round_marks() {
        for (total, round) in [
            (1, 1),
            (1_006_000, 200_000),
            (999_999, 200_000),
            (200_000_000, 60_000_000),
            (20 * 86_400 * 1_000_000, 20 * 86_400 * 1_000_000),
        ] {
            assert_eq!(step(total), round, "{total}");
        }
    }

    #[test]
    fn every_moment_is_within_the_picture() {
        let at = |second| Timestamp::from_second(second).unwrap_or_default();
        let scale = Scale {
            start: at(10),
            total: 10_000_000,
        };
        let places = [0, 10, 15, 20, 30].map(|second| scale.at(at(second)));
        assert_eq!(
            places,
            [
                NAMES,
                NAMES,
                (NAMES + WIDTH - 10) / 2,
                WIDTH - 10,
                WIDTH - 10
            ]
        );
    }
}
