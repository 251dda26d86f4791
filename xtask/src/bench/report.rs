//! What a benchmark found, for people and as JSON.

use serde_json::{Value, json};

use super::machine::Machine;
use super::row::Row;
use super::samples::Summary;

/// All comparisons, printed as they come.
pub(crate) struct Report {
    machine: Machine,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// Prints on what machine this is.
    pub(crate) fn begin(machine: Machine) -> Self {
        println!("\n{machine}");
        Self {
            machine,
            rows: Vec::new(),
        }
    }

    /// Prints a comparison and keeps it.
    pub(crate) fn add(&mut self, row: Row) {
        println!("\n{} ({})", row.title, row.unit);
        println!("  {:<64} {:>9}   middle half", "", "median");
        for (subject, samples) in row.leyden.iter().chain(&row.beside) {
            print_line(subject, samples.summary(), row.digits, "");
        }
        for ratio in row.ratios() {
            let summary = ratio.samples.summary();
            let verdict = match (ratio.goal, summary) {
                (Some(goal), Some(of)) if goal.is_met(of.median) => format!("goal {goal}: met"),
                (Some(goal), Some(_)) => format!("goal {goal}: NOT met"),
                _ => String::new(),
            };
            let name = format!("{} : {}", ratio.own, ratio.other);
            let small = summary.is_some_and(|of| of.median < 0.1);
            print_line(&name, summary, if small { 4 } else { 2 }, &verdict);
        }
        self.rows.push(row);
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        json!({ "machine": self.machine.to_json(), "rows": rows })
    }
}

fn print_line(name: &str, summary: Option<Summary>, digits: usize, verdict: &str) {
    let Some(summary) = summary else { return };
    let spread = format!(
        "{:.digits$} to {:.digits$}",
        summary.first_quartile, summary.third_quartile
    );
    let line = format!(
        "  {name:<64} {:>9.digits$}   {spread:<22} {verdict}",
        summary.median
    );
    println!("{}", line.trim_end());
}
