//! The encrypted store: names, values, keys, sealing, release, audit.
//!
//! A store is one SQLite file. What is secret in it is sealed; everything in it is authenticated,
//! so that whoever can write to the file and has no key can neither read nor change a secret, nor
//! put an old one back, unnoticed. Names, times, sizes and the audit log can be read by whoever
//! can read the file, which is its owner alone.
//!
//! # Keys
//!
//! ```text
//! random key, recovery code, passphrase by Argon2id    one slot each: `slot.rs`, `key.rs`
//!   seals the root key                                32 random bytes
//!     seals KEKs, by version                          32 random bytes; new versions use the newest
//!       seals a DEK for each version of each secret   32 random bytes
//!         seals the value
//! ```
//!
//! Every seal is made in one way, with HKDF (RFC 5869) and AES-256-GCM (NIST SP 800-38D):
//! `seal.rs` has the bytes. The other keys are HKDF-SHA-256 of the root key, without salt, with
//! `"leyden/1/derive/" ‖ purpose ‖ store id` as its info; the purposes are `header`, `head`,
//! `place`, `audit`, `state` and `journal`. Wherever fields are hashed or MACed, `frame` writes each as its
//! length in 8 bytes, big endian, and then itself.
//!
//! # Tables
//!
//! | table | a row is | what covers it |
//! | --- | --- | --- |
//! | `header` | the store: its id (16 random bytes), generation, and what covers the rest | its own MAC: `snapshot.rs` |
//! | `slot` | a key slot: label, public part, sealed root key | a hash of all, in the header |
//! | `kek` | a KEK: version, time (microseconds since 1970), sealed key | a hash of all, in the header |
//! | `node` | a node of the 16-ary hash tree over the heads | the node above; the root's hash is in the header: `tree.rs` |
//! | `head` | a secret: state, times, grants, versions with their hashes, in JSON; or what an app was granted: `trust.rs` | a MAC, as a leaf of the tree: `head.rs` |
//! | `version` | a version: KEK version, sealed DEK, sealed value | a hash, in the secret's head |
//! | `audit` | an audit record, in JSON | a chain of MACs; its end is in the header: `chain.rs` |
//!
//! The file's `application_id` is `LEYD`, its `user_version` is the format, now 1. Every change is
//! one transaction, which adds what it did to the audit log and makes the next generation. The
//! newest generation seen is remembered outside the store, so that an older copy of the whole file
//! is noticed: `state.rs`. `create.rs` says how a store and its key file come to be.

mod act;
mod actor;
mod audit;
mod backup;
mod catalogue;
mod chain;
mod create;
mod delete;
mod edit;
mod error;
mod files;
mod grant;
mod grantee;
mod head;
mod import;
mod info;
mod inspect;
mod key;
mod keys;
mod options;
mod prune;
mod recovery;
mod refusal;
mod release;
mod reveal;
mod root;
mod rotate;
mod run_key;
mod seal;
mod sink;
mod slot;
mod slots;
mod snapshot;
mod sql;
mod state;
mod store;
mod tree;
mod trust;
mod value;

#[cfg(test)]
mod tests;

pub use act::Act;
pub(crate) use actor::Actor;
pub use audit::{AuditEvent, AuditFilter, AuditFound, AuditOutcome, AuditRecord};
pub use catalogue::{GrantsFound, SecretOrder, SecretPage, SecretQuery, Shown};
pub use delete::RECOVERY_WINDOW;
pub use edit::{Expiry, VersionOptions};
pub use error::{KeyFileProblem, StoreError};
pub(crate) use files::{make_folder, open_regular};
pub use grant::{Grant, NewGrant};
pub use grantee::{AppIdentity, Grantee, NoGrantee};
pub use import::{ImportError, ImportFormat, Imported, ImportedAs, named};
pub use info::{
    Argon2Cost, KekInfo, SecretInfo, SecretState, SecretsFound, SlotInfo, SlotKind, Verified,
    VersionInfo,
};
pub use inspect::AuditPlace;
pub use key::{Holder, Key};
pub use options::{Opened, StoreOptions};
pub use refusal::{Refusal, RefusalReason};
pub use release::{ReleaseRequest, Released, Wanted};
pub use root::RootRotation;
pub use rotate::KekRotation;
pub use run_key::RunKey;
pub use sink::{AuditSink, AuditTarget, SinkFailure};
pub use slot::check_label;
pub use store::SecretStore;
pub use trust::{Coverage, HostGrant, NewTrust, SeenApp, TakenBack, Trusted};
pub use value::{MAX_VALUE_BYTES, NotText, SecretValue};
