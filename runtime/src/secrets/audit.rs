//! The audit log's records: who did what with which secret, and how it is asked for.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::StoreError;

/// One record of the audit log. Never a value, nor anything computed from one.
///
/// Texts that come from manifests are kept as they are, cut to a bound: whoever prints them
/// escapes control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub struct AuditRecord {
    /// Its place in the log, from 1.
    #[serde(default)]
    pub sequence: u64,
    /// When, to the microsecond.
    pub time: Timestamp,
    /// The user, as the operating system knows the process's owner.
    pub user: String,
    /// The machine's host name.
    pub host: String,
    /// The process.
    pub pid: u32,
    /// What was done or tried.
    pub event: AuditEvent,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// The app's name: a label, from its manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// The app's digest: its identity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app_digest: Option<String>,
    /// The component that the secret was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component: Option<String>,
    /// The component's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub component_digest: Option<String>,
    /// The environment name that the secret was for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// The secret's name, in lower case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The secret's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// The key slot's label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slot: Option<String>,
    /// The KEK's version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kek: Option<u32>,
    /// To whom was granted, or by the grant to whom a secret was released.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grantee: Option<String>,
    /// The host that was granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_rule: Option<String>,
    /// The run that was stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// The last record that was pruned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub up_to: Option<u64>,
    /// Why it was denied, in a word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What was done or tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditEvent {
    /// The store was made.
    StoreCreated,
    /// An older copy of the store was accepted.
    RollbackAccepted,
    /// A key slot was added.
    KeyAdded,
    /// A key slot was removed.
    KeyRemoved,
    /// A key was handed out.
    KeyExported,
    /// The root key was replaced.
    RootRotated,
    /// A rotation of the KEK began: new versions are under this one.
    KekAdded,
    /// A rotation of the KEK ended: nothing was under this one any more.
    KekRemoved,
    /// A secret was created.
    SecretCreated,
    /// A secret got a new version.
    SecretSet,
    /// A secret was deleted, and can be restored.
    SecretDeleted,
    /// A deleted secret was restored.
    SecretRestored,
    /// From when on a version is not released any more was changed.
    ExpirySet,
    /// A secret was destroyed.
    SecretDestroyed,
    /// A version was destroyed, because no more than a number of them are kept.
    VersionDestroyed,
    /// A secret's value was shown to the operator.
    Reveal,
    /// A secret was granted.
    GrantAdded,
    /// A secret's grant was taken back.
    GrantRevoked,
    /// A host was granted to an app.
    HostGranted,
    /// A host's grant was taken back.
    HostRevoked,
    /// A backup was made.
    StoreBackedUp,
    /// A backup took the store's place.
    StoreRestored,
    /// Old audit records were removed.
    AuditPruned,
    /// From here on only grants to digests bind a secret.
    SecretRestricted,
    /// That was lifted.
    SecretUnrestricted,
    /// A secret was released to a component, or the release was denied.
    Release,
    /// Somebody logged in to the store's page.
    LoggedIn,
    /// Somebody logged out of it.
    LoggedOut,
    /// A session of it ended by time, or made room for others.
    SessionEnded,
    /// A run was asked to stop, from there.
    RunStopped,
    /// Something that a newer Leyden does.
    #[serde(untagged)]
    Other(String),
}

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was denied.
    Denied,
    /// Something that a newer Leyden knows.
    #[serde(untagged)]
    Other(String),
}

/// Which audit records are wanted. The default is all of them.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct AuditFilter {
    /// Of this secret only; without regard to case.
    pub secret: Option<String>,
    /// Of this version of the secret only.
    pub version: Option<u32>,
    /// Of apps with this name, of a Work of one (`etl/load`), or of what has a digest that begins so
    /// (`sha256:…`) only.
    pub app: Option<String>,
    /// Of this event only.
    pub event: Option<AuditEvent>,
    /// With this outcome only.
    pub outcome: Option<AuditOutcome>,
    /// From then on.
    pub since: Option<Timestamp>,
    /// Before then.
    pub until: Option<Timestamp>,
    /// With a lower number than this: the next page, where the one before ended there.
    pub before: Option<u64>,
    /// The newest so many of them.
    pub limit: Option<usize>,
    /// Of the newest so many alone, of those before [`before`](Self::before): no older ones are read.
    pub among: Option<usize>,
}

/// What a look into the log found.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct AuditFound {
    /// The records that were wanted, oldest first; each is what was written in its place.
    pub records: Vec<AuditRecord>,
    /// The oldest record that is not what was written, of those that were read.
    pub broken: Option<StoreError>,
    /// Where older records were left unread: they are those [`before`](AuditFilter::before) this.
    pub older: Option<u64>,
}

impl AuditFilter {
    /// Of this secret only.
    pub fn secret(mut self, name: impl Into<String>) -> Self {
        self.secret = Some(name.into());
        self
    }

    /// Of apps with this name, of a Work of one (`etl/load`), or of what has a digest that begins so
    /// (`sha256:…`) only.
    pub fn app(mut self, app: impl Into<String>) -> Self {
        self.app = Some(app.into());
        self
    }

    /// Of this event only.
    pub fn event(mut self, event: AuditEvent) -> Self {
        self.event = Some(event);
        self
    }

    /// With this outcome only.
    pub fn outcome(mut self, outcome: AuditOutcome) -> Self {
        self.outcome = Some(outcome);
        self
    }

    /// From then on.
    pub fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    /// With a lower number than this.
    pub fn before(mut self, sequence: u64) -> Self {
        self.before = Some(sequence);
        self
    }

    /// Before then.
    pub fn until(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }

    /// The newest so many of them.
    pub fn limit(mut self, limit: usize) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Of the newest so many of the log alone.
    pub fn among(mut self, newest: usize) -> Self {
        self.among = Some(newest);
        self
    }

    /// Whether the record is wanted.
    pub(super) fn wants(&self, record: &AuditRecord) -> bool {
        let secret = self.secret.as_ref().is_none_or(|wanted| {
            record
                .secret
                .as_ref()
                .is_some_and(|secret| secret.eq_ignore_ascii_case(wanted))
        });
        let version = self.version.is_none() || self.version == record.version;
        let app = self.app.as_ref().is_none_or(|app| is_of(record, app));
        let event = self
            .event
            .as_ref()
            .is_none_or(|event| *event == record.event);
        let outcome = self.outcome.as_ref();
        let outcome = outcome.is_none_or(|outcome| *outcome == record.outcome);
        let time = self.since.is_none_or(|since| since <= record.time)
            && self.until.is_none_or(|until| record.time < until);
        let before = self.before.is_none_or(|before| record.sequence < before);
        secret && version && app && event && outcome && time && before
    }
}

/// Whether a record is about this app, or a Work of it, or something with this digest.
fn is_of(record: &AuditRecord, wanted: &str) -> bool {
    if wanted.starts_with("sha256:") {
        let digests = [&record.app_digest, &record.grantee];
        let mut digests = digests.into_iter().flatten();
        return digests.any(|digest| digest.starts_with(wanted));
    }
    let Some(behind) = record
        .app
        .as_deref()
        .and_then(|app| wanted.strip_prefix(app))
    else {
        return false;
    };
    let work = behind.strip_prefix('/');
    behind.is_empty() || (work.is_some() && work == record.component.as_deref())
}
