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
    Ok(cargo)
}

/// The folder of programs that cargo built in a profile, given by its folder's name.
pub(crate) fn built(profile: &str) -> Result<PathBuf> {
    let this = env::current_exe().context("cannot tell where this program is")?;
    let target = this.ancestors().nth(2);
    Ok(target.context("xtask was built by cargo")?.join(profile))
}
