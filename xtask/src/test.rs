//! `cargo xtask test`: all that must hold before a change is taken, in the order of its cost.
//!
//! The last lines are those of `cargo test`.

use anyhow::{Context, Result};

use crate::{browser, guests, repository, step};

pub(crate) fn run() -> Result<()> {
    let root = repository::root()?;
    part("format", || {
        step::run(&mut repository::cargo(["fmt", "--all", "--check"])?)?;
        // The guests are a workspace of their own.
        let mut guests = repository::cargo(["fmt", "--check"])?;
        step::run(guests.current_dir(root.join("tests/guests")))
    })?;
    part("clippy", || {
        // `--all-targets` asks for the features that `cargo test` has, so that both, and the
        // demo's build, use one set of dependencies.
        let clippy = "clippy --workspace --all-targets --locked -- -D warnings";
        step::run(&mut repository::cargo(clippy.split(' '))?)
    })?;
    part("guests", guests::build)?;
    part("browser", || browser::prepare(&root))?;
    part("Flows' unit tests", || {
        // Natively, with functions for Works.
        let test = "test --locked --package pipeline --package etl --target-dir";
        let mut guests = repository::cargo(test.split(' '))?;
        guests.arg(root.join("target/guests/build"));
        step::run(guests.current_dir(root.join("tests/guests")))
    })?;
    part("tests", || {
        let test = "test --workspace --locked --no-fail-fast";
        step::run(&mut repository::cargo(test.split(' '))?)
    })
}

/// One part of the whole, named where it fails.
fn part(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    run().with_context(|| format!("`cargo xtask test` failed at: {name}"))
}
