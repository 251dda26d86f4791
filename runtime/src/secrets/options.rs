//! How a store is opened or made.

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use etcetera::BaseStrategy;

use super::actor::Actor;
use super::backup::FileIdentity;
use super::create::{self, Place};
use super::keys::StoreKeys;
use super::snapshot::slots_hash;
use super::state::StateRecord;
use super::{Argon2Cost, AuditSink, Key, SecretStore, StoreError, files, slot, sql};

/// How often the root key may change while a store is opened.
const ROOT_CHANGES: usize = 10;

/// How a store is opened or made. [`SecretStore::open`] is this with nothing set.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    state_dir: Option<PathBuf>,
    pub(super) slot: Option<String>,
    accept_rollback: bool,
    read_only: bool,
    pub(super) argon2: Argon2Cost,
    pub(super) busy_timeout: Duration,
    pub(super) audit_sink: Option<AuditSink>,
}

/// A store that was opened or made, and what was made for it.
#[derive(Debug)]
#[non_exhaustive]
pub struct Opened {
    /// The store.
    pub store: SecretStore,
    /// Whether the store was made now.
    pub made_store: bool,
    /// Whether the key file was made now.
    pub made_key: bool,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self {
            state_dir: None,
            slot: None,
            accept_rollback: false,
            read_only: false,
            argon2: Argon2Cost::default(),
            busy_timeout: Duration::from_secs(30),
            audit_sink: None,
        }
    }
}

impl StoreOptions {
    /// Nothing set.
    pub fn new() -> Self {
        Self::default()
    }

