//! Works that a Flow starts, beside bare wasmtime and beside what people had before.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::report::Row;
use super::samples::Samples;
use crate::home::Home;
use crate::{repository, step};

/// What Lightning Apps took for the same, as measured once: to the first Work's output, and for
/// each further Work, in milliseconds and in KiB; a whole core while nothing happens.
const LIGHTNING_FIRST: f64 = 1670.0;
const LIGHTNING_NEXT: f64 = 7.0;
const LIGHTNING_MEMORY: f64 = 7.0 * 1024.0;
const LIGHTNING_IDLE: f64 = 100.0;
const LIGHTNING: &str = "Lightning Apps, as measured before";

/// Samples by what was measured, and of whom.
type Measured = BTreeMap<String, BTreeMap<String, Samples>>;

pub(crate) fn measure(home: &Home, quick: bool) -> Result<Vec<Row>> {
    let mut rows = vec![first(home, quick)?];
    let (rounds, count) = if quick {
        ("3", "2000")
    } else {
        ("10", "10000")
    };
    let guests = repository::root()?.join("target/guests");
    let folder = home.path().join("works");
    std::fs::create_dir_all(&folder)?;
    let mut program = home.command(repository::built("release")?.join("works"));
    program.arg(guests).arg(folder).args([rounds, count]);
    let mut measured = parse(&step::output(&mut program)?)?;

    for (what, title) in [
        (
            "start 1".to_owned(),
            "A run of a Flow that starts 1 Work".to_owned(),
        ),
        (
            "start 100".to_owned(),
            "A Work, of 100 that a Flow starts at once".to_owned(),
        ),
        (
            format!("start {count}"),
            format!("A Work, of {count} that a Flow starts at once"),
        ),
        (
            "one after the other".to_owned(),
            "A Work, each started when the one before has ended".to_owned(),
        ),
    ] {
        let mut by_whom = measured.remove(&what).unwrap_or_default();
        let bare = by_whom.remove("bare wasmtime crate").unwrap_or_default();
        rows.push(Row {
            title,
            unit: "microseconds; less is better",
            digits: 1,
            beside: vec![
                ("bare wasmtime crate".into(), bare),
                constant(LIGHTNING_NEXT * 1e3, &by_whom),
            ],
            leyden: by_whom.into_iter().collect(),
        });
    }
    for (what, title, unit, before) in [
        (
            "memory",
            "Memory of a Work that runs, of 1,000",
            "KiB; less is better",
            LIGHTNING_MEMORY,
        ),
        (
            "idle",
            "A Flow that waits for 1,000 Works that sleep",
            "percent of a core; less is better",
            LIGHTNING_IDLE,
        ),
    ] {
        let by_whom = measured.remove(what).unwrap_or_default();
        rows.push(Row {
            title: title.into(),
            unit,
            digits: 2,
            beside: vec![constant(before, &by_whom)],
            leyden: by_whom.into_iter().collect(),
        });
    }
    Ok(rows)
}

/// A number that was measured elsewhere, as often as there are samples beside it.
fn constant(value: f64, beside: &BTreeMap<String, Samples>) -> (String, Samples) {
    let count = beside.values().map(|samples| samples.0.len()).max();
    let samples = vec![value; count.unwrap_or_default()];
    (LIGHTNING.into(), Samples(samples))
}

/// From the command to the first Work's output: an app with one start, warm.
fn first(home: &Home, quick: bool) -> Result<Row> {
    let rounds = if quick { 10 } else { 50 };
    let app = home.path().join("works/app");
    let guests = repository::root()?.join("target/guests");
    std::fs::create_dir_all(&app)?;
    for name in ["flow-probe.wasm", "work-echo.wasm"] {
        std::fs::copy(guests.join(name), app.join(name))?;
    }
    let manifest = "[flow]\ncomponent = \"flow-probe.wasm\"\n\
                    [works.echo]\ncomponent = \"work-echo.wasm\"\n";
    std::fs::write(app.join("leyden.toml"), manifest)?;
    let script = r#"[{"start":{"work":"echo","text":"x"}},{"wait":"all"}]"#;
    let leyden = repository::built("release")?.join("leyden");
    let mut samples = Samples::default();
    for round in 0..=rounds {
        let mut command = home.command(&leyden);
        command
            .args(["run", "app"])
            .arg(&app)
            .args(["--", script])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let start = Instant::now();
        let status = command.status().context("cannot start")?;
        ensure!(status.success(), "leyden run app: {status}");
        // The first one compiles.
        if round > 0 {
            samples.0.push(start.elapsed().as_secs_f64() * 1e3);
        }
    }
    let by_whom = BTreeMap::from([("leyden, the whole command".to_owned(), samples)]);
    Ok(Row {
        title: format!("From the command to the end of its first Work, {rounds} times"),
        unit: "milliseconds; less is better",
        digits: 2,
        beside: vec![constant(LIGHTNING_FIRST, &by_whom)],
        leyden: by_whom.into_iter().collect(),
    })
}

/// Reads the program's lines: what, who, a number.
fn parse(text: &str) -> Result<Measured> {
    let mut measured = Measured::new();
    for line in text.lines() {
        let words: Vec<&str> = line.split('\t').collect();
        let [what, who, number] = words.as_slice() else {
            anyhow::bail!("an unexpected line: {line}");
        };
        let of = measured.entry((*what).to_owned()).or_default();
        let samples = of.entry((*who).to_owned()).or_default();
        samples.0.push(number.parse().context("not a number")?);
    }
    Ok(measured)
}
