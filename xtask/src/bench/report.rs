//! What a benchmark found, for people and as JSON.

use std::fmt::Display;
use std::io::{self, Write as _};

use serde_json::{Value, json};

use super::machine::Machine;
use super::row::{Bound, Row};
use super::samples::Samples;

/// All comparisons, printed as they come.
pub(crate) struct Report {
    pub(crate) machine: Machine,
    pub(crate) quick: bool,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Prints on what machine this is, and whether the run is a quick one.
    pub(crate) fn begin(machine: Machine, quick: bool) -> Self {
        let kind = if quick { "a quick run" } else { "a whole run" };
        say(format_args!("\n{machine}; {kind}"));
        say("A ratio is the median of the rounds' ratios, not that of the medians.");
        Self {
            machine,
            quick,
            rows: Vec::new(),
        }
    }

    /// Prints a comparison and keeps it.
    pub(crate) fn add(&mut self, row: Row) {
        say(format_args!("\n{} ({})", row.title, row.unit));
        say(format_args!("  {:<64} {:>9}   middle half", "", "median"));
        for (subject, samples) in row.leyden.iter().chain(&row.beside) {
            print_line(subject, samples, row.digits, "");
        }
        for ratio in row.ratios() {
            let summary = ratio.samples.summary();
            let verdict = match (ratio.goal, summary) {
                (Some(goal), Some(of)) if goal.is_met(of.median) => format!("goal {goal}: met"),
                (Some(goal), Some(_)) => format!("goal {goal}: NOT met"),
                _ => String::new(),
            };
            let name = format!("{} : {}", ratio.own, ratio.other);
            let digits = summary.map_or(2, |of| digits(of.median, ratio.goal));
            print_line(&name, &ratio.samples, digits, &verdict);
        }
        self.rows.push(row);
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        json!({ "machine": self.machine.to_json(), "quick": self.quick, "rows": rows })
    }
}

/// How many digits after the point show the ratio, and on which side of its goal it is.
pub(crate) fn digits(ratio: f64, goal: Option<Bound>) -> usize {
    let least = if ratio < 0.1 { 4 } else { 2 };
    let shows = |digits: &usize| {
        let shown: f64 = format!("{ratio:.digits$}").parse().unwrap_or(ratio);
        goal.is_none_or(|goal| goal.is_met(shown) == goal.is_met(ratio))
    };
    (least..6).find(shows).unwrap_or(6)
}

fn print_line(name: &str, samples: &Samples, digits: usize, verdict: &str) {
    let Some(summary) = samples.summary() else {
        return;
    };
    let spread = match samples.0.len() {
        1 => "one sample".to_owned(),
        _ => format!(
            "{:.digits$} to {:.digits$}",
            summary.first_quartile, summary.third_quartile
        ),
    };
    let line = format!(
        "  {name:<64} {:>9.digits$}   {spread:<22} {verdict}",
        summary.median
    );
    say(line.trim_end());
}

/// Prints a line. Whoever has closed standard output may still wait for the files.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_on_the_same_side_of_the_goal() {
        assert_eq!(digits(1.2, Some(Bound::AtMost(1.0))), 2);
        assert_eq!(digits(1.0004, Some(Bound::AtMost(1.0))), 4);
        assert_eq!(digits(0.997, Some(Bound::AtLeast(1.0))), 3);
        assert_eq!(digits(1.0004, None), 2);
        assert_eq!(digits(0.0134, Some(Bound::AtMost(0.01))), 4);
    }
}
