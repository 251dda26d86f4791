//! `cargo xtask test`: all that must hold before a change is taken, in the order of its cost.
//!
//! The last lines are those of `cargo test`, and what the search of the tests' files found.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Context, Result};

use crate::{apt, browser, guests, repository, sentinel, step};

/// Debian's keyring, and the bus that it is asked over.
const KEYRING: [&str; 2] = ["gnome-keyring", "dbus"];

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
    part("keyring", || match apt::has(&KEYRING) {
        true => Ok(()),
        false => apt::install(&KEYRING).context("a keyring and a session bus are needed"),
    })?;
    part("Flows' unit tests", || {
        // Natively, with functions for Works.
        let test = "test --locked --package pipeline --package etl --target-dir";
        let mut guests = repository::cargo(test.split(' '))?;
        guests.arg(root.join("target/guests/build"));
        step::run(guests.current_dir(root.join("tests/guests")))
    })?;
    // What the tests make is kept there, with what their commands printed, and searched.
    let left = root.join("target/test-files");
    remove(&left)?;
    fs::create_dir_all(&left).context("cannot make the folder for the tests' files")?;
    part("tests", || {
        let test = "test --workspace --locked --no-fail-fast";
        let mut test = repository::cargo(test.split(' '))?;
        test.env("TMPDIR", &left).env("LEYDEN_KEEP_TEST_FILES", "1");
        step::run_noting(&mut test, &left.join("printed-by-cargo"))
    })?;
    part("sentinel", || sentinel::search(&left))?;
    remove(&left)
}

fn remove(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// One part of the whole, named where it fails.
fn part(name: &str, run: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("== {name}");
    run().with_context(|| format!("`cargo xtask test` failed at: {name}"))
}
