//! Key slots: the root key, sealed once for each random key, passphrase or recovery code that opens
//! the store.
//!
//! A slot has a label, a public part in JSON (when it was added, what opens it, and for a
//! passphrase the cost and salt of Argon2id), and the sealed root key, to which the label and the
//! exact text of the public part are bound. The key that a slot is sealed under is the 32 bytes of a
//! random key (whatever the slot says that holds it: a file, a command, a keyring), what Argon2id
//! (RFC 9106, version 0x13, 32 bytes) makes of the passphrase, or what `recovery.rs` makes of the
//! code.

use argon2::{Algorithm, Argon2, Params, Version};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::{Credential, Holder};
use super::keys::{KeyBox, KeyBytes, StoreId, random};
use super::seal::{self, Subject};
use super::sql::SlotRow;
use super::{Argon2Cost, Key, SlotKind, StoreError};

const SALT: usize = 16;
const MAX_LABEL: usize = 64;

/// More than this is never asked of Argon2id, whatever a slot says: 4 GiB, 64 passes, 64 lanes.
const MOST: Argon2Cost = Argon2Cost {
    memory_kib: 4 * 1024 * 1024,
    passes: 64,
    lanes: 64,
};

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Public {
    created: Timestamp,
    opener: Opener,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
enum Opener {
    KeyFile,
    KeyCommand,
    Keyring,
    Recovery,
    Passphrase {
        memory_kib: u32,
        passes: u32,
        lanes: u32,
        /// In hex.
        salt: String,
    },
}

/// The label of a slot that is made without one.
pub(super) fn default_label(key: &Key) -> &'static str {
    match key.0 {
        Credential::Random(_, Holder::File) => "key-file",
        Credential::Random(_, Holder::Command) => "key-command",
        Credential::Random(_, Holder::Keyring) => "keyring",
        Credential::Passphrase(_) => "passphrase",
        Credential::Recovery(_) => "recovery",
    }
}

/// Makes a slot that opens with this key.
pub(super) fn make(
    root: &KeyBytes,
    store: &StoreId,
    label: &str,
    key: &Key,
    cost: Argon2Cost,
    created: Timestamp,
) -> Result<SlotRow, StoreError> {
    check_label(label)?;
    let opener = opener(label, key, cost)?;
    seal_root(root, store, label, key, &Public { created, opener })
}

/// Makes a slot again for another root key: with the label, the time, and what opens it, of one
/// that this key opens. A passphrase gets another salt, and this cost.
pub(super) fn make_again(
    root: &KeyBytes,
    store: &StoreId,
    slot: &SlotRow,
    key: &Key,
    cost: Argon2Cost,
) -> Result<SlotRow, StoreError> {
    let mut public: Public = serde_json::from_str(&slot.public).map_err(|_| StoreError::Slot {
        label: slot.label.clone(),
        problem: "its public part cannot be read",
    })?;
    if matches!(public.opener, Opener::Passphrase { .. }) {
        public.opener = opener(&slot.label, key, cost)?;
    }
    seal_root(root, store, &slot.label, key, &public)
}

/// Whether a key slot may be called so: 1 to 64 letters, digits, `-`, `_` and `.`.
///
/// # Errors
/// [`StoreError::Slot`].
pub fn check_label(label: &str) -> Result<(), StoreError> {
    let good = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if label.is_empty() || label.len() > MAX_LABEL || !label.chars().all(good) {
        return Err(StoreError::Slot {
            label: label.to_owned(),
            problem: "a label is 1 to 64 letters, digits, `-`, `_` and `.`",
        });
    }
    Ok(())
}

/// What a slot of this key says of what opens it.
fn opener(label: &str, key: &Key, cost: Argon2Cost) -> Result<Opener, StoreError> {
    Ok(match &key.0 {
        Credential::Random(_, Holder::File) => Opener::KeyFile,
        Credential::Random(_, Holder::Command) => Opener::KeyCommand,
        Credential::Random(_, Holder::Keyring) => Opener::Keyring,
        Credential::Recovery(_) => Opener::Recovery,
        Credential::Passphrase(passphrase) if passphrase.is_empty() => {
            return Err(StoreError::Slot {
                label: label.to_owned(),
                problem: "the passphrase is empty",
            });
        }
        Credential::Passphrase(_) => {
            let mut salt = [0; SALT];
            random(&mut salt)?;
            let Argon2Cost {
                memory_kib,
                passes,
                lanes,
            } = cost;
            Opener::Passphrase {
                memory_kib,
                passes,
                lanes,
                salt: HEXLOWER.encode(&salt),
            }
        }
    })
}

