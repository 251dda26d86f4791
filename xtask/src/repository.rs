//! Where things are: the repository, what cargo built, and cargo itself.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The repository: the folder above this package's.
pub(crate) fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().context("xtask lies in the repository")?;
    Ok(root.to_owned())
}

/// Cargo, told to work on the repository. By its plain name, as it would be typed: rustup has told
/// this program's environment which of its toolchains that means.
pub(crate) fn cargo<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Command> {
    let mut cargo = Command::new("cargo");
    cargo.current_dir(root()?).args(arguments);
    // What `cargo run` told this program of its own package: build scripts that look at it, as
    // ring's does, would run again, and all that stands on them be compiled again.
    for (name, _) in env::vars_os() {
        let is_ours = |prefix: &&str| name.to_string_lossy().starts_with(*prefix);
        if ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(is_ours) {
            cargo.env_remove(&name);
        }
    }
    Ok(cargo)
}

/// The folder of programs that cargo built in a profile, given by its folder's name.
pub(crate) fn built(profile: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("cannot tell where this program is")?;
    let target = this.ancestors().nth(2);
    Ok(target.context("xtask was built by cargo")?.join(profile))
}
