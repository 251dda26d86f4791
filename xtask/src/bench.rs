//! `cargo xtask bench`: Leyden beside bare wasmtime, doing the same work in turn, in one go.
//!
//! What counts are the ratios: a machine that is busy or slow is so for both sides.
#![allow(clippy::print_stdout, reason = "its result is what it prints")]

mod admin;
mod instances;
mod one_shot;
mod report;
mod samples;
mod wasmtime;
mod works;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::home::Home;
use crate::{guests, repository, step};
use report::Report;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Fewer and shorter measurements: to see that it works.
    #[arg(long)]
    quick: bool,
    /// Write all samples and what follows from them to this file, too.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = repository::root()?;
    guests::build()?;
    step::run(&mut repository::cargo([
        "build",
        "--release",
        "--locked",
        "--package=leyden",
        "--package=leyden-bench",
        "--bins",
    ])?)?;
    let wasmtime = wasmtime::find(&root)?;

    let home = Home::make(root.join("target/bench/home"))?;
    fs::copy(
        root.join("target/guests/hello.wasm"),
        home.path().join("hello.wasm"),
    )
    .context("cannot copy the guest")?;

    let mut report = Report::begin();
    report.add(one_shot::measure(&home, wasmtime, arguments.quick)?);
    for row in instances::measure(&home, arguments.quick)? {
        report.add(row);
    }
    for row in works::measure(&home, arguments.quick)? {
        report.add(row);
    }
    report.add(admin::measure(&home, arguments.quick)?);
    if let Some(file) = &arguments.json {
        let text = serde_json::to_string_pretty(&report.to_json())?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}