fn seal_root(
    root: &KeyBytes,
    store: &StoreId,
    label: &str,
    key: &Key,
    public: &Public,
) -> Result<SlotRow, StoreError> {
    let refuse = |problem| {
        Err(StoreError::Slot {
            label: label.to_owned(),
            problem,
        })
    };
    let Ok(public) = serde_json::to_string(public) else {
        return refuse("its public part cannot be written");
    };
    let subject = Subject::slot(store, label, &public);
    let sealed = match with_key(key, &public, |parent| {
        seal::seal(parent, &subject, root.expose())
    })? {
        Some(sealed) => sealed?,
        None => return refuse("Argon2id cannot be run at this cost"),
    };
    Ok(SlotRow {
        label: label.to_owned(),
        public,
        sealed,
    })
}

/// The root key, and the label of the slot that gave it: the first that opens, of all or of the
/// one with this label. `None` if the key is wrong or the slot is damaged.
pub(super) fn open(
    slots: &[SlotRow],
    store: &StoreId,
    key: &Key,
    label: Option<&str>,
) -> Result<Option<(KeyBox, String)>, StoreError> {
    if let Some(label) = label.filter(|label| !slots.iter().any(|slot| slot.label == *label)) {
        let labels = slots.iter().map(|slot| slot.label.clone()).collect();
        return Err(StoreError::NoSuchSlot {
            label: label.to_owned(),
            labels,
        });
    }
    for slot in slots
        .iter()
        .filter(|slot| label.is_none_or(|label| slot.label == label))
    {
        let subject = Subject::slot(store, &slot.label, &slot.public);
        let opened = with_key(key, &slot.public, |parent| {
            seal::open_brief_key(parent, &subject, &slot.sealed)
        })?;
        if let Some(root) = opened.flatten() {
            return Ok(Some((root, slot.label.clone())));
        }
    }
    Ok(None)
}

/// What may be told of a slot; `None` if its public part is damaged.
pub(super) fn describe(slot: &SlotRow) -> Option<(SlotKind, Timestamp)> {
    let public: Public = serde_json::from_str(&slot.public).ok()?;
    let kind = match public.opener {
        Opener::KeyFile => SlotKind::KeyFile,
        Opener::KeyCommand => SlotKind::KeyCommand,
        Opener::Keyring => SlotKind::Keyring,
        Opener::Recovery => SlotKind::Recovery,
        Opener::Passphrase {
            memory_kib,
            passes,
            lanes,
            ..
        } => SlotKind::Passphrase(Argon2Cost {
            memory_kib,
            passes,
            lanes,
        }),
    };
    Some((kind, public.created))
}

/// Hands over the key that the slot is sealed under; `None` if this key cannot be of that slot.
fn with_key<T>(
    key: &Key,
    public: &str,
    then: impl FnOnce(&KeyBytes) -> T,
) -> Result<Option<T>, StoreError> {
    let Ok(Public { opener, .. }) = serde_json::from_str(public) else {
        return Ok(None);
    };
    match (&key.0, opener) {
        (Credential::Random(key, _), Opener::KeyFile | Opener::KeyCommand | Opener::Keyring)
        | (Credential::Recovery(key), Opener::Recovery) => Ok(Some(then(key))),
        (
            Credential::Passphrase(passphrase),
            Opener::Passphrase {
                memory_kib,
                passes,
                lanes,
                salt,
            },
        ) => {
            let salt = HEXLOWER.decode(salt.as_bytes()).unwrap_or_default();
            let cost = Argon2Cost {
                memory_kib,
                passes,
                lanes,
            };
            Ok(stretch(passphrase, &salt, cost)?.map(|key| then(&key)))
        }
        _ => Ok(None),
    }
}

/// Argon2id; `None` if the cost or the salt is not one that a slot can have.
fn stretch(passphrase: &str, salt: &[u8], cost: Argon2Cost) -> Result<Option<KeyBox>, StoreError> {
    let Argon2Cost {
        memory_kib,
        passes,
        lanes,
    } = cost;
    let bounded = memory_kib <= MOST.memory_kib && passes <= MOST.passes && lanes <= MOST.lanes;
    let Ok(params) = Params::new(memory_kib, passes, lanes, Some(32)) else {
        return Ok(None);
    };
    if !bounded || salt.len() != SALT {
        return Ok(None);
    }
    let mut key = KeyBox::zeroed();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    match argon2.hash_password_into(passphrase.as_bytes(), salt, key.expose_mut()) {
        Ok(()) => Ok(Some(key)),
        Err(argon2::Error::OutOfMemory) => Err(StoreError::Stretch { memory_kib }),
        Err(_) => Ok(None),
    }
}
