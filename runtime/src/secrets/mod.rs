//! The encrypted store: names, values, keys, sealing, release, audit.

mod actor;
mod audit;
mod chain;
mod create;
mod edit;
mod error;
mod files;
mod head;
mod info;
mod inspect;
mod key;
mod keys;
mod options;
mod release;
mod seal;
mod slot;
mod slots;
mod snapshot;
mod sql;
mod state;
mod store;
mod tree;
mod value;

#[cfg(test)]
mod tests;

pub use audit::{AuditEvent, AuditFilter, AuditOutcome, AuditRecord};
pub use error::{KeyFileProblem, Refusal, RefusalReason, StoreError};
pub use info::{Argon2Cost, SecretInfo, SecretState, SlotInfo, SlotKind, Verified, VersionInfo};
pub use key::Key;
pub use options::{Opened, StoreOptions};
pub use release::{ReleaseRequest, Released, Wanted};
pub use store::SecretStore;
pub use value::{MAX_VALUE_BYTES, NotText, SecretValue};
