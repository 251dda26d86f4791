//! A folder in memory, where nothing waits for a disk.

use std::fs;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::Path;

use anyhow::Result;

use crate::home::Home;
use crate::repository;

/// Removed with this.
pub(crate) struct Memory(Home);

impl Memory {
    /// Makes an empty one, of one name for each checkout, where one benchmark runs at a time: what one
    /// that was killed has left is removed.
    pub(crate) fn make() -> Result<Self> {
        let mut hash = DefaultHasher::new();
        repository::root()?.hash(&mut hash);
        let name = format!("leyden-bench-{:016x}", hash.finish());
        // Not made where it is not there.
        let memory = Path::new("/dev/shm").canonicalize()?;
        Home::make(memory.join(name)).map(Self)
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
