//! What is done to this repository by program: `cargo xtask COMMAND`.
#![allow(clippy::print_stderr, reason = "tells the developer what it does")]

mod guests;
mod step;

use anyhow::Result;
use clap::Parser;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Builds and checks Leyden")]
enum Command {
    /// Build the examples' and the tests' guests to target/guests/*.wasm, with what that takes.
    Guests,
}

fn main() -> Result<()> {
    match Command::parse() {
        Command::Guests => guests::build(),
    }
}
