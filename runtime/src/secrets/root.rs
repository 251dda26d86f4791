//! Rotating the root key: everything that depends on it is made anew, in one transaction.
//!
//! The slots whose credential is given are sealed for the new root key, and the others dropped.
//! KEKs are sealed under it; heads get other places, MACs and another tree; the audit log is
//! verified to its end and chained again under its new key, record by record as it was. Sealed
//! DEKs and values stay as they are, because nothing of them depends on the root key.
//!
//! The rollback record is MACed under the root key as well: before the commit it is written for
//! both keys, and after it for the new one alone, all under its lock. So whoever is killed leaves a
//! record that fits the store, and an older copy under the old root key is refused.

use std::sync::Mutex;

use rusqlite::TransactionBehavior;

use super::head::{self, Body};
use super::keys::{Hash, KeyBox, StoreKeys};
use super::snapshot::{Snapshot, slots_hash};
use super::sql::{SlotRow, Tables};
use super::{AuditEvent, Key, SecretStore, StoreError, chain, slot};

/// What a rotation of the root key does to the key slots.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct RootRotation {
    /// The labels of the slots that are kept.
    pub kept: Vec<String>,
    /// The labels of those that are dropped, because no credential of theirs is given.
    pub dropped: Vec<String>,
}

impl SecretStore {
    /// What [`rotate_root`](Self::rotate_root) would do to the key slots.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] if one of the credentials opens no slot, and if there is none.
    pub fn plan_root_rotation(&self, keep: &[Key]) -> Result<RootRotation, StoreError> {
        self.read(|snapshot| self.kept(snapshot, keep).map(|(plan, _)| plan))
    }

    /// Makes a new root key, which the given credentials open, and no other.
    ///
    /// Rotate the KEK next: versions stay under KEKs that whoever has the old root key and an old
    /// copy of the store could know. Other processes that have the store open must open it again,
    /// and what else was sealed under the old root key (the payloads of older runs' journals)
    /// cannot be read any more.
    ///
    /// # Errors
    /// Those of [`plan_root_rotation`](Self::plan_root_rotation); [`StoreError::Tampered`] or
    /// [`StoreError::AuditBroken`] if anything in the store is not what was written. Then nothing
    /// was changed.
    pub fn rotate_root(&mut self, keep: &[Key]) -> Result<RootRotation, StoreError> {
        let plan = self.plan_root_rotation(keep)?;
        self.rotate_root_as(&plan, keep)?;
        Ok(plan)
    }

    /// [`rotate_root`](Self::rotate_root) as it was planned, and agreed to.
    ///
    /// # Errors
    /// Also [`StoreError::Busy`] where a key slot was added or removed since.
    pub fn rotate_root_as(&mut self, plan: &RootRotation, keep: &[Key]) -> Result<(), StoreError> {
        self.rotate_root_by_steps(plan, keep, || {})
    }

    /// [`rotate_root_as`](Self::rotate_root_as), which calls `reached` after each step: the tests
    /// kill it there.
    pub(super) fn rotate_root_by_steps(
        &mut self,
        plan: &RootRotation,
        keep: &[Key],
        mut reached: impl FnMut(),
    ) -> Result<(), StoreError> {
        let failed = |error| Tables::error(&self.path, error);
        let (now, opened) = self.read(|snapshot| self.kept(snapshot, keep))?;
        if now != *plan {
            return Err(StoreError::Busy {
                path: self.path.clone(),
            });
        }
        let store = self.read(|snapshot| Ok(*snapshot.store_id()))?;
        let keys = StoreKeys::new(KeyBox::random()?, &store);
        // Not in the transaction: Argon2id takes long, and others want to write.
        let made = opened
            .iter()
            .map(|(old, key)| {
                let remade = slot::make_again(&keys.root, &store, old, key, self.argon2)?;
                Ok((old, remade))
            })
            .collect::<Result<Vec<_>, StoreError>>()?;

        let mut connection = self.lock();
        let seen = self.state.read(&self.keys.state)?;
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        self.check_place()?;
        let old = self.load(&transaction)?;
        old.check_seen(seen)?;
        let unchanged = |(row, _): &(&SlotRow, SlotRow)| old.slots.contains(row);
        if old.slots.len() != plan.kept.len() + plan.dropped.len() || !made.iter().all(unchanged) {
            return Err(StoreError::Busy {
                path: self.path.clone(),
            });
        }
        let heads = old.bodies()?;
        let mut new = old.emptied(&keys)?;
        move_all(heads, &old, &mut new)?;
        for (_, slot) in made {
            new.add_slot(slot)?;
        }
        new.record(self.actor.record(AuditEvent::RootRotated))?;
        for label in &plan.dropped {
            let mut record = self.actor.record(AuditEvent::KeyRemoved);
            record.slot = Some(label.clone());
            new.record(record)?;
        }
        let (before, after) = (old.mark(), new.seal()?);
        let slots = slots_hash(&new.slots);
        let recorded = std::mem::take(&mut new.recorded);
        drop((old, new));
        reached();
        let record = self.state.lock()?;
        record.write_both((&self.keys.state, before), (&keys.state, after))?;
        reached();
        self.commit(transaction, &recorded, false)?;
        reached();
        let noted = record.write(&keys.state, after);
        reached();
        drop((record, connection));
        self.keys = keys;
        self.slots = slots;
        // It ends in a link of the log as it was.
        self.catalogue = Mutex::default();
        self.clear_log();
        noted.map_err(|error| self.not_noted(error))
    }

