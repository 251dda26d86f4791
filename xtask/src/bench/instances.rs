//! Instances of one bound app, two of whose ten entries are secrets: how long one lives, and how
//! many run a second.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::row::{Bound, Goal, Row};
use super::samples::Samples;
use crate::home::Home;
use crate::step;

/// Samples of Leyden and of the bare crate, for a guest and so many tasks at once.
type Rates = BTreeMap<(String, usize), (Samples, Samples)>;

/// Measures in one process, in turn. The store is the one of the row before.
pub(crate) fn measure(home: &Home, quick: bool) -> Result<Vec<Row>> {
    let (slices, milliseconds) = if quick { ("6", "100") } else { ("20", "300") };
    let data = home.path();
    let mut program = super::in_process(home, "instances")?;
    program
        .arg("hello.wasm")
        .arg(data.join(".local/share/leyden/store.db"))
        .arg(data.join(".config/leyden/root.key"))
        .args([slices, milliseconds]);
    let rates = parse(&step::output(&mut program)?)?;
    let mut rows = Vec::new();
    for ((guest, tasks), (leyden, bare)) in rates {
        let guest_title = match guest.as_str() {
            "small" => "a component of 500 bytes",
            _ => "examples/hello",
        };
        if tasks == 1 {
            rows.push(life(&guest, guest_title, &leyden, &bare));
        }
        rows.push(Row {
            id: format!("instances {guest} {tasks}"),
            title: format!("Instances of {guest_title}, {tasks} at once"),
            unit: "a second; more is better",
            digits: 0,
            leyden: vec![("leyden, two secrets".into(), leyden)],
            beside: vec![("bare wasmtime crate".into(), bare)],
            goals: vec![Goal {
                own: "leyden",
                other: "bare",
                bound: Bound::AtLeast(1.0),
            }],
        });
    }
    Ok(rows)
}

/// The whole life of one, from one task that does nothing else.
fn life(guest: &str, title: &str, leyden: &Samples, bare: &Samples) -> Row {
    let microseconds = |rates: &Samples| Samples(rates.0.iter().map(|rate| 1e6 / rate).collect());
    Row {
        id: format!("instance {guest}"),
        title: format!("The whole life of an instance of {title}"),
        unit: "microseconds; less is better",
        digits: 1,
        leyden: vec![("leyden, two secrets".into(), microseconds(leyden))],
        beside: vec![("bare wasmtime crate".into(), microseconds(bare))],
        goals: vec![Goal {
            own: "leyden",
            other: "bare",
            bound: Bound::AtMost(1.0),
        }],
    }
}

/// Reads the program's lines: guest, tasks, who, instances a second.
fn parse(text: &str) -> Result<Rates> {
    let mut rates = Rates::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [guest, tasks, who, rate] = words.as_slice() else {
            anyhow::bail!("an unexpected line: {line}");
        };
        let key = ((*guest).to_owned(), tasks.parse()?);
        let (leyden, bare) = rates.entry(key).or_default();
        let samples = match *who {
            "leyden" => leyden,
            "bare" => bare,
            _ => anyhow::bail!("an unexpected line: {line}"),
        };
        samples.0.push(rate.parse().context("a rate is a number")?);
    }
    Ok(rates)
}
