//! The public WASI test-suite: its compiled tests of WASI 0.1, out of a published package.
//!
//! The suite itself is on GitHub alone; `wasmtime-cli` 46.0.3 carries a copy of it (Apache-2.0).

use std::path::{Path, PathBuf};
use std::{env, fs};

use anyhow::{Context, Result};

use crate::{repository, step};

const PACKAGE: &str = "wasmtime-cli";
const VERSION: &str = "46.0.3";
const LANGUAGES: [&str; 3] = ["assemblyscript", "c", "rust"];

/// Copies the suite to `to`, unless it is there.
pub(super) fn fetch(to: &Path) -> Result<()> {
    if to.exists() {
        return Ok(());
    }
    // Downloads and unpacks that one package, and builds nothing.
    step::output(&mut repository::cargo([
        "info",
        "--quiet",
        &format!("{PACKAGE}@{VERSION}"),
    ])?)?;
    let suite = unpacked()?.join("tests/wasi_testsuite/wasi-common/tests");
    let part = to.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part)?;
    }
    for language in LANGUAGES {
        let tests = Path::new(language).join("testsuite/wasm32-wasip1");
        copy(&suite.join(&tests), &part.join(&tests))
            .with_context(|| format!("cannot copy {} from {}", tests.display(), suite.display()))?;
    }
    fs::rename(&part, to).context("cannot put the test-suite in its place")
}

/// Where cargo unpacked the package.
fn unpacked() -> Result<PathBuf> {
    let home = match env::var_os("CARGO_HOME") {
        Some(home) => PathBuf::from(home),
        None => PathBuf::from(env::var_os("HOME").context("HOME is not set")?).join(".cargo"),
    };
    let sources = home.join("registry/src");
    let registries =
        fs::read_dir(&sources).with_context(|| format!("cannot read {}", sources.display()))?;
    registries
        .flatten()
        .map(|registry| registry.path().join(format!("{PACKAGE}-{VERSION}")))
        .find(|package| package.is_dir())
        .with_context(|| {
            format!(
                "cargo unpacked no {PACKAGE} {VERSION} in {}",
                sources.display()
            )
        })
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to)?;
        } else {
            fs::copy(entry.path(), to)?;
        }
    }
    Ok(())
}
