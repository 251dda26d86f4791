//! `cargo xtask bench`: Leyden beside bare wasmtime, doing the same work in turn, in one go.
//!
//! What counts are the ratios: a machine that is busy or slow is so for both sides.
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

mod admin;
mod baseline;
mod instances;
mod machine;
mod one_shot;
mod plot;
mod report;
mod row;
mod samples;
mod store;
mod wasmtime;
mod works;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::home::Home;
use crate::{guests, repository, step};
use machine::Machine;
use report::Report;
use wasmtime::Wasmtime;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fewer and shorter measurements.
    #[arg(long)]
    quick: bool,
    /// Measure the release build that is there, whatever has changed since.
    #[arg(long)]
    built: bool,
    /// Write all samples and what follows from them to this file, and a picture beside it (.svg).
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail if a ratio is worse than the one in benches/baseline.json by more than its spread.
    #[arg(long, conflicts_with = "save")]
    check: bool,
    /// Write the ratios to benches/baseline.json.
    #[arg(long)]
    save: bool,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = repository::root()?;
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
    let wasmtime = wasmtime::find(&root)?;
    let wasmtime = wasmtime.as_ref();

    let home = Home::make(root.join("target/bench/home"))?;
    for guest in ["hello.wasm", "seed-python.wasm"] {
        let from = root.join("target/guests").join(guest);
        fs::copy(&from, home.path().join(guest))
            .with_context(|| format!("cannot copy {}", from.display()))?;
    }

    let mut report = Report::begin(Machine::look(home.path(), versions(wasmtime)?)?);
    let quick = arguments.quick;
    for row in one_shot::measure(&home, wasmtime, quick)? {
        report.add(row);
    }
    for row in instances::measure(&home, quick)? {
        report.add(row);
    }
    for row in works::measure(&home, quick)? {
        report.add(row);
    }
    for row in store::measure(&home, quick)? {
        report.add(row);
    }
    report.add(admin::measure(&home, quick)?);
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
        plot::draw(&report.rows, &file.with_extension("svg"))?;
    }
    match (arguments.check, arguments.save) {
        (true, _) => baseline::check(&report.rows),
        (_, true) => baseline::save(&report.rows),
        _ => Ok(()),
    }
}

/// What is measured, and what compiled it.
fn versions(wasmtime: Option<&Wasmtime>) -> Result<Vec<String>> {
    let said = |program: &std::path::Path| -> Result<String> {
        let said = step::output(Command::new(program).arg("--version"))?;
        Ok(said.lines().next().unwrap_or_default().to_owned())
    };
    let mut versions = vec![
        said(&repository::built("release")?.join("leyden"))?,
        said(std::path::Path::new("rustc"))?,
    ];
    versions.extend(wasmtime.map(|wasmtime| wasmtime.version.clone()));
    Ok(versions)
}

/// The program that measures in turn within one process; `what` of it.
fn in_process(home: &Home, what: &str) -> Result<Command> {
    let mut program = home.command(repository::built("release")?.join("in-process"));
    program.arg(what);
    Ok(program)
}