    /// The slots that the credentials open, each with its credential.
    fn kept<'k>(
        &self,
        snapshot: &Snapshot<'_>,
        keep: &'k [Key],
    ) -> Result<(RootRotation, Kept<'k>), StoreError> {
        let mut kept: Kept<'k> = Vec::new();
        for key in keep {
            let opened = slot::open(&snapshot.slots, snapshot.store_id(), key, None)?;
            let row = opened.and_then(|(_, label)| {
                snapshot
                    .slots
                    .iter()
                    .find(|slot| slot.label == label)
                    .cloned()
            });
            let row = row.ok_or_else(|| StoreError::WrongKey {
                path: self.path.clone(),
            })?;
            if !kept.iter().any(|(other, _)| other.label == row.label) {
                kept.push((row, key));
            }
        }
        if kept.is_empty() {
            return Err(StoreError::WrongKey {
                path: self.path.clone(),
            });
        }
        let is_kept = |label: &String| kept.iter().any(|(slot, _)| slot.label == *label);
        let labels = snapshot.slots.iter().map(|slot| slot.label.clone());
        let (kept_labels, dropped) = labels.partition(is_kept);
        let plan = RootRotation {
            kept: kept_labels,
            dropped,
        };
        Ok((plan, kept))
    }
}

/// Slots that are kept, each with the credential that opens it.
type Kept<'k> = Vec<(SlotRow, &'k Key)>;

/// Moves KEKs, heads and audit log to the other keys, verifying all of it.
fn move_all(
    heads: Vec<(Hash, Body)>,
    old: &Snapshot<'_>,
    new: &mut Snapshot<'_>,
) -> Result<(), StoreError> {
    let tables = &old.tables;
    for row in &old.keks {
        let kek = old
            .kek(row.version)
            .ok_or_else(|| tables.tampered("it has a KEK that does not open"))?;
        new.put_kek(row.version, row.created, &kek)?;
    }
    let mut versions = 0;
    for (place, body) in heads {
        tables.remove_head(&place)?;
        let mut head = match body {
            Body::Secret(head) => head,
            Body::App(head) => {
                let moved = head::app_place(&new.keys.place, &head.app);
                new.put_app(&moved, &head)?;
                continue;
            }
        };
        versions += head.versions.len() as u64;
        let moved = head::place(&new.keys.place, &head.canonical);
        for version in &mut head.versions {
            let (number, name) = (version.version, &head.name);
            let row = tables.version(&place, number.get())?;
            let row = row.filter(|row| head::row_hash(&place, number, row) == version.hash);
            let row = row.ok_or_else(|| {
                tables.tampered(format!(
                    "version {number} of the secret `{name}` is not what was written"
                ))
            })?;
            version.hash = head::row_hash(&moved, number, &row);
        }
        tables.move_versions(&place, &moved)?;
        new.put_head(&moved, &head)?;
    }
    if tables.version_count()? != versions {
        return Err(tables.tampered("a version of a secret was inserted"));
    }
    let end = chain::rechain(tables, &old.keys.audit, &new.keys.audit, old.last_link())?;
    new.continue_audit(end);
    Ok(())
}
