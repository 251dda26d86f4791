//! Guests in Python: `componentize-py` out of PyPI, in an environment of its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result};

use crate::{apt, step};

const VERSION: &str = "0.25.1";

/// Makes a component of `source`'s `main.py` for a world of `wit`, where one of the two folders is
/// newer than the component.
pub(super) fn build(
    source: &Path,
    (wit, world): (&Path, &str),
    work: &Path,
    component: &Path,
) -> Result<()> {
    let environment = work.join(format!("componentize-py-{VERSION}"));
    let tool = environment.join("bin/componentize-py");
    if !tool.exists() {
        install(&environment)?;
    }
    let made = fs::metadata(component).and_then(|file| file.modified());
    let changed = newest(source).max(newest(wit)).max(modified(&tool));
    if made.is_ok_and(|made| made > changed) {
        return Ok(());
    }
    let part = component.with_extension("part");
    step::run(
        Command::new(tool)
            // Else it takes modules from whatever Python is the user's.
            .env("VIRTUAL_ENV", &environment)
            .current_dir(source)
            .args(["--quiet", "--world", world, "--wit-path"])
            .arg(wit)
            .args(["componentize", "main", "--output"])
            .arg(&part),
    )?;
    // Left behind where there was something to compile.
    let _ = fs::remove_dir_all(source.join("__pycache__"));
    fs::rename(&part, component).context("cannot put the guest in Python in its place")
}

/// Puts the tool into a Python environment of its own.
fn install(environment: &Path) -> Result<()> {
    let make = |python: &str| {
        let mut python = Command::new(python);
        step::run(python.args(["-m", "venv", "--clear"]).arg(environment))
    };
    if let Err(error) = make("python3") {
        eprintln!("{error:#}: trying Debian's Python");
        apt::install(&["python3-venv"]).context("Python 3 with its venv module is needed")?;
        make("/usr/bin/python3")?;
    }
    step::run(
        Command::new(environment.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("componentize-py=={VERSION}")),
    )
}

/// When anything in a folder was last changed.
fn newest(folder: &Path) -> SystemTime {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .map(|path| {
            if path.is_dir() {
                newest(&path)
            } else {
                modified(&path)
            }
        })
        .fold(SystemTime::UNIX_EPOCH, SystemTime::max)
}

fn modified(path: &Path) -> SystemTime {
    fs::metadata(path)
        .and_then(|file| file.modified())
        .unwrap_or(SystemTime::UNIX_EPOCH)
}
