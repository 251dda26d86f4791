//! A run's lock: held by the process that writes the run, whose number it has, and whether the
//! journal has a log.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use rustix::fs::FlockOperation;

use crate::secrets::open_regular;

use super::error::JournalError;
use super::id::RunId;

/// Its name in the run's folder.
pub(super) const LOCK: &str = "lock";
/// Stands behind the number where there is a log.
const LOG: &str = "log";

/// Takes a run's lock, or says who has it.
pub(super) fn take(folder: &Path, id: &RunId) -> Result<File, JournalError> {
    let path = folder.join(LOCK);
    let mut options = File::options();
    options.read(true).write(true).create(true).truncate(false);
    let file = match open_regular(options.mode(0o600), &path) {
        Ok(file) => file,
        Err(source) => return Err(JournalError::Io { path, source }),
    };
    if rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
        return Err(JournalError::UnderWay {
            id: id.clone(),
            pid: holder(folder),
        });
    }
    match note(&file, has_log(folder)) {
        Ok(()) => Ok(file),
        Err(source) => Err(JournalError::Io { path, source }),
    }
}

/// Notes in a lock that this process has it, and whether there is a log: from then on until it is
/// closed, one that is not there is damage.
pub(super) fn note(lock: &File, has_log: bool) -> io::Result<()> {
    let mut text = std::process::id().to_string();
    if has_log {
        text = format!("{text} {LOG}");
    }
    // In this order, so that whoever reads it meanwhile finds a number.
    lock.write_all_at(text.as_bytes(), 0)?;
    lock.set_len(text.len() as u64)
}

/// Whether some process holds a run's lock.
pub(super) fn is_held(folder: &Path) -> bool {
    let Ok(file) = open(folder) else {
        return false;
    };
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared).is_err()
}

/// The process that holds a run's lock, as it has noted there.
pub(super) fn holder(folder: &Path) -> Option<u32> {
    noted(folder)?.split_whitespace().next()?.parse().ok()
}

/// Whether the run's journal has a log, as whoever held the lock last has noted.
pub(super) fn has_log(folder: &Path) -> bool {
    noted(folder).is_some_and(|noted| noted.split_whitespace().nth(1) == Some(LOG))
}

fn noted(folder: &Path) -> Option<String> {
    // No number is longer.
    io::read_to_string(open(folder).ok()?.take(20)).ok()
}

fn open(folder: &Path) -> io::Result<File> {
    open_regular(File::options().read(true), &folder.join(LOCK))
}
