//! `cargo xtask demo`: an app, its secret, and what happens without; each command as it is typed.
#![allow(clippy::print_stdout, reason = "it is read by a person")]

use std::env;
use std::ffi::OsString;
use std::fs;

use anyhow::{Context, Result, ensure};

use crate::home::Home;
use crate::{guests, repository, step};

pub(crate) fn run() -> Result<()> {
    let root = repository::root()?;
    let hello = guests::build_hello()?;
    step::run(&mut repository::cargo([
        "build", "--locked", "--bin", "leyden",
    ])?)?;

    let home = Home::make(root.join("target/demo"))?;
    fs::copy(hello, home.path().join("hello.wasm")).context("cannot copy the guest")?;
    println!();
    say(
        "Everything below happens in target/demo, as if that were your home folder: your own
         secrets are not touched. hello.wasm is examples/hello, a WASI component.",
    );
    println!();
    let terminal = Terminal {
        path: search_path()?,
        home,
    };

    say(
        "Make a secret. Its value comes from standard input (or from a question without echo),
         never from the command line. The first secret makes the store and its key.",
    );
    terminal.types("printf %s some-value | leyden secret create my-secret", 0)?;

    say("Run the app. It sees FOO, and my-secret under the name MY_APP_SECRET; nothing else.");
    terminal.types(
        "leyden run app hello.wasm --env FOO=bar --secret MY_APP_SECRET=my-secret",
        0,
    )?;

    say("The release was written down before the app ran.");
    terminal.types("leyden audit list", 0)?;

    say(
        "The same app without the binding. The secret is in the store, but the app has no way to
         it: asking for MY_APP_SECRET finds nothing. The exit status is the app's own.",
    );
    terminal.types("leyden run app hello.wasm --env FOO=bar", 1)?;

    say("A binding to a secret that does not exist. Nothing of the app runs.");
    terminal.types(
        "leyden run app hello.wasm --env FOO=bar --secret MY_APP_SECRET=no-such-secret",
        77,
    )?;

    println!("To try more by hand:");
    println!("  export HOME={}", terminal.home.path().display());
    println!(
        "  export PATH={}:$PATH",
        repository::built("debug")?.display()
    );
    println!("  cd; leyden --help");
    Ok(())
}

/// A shell at home in the demo's folder.
struct Terminal {
    home: Home,
    path: OsString,
}

impl Terminal {
    /// Shows a line and runs it; an error where it ends otherwise than it should.
    fn types(&self, line: &str, expected: i32) -> Result<()> {
        println!("$ {line}");
        let mut shell = self.home.command("sh");
        let status = shell.env("PATH", &self.path).args(["-c", line]).status()?;
        ensure!(
            status.code() == Some(expected),
            "`{line}` should have ended with exit status {expected}, but: {status}"
        );
        if expected != 0 {
            println!("(exit status {expected})");
        }
        println!();
        Ok(())
    }
}

/// Prints a paragraph of explanation, its lines joined as they stand in the source.
fn say(text: &str) {
    for line in text.lines() {
        println!("# {}", line.trim());
    }
}

/// Where programs are looked for: first among those that were just built.
fn search_path() -> Result<OsString> {
    let before = env::var_os("PATH").unwrap_or_default();
    let folders = [repository::built("debug")?].into_iter();
    Ok(env::join_paths(folders.chain(env::split_paths(&before)))?)
}
