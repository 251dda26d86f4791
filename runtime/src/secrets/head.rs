//! A secret's head: everything about it but its keys and values.
//!
//! A head is stored as JSON, and its MAC (HMAC-SHA-256 over `frame("leyden/1/head", place, body)`)
//! as a leaf of the tree over the heads. It holds a hash of each version's row, so that a MAC over
//! the head covers all of the secret. Fields that this Leyden does not know, or knows but does not
//! handle (the expiry of a secret as a whole), refuse the head: they may forbid what it would allow.
//! Newer fields are left out where they say nothing, so that older Leydens read such heads.
//!
//! A destroyed secret leaves a head without versions, so that its versions never get the same
//! numbers again. Beside the secrets' heads stand those of apps: `trust.rs`.

use std::num::NonZeroU32;

use data_encoding::HEXLOWER;
use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::keys::{Hash, KeyBytes, hash};
use super::sql::VersionRow;
use super::trust::AppHead;
use super::{Grant, Grantee, SecretInfo, SecretState, VersionInfo};

/// The most versions a secret may have: each is in the head, which is read at every release.
pub(super) const MAX_VERSIONS: usize = 4096;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Head {
    /// In lower case.
    pub(super) canonical: String,
    /// As first typed.
    pub(super) name: String,
    pub(super) created: Timestamp,
    pub(super) created_by: String,
    pub(super) updated: Timestamp,
    pub(super) deleted: Option<Timestamp>,
    /// Until when it can be restored, where it is deleted; if none, always.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) restorable: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) restricted: bool,
    pub(super) grants: Vec<Grant>,
    /// How many versions are kept; if none, all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) keep: Option<NonZeroU32>,
    /// The last version that there was, where it is destroyed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<NonZeroU32>,
    /// Oldest first; none if it is destroyed.
    pub(super) versions: Vec<HeadVersion>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HeadVersion {
    pub(super) version: NonZeroU32,
    pub(super) created: Timestamp,
    pub(super) created_by: String,
    /// From when on it is not released any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<Timestamp>,
    /// The value's length in bytes.
    pub(super) size: u64,
    /// Of its row.
    #[serde(serialize_with = "to_hex", deserialize_with = "from_hex")]
    pub(super) hash: Hash,
}

impl Head {
    /// Whether it says nothing that this Leyden does not handle.
    pub(super) fn is_understood(&self) -> bool {
        self.expires.is_none()
    }

    /// Whether it says nothing but which version was the last.
    pub(super) fn is_destroyed(&self) -> bool {
        self.versions.is_empty()
    }

    /// The versions there are, oldest first.
    pub(super) fn numbers(&self) -> Vec<NonZeroU32> {
        self.versions
            .iter()
            .map(|version| version.version)
            .collect()
    }

    /// The version asked for, or the newest.
    pub(super) fn version(&self, wanted: Option<NonZeroU32>) -> Option<&HeadVersion> {
        match wanted {
            Some(wanted) => self
                .versions
                .iter()
                .find(|version| version.version == wanted),
            None => self.versions.last(),
        }
    }

    pub(super) fn info(self) -> SecretInfo {
        SecretInfo {
            name: self.name,
            state: match self.deleted {
                Some(deleted) => SecretState::Deleted {
                    deleted,
                    restorable_until: self.restorable,
                },
                None => SecretState::Active,
            },
            created: self.created,
            updated: self.updated,
            created_by: self.created_by,
            restricted: self.restricted,
            keep: self.keep,
            grants: self.grants,
            versions: self.versions.into_iter().map(HeadVersion::info).collect(),
        }
    }
}

impl HeadVersion {
    pub(super) fn info(self) -> VersionInfo {
        VersionInfo {
            version: self.version,
            created: self.created,
            created_by: self.created_by,
            expires: self.expires,
            size: self.size,
        }
    }
}

/// What a head may say.
#[derive(Debug, Clone)]
pub(super) enum Body {
    Secret(Head),
    App(AppHead),
}

impl Body {
    /// Reads a head; `None` if it says what this Leyden does not understand.
    pub(super) fn parse(body: &str) -> Option<Self> {
        // An app's head begins with its grantee, and a secret's with its name.
        if body.starts_with("{\"app\":") {
            return serde_json::from_str(body).ok().map(Self::App);
        }
        let head: Head = serde_json::from_str(body).ok()?;
        head.is_understood().then_some(Self::Secret(head))
    }
}

/// The MAC of a head.
pub(super) fn mac(key: &KeyBytes, place: &Hash, body: &str) -> Hash {
    key.mac(&[b"leyden/1/head", place, body.as_bytes()])
}

/// Where the secret of this canonical name stands in the tree.
pub(super) fn place(key: &KeyBytes, canonical: &str) -> Hash {
    key.mac(&[b"leyden/1/place", canonical.as_bytes()])
}

/// Where what is granted to this app stands in the tree.
pub(super) fn app_place(key: &KeyBytes, app: &Grantee) -> Hash {
    key.mac(&[b"leyden/1/place-app", app.to_string().as_bytes()])
}

/// The hash of a version's row: the DEK as it is sealed, under which KEK, and the sealed value.
pub(super) fn row_hash(place: &Hash, number: NonZeroU32, row: &VersionRow) -> Hash {
    hash(&[
        b"leyden/1/version",
        place,
        &number.get().to_be_bytes(),
        &row.kek.to_be_bytes(),
        &row.dek,
        &row.value,
    ])
}

fn to_hex<S: Serializer>(hash: &Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&HEXLOWER.encode(hash))
}

fn from_hex<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Hash, D::Error> {
    let bytes = HEXLOWER.decode(String::deserialize(deserializer)?.as_bytes());
    let hash = bytes.ok().and_then(|bytes| bytes.try_into().ok());
    hash.ok_or_else(|| serde::de::Error::custom("a hash is 64 lower-case hexadecimal digits"))
}
