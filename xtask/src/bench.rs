//! `cargo xtask bench`: Leyden beside bare wasmtime, doing the same work in turn, in one go.
//!
//! What counts are the ratios: a machine that is busy or slow is so for both sides.

mod admin;
mod baseline;
mod instances;
mod machine;
mod memory;
mod one_shot;
mod output;
mod plot;
mod report;
mod row;
mod samples;
mod store;
mod wasmtime;
mod works;

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::home::Home;
use crate::{guests, repository, step};
use baseline::Baseline;
use machine::Machine;
use output::Output;
use report::Report;
use wasmtime::Wasmtime;

/// Bytes that a whole run writes, and more: without room, what is to be warm would not be.
const ROOM: u64 = 1 << 30;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fewer and shorter measurements.
    #[arg(long)]
    quick: bool,
    /// Measure the release build that is there, whatever has changed since.
    #[arg(long)]
    built: bool,
    /// Write all samples and what follows from them to this file, and a picture beside it (.svg).
    #[arg(long, value_name = "FILE", value_parser = json_file)]
    json: Option<PathBuf>,
    /// Fail if a ratio is a quarter worse than the one in benches/baseline.json.
    #[arg(long, conflicts_with = "save")]
    check: bool,
    /// Write the ratios to benches/baseline.json, where those of quick and of whole runs are apart.
    #[arg(long)]
    save: bool,
}

/// The picture has the same name with another ending.
fn json_file(path: &str) -> Result<PathBuf, &'static str> {
    let path = PathBuf::from(path);
    match path.extension().is_some_and(|ending| ending == "svg") {
        true => Err("the picture is written beside it, as .svg: end the name in .json"),
        false => Ok(path),
    }
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = repository::root()?;
    let quick = arguments.quick;
    // What fails, fails before minutes of measuring.
    let _alone = alone(&root.join("target/bench"))?;
    let baseline = match (arguments.check, arguments.save) {
        (true, _) => Some(Baseline::to_check(quick)?),
        (_, true) => Some(Baseline::to_save(quick)?),
        _ => None,
    };
    let home = Home::make(root.join("target/bench/home"))?;
    let free = machine::free(home.path())?;
    ensure!(
        free >= ROOM,
        "{} has {} MiB free: {} MiB are needed",
        home.path().display(),
        free >> 20,
        ROOM >> 20
    );
    let outputs = arguments.json.as_ref().map(|path| outputs(path, &home));
    let mut outputs = outputs.transpose()?;
    if !arguments.built {
        guests::build()?;
        step::run(&mut repository::cargo([
            "build",
            "--release",
            "--locked",
            "--package=leyden",
            "--package=leyden-bench",
            "--bins",
        ])?)?;
    }
    for guest in ["hello.wasm", "seed-python.wasm"] {
        let from = root.join("target/guests").join(guest);
        fs::copy(&from, home.path().join(guest))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }

    install(&home)?;
    // What a build has left to be written, and then each part of this, would be written while others
    // wait for the disk.
    rustix::fs::sync();
    let wasmtime = wasmtime::find(&root, &home)?;
    let wasmtime = wasmtime.as_ref();
    let python = works::python(&home);

    let versions = versions(&root, &home, wasmtime, python.as_deref())?;
    let mut report = Report::begin(Machine::look(home.path(), versions)?, quick);
    for row in one_shot::measure(&home, wasmtime, quick)? {
        report.add(row);
    }
    rustix::fs::sync();
    for row in instances::measure(&home, quick)? {
        report.add(row);
    }
    rustix::fs::sync();
    for row in works::measure(&home, quick, python.as_deref())? {
        report.add(row);
    }
    rustix::fs::sync();
    for row in store::measure(&home, quick)? {
        report.add(row);
    }
    rustix::fs::sync();
    report.add(admin::measure(&home, quick)?);
    // Minutes of measuring end in both, whatever becomes of one.
    let written = match &mut outputs {
        Some((json, picture)) => write(&report, json, picture),
        None => Ok(()),
    };
    let judged = match baseline {
        Some(baseline) if arguments.save => baseline.save(&report.rows),
        Some(baseline) => baseline.check(&report.rows),
        None => Ok(()),
    };
    if let (Err(error), Err(_)) = (&written, &judged) {
        eprintln!("{error:#}");
    }
    judged.and(written)
}

fn write(report: &Report, json: &mut Output, picture: &mut Output) -> Result<()> {
    json.write(&serde_json::to_string_pretty(&report.to_json())?)?;
    picture.write(&plot::draw(report)?)
}

/// The file of samples, and the picture beside it.
fn outputs(json: &Path, home: &Home) -> Result<(Output, Output)> {
    let both = (
        Output::open(json)?,
        Output::open(&json.with_extension("svg"))?,
    );
    if json.canonicalize()?.starts_with(home.path()) {
        bail!(
            "{} is emptied by each run: name another",
            home.path().display()
        );
    }
    Ok(both)
}

/// Held while this benchmark uses the folder: two at once would measure each other.
fn alone(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder)?;
    let path = folder.join("lock");
    let file = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another benchmark runs in this checkout: wait for its end")
        }
        Err(TryLockError::Error(error)) => Err(error).context("cannot lock"),
    }
}

/// What is measured, and what compiled it.
fn versions(
    root: &Path,
    home: &Home,
    wasmtime: Option<&Wasmtime>,
    python: Option<&Path>,
) -> Result<Vec<String>> {
    let said = |program: &Path| -> Result<String> {
        let said = step::output(Command::new(program).arg("--version"))?;
        Ok(said.lines().next().unwrap_or_default().to_owned())
    };
    let lock = fs::read_to_string(root.join("Cargo.lock"))?;
    let of_crate = lock
        .split_once("name = \"wasmtime\"\nversion = \"")
        .and_then(|(_, rest)| rest.split('"').next());
    let mut versions = vec![said(&program(home, "leyden"))?];
    versions.extend(of_crate.map(|version| format!("wasmtime {version} crate")));
    // What is built already needs no compiler.
    versions.extend(said(Path::new("rustc")));
    versions.extend(wasmtime.map(|wasmtime| wasmtime.version.clone()));
    versions.extend(python.map(said).transpose()?);
    Ok(versions)
}

/// The program that measures in turn within one process; `what` of it.
fn in_process(home: &Home, what: &str) -> Result<Command> {
    let mut program = home.command(program(home, "in-process"));
    program.arg(what);
    Ok(program)
}

/// Copies what was built, as whoever installs it does: of a file that a linker has just written, the
/// kernel keeps smaller pieces in memory, each of which costs a page fault at every start.
fn install(home: &Home) -> Result<()> {
    fs::create_dir(program(home, ""))?;
    for name in ["leyden", "bare-run", "in-process"] {
        let from = repository::built("release")?.join(name);
        fs::copy(&from, program(home, name))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(())
}

/// Where it was copied to.
fn program(home: &Home, name: &str) -> PathBuf {
    home.path().join("bin").join(name)
}
