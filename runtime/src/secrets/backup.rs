//! Backup and restore: one consistent file, written and put back while others use the store.
//!
//! A backup is a store in a file of its own: what is sealed in the store is sealed in it, and the
//! same keys open it. It is made by SQLite's `VACUUM INTO`, from one state of the store, verified
//! whole, and given its name last. It has no log, by which it is told from a store, and is never
//! opened as one: that would change it, and be remembered as what its store had come to.
//!
//! To restore, a copy of the backup is verified whole and made a generation that this machine has
//! not seen. Then, while nobody can open the store that is replaced, or write to it: its log is
//! emptied, the rollback record is made to fit both, the log is removed, the copy takes the store's
//! name, and the record is made to fit it alone. Who has the old store still open notices before
//! the next write that another file, or none, has its name or its log's. Killed before the name is
//! taken, the old store is as it was; killed after it, the backup is restored; either opens as
//! ever, and whoever opens it makes the record fit it alone.

use std::fs::File;
use std::os::unix::fs::{FileExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rusqlite::{Connection, TransactionBehavior};

use super::actor::Actor;
use super::create::Place;
use super::inspect::verify_all;
use super::keys::StoreKeys;
use super::snapshot::Snapshot;
use super::sql::{self, Tables};
use super::state::{Mark, StateRecord};
use super::{AuditEvent, Key, SecretStore, StoreError, StoreOptions, Verified, files, slot};

/// Where a database says how it may be written and read, and what it says there if it has a log
/// (SQLite's file format, "The Database Header").
const FORMAT_VERSIONS: u64 = 18;
const WITH_LOG: u8 = 2;

/// The identity of a store's file and of its log: two stores of one path have different ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct FileIdentity {
    store: (u64, u64),
    /// What is written to a log that has lost its name is lost, too.
    log: Option<(u64, u64)>,
}

impl FileIdentity {
    pub(super) fn of(path: &Path) -> Result<Self, StoreError> {
        let identity = |path: &Path| {
            let metadata = std::fs::symlink_metadata(path)?;
            Ok((metadata.dev(), metadata.ino()))
        };
        Ok(Self {
            store: identity(path).map_err(files::io("look at", path))?,
            log: identity(&files::with_suffix(path, "-wal")).ok(),
        })
    }
}

impl SecretStore {
    /// Writes a backup to a new file of mode 0600; it is verified and on disk when this returns.
    /// Others may read and write meanwhile.
    ///
    /// # Errors
    /// [`StoreError::FileExists`], [`StoreError::Io`]; [`StoreError::Tampered`] or
    /// [`StoreError::AuditBroken`] if the store is not what was written: then there is no backup.
    pub fn backup(&self, to: impl AsRef<Path>) -> Result<Verified, StoreError> {
        let to = to.as_ref();
        let failed = |source| files::io("write the backup", to)(source);
        if to.symlink_metadata().is_ok() {
            return Err(StoreError::FileExists {
                path: to.to_owned(),
            });
        }
        let folder = files::parent(to);
        let file = files::private_temp(folder).map_err(failed)?;
        self.write(|snapshot| snapshot.record(self.actor.record(AuditEvent::StoreBackedUp)))?;
        let copied = sql::copy(&self.path, file.path(), self.busy_timeout);
        copied.map_err(|error| match error {
            StoreError::Database { path, source } if path == file.path() => StoreError::Database {
                path: to.to_owned(),
                source,
            },
            other => other,
        })?;
        let copy = sql::connect(file.path(), self.busy_timeout, true)?;
        let verified = {
            let snapshot = self.load(&copy)?;
            verify_all(&snapshot)?
        };
        drop(copy);
        file.as_file().sync_all().map_err(failed)?;
        files::give_new_name(file, to, "write the backup")?;
        files::sync_folder(folder)?;
        Ok(verified)
    }

    /// Whether this is still the store of its path.
    pub(super) fn check_place(&self) -> Result<(), StoreError> {
        match FileIdentity::of(&self.path) {
            Ok(found) if found == self.identity => Ok(()),
            _ => Err(StoreError::Replaced {
                path: self.path.clone(),
            }),
        }
    }
}

