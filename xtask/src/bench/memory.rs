//! A folder in memory, where nothing waits for a disk.

use std::fs::{self, DirBuilder};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::repository;

/// Removed with this.
pub(crate) struct Memory(PathBuf);

impl Memory {
    /// Makes an empty one, of one name for each checkout, where one benchmark runs at a time: what one
    /// that was killed has left is removed.
    pub(crate) fn make() -> Result<Self> {
        let mut hash = DefaultHasher::new();
        repository::root()?.hash(&mut hash);
        let path = Path::new("/dev/shm").join(format!("leyden-bench-{:016x}", hash.finish()));
        match fs::remove_dir_all(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).with_context(|| format!("cannot remove {}", path.display()));
            }
            _ => {}
        }
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.with_context(|| format!("cannot make {}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
