//! A store in a folder of its own, and what many tests need of it.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;
use zeroize::Zeroizing;

use crate::app::{Authority, Digest, Encoding, EnvName, SecretName, SecretRef};
use crate::secrets::*;

pub(super) struct Bed {
    pub(super) folder: TempDir,
}

impl Bed {
    pub(super) fn new() -> Self {
        let mut folder = TempDir::new().unwrap();
        // `cargo xtask test` searches what the tests leave.
        folder.disable_cleanup(std::env::var_os("LEYDEN_KEEP_TEST_FILES").is_some());
        Self { folder }
    }

    pub(super) fn path(&self) -> PathBuf {
        self.folder.path().join("data/store.db")
    }

    pub(super) fn key_path(&self) -> PathBuf {
        self.folder.path().join("config/root.key")
    }

    pub(super) fn state_dir(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    pub(super) fn key(&self) -> Key {
        Key::from_file(self.key_path()).unwrap()
    }

    pub(super) fn options(&self) -> StoreOptions {
        options(self.folder.path())
    }

    pub(super) fn make(&self) -> SecretStore {
        self.options()
            .open_or_create(self.path(), self.key_path())
            .unwrap()
            .store
    }

    pub(super) fn open(&self) -> Result<SecretStore, StoreError> {
        self.options().open(self.path(), self.key())
    }

    /// A second connection, of somebody who can write to the file but has no key.
    pub(super) fn attacker(&self) -> Connection {
        Connection::open(self.path()).unwrap()
    }

    /// The database with its log copied into it.
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.attacker()
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |row| {
                row.get::<_, i64>(0)
            })
            .unwrap();
        std::fs::read(self.path()).unwrap()
    }

    /// Puts such a database back.
    pub(super) fn put_back(&self, bytes: &[u8]) {
        for suffix in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(files::with_suffix(&self.path(), suffix));
        }
        std::fs::write(self.path(), bytes).unwrap();
    }

    /// Every file in the folder.
    pub(super) fn files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut folders = vec![self.folder.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path)
                } else {
                    files.push(path)
                }
            }
        }
        files
    }
}

/// The options of a store in this folder; passphrases cost next to nothing.
pub(super) fn options(folder: &Path) -> StoreOptions {
    StoreOptions::new()
        .state_dir(folder.join("state"))
        .argon2(Argon2Cost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        })
}

pub(super) fn name(name: &str) -> SecretName {
    name.parse().unwrap()
}

/// Does what takes an expiry, with one that has passed when this returns.
pub(super) fn until_over<T>(
    mut with: impl FnMut(Timestamp) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for span in [2, 20, 200, 2_000, 20_000] {
        let at = Timestamp::from_millisecond(Timestamp::now().as_millisecond() + span).unwrap();
        match with(at) {
            // On a slow machine it has passed already.
            Err(StoreError::PastExpiry { .. }) => {}
            done => {
                while Timestamp::now() <= at {
                    std::thread::sleep(Duration::from_millis(1));
                }
                return done;
            }
        }
    }
    panic!("it takes longer than any expiry");
}

/// What each of these tests' values begins with; `cargo xtask test` searches for it.
const SENTINEL: &str = "some-value";

pub(super) fn value(text: &str) -> SecretValue {
    SecretValue::new(format!("{SENTINEL}{text}").into_bytes()).unwrap()
}

/// What such a value was made of.
pub(super) fn text(value: &SecretValue) -> &[u8] {
    let bytes = value.expose();
    bytes.strip_prefix(SENTINEL.as_bytes()).unwrap_or(bytes)
}

pub(super) fn passphrase(text: &str) -> Key {
    Key::from_passphrase(Zeroizing::new(text.to_owned()))
}

pub(super) fn wanted(secret: &str, version: Option<u32>) -> Wanted {
    Wanted {
        component: "flow".into(),
        component_digest: Digest::of(b"component"),
        env: EnvName::try_from("TOKEN".to_owned()).unwrap(),
        secret: SecretRef {
            name: name(secret),
            version: version.and_then(NonZeroU32::new),
            encoding: Encoding::Base64,
        },
        by: Authority::Operator,
    }
}

pub(super) fn release(store: &SecretStore, wanted: &[Wanted]) -> Result<Vec<Released>, StoreError> {
    let app_digest = Digest::of(b"app");
    store.release(&ReleaseRequest {
        app_name: "pipeline",
        app_digest,
        app_folder: None,
        wanted,
    })
}

/// The newest value of a secret, or of one version of it.
pub(super) fn get(store: &SecretStore, secret: &str, version: Option<u32>) -> Option<Vec<u8>> {
    let released = release(store, &[wanted(secret, version)]).ok()?;
    Some(text(&released[0].value).to_vec())
}
