//! What is done to this repository by program: `cargo xtask COMMAND`.
#![allow(clippy::print_stderr, reason = "tells the developer what it does")]

mod apt;
mod audit;
mod bench;
mod browser;
mod demo;
mod fuzz;
mod guests;
mod home;
mod repository;
mod step;
mod test;

use std::process::ExitCode;

use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds and checks Leyden")]
enum Command {
    /// Show what Leyden does: an app, its secret, the audit record, and two refusals.
    Demo,
    /// Check everything: format, clippy, guests, unit, integration and doc tests.
    Test,
    /// Check all dependencies: licences, duplicates, sources, and advisories where reachable.
    Audit,
    /// Run each fuzz target for a bounded time; takes a nightly compiler and a long first build.
    Fuzz(fuzz::Arguments),
    /// Measure Leyden beside bare wasmtime; takes a release build first.
    Bench(bench::Arguments),
    /// Build the examples' and the tests' guests to target/guests/*.wasm, with what that takes.
    Guests,
}

fn main() -> ExitCode {
    let done = match Command::parse() {
        Command::Demo => demo::run(),
        Command::Test => test::run(),
        Command::Audit => audit::run(),
        Command::Fuzz(arguments) => fuzz::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Guests => guests::build(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // In one line, last: a backtrace of this program tells nothing about what failed.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
