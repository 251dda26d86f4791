//! A folder in memory, where nothing waits for a disk.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use anyhow::{Result, ensure};

use super::machine;
use crate::home::Home;
use crate::repository;

/// Removed with this.
pub(crate) struct Memory(Home);

impl Memory {
    /// Makes an empty one, of one name for each checkout, where one benchmark runs at a time: what one
    /// that was killed has left is removed.
    ///
    /// # Errors
    ///
    /// Where there is no file system in memory, or it has not `room` for so many bytes.
    pub(crate) fn make(room: u64) -> Result<Self> {
        let mut hash = DefaultHasher::new();
        repository::root()?.hash(&mut hash);
        let name = format!("leyden-bench-{:016x}", hash.finish());
        // Not made where it is not there.
        let memory = Path::new("/dev/shm").canonicalize()?;
        let made = Self(Home::make(memory.join(name))?);
        ensure!(
            machine::free(&memory)? >= room,
            "{} has no {} MiB free",
            memory.display(),
            room >> 20
        );
        Ok(made)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.path());
    }
}
