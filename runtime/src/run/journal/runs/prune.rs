//! Removing runs: by name, by their age, and by the size of all.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::run::journal::error::JournalError;
use crate::secrets::open_regular;

use super::{RunId, Runs, lock};

/// Its time tells when old runs were last removed.
const PRUNED: &str = ".pruned";
const PRUNE_EVERY: Duration = Duration::from_secs(60 * 60);
/// A run that takes more than this part of what all may take is one that wrote much.
const MUCH: u64 = 16;

/// For how long runs are kept. The newest is never removed, nor one that is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    /// The age beyond which a run is removed.
    pub age: Duration,
    /// The size of all runs, in bytes, beyond which the oldest are removed.
    pub size: u64,
}

/// 30 days, 1 GiB.
impl Default for Keep {
    fn default() -> Self {
        Self {
            age: Duration::from_secs(30 * 24 * 60 * 60),
            size: 1 << 30,
        }
    }
}

impl Runs {
    /// Removes runs that are too old, and the oldest where all are too large; how many.
    ///
    /// # Errors
    /// [`JournalError::Io`].
    pub fn prune(&self) -> Result<usize, JournalError> {
        let weighed = |id: RunId| {
            let (size, changed) = weigh(&self.folder.join(id.as_str()));
            (id, size, changed)
        };
        let mut ids = self.folders()?;
        ids.retain(|id| self.is_ours(id));
        let newest = ids.iter().rfind(|id| self.existing(id).is_ok()).cloned();
        let runs: Vec<_> = ids.into_iter().map(weighed).collect();
        let mut total: u64 = runs.iter().map(|(_, size, _)| size).sum();
        let mut removed = 0;
        for (id, size, changed) in runs {
            // It stays in any case.
            if newest.as_ref() == Some(&id) {
                continue;
            }
            let is_old = changed.elapsed().is_ok_and(|age| age > self.keep.age);
            if !is_old && total <= self.keep.size {
                continue;
            }
            match self.remove_folder(&id) {
                Ok(()) => {
                    total -= size;
                    removed += 1;
                }
                Err(JournalError::UnderWay { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(removed)
    }

    /// Removes a run with all that it keeps, also one that cannot be read.
    ///
    /// # Errors
    /// [`JournalError::NotFound`], [`JournalError::UnderWay`], [`JournalError::Io`].
    pub fn remove(&self, id: &RunId) -> Result<(), JournalError> {
        match self.is_ours(id) {
            true => self.remove_folder(id),
            false => Err(JournalError::NotFound(id.clone())),
        }
    }

    fn remove_folder(&self, id: &RunId) -> Result<(), JournalError> {
        let path = self.folder.join(id.as_str());
        // Held until it is gone: nobody goes on with it meanwhile.
        let _lock = match lock::take(&path, id) {
            Err(under_way @ JournalError::UnderWay { .. }) => return Err(under_way),
            // What is no lock is held by nobody.
            lock => lock.ok(),
        };
        fs::remove_dir_all(&path).map_err(|source| JournalError::Io { path, source })
    }

    /// Whether the run in this folder, which has ended, wrote so much that old ones are to go.
    pub(in crate::run::journal) fn is_much(&self, folder: &Path) -> bool {
        weigh(folder).0 > self.keep.size / MUCH
    }

    /// Removes old runs, unless that was done a short time ago. What fails is tried again later.
    pub(super) fn prune_sometimes(&self) {
        let mark = self.folder.join(PRUNED);
        let done = fs::metadata(&mark).and_then(|mark| mark.modified());
        let is_due = !done.is_ok_and(|done| done.elapsed().is_ok_and(|age| age < PRUNE_EVERY));
        let marked = || {
            let mut options = File::options();
            options.write(true).create(true).truncate(true);
            let opened = open_regular(options.mode(0o600), &mark);
            // Truncating an empty file leaves its time as it was.
            opened.and_then(|mark| mark.set_modified(SystemTime::now()))
        };
        if is_due && marked().is_ok() {
            let _ = self.prune();
        }
    }
}

/// The size of a run's files, and when the last of them was changed.
pub(in crate::run::journal) fn weigh(folder: &Path) -> (u64, SystemTime) {
    let files = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = files.filter_map(|entry| entry.metadata().ok());
    files.fold((0, SystemTime::UNIX_EPOCH), |(size, changed), file| {
        let modified = file.modified().unwrap_or(changed);
        (size + file.len(), changed.max(modified))
    })
}
