//! A warm one-shot run of a Rust component: process start to process end.
//!
//! Each gives the guest the same three entries of environment, and all code is compiled before.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::report::Row;
use super::samples::Samples;
use super::wasmtime::Wasmtime;
use crate::home::Home;
use crate::repository;

/// Rounds before the ones that count: caches are filled, and all must print the same.
const WARM_UP: usize = 3;

/// One way to run the guest.
struct Subject {
    name: String,
    command: Command,
    samples: Samples,
}

/// Makes the store that both rows use, and measures.
pub(crate) fn measure(home: &Home, wasmtime: Option<Wasmtime>, quick: bool) -> Result<Row> {
    let rounds = if quick { 15 } else { 100 };
    let built = repository::built("release")?;
    let leyden = built.join("leyden");
    create_secret(home, &leyden, "my-secret", "some-value")?;
    create_secret(home, &leyden, "other-secret", "other-value")?;

    let plain = [
        "FOO=bar",
        "MY_APP_SECRET=some-value",
        "OTHER_SECRET=other-value",
    ];
    let environment = plain.iter().flat_map(|entry| ["--env", *entry]);

    let mut without = home.command(&leyden);
    without
        .args(["run", "app", "hello.wasm"])
        .args(environment.clone());
    let mut with = home.command(&leyden);
    with.args(["run", "app", "hello.wasm", "--env", "FOO=bar"])
        .args([
            "--secret",
            "MY_APP_SECRET=my-secret",
            "--secret",
            "OTHER_SECRET=other-secret",
        ]);
    // The first run compiles, so that there is code for the bare program to map.
    let printed = output(&mut without)?;

    let mut bare = home.command(built.join("bare-run"));
    bare.arg(compiled(home)?).args(plain);

    let mut subjects = vec![
        Subject::new("leyden, no secret", without),
        Subject::new("leyden, two secrets", with),
        Subject::new("bare wasmtime crate", bare),
    ];
    if let Some(wasmtime) = wasmtime {
        let mut command = home.command(&wasmtime.path);
        command.arg("run").args(environment).arg("hello.wasm");
        subjects.push(Subject::new(&wasmtime.version, command));
    }

    for _ in 0..WARM_UP {
        for subject in &mut subjects {
            ensure!(
                output(&mut subject.command)? == printed,
                "{} does not print the same",
                subject.name
            );
        }
    }
    for _ in 0..rounds {
        for subject in &mut subjects {
            subject.run()?;
        }
        // Each comes after each other one in turn.
        subjects.rotate_left(1);
    }
    let turned = rounds % subjects.len();
    subjects.rotate_right(turned);
    let (leyden, beside) = subjects
        .into_iter()
        .map(|subject| (subject.name, subject.samples))
        .partition(|(name, _)| name.starts_with("leyden"));
    Ok(Row {
        title: format!("A warm one-shot run of examples/hello, {rounds} times each"),
        unit: "milliseconds; less is better",
        digits: 2,
        leyden,
        beside,
    })
}

impl Subject {
    fn new(name: &str, mut command: Command) -> Self {
        command.stdout(Stdio::null());
        Self {
            name: name.into(),
            command,
            samples: Samples::default(),
        }
    }

    fn run(&mut self) -> Result<()> {
        let start = Instant::now();
        let status = self.command.status().context("cannot start")?;
        let taken = start.elapsed();
        ensure!(status.success(), "{}: {status}", self.name);
        self.samples.0.push(taken.as_secs_f64() * 1e3);
        Ok(())
    }
}

/// What a command prints; its standard output goes nowhere again afterwards.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdout(Stdio::piped()).output()?;
    command.stdout(Stdio::null());
    ensure!(
        output.status.success(),
        "{} failed: {}\n{}",
        command.get_program().display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn create_secret(home: &Home, leyden: &Path, name: &str, value: &str) -> Result<()> {
    let mut command = home.command(leyden);
    command.args(["secret", "create", name]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("standard input is a pipe")?;
    input.write_all(value.as_bytes())?;
    drop(input);
    let status = child.wait()?;
    ensure!(status.success(), "leyden secret create {name}: {status}");
    Ok(())
}

/// The file of code in Leyden's cache, in which one component is.
fn compiled(home: &Home) -> Result<PathBuf> {
    let cache = home.path().join(".cache/leyden");
    let entries = fs::read_dir(&cache).with_context(|| format!("{}", cache.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "code"))
        .with_context(|| format!("no compiled code in {}", cache.display()))
}
