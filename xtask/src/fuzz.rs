//! `cargo xtask fuzz`: each fuzz target for a bounded time, from the seeds in `fuzz/seeds`, by
//! libFuzzer and a nightly compiler.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{guests, repository, step};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this target
    target: Option<String>,
    /// How long each target is run
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    // `wit` runs them.
    guests::build()?;
    let fuzz = repository::root()?.join("fuzz");
    let mut build = Command::new("cargo");
    build.args(["+nightly", "build", "--locked", "--bins"]);
    // `cargo run` has told this program of the toolchain that it was built by.
    for name in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC", "RUSTDOC"] {
        build.env_remove(name);
    }
    step::run(build.current_dir(&fuzz))?;
    let artifacts = fuzz.join("artifacts");
    fs::create_dir_all(&artifacts).context("cannot make the folder for what is found")?;
    for target in targets(&fuzz, arguments.target.as_deref())? {
        let corpus = fuzz.join("corpus").join(&target);
        fs::create_dir_all(&corpus).context("cannot make the corpus")?;
        let mut fuzzer = Command::new(fuzz.join("target/debug").join(&target));
        fuzzer.current_dir(&fuzz).arg(corpus);
        let seeds = fuzz.join("seeds").join(&target);
        if seeds.is_dir() {
            fuzzer.arg(seeds);
        }
        fuzzer.arg(format!("-max_total_time={}", arguments.seconds));
        fuzzer.arg(format!(
            "-artifact_prefix={}/{target}-",
            artifacts.display()
        ));
        step::run(fuzzer.args(["-timeout=25", "-print_final_stats=1"]))?;
    }
    Ok(())
}

/// The targets asked for, by the names of their files.
fn targets(fuzz: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(fuzz.join("targets")).context("cannot read fuzz/targets")? {
        let path = entry?.path();
        let name = path.file_stem().and_then(|name| name.to_str());
        let name = name.context("a target's name is not UTF-8")?.to_owned();
        if only.is_none_or(|only| only == name) {
            targets.push(name);
        }
    }
    targets.sort();
    anyhow::ensure!(
        !targets.is_empty(),
        "there is no such target in fuzz/targets"
    );
    Ok(targets)
}
