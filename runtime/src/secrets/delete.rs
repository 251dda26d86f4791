//! Deleting secrets: softly, with time to restore them, and destroying them.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::app::SecretName;

use super::actor::now;
use super::edit::existing;
use super::head::Head;
use super::keys::Hash;
use super::snapshot::Snapshot;
use super::{AuditEvent, SecretStore, StoreError};

/// How long a deleted secret can be restored if nothing else is said: 30 days.
pub const RECOVERY_WINDOW: Duration = Duration::from_secs(30 * 24 * 60 * 60);

impl SecretStore {
    /// Deletes a secret: it can no longer be bound or set.
    ///
    /// It can be [restored](Self::restore) for [30 days](RECOVERY_WINDOW); its name stays taken and
    /// its values stay sealed in the store until it is destroyed. Apps that were bound before keep
    /// what they were lent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], or [`StoreError::Deleted`] if it was deleted before.
    pub fn delete(&self, name: &SecretName) -> Result<(), StoreError> {
        self.delete_for(name, RECOVERY_WINDOW)
    }

    /// [`delete`](Self::delete), with another time in which it can be restored.
    ///
    /// # Errors
    /// Those of [`delete`](Self::delete).
    pub fn delete_for(&self, name: &SecretName, window: Duration) -> Result<(), StoreError> {
        self.write(|snapshot| {
            let (place, mut head) = existing(snapshot, name)?;
            let now = now();
            (head.deleted, head.updated) = (Some(now), now);
            // Too far away to be told means for ever.
            head.restorable = now.checked_add(window).ok();
            snapshot.put_head(&place, &head)?;
            record(snapshot, AuditEvent::SecretDeleted, &head, None)
        })
    }

    /// Restores a deleted secret, with its versions and grants.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::NotDeleted`]; [`StoreError::NotRestorable`] if the
    /// time for it has passed.
    pub fn restore(&self, name: &SecretName) -> Result<(), StoreError> {
        self.write(|snapshot| {
            let (place, Some(mut head)) = snapshot.find(name)? else {
                return Err(snapshot.not_found(name));
            };
            if head.deleted.is_none() {
                return Err(StoreError::NotDeleted { name: head.name });
            }
            let now = now();
            if let Some(until) = head.restorable.filter(|until| *until <= now) {
                return Err(StoreError::NotRestorable {
                    name: head.name,
                    until,
                });
            }
            (head.deleted, head.restorable, head.updated) = (None, None, now);
            snapshot.put_head(&place, &head)?;
            record(snapshot, AuditEvent::SecretRestored, &head, None)
        })
    }

    /// Destroys a secret, deleted or not: its values, keys and grants are overwritten in the store,
    /// and its name can be used again (its versions go on counting). Copies and backups of the
    /// store, and what the file system keeps of overwritten bytes, are out of reach.
    ///
    /// # Errors
    /// [`StoreError::NotFound`].
    pub fn destroy(&self, name: &SecretName) -> Result<(), StoreError> {
        self.write(|snapshot| match snapshot.find(name)? {
            (place, Some(head)) => destroy(snapshot, &place, head),
            (_, None) => Err(snapshot.not_found(name)),
        })?;
        self.clear_log();
        Ok(())
    }

    /// Destroys all deleted secrets that can no longer be restored; returns their names. Those that
    /// are damaged stay.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn purge(&self) -> Result<Vec<String>, StoreError> {
        let is_over = |head: &Head| {
            let over = head.restorable.is_some_and(|until| until <= now());
            head.deleted.is_some() && over && !head.versions.is_empty()
        };
        if !self.read(|snapshot| Ok(snapshot.look()?.0.iter().any(|(_, head)| is_over(head))))? {
            return Ok(Vec::new());
        }
        let purged = self.write(|snapshot| {
            let (over, _) = snapshot.look()?;
            let mut purged = Vec::new();
            for (place, head) in over.into_iter().filter(|(_, head)| is_over(head)) {
                purged.push(head.name.clone());
                destroy(snapshot, &place, head)?;
            }
            Ok(purged)
        })?;
        self.clear_log();
        Ok(purged)
    }
}

/// Leaves of a secret its name and the number of its last version.
fn destroy(snapshot: &mut Snapshot<'_>, place: &Hash, mut head: Head) -> Result<(), StoreError> {
    for version in std::mem::take(&mut head.versions) {
        snapshot
            .tables
            .remove_version(place, version.version.get())?;
        head.last = Some(version.version);
    }
    let now = now();
    (head.deleted, head.updated) = (Some(now), now);
    (head.restorable, head.keep) = (None, None);
    (head.restricted, head.grants) = (false, Vec::new());
    snapshot.put_head(place, &head)?;
    record(snapshot, AuditEvent::SecretDestroyed, &head, None)
}

/// Records what was done with a secret, or with one version of it.
pub(super) fn record(
    snapshot: &mut Snapshot<'_>,
    event: AuditEvent,
    head: &Head,
    version: Option<NonZeroU32>,
) -> Result<(), StoreError> {
    let mut record = snapshot.actor.record(event);
    record.secret = Some(head.canonical.clone());
    record.version = version.map(NonZeroU32::get);
    snapshot.record(record)
}
