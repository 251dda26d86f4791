//! The open store, and the frame that every reading and every change of it goes through.

use std::borrow::Borrow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, Transaction, TransactionBehavior};

use super::actor::Actor;
use super::backup::FileIdentity;
use super::catalogue::Catalogue;
use super::keys::{Hash, StoreId, StoreKeys};
use super::snapshot::{HEADER_CHANGED, Snapshot, slots_hash};
use super::sql::{self, Tables};
use super::state::{Mark, Seen, StateRecord};
use super::{Argon2Cost, AuditEvent, AuditSink, Key, Opened, StoreError, StoreOptions};

/// An open store of secrets.
///
/// `Send` and `Sync`: calls from several threads take turns, but for those that verify the store or
/// read the audit log, which keep nobody waiting. Any number of processes may have one
/// store open and write to it. Every call reads or writes files and may wait for other writers, so
/// call it where blocking is allowed. The root key is in memory until this is dropped.
pub struct SecretStore {
    pub(super) connection: Mutex<Connection>,
    pub(super) keys: StoreKeys,
    pub(super) id: StoreId,
    pub(super) path: PathBuf,
    pub(super) state: StateRecord,
    /// The files that were opened.
    pub(super) identity: FileIdentity,
    pub(super) busy_timeout: Duration,
    /// Of the slots as they were when it was opened.
    pub(super) slots: Hash,
    /// The label of the slot that opened it.
    pub(super) slot: String,
    /// What new passphrase slots cost.
    pub(super) argon2: Argon2Cost,
    /// The second place for audit records.
    pub(super) sink: Option<AuditSink>,
    pub(super) actor: Actor,
    /// The names, once somebody has asked for a page of them.
    pub(super) catalogue: Mutex<Option<Catalogue>>,
}

impl SecretStore {
    /// Opens the store at this path, with the default [`StoreOptions`].
    ///
    /// # Errors
    /// See [`StoreOptions::open`].
    pub fn open(path: impl AsRef<Path>, key: impl Borrow<Key>) -> Result<Self, StoreError> {
        StoreOptions::new().open(path, key)
    }

    /// Opens the store, or makes it and its key file, with the default [`StoreOptions`].
    ///
    /// # Errors
    /// See [`StoreOptions::open_or_create`].
    pub fn open_or_create(
        path: impl AsRef<Path>,
        key_file: impl AsRef<Path>,
    ) -> Result<Opened, StoreError> {
        StoreOptions::new().open_or_create(path, key_file)
    }

    /// Who this process acts for.
    pub(crate) fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Where the store is: its folder's canonical path, and the file's name.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The canonical path of the folder with the rollback record.
    pub fn state_dir(&self) -> &Path {
        self.state.folder()
    }

