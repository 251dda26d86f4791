//! What may be told about secrets and slots: everything but values and keys.

use std::num::NonZeroU32;

use jiff::Timestamp;
use serde::Serialize;

use super::{Grant, StoreError};

/// What may be told about one secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SecretInfo {
    /// The name as first typed. Names compare without regard to case.
    pub name: String,
    /// Whether it can be bound.
    #[serde(flatten)]
    pub state: SecretState,
    /// When it was created.
    pub created: Timestamp,
    /// When its newest version was added, or it was deleted.
    pub updated: Timestamp,
    /// Who created it, as `user@host`.
    pub created_by: String,
    /// Whether only a grant to an app's digest binds it.
    pub restricted: bool,
    /// How many versions are kept; if none, all.
    pub keep: Option<NonZeroU32>,
    /// Who may bind it without being told to each time.
    pub grants: Vec<Grant>,
    /// Its versions, oldest first; never empty.
    pub versions: Vec<VersionInfo>,
}

impl SecretInfo {
    /// How many of its versions a new one would destroy, because no more are kept.
    pub fn destroyed_by_new_version(&self) -> usize {
        let kept = self.keep.map_or(usize::MAX, |keep| keep.get() as usize);
        (self.versions.len() + 1).saturating_sub(kept)
    }
}

/// What a look at all secrets found.
#[derive(Debug)]
#[non_exhaustive]
pub struct SecretsFound {
    /// The secrets that are what was written, by name.
    pub secrets: Vec<SecretInfo>,
    /// What is wrong with the others.
    pub damaged: Vec<StoreError>,
}

/// Whether a secret can be bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
#[non_exhaustive]
pub enum SecretState {
    /// It can.
    Active,
    /// It was deleted: its values stay sealed in the store and can no longer be bound.
    Deleted {
        /// When.
        deleted: Timestamp,
        /// Until when it can be restored; if none, always.
        restorable_until: Option<Timestamp>,
    },
}

/// What may be told about one version of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VersionInfo {
    /// Its number, from 1.
    pub version: NonZeroU32,
    /// When it was added.
    pub created: Timestamp,
    /// Who added it, as `user@host`.
    pub created_by: String,
    /// From when on it is not released any more.
    pub expires: Option<Timestamp>,
    /// The value's length in bytes.
    pub size: u64,
}

/// What may be told about one key slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SlotInfo {
    /// Its label.
    pub label: String,
    /// What opens it.
    #[serde(flatten)]
    pub kind: SlotKind,
    /// When it was added.
    pub created: Timestamp,
    /// Whether it is the one that opened the store here.
    pub current: bool,
}

/// What opens a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SlotKind {
    /// A random key in a key file.
    KeyFile,
    /// A random key that a command prints.
    KeyCommand,
    /// A random key in the operating system's keyring, under the slot's label.
    Keyring,
    /// A passphrase, stretched by Argon2id at this cost.
    Passphrase(Argon2Cost),
    /// A recovery code.
    Recovery,
}

/// What one try of a passphrase costs (Argon2id, RFC 9106).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Argon2Cost {
    /// Memory in KiB.
    pub memory_kib: u32,
    /// Passes over the memory.
    pub passes: u32,
    /// Lanes.
    pub lanes: u32,
}

impl Default for Argon2Cost {
    /// 256 MiB, 3 passes, 4 lanes.
    fn default() -> Self {
        Self {
            memory_kib: 256 * 1024,
            passes: 3,
            lanes: 4,
        }
    }
}

/// What may be told about one KEK.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct KekInfo {
    /// Its number.
    pub version: u32,
    /// When it was made.
    pub created: Timestamp,
    /// How many versions of secrets are under it.
    pub uses: u64,
    /// Whether new versions get it. Where there are others, a rotation has not ended.
    pub current: bool,
}

/// What a full verification went through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// How many secrets there are, deleted ones too.
    pub secrets: u64,
    /// How many versions they have together.
    pub versions: u64,
    /// How many audit records there are.
    pub audit_records: u64,
    /// How many there were before them, which were pruned.
    pub pruned_records: u64,
}
