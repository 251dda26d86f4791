//! Creating and setting secrets.

use std::num::NonZeroU32;

use jiff::Timestamp;

use crate::app::SecretName;

use super::actor::now;
use super::delete::record;
use super::head::{self, Head, HeadVersion, MAX_VERSIONS};
use super::keys::{Hash, KeyBox, random};
use super::seal::{self, Subject};
use super::snapshot::Snapshot;
use super::sql::VersionRow;
use super::{AuditEvent, SecretStore, SecretValue, StoreError, VersionInfo};

/// What a new version is given beside its value. The default is nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct VersionOptions {
    /// From when on it is not released any more: a moment to come.
    pub expires: Option<Timestamp>,
    /// How many versions of the secret are kept from now on: the newest; older ones are destroyed.
    /// 0 keeps all; nothing said leaves it as it is.
    pub keep: Option<u32>,
}

/// When a version that is there is to expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expiry {
    /// It is not to.
    Never,
    /// At once.
    Now,
    /// At a moment to come.
    At(Timestamp),
}

impl SecretStore {
    /// Creates a secret; returns its version, which is 1 (or, where there was one of this name that
    /// was destroyed, the next after its last).
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one of this name; [`StoreError::Deleted`] if there was.
    pub fn create_secret(
        &self,
        name: &SecretName,
        value: SecretValue,
    ) -> Result<NonZeroU32, StoreError> {
        self.create_secret_with(name, value, &VersionOptions::default())
    }

    /// [`create_secret`](Self::create_secret), with options for its first version.
    ///
    /// # Errors
    /// Those of [`create_secret`](Self::create_secret); [`StoreError::PastExpiry`].
    pub fn create_secret_with(
        &self,
        name: &SecretName,
        value: SecretValue,
        options: &VersionOptions,
    ) -> Result<NonZeroU32, StoreError> {
        self.write(|snapshot| create(snapshot, name, &value, options))
    }

    /// Adds a version to a secret; returns its number. Bindings without a version get it from now
    /// on, and older versions can still be bound by their numbers.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Deleted`], [`StoreError::TooManyVersions`].
    pub fn set_secret(
        &self,
        name: &SecretName,
        value: SecretValue,
    ) -> Result<NonZeroU32, StoreError> {
        self.set_secret_with(name, value, &VersionOptions::default())
    }

    /// [`set_secret`](Self::set_secret), with options for the version.
    ///
    /// # Errors
    /// Those of [`set_secret`](Self::set_secret); [`StoreError::PastExpiry`].
    pub fn set_secret_with(
        &self,
        name: &SecretName,
        value: SecretValue,
        options: &VersionOptions,
    ) -> Result<NonZeroU32, StoreError> {
        let (version, destroyed) = self.write(|snapshot| set(snapshot, name, &value, options))?;
        if destroyed > 0 {
            self.clear_log();
        }
        Ok(version)
    }
}

impl SecretStore {
    /// Sets from when on a version is not released any more, or that it does not expire: the newest
    /// version if none is named. Returns what is told of it then. What apps were lent before stays
    /// lent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Deleted`], [`StoreError::NoSuchVersion`],
    /// [`StoreError::PastExpiry`].
    pub fn expire(
        &self,
        name: &SecretName,
        version: Option<NonZeroU32>,
        expiry: Expiry,
    ) -> Result<VersionInfo, StoreError> {
        self.write(|snapshot| {
            let (place, mut head) = existing(snapshot, name)?;
            let newest = head.versions.last().map(|newest| newest.version);
            // One without versions is destroyed, and not found.
            let wanted = version.or(newest).unwrap_or(NonZeroU32::MIN);
            let available = head.numbers();
            let found = head.versions.iter_mut().find(|one| one.version == wanted);
            let Some(found) = found else {
                return Err(StoreError::NoSuchVersion {
                    name: head.name,
                    version: wanted,
                    available,
                });
            };
            found.expires = match expiry {
                Expiry::Never => None,
                Expiry::Now => Some(now()),
                Expiry::At(at) => checked_expiry(Some(at))?,
            };
            let told = found.clone().info();
            head.updated = now();
            snapshot.put_head(&place, &head)?;
            record(snapshot, AuditEvent::ExpirySet, &head, Some(wanted))?;
            Ok(told)
        })
    }
}

/// Refuses an expiry that has passed, of a version or a grant: it would be of no use, and is a slip.
pub(super) fn checked_expiry(expires: Option<Timestamp>) -> Result<Option<Timestamp>, StoreError> {
    match expires {
        Some(at) if at <= now() => Err(StoreError::PastExpiry { at }),
        expires => Ok(expires),
    }
}

