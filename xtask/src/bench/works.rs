//! Works that a Flow starts, beside bare wasmtime and beside what people had before.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::row::{Bound, Goal, Row};
use super::samples::{self, Samples};
use crate::home::Home;
use crate::{repository, step};

/// What Lightning Apps took for the same, as measured once: to the first Work's output, and for
/// each further Work, in milliseconds and in KiB; a whole core while nothing happens.
const LIGHTNING_FIRST: f64 = 1670.0;
const LIGHTNING_NEXT: f64 = 7.0;
const LIGHTNING_MEMORY: f64 = 7.0 * 1024.0;
const LIGHTNING_IDLE: f64 = 100.0;
const LIGHTNING: &str = "Lightning Apps, as measured before";
const ROUNDS: &str = "7";
/// As the program calls it that measures.
const PYTHON: &str = "a Python process for each job";

/// Beside bare wasmtime: without and with the journal. Beside Lightning: a hundredth.
const GOALS: [Goal; 3] = [
    goal("leyden, with its journal", "bare", 3.0),
    goal("leyden", "bare", 1.5),
    goal("leyden", "Lightning", 0.01),
];

const fn goal(own: &'static str, other: &'static str, most: f64) -> Goal {
    Goal {
        own,
        other,
        bound: Bound::AtMost(most),
    }
}

pub(crate) fn measure(home: &Home, quick: bool, python: Option<&Path>) -> Result<Vec<Row>> {
    let mut rows = vec![first(home, quick)?];
    let count = if quick { 2000 } else { 10_000 };
    let counts = if quick {
        vec![count]
    } else {
        vec![count, 100_000]
    };
    let guests = repository::root()?.join("target/guests");
    let folder = home.path().join("works");
    std::fs::create_dir_all(&folder)?;
    let mut program = super::in_process(home, "works")?;
    program.arg(&guests).arg(folder);
    program.arg(python.unwrap_or(Path::new(""))).arg(ROUNDS);
    program.args(counts.iter().map(usize::to_string));
    let mut measured = samples::parse(&step::output(&mut program)?)?;
    for who in ["leyden", "bare"] {
        let mut program = super::in_process(home, "sleepers")?;
        program.args([
            who.as_ref(),
            guests.as_path(),
            &home.path().join("sleepers"),
        ]);
        for (what, by_whom) in samples::parse(&step::output(&mut program)?)? {
            measured.entry(what).or_default().extend(by_whom);
        }
    }

    let mut compared = vec![
        (
            "start 1".to_owned(),
            "A whole run of a Flow that starts 1 Work".to_owned(),
        ),
        (
            "start 100".to_owned(),
            "A Work, of 100 that a Flow starts at once".to_owned(),
        ),
    ];
    for count in counts {
        let title = format!("A Work, of {count} that a Flow starts at once");
        compared.push((format!("start {count}"), title));
    }
    compared.push((
        "one after the other".to_owned(),
        "A further Work, started when the one before has ended".to_owned(),
    ));
    for (what, title) in compared {
        let mut by_whom = measured.remove(&what).unwrap_or_default();
        let bare = by_whom.remove("bare wasmtime crate").unwrap_or_default();
        let lightning = constant(LIGHTNING_NEXT * 1e3, &by_whom);
        let mut beside = vec![("bare wasmtime crate".into(), bare), lightning];
        if let Some(python) = by_whom.remove(PYTHON) {
            beside.push((PYTHON.into(), python));
        }
        rows.push(Row {
            // A run has its Flow besides.
            goals: if what == "start 1" {
                vec![]
            } else {
                GOALS.to_vec()
            },
            id: what,
            title,
            unit: "microseconds; less is better",
            digits: 1,
            beside,
            leyden: by_whom.into_iter().collect(),
        });
    }
    let mut memory = measured.remove("memory").unwrap_or_default();
    let bare = memory.remove("bare wasmtime crate").unwrap_or_default();
    rows.push(Row {
        id: "memory of a Work".into(),
        title: "Memory of a Work that runs, of 1,000".into(),
        unit: "KiB; less is better",
        digits: 1,
        beside: vec![
            ("bare wasmtime crate".into(), bare),
            constant(LIGHTNING_MEMORY, &memory),
        ],
        leyden: memory.into_iter().collect(),
        goals: vec![
            goal("leyden", "bare", 1.1),
            goal("leyden", "Lightning", 0.01),
        ],
    });
    let idle = measured.remove("idle").unwrap_or_default();
    rows.push(Row {
        id: "idle Flow".into(),
        title: "A Flow that waits for 1,000 Works that sleep".into(),
        unit: "percent of a core; less is better",
        digits: 2,
        beside: vec![constant(LIGHTNING_IDLE, &idle)],
        leyden: idle.into_iter().collect(),
        goals: vec![goal("leyden", "Lightning", 0.01)],
    });
    Ok(rows)
}

/// The interpreter itself, and not a script that looks for one; `None`, told, where there is none
/// that starts as the jobs do.
pub(crate) fn python(home: &Home) -> Option<PathBuf> {
    let mut asked = Command::new("python3");
    asked.args(["-c", "import sys; print(sys.executable)"]);
    let found = step::output(&mut asked).and_then(|path| {
        let path = PathBuf::from(path);
        ensure!(path.is_file(), "python3 says that it is {}", path.display());
        step::output(home.command(&path).arg("--version"))?;
        Ok(path)
    });
    found
        .inspect_err(|error| {
            eprintln!("{error:#}: a process of Python for each job is left out.");
        })
        .ok()
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
    let leyden = super::program(home, "leyden");
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
        id: "first Work".into(),
        goals: vec![goal("leyden", "Lightning", 0.01)],
        title: "From the command to the end of its first Work".into(),
        unit: "milliseconds; less is better",
        digits: 2,
        beside: vec![constant(LIGHTNING_FIRST, &by_whom)],
        leyden: by_whom.into_iter().collect(),
    })
}