    /// Reads from one state of the store.
    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.read_by(&mut self.lock(), read)
    }

    /// The same by a connection of its own: nobody waits for what takes long.
    pub(super) fn read_beside<T>(
        &self,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.check_place()?;
        let mut connection = sql::connect(&self.path, self.busy_timeout, true)?;
        self.read_by(&mut connection, read)
    }

    fn read_by<T>(
        &self,
        connection: &mut Connection,
        read: impl FnOnce(&Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        // Before the snapshot: a record that is read later may be ahead of it.
        let seen = self.state.read(&self.keys.state);
        let seen = seen.map_err(|error| self.or_root_changed(connection, error))?;
        let transaction = connection
            .transaction()
            .map_err(|e| Tables::error(&self.path, e))?;
        self.check_place()?;
        let snapshot = self.load(&transaction)?;
        snapshot.check_seen(seen)?;
        read(&snapshot)
    }

    /// Changes the store: all of it or nothing, and on disk when this returns.
    pub(super) fn write<T>(
        &self,
        change: impl FnOnce(&mut Snapshot<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let failed = |error| Tables::error(&self.path, error);
        let mut connection = self.lock();
        sql::shorten_log(&connection, &self.path, self.busy_timeout);
        let seen = self.state.read(&self.keys.state);
        let seen = seen.map_err(|error| self.or_root_changed(&connection, error))?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        self.check_place()?;
        let mut snapshot = self.load(&transaction)?;
        snapshot.check_seen(seen)?;
        snapshot.check_end()?;
        let result = change(&mut snapshot)?;
        let mark = snapshot.seal()?;
        let (recorded, refuses) = (std::mem::take(&mut snapshot.recorded), snapshot.refuses);
        self.commit(transaction, &recorded, refuses)?;
        let noted = self.note(mark);
        noted.map_err(|error| self.not_noted(error))?;
        Ok(result)
    }

    /// The first look at a store that was just opened: notes it if this machine has not seen it,
    /// or not this state of it, and accepts an older one if `accept_rollback` says so.
    pub(super) fn admit(&self, accept_rollback: bool) -> Result<(), StoreError> {
        let failed = |error| Tables::error(&self.path, error);
        let seen = self.state.read(&self.keys.state);
        if !accept_rollback {
            let seen = seen.map_err(|error| self.or_root_changed(&self.lock(), error))?;
            let mark = {
                let mut connection = self.lock();
                let transaction = connection.transaction().map_err(failed)?;
                let snapshot = self.load(&transaction)?;
                snapshot.check_seen(seen)?;
                snapshot.mark()
            };
            let is_noted =
                |seen: Seen| seen.restoring.is_none() && seen.latest.generation >= mark.generation;
            return match seen.is_some_and(is_noted) {
                true => Ok(()),
                false => self.note(mark),
            };
        }
        let mut connection = self.lock();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        let mut snapshot = self.load(&transaction)?;
        let checked = seen.and_then(|seen| snapshot.check_seen(seen));
        match checked {
            Ok(()) => return self.note(snapshot.mark()),
            Err(StoreError::RolledBack { .. } | StoreError::StateRecord { .. }) => {}
            Err(other) => return Err(other),
        }
        snapshot.record(self.actor.record(AuditEvent::RollbackAccepted))?;
        let mark = snapshot.seal()?;
        let recorded = std::mem::take(&mut snapshot.recorded);
        self.commit(transaction, &recorded, false)?;
        let noted = self.state.force(&self.keys.state, mark);
        noted.map_err(|error| self.not_noted(error))
    }

    /// Commits a transaction and what it recorded; where that is `refusals` alone, whatever becomes
    /// of the second place.
    pub(super) fn commit(
        &self,
        transaction: Transaction<'_>,
        recorded: &[String],
        refusals: bool,
    ) -> Result<(), StoreError> {
        let sink = self.sink.as_ref();
        if let Some(sink) = sink.filter(|_| !refusals) {
            sink.before(recorded)?;
        }
        transaction
            .commit()
            .map_err(|error| Tables::error(&self.path, error))?;
        match sink {
            Some(sink) if refusals => sink.tell(recorded),
            Some(sink) => sink.after(recorded),
            None => {}
        }
        Ok(())
    }

    /// Remembers how far the store has come.
    fn note(&self, mark: Mark) -> Result<(), StoreError> {
        let in_place = || self.check_place().is_ok();
        self.state.raise(&self.keys.state, mark, in_place)
    }

    /// Whatever goes wrong after a commit.
    pub(super) fn not_noted(&self, error: StoreError) -> StoreError {
        StoreError::StateNotWritten {
            path: self.state.path().to_owned(),
            source: Box::new(error),
        }
    }

    /// Drops what the log still holds of overwritten rows; if others use the store now, the next
    /// checkpoint does.
    pub(super) fn clear_log(&self) {
        let connection = self.lock();
        let tables = Tables {
            connection: &connection,
            path: &self.path,
        };
        let _ = tables.clear_log();
    }

    pub(super) fn load<'t>(
        &'t self,
        connection: &'t Connection,
    ) -> Result<Snapshot<'t>, StoreError> {
        let tables = Tables {
            connection,
            path: &self.path,
        };
        Snapshot::load(tables, &self.keys, &self.actor)
            .map_err(|error| self.or_root_changed(connection, error))
    }

    /// What does not fit our root key is no sign of tampering where the store has other slots, as
    /// after a change of that key. Whoever opens it again is told of anything else.
    pub(super) fn or_root_changed(&self, connection: &Connection, error: StoreError) -> StoreError {
        let is_of_key = match &error {
            StoreError::StateRecord { .. } => true,
            StoreError::Tampered { what, .. } => what == HEADER_CHANGED,
            _ => false,
        };
        let tables = Tables {
            connection,
            path: &self.path,
        };
        let has_others = |slots: Vec<_>| slots_hash(&slots) != self.slots;
        match is_of_key && tables.slots().is_ok_and(has_others) {
            true => StoreError::RootChanged {
                path: self.path.clone(),
            },
            false => error,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Connection> {
        // A thread that panicked has rolled its transaction back while unwinding.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for SecretStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretStore")
            .field("path", &self.path)
            .field("slot", &self.slot)
            .finish_non_exhaustive()
    }
}
