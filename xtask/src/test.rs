//! `cargo xtask test`: all that must hold before a change is taken, in the order of its cost.
//!
//! The last lines are those of `cargo test`.

use std::process::Command;

use anyhow::{Context, Result};

use crate::{guests, repository, step};

/// The guests' own workspace.
const GUESTS: &str = "tests/guests/Cargo.toml";

pub(crate) fn run() -> Result<()> {
    part("format", || {
        cargo(&["fmt", "--all", "--check"])?;
        cargo(&["fmt", "--all", "--check", "--manifest-path", GUESTS])
    })?;
    part("clippy", || {
        // With the same features as `cargo test` below: `--all-targets` asks for those of tests.
        cargo(&[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ])
    })?;
    part("guests", guests::build)?;
    part("tests", || {
        cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])
    })
}

fn cargo(arguments: &[&str]) -> Result<()> {
    let mut cargo: Command = repository::cargo(arguments.iter().copied())?;
    step::run(&mut cargo)
}

/// One part of the whole, named where it fails.
fn part(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    run().with_context(|| format!("`cargo xtask test` failed at: {name}"))
}
