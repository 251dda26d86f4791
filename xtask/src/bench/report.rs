//! What a benchmark found, for people and as JSON.

use std::fs;

use serde_json::{Value, json};

use super::samples::{Samples, Summary};

/// One comparison: several subjects did the same work in turn.
pub(crate) struct Row {
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    /// How many digits after the point are worth showing.
    pub(crate) digits: usize,
    /// Leyden's own.
    pub(crate) leyden: Vec<(String, Samples)>,
    /// What it is measured beside.
    pub(crate) beside: Vec<(String, Samples)>,
}

/// All comparisons, printed as they come.
pub(crate) struct Report {
    machine: Value,
    rows: Vec<Row>,
}

impl Report {
    /// Prints on what machine this is.
    pub(crate) fn begin() -> Self {
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let processor = processor().unwrap_or_else(|| std::env::consts::ARCH.into());
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load = load.split_whitespace().next().unwrap_or("unknown");
        println!("\n{processor}, {cores} cores; load before the start: {load}");
        Self {
            machine: json!({ "processor": processor, "cores": cores, "load": load }),
            rows: Vec::new(),
        }
    }

    /// Prints a comparison and keeps it.
    pub(crate) fn add(&mut self, row: Row) {
        println!("\n{} ({})", row.title, row.unit);
        println!("  {:<52} {:>9}   middle half", "", "median");
        for (subject, samples) in row.leyden.iter().chain(&row.beside) {
            print_line(subject, samples.summary(), row.digits);
        }
        for (name, ratios) in row.ratios() {
            print_line(&name, ratios.summary(), 2);
        }
        self.rows.push(row);
    }

    pub(crate) fn to_json(&self) -> Value {
        let rows: Vec<Value> = self.rows.iter().map(Row::to_json).collect();
        json!({ "machine": self.machine, "rows": rows })
    }
}

impl Row {
    /// Each of Leyden's subjects beside each other.
    fn ratios(&self) -> Vec<(String, Samples)> {
        let beside = |(own, samples): &(String, Samples)| {
            let (own, samples) = (own.clone(), samples.clone());
            self.beside
                .iter()
                .map(move |(other, others)| (format!("{own} : {other}"), samples.ratios_to(others)))
        };
        self.leyden.iter().flat_map(beside).collect()
    }

    fn to_json(&self) -> Value {
        let list = |of: Vec<(String, Samples)>| -> Vec<Value> {
            let entry = |(name, samples): (String, Samples)| {
                let summary = samples.summary();
                json!({
                    "name": name,
                    "first_quartile": summary.map(|of| of.first_quartile),
                    "median": summary.map(|of| of.median),
                    "third_quartile": summary.map(|of| of.third_quartile),
                    "samples": samples.0,
                })
            };
            of.into_iter().map(entry).collect()
        };
        let subjects = [&self.leyden[..], &self.beside[..]].concat();
        json!({
            "title": self.title,
            "unit": self.unit,
            "subjects": list(subjects),
            "ratios": list(self.ratios()),
        })
    }
}

fn print_line(name: &str, summary: Option<Summary>, digits: usize) {
    let Some(summary) = summary else { return };
    println!(
        "  {name:<52} {:>9.digits$}   {:.digits$} to {:.digits$}",
        summary.median, summary.first_quartile, summary.third_quartile
    );
}

/// The processor's name, as Linux tells it on x86-64.
fn processor() -> Option<String> {
    let information = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = information
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
