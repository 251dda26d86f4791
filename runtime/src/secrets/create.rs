//! Making a store: whole or not at all, whoever is killed when.
//!
//! Under a lock in the store's folder: the key file is on disk before this begins; the database is
//! made under another name in one transaction, brought to disk, and given its name last. So there
//! is never a store without its key, nor half a store; a killed process leaves a key file that the
//! next call uses, and half a database that it removes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use tempfile::TempPath;

use super::actor::{Actor, now};
use super::keys::{KeyBox, StoreId, StoreKeys, random};
use super::snapshot::Snapshot;
use super::{Key, StoreError, StoreOptions, files, slot, sql};

/// Where a store is, or is to be.
#[derive(Debug)]
pub(super) struct Place {
    /// Its folder's canonical path.
    pub(super) folder: PathBuf,
    pub(super) path: PathBuf,
}

impl Place {
    /// The place at this path, whose folder is made if there is none.
    pub(super) fn make(path: &Path) -> Result<Self, StoreError> {
        let Some(name) = path.file_name() else {
            return Err(StoreError::MissingStore {
                path: path.to_owned(),
            });
        };
        let folder = files::parent(path);
        files::make_folder(folder)?;
        let folder = folder
            .canonicalize()
            .map_err(files::io("find the folder", folder))?;
        files::check_folder(&folder)?;
        Ok(Self {
            path: folder.join(name),
            folder,
        })
    }

    /// The lock that making a store here, or putting another in its place, takes.
    pub(super) fn lock(&self) -> Result<File, StoreError> {
        files::lock(&lock_of(&self.path))
    }
}

fn lock_of(store: &Path) -> PathBuf {
    files::with_suffix(store, ".lock")
}

/// Keeps others from putting another store in the place of this one until it is dropped; waits for
/// who is doing so.
pub(super) fn keep(store: &Path, busy_timeout: Duration) -> Result<Option<File>, StoreError> {
    let (lock, began) = (lock_of(store), Instant::now());
    let Some(file) = files::open_lock(&lock)? else {
        return Ok(None);
    };
    loop {
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Ok(()) => return Ok(Some(file)),
            Err(Errno::WOULDBLOCK) if began.elapsed() < busy_timeout => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(Errno::WOULDBLOCK) => {
                return Err(StoreError::Busy {
                    path: store.to_owned(),
                });
            }
            Err(error) => return Err(files::io("lock", &lock)(error.into())),
        }
    }
}

/// Makes the store; under the [lock](Place::lock), and where there is none.
pub(super) fn make(place: &Place, key: &Key, options: &StoreOptions) -> Result<(), StoreError> {
    let mut store: StoreId = [0; 16];
    random(&mut store)?;
    let keys = StoreKeys::new(KeyBox::random()?, &store);
    let label = options
        .slot
        .as_deref()
        .unwrap_or_else(|| slot::default_label(key));
    let slot = slot::make(&keys.root, &store, label, key, options.argon2, now())?;

    let new = files::with_suffix(&place.path, ".new");
    for suffix in ["", "-journal", "-wal", "-shm"] {
        files::remove(&files::with_suffix(&new, suffix))?;
    }
    drop(files::make_private(&new)?);
    // Removed unless it gets its name.
    let named = TempPath::try_from_path(&new).map_err(files::io("find", &new))?;
    let actor = Actor::current();
    let recorded = sql::make(&new, options.busy_timeout, |tables| {
        Snapshot::make(tables, &keys, &actor, store, slot)
    })?;
    files::sync_file(&new)?;
    if let Some(sink) = &options.audit_sink {
        sink.before(&recorded)?;
    }
    named
        .persist_noclobber(&place.path)
        .map_err(|error| files::io("name the store", &place.path)(error.error))?;
    files::sync_folder(&place.folder)?;
    if let Some(sink) = &options.audit_sink {
        sink.after(&recorded);
    }
    Ok(())
}
