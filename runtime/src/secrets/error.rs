//! What can go wrong with the store: what happened, where, and what to do next. Never a value.

use std::num::NonZeroU32;
use std::path::PathBuf;

use jiff::Timestamp;

use super::refusal::{did_you_mean, ranges, refused};
use super::{Grantee, Refusal};

/// A store's error.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no store at this path.
    #[error("there is no secret store at {}; `leyden secret create NAME` makes one", .path.display())]
    MissingStore {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A new store was asked for where one is.
    #[error("there is a secret store at {} already", .path.display())]
    StoreExists {
        /// Where.
        path: PathBuf,
    },
    /// The file is no store.
    #[error("{} is not a Leyden store: {problem}", .path.display())]
    NotAStore {
        /// Which file.
        path: PathBuf,
        /// What it is, or what is wrong with it.
        problem: String,
    },
    /// A newer Leyden wrote the store.
    #[error("{} has format {found}, but this Leyden reads up to {supported}; use a newer Leyden", .path.display())]
    TooNew {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        supported: i64,
    },
    /// An older Leyden wrote the store.
    #[error("{} has format {found}, and this Leyden needs {supported}; run `leyden store upgrade`", .path.display())]
    TooOld {
        /// The store.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// Ours.
        supported: i64,
    },
    /// A newer Leyden wrote something that may forbid what this one would allow.
    #[error("{} uses a feature that this Leyden does not know; use a newer Leyden", .path.display())]
    NewerFeature {
        /// The store.
        path: PathBuf,
    },
    /// The SQLite that was linked can damage a store.
    #[error(
        "SQLite {found} can damage a store that several processes write (its WAL-reset bug); build Leyden with SQLite 3.51.3 or newer"
    )]
    SqliteTooOld {
        /// Its version.
        found: &'static str,
    },
    /// There is no key file at this path.
    #[error("there is no key file at {}; give the store's key file, or a passphrase", .path.display())]
    MissingKey {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file is no key file.
    #[error("{} is not a usable key file: {problem}", .path.display())]
    KeyFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: KeyFileProblem,
    },
    /// What was typed is no recovery code.
    #[error("the recovery code is not usable: {problem}")]
    RecoveryCode {
        /// What is wrong with it.
        problem: KeyFileProblem,
    },
    /// There is no usable passphrase in the file.
    #[error("the passphrase file {} {problem}", .path.display())]
    PassphraseFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A wrong key file, a wrong passphrase, or a damaged slot: which of them cannot be told.
    #[error("{} does not open with this key: it is another store's key or passphrase, or its slot is damaged", .path.display())]
    WrongKey {
        /// The store.
        path: PathBuf,
    },
    /// A file or folder is open to others, of the wrong kind, or not ours.
    #[error("{} {problem}; {remedy}", .path.display())]
    Permission {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
        /// What mends it.
        remedy: String,
    },
    /// Something in the store is not what was written there.
    #[error("{} has been tampered with or is damaged: {what}; restore a backup", .path.display())]
    Tampered {
        /// The store.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// A backup cannot take the store's place, which is as it was.
    #[error("the backup {} was not restored: {problem}", .path.display())]
    Backup {
        /// The backup.
        path: PathBuf,
        /// What is wrong with it, and what to do next.
        problem: String,
    },
    /// The root key was changed after the store was opened.
    #[error("the key slots of {} are no longer those that it was opened by, as after a change of its root key: give the command again, or start again what has the store open", .path.display())]
    RootChanged {
        /// The store.
        path: PathBuf,
    },
    /// The store is older than, or parted from, what this machine has seen of it.
    #[error("{} is not the store that this machine saw last: {what}; if you put an older copy there yourself, or restored a backup of it at another path, say --accept-rollback", .path.display())]
    RolledBack {
        /// The store.
        path: PathBuf,
        /// What was found.
        what: String,
    },
    /// What this machine remembers of the store cannot be trusted.
    #[error("{} is of another root key than the store's, has been tampered with, or is damaged; if the root key was just changed, open the store again; if you trust the store as it is, say --accept-rollback", .path.display())]
    StateRecord {
        /// The rollback record.
        path: PathBuf,
    },
    /// What was to be done is done and committed, but this machine could not note how far the
    /// store has come.
    #[error("the store was changed, and no value was handed out: how far the store has come could not be noted in {}; make room there, or let it be written to", .path.display())]
    StateNotWritten {
        /// The rollback record.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<StoreError>,
    },
    /// Another file has taken the store's name since it was opened.
    #[error("{} was replaced since it was opened, as by a restore: give the command again, or start again what has the store open", .path.display())]
    Replaced {
        /// The store.
        path: PathBuf,
    },
    /// Somebody else kept the store locked for too long.
    #[error("{} is locked by another process; try again", .path.display())]
    Busy {
        /// The store.
        path: PathBuf,
    },
    /// There is no secret of this name.
    #[error("there is no secret `{name}`{}", did_you_mean(suggestion.as_deref()))]
    NotFound {
        /// The name as typed.
        name: String,
        /// The nearest name that there is.
        suggestion: Option<String>,
    },
    /// The secret was deleted.
    #[error(
        "the secret `{name}` was deleted, and its name stays taken; `leyden secret restore {name}` brings it back while that is possible, `leyden secret delete {name} --now` frees the name"
    )]
    Deleted {
        /// The name as first typed.
        name: String,
    },
    /// The secret was not deleted.
    #[error("the secret `{name}` was not deleted")]
    NotDeleted {
        /// The name as first typed.
        name: String,
    },
    /// The secret was deleted too long ago.
    #[error("the secret `{name}` could be restored until {until}, and no longer")]
    NotRestorable {
        /// The name as first typed.
        name: String,
        /// Until when it could.
        until: Timestamp,
    },
    /// The secret has no such version.
    #[error(
        "the secret `{name}` has no version {version}; there are {}",
        ranges(available)
    )]
    NoSuchVersion {
        /// The name as first typed.
        name: String,
        /// The version asked for.
        version: NonZeroU32,
        /// The versions there are, oldest first.
        available: Vec<NonZeroU32>,
    },
    /// Something was to expire at a moment that has passed.
    #[error("{at} has passed: give an expiry that is still to come")]
    PastExpiry {
        /// When.
        at: Timestamp,
    },
    /// There is no such grant.
    #[error(
        "the secret `{name}` is not granted to {to}; `leyden secret show {name}` lists its grants"
    )]
    NoGrant {
        /// The name as typed.
        name: String,
        /// To whom.
        to: Grantee,
    },
    /// The secret is restricted, and was to be granted to a folder.
    #[error(
        "the secret `{name}` is restricted: a grant to a folder does not bind it, only one to an app; \
         leyden secret grant {name} --app APP"
    )]
    RestrictedToApps {
        /// The name as first typed.
        name: String,
    },
    /// The secret has as many grants as it may have.
    #[error("the secret `{name}` has {limit} grants, which is the most; revoke some")]
    TooManyGrants {
        /// The name as first typed.
        name: String,
        /// The most there may be.
        limit: usize,
    },
    /// There is a secret of this name already.
    #[error("there is a secret `{name}` already; `leyden secret set {name}` adds a version")]
    Exists {
        /// The name as first typed.
        name: String,
    },
    /// More versions are to be kept than there may be.
    #[error("{keep} versions cannot be kept: {limit} is the most")]
    KeepsTooMany {
        /// How many were wanted.
        keep: u32,
        /// The most there may be.
        limit: usize,
    },
    /// The secret has as many versions as it may have.
    #[error("the secret `{name}` has {limit} versions, which is the most; create another one")]
    TooManyVersions {
        /// The name as first typed.
        name: String,
        /// The most there may be.
        limit: usize,
    },
    /// The value is too long.
    #[error("the value is longer than {limit} bytes, which is the most")]
    TooLarge {
        /// The most bytes there may be.
        limit: usize,
    },
    /// The value could not be read.
    #[error("the value could not be read")]
    ReadValue {
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Some bindings were refused, so nothing was released.
    #[error("{}", refused(refusals))]
    Refused {
        /// Every refused one.
        refusals: Vec<Refusal>,
    },
    /// There is no slot of this label.
    #[error("the store has no key slot `{label}`; it has {}", .labels.join(", "))]
    NoSuchSlot {
        /// The label asked for.
        label: String,
        /// The labels there are.
        labels: Vec<String>,
    },
    /// A slot cannot be added, or picked, so.
    #[error("the key slot `{label}` cannot be used: {problem}")]
    Slot {
        /// Its label.
        label: String,
        /// Why not.
        problem: &'static str,
    },
    /// The last slot was to be removed.
    #[error(
        "the key slot `{label}` is the last one, without which nobody could open the store: add \
         another one first (leyden key add)"
    )]
    LastSlot {
        /// Its label.
        label: String,
    },
    /// Stretching the passphrase failed.
    #[error("stretching the passphrase needs {memory_kib} KiB of memory, which could not be had")]
    Stretch {
        /// How much it needs.
        memory_kib: u32,
    },
    /// The audit log's chain is broken.
    #[error("the audit log of {} is broken at record {sequence}: {what}", .path.display())]
    AuditBroken {
        /// The store.
        path: PathBuf,
        /// The first record that is not what was written.
        sequence: u64,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The required second place for audit records takes none, so that nothing was done.
    #[error("nothing was done, because it could not be recorded in {}", .path.display())]
    AuditSink {
        /// Where it was to be recorded.
        path: PathBuf,
        /// Why it could not.
        #[source]
        source: std::io::Error,
    },
    /// A new file was to be made where there is one.
    #[error("there is a file {} already, which stays as it is; name a new one", .path.display())]
    FileExists {
        /// Which.
        path: PathBuf,
    },
    /// The operating system refused.
    #[error("cannot {action} {}", .path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// SQLite refused.
    #[error("the database {} failed", .path.display())]
    Database {
        /// The store.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {reason}")]
    Random {
        /// What it said.
        reason: String,
    },
    /// There is no place for the rollback record.
    #[error("no state folder is known for this user: set HOME or XDG_STATE_HOME")]
    NoStateDir,
}

impl StoreError {
    /// Whether a change may be in the store although this error came of it: certainly after
    /// [`StateNotWritten`](Self::StateNotWritten), and where SQLite failed, perhaps in the midst of
    /// committing. After any other error nothing was changed.
    pub fn may_be_committed(&self) -> bool {
        matches!(self, Self::StateNotWritten { .. } | Self::Database { .. })
    }
}

/// What is wrong with a key file or a recovery code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileProblem {
    /// There is nothing in it.
    #[error("it is empty")]
    Empty,
    /// It is something else.
    #[error("it does not hold a line that begins with `leyden-key-1-` or `leyden-recovery-1-`")]
    NotAKey,
    /// A newer Leyden wrote it.
    #[error("its format is newer than this Leyden; use a newer Leyden")]
    Version,
    /// A character or more are wrong or missing.
    #[error("its checksum does not fit: a character is wrong or missing")]
    Checksum,
}