    /// The folder in which this machine remembers how far the store had come, so that an older
    /// copy is noticed. Default: `leyden` in the user's XDG state folder.
    pub fn state_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.state_dir = Some(folder.into());
        self
    }

    /// The label of the key slot: the one to open, or the one to make. Each passphrase slot that
    /// is tried costs an Argon2id, so that naming it saves time where there are several.
    pub fn slot(mut self, label: impl Into<String>) -> Self {
        self.slot = Some(label.into());
        self
    }

    /// Take the store as it is, even if this machine has seen a newer state of it. That is written
    /// to the audit log.
    pub fn accept_rollback(mut self, accept: bool) -> Self {
        self.accept_rollback = accept;
        self
    }

    /// Looks at the store and changes nothing: what is opened so cannot be written, and this machine
    /// does not note how far it has come, so that
    /// [`accept_rollback`](Self::accept_rollback) has no effect. SQLite makes the empty files that
    /// it reads the store with, `-wal` and `-shm`, if they are not there.
    pub fn read_only(mut self, read_only: bool) -> Self {
        self.read_only = read_only;
        self
    }

    /// What new passphrase slots cost. Default: 256 MiB, 3 passes, 4 lanes.
    pub fn argon2(mut self, cost: Argon2Cost) -> Self {
        self.argon2 = cost;
        self
    }

    /// How long to wait for other processes that write. Default: 30 seconds.
    pub fn busy_timeout(mut self, timeout: Duration) -> Self {
        self.busy_timeout = timeout;
        self
    }

    /// A second place for audit records. Those of making a store do not go there. Where it takes
    /// none and is not required, its [`take_failure`](AuditSink::take_failure) tells.
    pub fn audit_sink(mut self, sink: AuditSink) -> Self {
        self.audit_sink = Some(sink);
        self
    }

    /// Opens the store at this path.
    ///
    /// # Errors
    /// [`StoreError::MissingStore`] if there is none, [`StoreError::NotAStore`] (of a backup, too),
    /// [`StoreError::TooNew`] or [`TooOld`](StoreError::TooOld) if it is not of this format,
    /// [`StoreError::Permission`] if others may open it, [`StoreError::WrongKey`],
    /// [`StoreError::Tampered`], [`StoreError::RolledBack`], [`StoreError::Busy`], and what the
    /// operating system says.
    pub fn open(
        &self,
        path: impl AsRef<Path>,
        key: impl Borrow<Key>,
    ) -> Result<SecretStore, StoreError> {
        let path = path.as_ref();
        match files::parent(path).canonicalize() {
            Ok(folder) => self.open_in(&folder, path, key.borrow()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(StoreError::MissingStore {
                    path: path.to_owned(),
                })
            }
            Err(error) => Err(files::io("find the folder of", path)(error)),
        }
    }

    /// Makes a new store that this key opens; for a key file, rather use
    /// [`open_or_create`](Self::open_or_create).
    ///
    /// # Errors
    /// [`StoreError::StoreExists`]; otherwise those of [`open`](Self::open).
    pub fn create(
        &self,
        path: impl AsRef<Path>,
        key: impl Borrow<Key>,
    ) -> Result<SecretStore, StoreError> {
        let place = Place::make(path.as_ref())?;
        let lock = place.lock()?;
        if files::check_file(&place.path)?.is_some() {
            return Err(StoreError::StoreExists { path: place.path });
        }
        create::make(&place, key.borrow(), self)?;
        drop(lock);
        self.open_in(&place.folder, &place.path, key.borrow())
    }

    /// Opens the store with the key file, or makes whichever of the two is not there.
    ///
    /// Any number of processes may do this at once: one makes them, the others open what it made.
    /// A process that is killed leaves a state from which the next call goes on: the key is on
    /// disk before there is a store.
    ///
    /// # Errors
    /// [`StoreError::MissingKey`] if there is a store and no key file (a new key would not open
    /// it), or if `key_file` is a descriptor that is not open; otherwise those of
    /// [`open`](Self::open) and [`Key::from_file`].
    pub fn open_or_create(
        &self,
        path: impl AsRef<Path>,
        key_file: impl AsRef<Path>,
    ) -> Result<Opened, StoreError> {
        let (place, key_file) = (Place::make(path.as_ref())?, key_file.as_ref());
        refuse_own_names(&place.path, key_file)?;
        let lock = place.lock()?;
        let made_store = files::check_file(&place.path)?.is_none();
        let (key, made_key) = match Key::from_file(key_file) {
            Err(StoreError::MissingKey { .. }) if made_store && !files::is_descriptor(key_file) => {
                let key = Key::generate()?;
                key.write_new(key_file)?;
                (key, true)
            }
            key => (key?, false),
        };
        if made_store {
            create::make(&place, &key, self).inspect_err(|_| {
                // It opens nothing, unless the store got its name before something failed.
                if made_key && matches!(files::check_file(&place.path), Ok(None)) {
                    let _ = files::remove(key_file);
                }
            })?;
        }
        drop(lock);
        let store = self.open_in(&place.folder, &place.path, &key)?;
        Ok(Opened {
            store,
            made_store,
            made_key,
        })
    }

    pub(super) fn state_folder(&self) -> Result<PathBuf, StoreError> {
        match &self.state_dir {
            Some(folder) => Ok(folder.clone()),
            None => default_state_dir(),
        }
    }

    fn open_in(&self, folder: &Path, path: &Path, key: &Key) -> Result<SecretStore, StoreError> {
        for _ in 0..ROOT_CHANGES {
            if let Some(store) = self.open_once(folder, path, key)? {
                return Ok(store);
            }
        }
        Err(StoreError::Busy {
            path: path.to_owned(),
        })
    }

    /// None where the root key was changed between reading the slots and all else.
    fn open_once(
        &self,
        folder: &Path,
        path: &Path,
        key: &Key,
    ) -> Result<Option<SecretStore>, StoreError> {
        let Some(name) = path.file_name() else {
            return Err(StoreError::MissingStore {
                path: path.to_owned(),
            });
        };
        let path = folder.join(name);
        files::check_folder(folder)?;
        match files::check_file(&path)? {
            None => return Err(StoreError::MissingStore { path }),
            // SQLite takes an empty file for an empty database.
            Some(0) => {
                return Err(StoreError::NotAStore {
                    path,
                    problem: "it is empty".into(),
                });
            }
            Some(_) => {}
        }
        for suffix in ["-wal", "-shm", "-journal"] {
            files::check_file(&files::with_suffix(&path, suffix))?;
        }
        let state_dir = self.state_folder()?;
        let in_place = create::keep(&path, self.busy_timeout)?;
        let connection = sql::connect(&path, self.busy_timeout, self.read_only)?;
        sql::refuse_backup(&connection, &path)?;
        let (store_id, slots) = sql::slots(&connection, &path)?;
        // Once it was read, there is a log.
        let identity = FileIdentity::of(&path)?;
        drop(in_place);
        let Some((root, slot)) = slot::open(&slots, &store_id, key, self.slot.as_deref())? else {
            return Err(StoreError::WrongKey { path });
        };
        let keys = StoreKeys::new(root, &store_id);
        let store = SecretStore {
            connection: Mutex::new(connection),
            keys,
            id: store_id,
            identity,
            busy_timeout: self.busy_timeout,
            path,
            state: match self.read_only {
                true => StateRecord::look(&state_dir, &store_id)?,
                false => StateRecord::new(&state_dir, &store_id)?,
            },
            slots: slots_hash(&slots),
            slot,
            argon2: self.argon2,
            sink: self.audit_sink.clone(),
            actor: Actor::current(),
            catalogue: Mutex::default(),
        };
        let admitted = match self.read_only {
            true => store.read(|_| Ok(())),
            false => store.admit(self.accept_rollback),
        };
        match admitted {
            Err(StoreError::RootChanged { .. }) => Ok(None),
            admitted => admitted.map(|()| Some(store)),
        }
    }
}

/// Refuses a key file under a name that the store uses for itself, and would overwrite.
fn refuse_own_names(store: &Path, key_file: &Path) -> Result<(), StoreError> {
    let folder = files::parent(key_file).canonicalize();
    let (Ok(folder), Some(name)) = (folder, key_file.file_name()) else {
        // Its folder is not there yet, so it is not the store's.
        return Ok(());
    };
    let key = folder.join(name);
    let suffixes = ["", ".new", ".lock", "-wal", "-shm", "-journal"];
    let own = suffixes.map(|suffix| files::with_suffix(store, suffix));
    match own.contains(&key) {
        false => Ok(()),
        true => Err(StoreError::Permission {
            path: key_file.to_owned(),
            problem: "is a name that the store uses for itself".into(),
            remedy: "keep the key in another file, best in another folder".into(),
        }),
    }
}

fn default_state_dir() -> Result<PathBuf, StoreError> {
    let strategy = etcetera::choose_base_strategy().map_err(|_| StoreError::NoStateDir)?;
    let folder = strategy.state_dir().unwrap_or_else(|| strategy.data_dir());
    Ok(folder.join("leyden"))
}
