//! Creating, setting and deleting secrets.

use std::num::NonZeroU32;

use crate::app::SecretName;

use super::actor::now;
use super::head::{self, Head, HeadVersion, MAX_VERSIONS};
use super::keys::{Hash, KeyBytes};
use super::seal::{self, Subject};
use super::snapshot::Snapshot;
use super::sql::VersionRow;
use super::{AuditEvent, SecretStore, SecretValue, StoreError};

impl SecretStore {
    /// Creates a secret; returns its version, which is 1.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if there is one of this name; [`StoreError::Deleted`] if there was.
    pub fn create_secret(
        &self,
        name: &SecretName,
        value: SecretValue,
    ) -> Result<NonZeroU32, StoreError> {
        self.write(|snapshot| match snapshot.find(name)? {
            (_, Some(head)) if head.deleted.is_some() => {
                Err(StoreError::Deleted { name: head.name })
            }
            (_, Some(head)) => Err(StoreError::Exists { name: head.name }),
            (place, None) => {
                let (now, by) = (now(), snapshot.actor.to_string());
                let head = Head {
                    canonical: name.canonical().to_owned(),
                    name: name.as_str().to_owned(),
                    created: now,
                    created_by: by,
                    updated: now,
                    deleted: None,
                    expires: None,
                    restricted: false,
                    grants: Vec::new(),
                    versions: Vec::new(),
                };
                add_version(snapshot, &place, head, &value, AuditEvent::SecretCreated)
            }
        })
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
        self.write(|snapshot| {
            let (place, head) = existing(snapshot, name)?;
            add_version(snapshot, &place, head, &value, AuditEvent::SecretSet)
        })
    }

    /// Deletes a secret: it can no longer be bound or set.
    ///
    /// Its name stays taken and its values stay sealed in the store, so that deleting by mistake
    /// loses nothing. Apps that were bound before keep what they were lent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Deleted`] if it was deleted before.
    pub fn delete(&self, name: &SecretName) -> Result<(), StoreError> {
        self.write(|snapshot| {
            let (place, mut head) = existing(snapshot, name)?;
            let now = now();
            (head.deleted, head.updated) = (Some(now), now);
            snapshot.put_head(&place, &head)?;
            let mut record = snapshot.actor.record(AuditEvent::SecretDeleted);
            record.secret = Some(head.canonical);
            snapshot.record(record)
        })
    }
}

/// The secret of this name, which was not deleted.
fn existing(snapshot: &Snapshot<'_>, name: &SecretName) -> Result<(Hash, Head), StoreError> {
    match snapshot.find(name)? {
        (_, Some(head)) if head.deleted.is_some() => Err(StoreError::Deleted { name: head.name }),
        (place, Some(head)) => Ok((place, head)),
        (_, None) => Err(snapshot.not_found(name)),
    }
}

/// Seals a value as the next version: a new DEK under the newest KEK.
fn add_version(
    snapshot: &mut Snapshot<'_>,
    place: &Hash,
    mut head: Head,
    value: &SecretValue,
    event: AuditEvent,
) -> Result<NonZeroU32, StoreError> {
    let full = || StoreError::TooManyVersions {
        name: head.name.clone(),
        limit: MAX_VERSIONS,
    };
    let version = match head.versions.last() {
        Some(last) if head.versions.len() < MAX_VERSIONS => {
            last.version.checked_add(1).ok_or_else(full)?
        }
        Some(_) => return Err(full()),
        None => NonZeroU32::MIN,
    };
    let number = version.get();
    let (kek_version, kek) = snapshot.newest_kek()?;
    let (store, name) = (snapshot.store_id(), head.canonical.as_str());
    let dek = KeyBytes::random()?;
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
        size: value.len() as u64,
        hash: head::row_hash(place, version, &row),
    });
    head.updated = now;
    snapshot.put_head(place, &head)?;
    let mut record = snapshot.actor.record(event);
    record.secret = Some(head.canonical);
    record.version = Some(number);
    snapshot.record(record)?;
    Ok(version)
}
