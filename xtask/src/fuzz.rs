//! `cargo xtask fuzz`: each fuzz target for a bounded time, from the seeds in `fuzz/seeds`, by
//! cargo-fuzz and a nightly compiler.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{repository, step};

const VERSION: &str = "0.13.2";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Only this target
    target: Option<String>,
    /// How long each target is run
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    seconds: u32,
}

pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let root = repository::root()?;
    let tools = cargo_fuzz(&root)?;
    let path = std::env::var_os("PATH").unwrap_or_default();
    let paths = std::iter::once(tools).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(paths).context("cannot add to PATH")?;
    for target in targets(&root, arguments.target.as_deref())? {
        let corpus = root.join("fuzz/corpus").join(&target);
        fs::create_dir_all(&corpus).context("cannot make the corpus")?;
        let mut fuzz = Command::new("cargo");
        fuzz.current_dir(&root).env("PATH", &path);
        fuzz.args(["+nightly", "fuzz", "run", &target]).arg(&corpus);
        let seeds = root.join("fuzz/seeds").join(&target);
        if seeds.is_dir() {
            fuzz.arg(seeds);
        }
        let bound = format!("-max_total_time={}", arguments.seconds);
        step::run(fuzz.args(["--", &bound, "-timeout=25"]))?;
    }
    Ok(())
}

/// The targets asked for, by the names of their files.
fn targets(root: &Path, only: Option<&str>) -> Result<Vec<String>> {
    let mut targets = Vec::new();
    for entry in fs::read_dir(root.join("fuzz/targets")).context("cannot read fuzz/targets")? {
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

/// The folder of the tool: installed at its first use.
fn cargo_fuzz(root: &Path) -> Result<PathBuf> {
    let tools = root.join("target/tools");
    let is_right = || {
        let mut asked = Command::new(tools.join("bin/cargo-fuzz"));
        step::output(asked.arg("--version").stderr(Stdio::null()))
            .is_ok_and(|version| version == format!("cargo-fuzz {VERSION}"))
    };
    if !is_right() {
        let package = format!("cargo-fuzz@{VERSION}");
        let mut install = repository::cargo(["install", "--locked", &package, "--root"])?;
        step::run(install.arg(&tools))?;
    }
    Ok(tools.join("bin"))
}