/// Creates a secret, in the caller's transaction.
pub(super) fn create(
    snapshot: &mut Snapshot<'_>,
    name: &SecretName,
    value: &SecretValue,
    options: &VersionOptions,
) -> Result<NonZeroU32, StoreError> {
    let (place, last) = match snapshot.find_any(name)? {
        (place, Some(head)) if head.is_destroyed() => (place, head.last),
        (_, Some(head)) if head.deleted.is_some() => {
            return Err(StoreError::Deleted { name: head.name });
        }
        (_, Some(head)) => return Err(StoreError::Exists { name: head.name }),
        (place, None) => (place, None),
    };
    let now = now();
    let head = Head {
        canonical: name.canonical().to_owned(),
        name: name.as_str().to_owned(),
        created: now,
        created_by: snapshot.actor.to_string(),
        updated: now,
        deleted: None,
        restorable: None,
        expires: None,
        restricted: false,
        grants: Vec::new(),
        keep: None,
        last,
        versions: Vec::new(),
    };
    let event = AuditEvent::SecretCreated;
    add_version(snapshot, &place, head, value, options, event).map(|(version, _)| version)
}

/// Sets a secret, in the caller's transaction; also returns how many versions were destroyed.
pub(super) fn set(
    snapshot: &mut Snapshot<'_>,
    name: &SecretName,
    value: &SecretValue,
    options: &VersionOptions,
) -> Result<(NonZeroU32, usize), StoreError> {
    let (place, head) = existing(snapshot, name)?;
    add_version(
        snapshot,
        &place,
        head,
        value,
        options,
        AuditEvent::SecretSet,
    )
}

/// The secret of this name, which was not deleted.
pub(super) fn existing(
    snapshot: &Snapshot<'_>,
    name: &SecretName,
) -> Result<(Hash, Head), StoreError> {
    match snapshot.find(name)? {
        (_, Some(head)) if head.deleted.is_some() => Err(StoreError::Deleted { name: head.name }),
        (place, Some(head)) => Ok((place, head)),
        (_, None) => Err(snapshot.not_found(name)),
    }
}

/// The name of the secret that this is the head of.
pub(super) fn name_of(head: &Head) -> Result<SecretName, StoreError> {
    let parsed = head.name.parse();
    // What was written was a name.
    parsed.map_err(|_| StoreError::NotFound {
        name: head.name.clone(),
        suggestion: None,
    })
}

/// Seals a value as the next version: a new DEK under the newest KEK. Destroys those that are no
/// longer kept; returns how many there were.
fn add_version(
    snapshot: &mut Snapshot<'_>,
    place: &Hash,
    mut head: Head,
    value: &SecretValue,
    options: &VersionOptions,
    event: AuditEvent,
) -> Result<(NonZeroU32, usize), StoreError> {
    let full = || StoreError::TooManyVersions {
        name: head.name.clone(),
        limit: MAX_VERSIONS,
    };
    let keep = match options.keep {
        Some(keep) => NonZeroU32::new(keep),
        None => head.keep,
    };
    let kept = keep.map_or(MAX_VERSIONS, |keep| keep.get() as usize);
    if let Some(keep) = keep.filter(|_| kept > MAX_VERSIONS) {
        return Err(StoreError::KeepsTooMany {
            keep: keep.get(),
            limit: MAX_VERSIONS,
        });
    }
    if keep.is_none() && head.versions.len() >= MAX_VERSIONS {
        return Err(full());
    }
    let last = head.versions.last().map(|version| version.version);
    let version = match last.or(head.last) {
        Some(last) => last.checked_add(1).ok_or_else(full)?,
        None => NonZeroU32::MIN,
    };
    let number = version.get();
    let (kek_version, kek) = snapshot.newest_kek()?;
    let (store, name) = (snapshot.store_id(), head.canonical.as_str());
    let mut dek = KeyBox::brief();
    random(dek.expose_mut())?;
    let row = VersionRow {
        kek: kek_version,
        dek: seal::seal(
            &kek,
            &Subject::dek(store, name, number, kek_version),
            dek.expose(),
        )?,
        value: seal::seal(&dek, &Subject::value(store, name, number), value.expose())?,
    };
    snapshot.tables.add_version(place, number, &row)?;
    let (now, by) = (now(), snapshot.actor.to_string());
    head.versions.push(HeadVersion {
        version,
        created: now,
        created_by: by,
        expires: checked_expiry(options.expires)?,
        size: value.len() as u64,
        hash: head::row_hash(place, version, &row),
    });
    (head.updated, head.keep, head.last) = (now, keep, None);
    let over = head.versions.len().saturating_sub(kept);
    let destroyed: Vec<_> = head.versions.drain(..over).collect();
    for old in &destroyed {
        snapshot.tables.remove_version(place, old.version.get())?;
    }
    snapshot.put_head(place, &head)?;
    record(snapshot, event, &head, Some(version))?;
    for old in &destroyed {
        let event = AuditEvent::VersionDestroyed;
        record(snapshot, event, &head, Some(old.version))?;
    }
    Ok((version, destroyed.len()))
}
