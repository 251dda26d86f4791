//! Instances a second from one app that is bound to two secrets.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::report::Row;
use super::samples::Samples;
use crate::home::Home;
use crate::{repository, step};

/// Samples of Leyden and of the bare crate, for so many tasks at once.
type Rates = BTreeMap<usize, (Samples, Samples)>;

/// Measures in one process, in turn. The store is the one of the row before.
pub(crate) fn measure(home: &Home, quick: bool) -> Result<Vec<Row>> {
    let (slices, milliseconds) = if quick { ("5", "200") } else { ("20", "500") };
    let data = home.path();
    let mut program = home.command(repository::built("release")?.join("instances"));
    program
        .arg("hello.wasm")
        .arg(data.join(".local/share/leyden/store.db"))
        .arg(data.join(".config/leyden/root.key"))
        .args([slices, milliseconds]);
    let rates = parse(&step::output(&mut program)?)?;
    let row = |(tasks, (leyden, bare))| Row {
        title: format!(
            "Instances of examples/hello, {tasks} at once, in {slices} slices of \
             {milliseconds} ms each"
        ),
        unit: "a second; more is better",
        digits: 0,
        leyden: vec![("leyden, two secrets".into(), leyden)],
        beside: vec![("bare wasmtime crate".into(), bare)],
    };
    Ok(rates.into_iter().map(row).collect())
}

/// Reads the program's lines: tasks, who, instances a second.
fn parse(text: &str) -> Result<Rates> {
    let mut rates = Rates::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [tasks, who, rate] = words.as_slice() else {
            anyhow::bail!("an unexpected line: {line}");
        };
        let (leyden, bare) = rates.entry(tasks.parse()?).or_default();
        let samples = match *who {
            "leyden" => leyden,
            "bare" => bare,
            _ => anyhow::bail!("an unexpected line: {line}"),
        };
        samples.0.push(rate.parse().context("a rate is a number")?);
    }
    Ok(rates)
}