impl StoreOptions {
    /// Puts a backup in the place of the store at this path, or where there is none. Everything in
    /// it is verified before anything is replaced. The key is the backup's.
    ///
    /// # Errors
    /// [`StoreError::Backup`], [`StoreError::WrongKey`], and [`StoreError::Busy`] where others do not
    /// stop using the store: then nothing was replaced. Whoever opens the store meanwhile waits.
    pub fn restore(
        &self,
        backup: impl AsRef<Path>,
        path: impl AsRef<Path>,
        key: &Key,
    ) -> Result<Verified, StoreError> {
        self.restore_by_steps(backup.as_ref(), path.as_ref(), key, || {})
    }

    /// [`restore`](Self::restore), which calls `reached` after each step: the tests kill it there.
    pub(super) fn restore_by_steps(
        &self,
        backup: &Path,
        path: &Path,
        key: &Key,
        mut reached: impl FnMut(),
    ) -> Result<Verified, StoreError> {
        let place = Place::make(path)?;
        let _lock = place.lock()?;
        let new = files::with_suffix(&place.path, ".restored");
        remove_all(&new)?;
        let result = self.restore_by_way_of(&new, backup, &place.path, key, &mut reached);
        // Whatever was left of it.
        let removed = remove_all(&new);
        let verified = result.map_err(|error| of_backup(error, &new, backup, &place.path))?;
        removed?;
        Ok(verified)
    }

    fn restore_by_way_of(
        &self,
        new: &Path,
        backup: &Path,
        path: &Path,
        key: &Key,
        reached: &mut impl FnMut(),
    ) -> Result<Verified, StoreError> {
        drop(files::make_private(new)?);
        if !backup.is_file() {
            return Err(StoreError::Backup {
                path: backup.to_owned(),
                problem: "there is no such file".into(),
            });
        }
        check_single(backup)?;
        std::fs::copy(backup, new).map_err(files::io("copy", backup))?;
        // A backup may come from where modes are not kept.
        let own = std::fs::Permissions::from_mode(0o600);
        std::fs::set_permissions(new, own).map_err(files::io("close to others", new))?;
        files::check_file(new)?;
        reached();
        let mut copy = sql::connect(new, self.busy_timeout, false)?;
        sql::give_log(&copy, new)?;
        let (store, slots) = sql::slots(&copy, backup)?;
        let Some((root, _)) = slot::open(&slots, &store, key, self.slot.as_deref())? else {
            return Err(StoreError::WrongKey {
                path: backup.to_owned(),
            });
        };
        let keys = StoreKeys::new(root, &store);
        let state = StateRecord::new(&self.state_folder()?, &store)?;
        let verified = verify_all(&load(&copy, backup, &keys, &Actor::current())?)?;
        // From here on nobody writes to the store that is replaced, or sees what is in its log.
        let held = match files::check_file(path)? {
            Some(_) => match sql::hold(path, self.busy_timeout) {
                Err(busy @ StoreError::Busy { .. }) => return Err(busy),
                // A store that is damaged is what backups are for.
                held => held.ok(),
            },
            None => None,
        };
        reached();
        let (replaced, mark, recorded) = rebase(&mut copy, backup, &keys, &state, held.as_ref())?;
        if let Some(sink) = &self.audit_sink {
            sink.before(&recorded)?;
        }
        sql::make_single(copy, new)?;
        files::sync_file(new)?;
        reached();
        let record = state.lock()?;
        record.write_restoring(&keys.state, replaced, mark)?;
        reached();
        for suffix in ["-wal", "-shm"] {
            files::remove(&files::with_suffix(path, suffix))?;
        }
        reached();
        std::fs::rename(new, path).map_err(files::io("name the store", path))?;
        reached();
        // The name is on disk before the record is of the new store alone.
        files::sync_folder(files::parent(path))?;
        record.write(&keys.state, mark)?;
        reached();
        drop((record, held));
        if let Some(sink) = &self.audit_sink {
            sink.after(&recorded);
        }
        Ok(verified)
    }
}

