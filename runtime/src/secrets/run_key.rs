//! The key of one run: seals what the journal keeps of it, and needs no store afterwards.

use super::keys::{KeyBox, StoreId};
use super::seal::{self, Subject};
use super::{SecretStore, StoreError};

/// Seals the payloads of one run, each for its own place: sealed as everything else is, under a
/// random key, which is itself sealed under a key that HKDF derives from the root for this purpose
/// (`journal`). Wiped when dropped.
#[derive(Debug)]
pub struct RunKey {
    key: KeyBox,
    store: StoreId,
    run: String,
}

impl SecretStore {
    /// A new key for the run of this name, and the same sealed, to be kept with what it seals.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn new_run_key(&self, run: &str) -> Result<(RunKey, Vec<u8>), StoreError> {
        let store = self.id;
        let key = KeyBox::random()?;
        let sealed = seal::seal(&self.keys.journal, &Subject::run(&store, run), key.expose())?;
        Ok((self.run_key(run, store, key), sealed))
    }

    /// The key of an earlier run. `None` if it is damaged, of another run or store, or older than
    /// the store's root key.
    pub fn open_run_key(&self, run: &str, sealed: &[u8]) -> Option<RunKey> {
        let store = self.id;
        let key = seal::open_key(&self.keys.journal, &Subject::run(&store, run), sealed)?;
        Some(self.run_key(run, store, key))
    }

    fn run_key(&self, run: &str, store: StoreId, key: KeyBox) -> RunKey {
        RunKey {
            key,
            store,
            run: run.to_owned(),
        }
    }
}

impl RunKey {
    /// Seals something of the run: `what` it is, and which one of these.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn seal(&self, what: &str, number: u64, content: &[u8]) -> Result<Vec<u8>, StoreError> {
        seal::seal(&self.key, &self.subject(what, number), content)
    }

    /// Opens what was sealed for this place. `None` for anything else.
    pub fn open(&self, what: &str, number: u64, sealed: &[u8]) -> Option<Vec<u8>> {
        seal::open(&self.key, &self.subject(what, number), sealed)
    }

    /// A keyed hash (HMAC-SHA-256) of something of this run: the same for the same bytes, and
    /// without the key no help in guessing them.
    pub fn mac(&self, what: &str, content: &[u8]) -> [u8; 32] {
        self.key.mac(&[b"leyden/1/run", what.as_bytes(), content])
    }

    fn subject<'a>(&'a self, what: &str, number: u64) -> Subject<'a> {
        Subject::payload(&self.store, &self.run, what, number)
    }
}
