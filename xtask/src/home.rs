//! A home folder for the `leyden` command, so that nobody's own store is touched.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

/// What of this process's environment a command in such a home is given.
const KEPT: [&str; 4] = ["PATH", "TERM", "LANG", "NO_COLOR"];

/// A home folder.
pub(crate) struct Home(PathBuf);

impl Home {
    /// Makes an empty one; what was there is removed.
    pub(crate) fn make(at: PathBuf) -> Result<Self> {
        match fs::remove_dir_all(&at) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", at.display()));
            }
            _ => {}
        }
        let made = at.parent().map_or(Ok(()), fs::create_dir_all);
        // Nobody else's, also where others may write beside it.
        let made = made.and_then(|()| DirBuilder::new().mode(0o700).create(&at));
        made.with_context(|| format!("cannot make {}", at.display()))?;
        Ok(Self(at))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// A command that is at home here: it works in this folder, and finds and leaves its own in it.
    pub(crate) fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(&self.0)
            .stdin(Stdio::null())
            .env_clear()
            .env("HOME", &self.0);
        for name in KEPT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
    }
}