/// Refuses a store's own file: its last writes stand in a log beside it, which is not copied.
fn check_single(backup: &Path) -> Result<(), StoreError> {
    let mut versions = [0; 2];
    let file = File::open(backup).map_err(files::io("read", backup))?;
    // A file that is shorter is no store, which is told later.
    let read = file.read_exact_at(&mut versions, FORMAT_VERSIONS);
    match read.is_ok() && versions.contains(&WITH_LOG) {
        false => Ok(()),
        true => Err(StoreError::Backup {
            path: backup.to_owned(),
            problem:
                "it is no backup, but a store's own file, and what was written to it last may \
                      stand in a log beside it; name a file that `leyden store backup` wrote"
                    .into(),
        }),
    }
}

/// What went wrong with the backup, or the copy of it, is told of the file that was named: where the
/// disk failed, of the store that it was to become.
fn of_backup(mut error: StoreError, new: &Path, backup: &Path, store: &Path) -> StoreError {
    let is_its = |path: &Path| path == new || path == backup;
    let problem = match &mut error {
        StoreError::NotAStore { path, problem } if is_its(path) => {
            format!("{problem}; name a file that `leyden store backup` wrote")
        }
        StoreError::Tampered { path, what } if is_its(path) => {
            format!("it has been tampered with or is damaged: {what}; restore another one")
        }
        StoreError::AuditBroken {
            path,
            sequence,
            what,
        } if is_its(path) => {
            format!("its audit log is broken at record {sequence}: {what}; restore another one")
        }
        StoreError::TooNew { path, .. }
        | StoreError::TooOld { path, .. }
        | StoreError::NewerFeature { path }
            if is_its(path) =>
        {
            "another version of Leyden wrote it; restore it with that one".into()
        }
        StoreError::Database { path, .. } | StoreError::Io { path, .. } if path == new => {
            store.clone_into(path);
            return error;
        }
        _ => return error,
    };
    StoreError::Backup {
        path: backup.to_owned(),
        problem,
    }
}

/// Makes the copy a generation after what was seen of the store, and what it has come to. Returns
/// how far the store that is replaced has come, if that can be told, how far the copy, and what was
/// recorded.
fn rebase(
    copy: &mut Connection,
    path: &Path,
    keys: &StoreKeys,
    state: &StateRecord,
    replaced: Option<&Connection>,
) -> Result<(Option<Mark>, Mark, Vec<String>), StoreError> {
    let failed = |error| Tables::error(path, error);
    let actor = Actor::current();
    // A record, or a store, of another root key says nothing of this one.
    let seen = state.read(&keys.state).ok().flatten();
    let replaced = replaced.and_then(|store| load(store, path, keys, &actor).ok());
    let replaced = replaced.map(|store| store.mark());
    let seen = seen
        .into_iter()
        .flat_map(|seen| [Some(seen.latest), seen.restoring]);
    let marks = seen.flatten().chain(replaced);
    let latest = marks.map(|mark| mark.generation).max();
    let transaction = copy
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed)?;
    let mut snapshot = load(&transaction, path, keys, &actor)?;
    snapshot.record(actor.record(AuditEvent::StoreRestored))?;
    snapshot.rebase(latest.unwrap_or(0));
    let mark = snapshot.seal()?;
    let recorded = std::mem::take(&mut snapshot.recorded);
    drop(snapshot);
    transaction.commit().map_err(failed)?;
    Ok((replaced, mark, recorded))
}

fn load<'t>(
    connection: &'t Connection,
    path: &'t Path,
    keys: &'t StoreKeys,
    actor: &'t Actor,
) -> Result<Snapshot<'t>, StoreError> {
    Snapshot::load(Tables { connection, path }, keys, actor)
}

fn remove_all(path: &Path) -> Result<(), StoreError> {
    let all = ["", "-journal", "-wal", "-shm"].map(|suffix| files::with_suffix(path, suffix));
    all.iter()
        .try_for_each(|path: &PathBuf| files::remove(path))
}
