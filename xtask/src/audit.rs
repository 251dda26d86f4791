//! `cargo xtask audit`: licences, sources, duplicates and known holes of all dependencies, by
//! cargo-deny. What is allowed stands in `deny.toml`.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Result;

use crate::{repository, step};

const VERSION: &str = "0.20.2";

/// The two workspaces, each with what is not to be told of it: the lists in `deny.toml` are the
/// host's, of which the guests need a part.
const WORKSPACES: [(&str, &[&str]); 2] = [
    ("Cargo.toml", &[]),
    (
        "tests/guests/Cargo.toml",
        &["license-not-encountered", "unmatched-skip", "duplicate"],
    ),
];

pub(crate) fn run() -> Result<()> {
    let root = repository::root()?;
    let tool = cargo_deny(&root)?;
    for (manifest, untold) in WORKSPACES {
        let mut fetch = repository::cargo(["fetch", "--locked", "--manifest-path", manifest])?;
        step::run(&mut fetch)?;
        let mut check = deny(&tool, &root, manifest);
        check.args(["--offline", "check"]);
        check.args(untold.iter().flat_map(|code| ["--allow", *code]));
        step::run(check.args(["licenses", "bans", "sources"]))?;
    }

    // Fetched by itself, so that "cannot be reached" is not taken for "has a hole".
    let [(host, _), ..] = WORKSPACES;
    if let Err(error) = step::run(deny(&tool, &root, host).args(["fetch", "db"])) {
        eprintln!("{error:#}");
        eprintln!("The database of advisories cannot be reached: advisories were NOT checked.");
        return Ok(());
    }
    for (manifest, _) in WORKSPACES {
        step::run(deny(&tool, &root, manifest).args(["--offline", "check", "advisories"]))?;
    }
    Ok(())
}

fn deny(tool: &Path, root: &Path, manifest: &str) -> Command {
    let mut command = Command::new(tool);
    command
        .current_dir(root)
        .args(["--locked", "--manifest-path", manifest])
        .args(["--config", "deny.toml"]);
    command
}

/// The tool: the one on PATH where it is of the right version, else installed at its first use.
fn cargo_deny(root: &Path) -> Result<PathBuf> {
    let is_right = |tool: &Path| {
        let mut asked = Command::new(tool);
        step::output(asked.arg("--version").stderr(Stdio::null()))
            .is_ok_and(|version| version == format!("cargo-deny {VERSION}"))
    };
    let on_path = PathBuf::from("cargo-deny");
    if is_right(&on_path) {
        return Ok(on_path);
    }
    let own = root.join("target/tools/bin/cargo-deny");
    if !is_right(&own) {
        let package = format!("cargo-deny@{VERSION}");
        let mut install = repository::cargo(["install", "--locked", &package, "--root"])?;
        step::run(install.arg(root.join("target/tools")))?;
    }
    Ok(own)
}
