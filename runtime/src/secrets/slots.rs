//! The store's key slots: listing them, adding and removing one, handing out a key file.

use zeroize::Zeroizing;

use super::actor::now;
use super::sql::MAX_SLOTS;
use super::{AuditEvent, Key, SecretStore, SlotInfo, StoreError, key, slot};

impl SecretStore {
    /// The key slots, by label.
    ///
    /// # Errors
    /// [`StoreError::Tampered`].
    pub fn slots(&self) -> Result<Vec<SlotInfo>, StoreError> {
        self.read(|snapshot| {
            let info = |row| {
                let (kind, created) =
                    slot::describe(row).ok_or_else(|| StoreError::NewerFeature {
                        path: self.path.clone(),
                    })?;
                let current = row.label == self.slot;
                Ok(SlotInfo {
                    label: row.label.clone(),
                    kind,
                    created,
                    current,
                })
            };
            snapshot.slots.iter().map(info).collect()
        })
    }

    /// Adds a key slot: from now on this key opens the store too.
    ///
    /// A passphrase is stretched at the cost in [`StoreOptions::argon2`](super::StoreOptions::argon2).
    ///
    /// # Errors
    /// [`StoreError::Slot`] if the label is taken or not a good one, if there are too many slots,
    /// or if the passphrase is empty.
    pub fn add_slot(&self, label: &str, key: &Key) -> Result<(), StoreError> {
        // Not in the transaction: Argon2id takes long, and others want to write.
        let store = self.read(|snapshot| Ok(*snapshot.store_id()))?;
        let made = slot::make(&self.keys.root, &store, label, key, self.argon2, now())?;
        let refuse = |problem| {
            Err(StoreError::Slot {
                label: label.to_owned(),
                problem,
            })
        };
        self.write(|snapshot| {
            if snapshot.slots.iter().any(|slot| slot.label == label) {
                return refuse("there is a slot of this label already");
            }
            if snapshot.slots.len() >= MAX_SLOTS {
                return refuse("the store has 32 slots, which is the most");
            }
            snapshot.add_slot(made)?;
            let mut record = snapshot.actor.record(AuditEvent::KeyAdded);
            record.slot = Some(label.to_owned());
            snapshot.record(record)
        })
    }

    /// Removes a key slot: its key opens this store no more, though copies of the store from before
    /// still open with it, and whoever used it may have kept the root key. Rotate the root key
    /// where that matters.
    ///
    /// # Errors
    /// [`StoreError::NoSuchSlot`]; [`StoreError::LastSlot`].
    pub fn remove_slot(&self, label: &str) -> Result<(), StoreError> {
        self.write(|snapshot| {
            if !snapshot.slots.iter().any(|slot| slot.label == label) {
                return Err(StoreError::NoSuchSlot {
                    label: label.to_owned(),
                    labels: snapshot
                        .slots
                        .iter()
                        .map(|slot| slot.label.clone())
                        .collect(),
                });
            }
            if snapshot.slots.len() == 1 {
                return Err(StoreError::LastSlot {
                    label: label.to_owned(),
                });
            }
            snapshot.remove_slot(label)?;
            let mut record = snapshot.actor.record(AuditEvent::KeyRemoved);
            record.slot = Some(label.to_owned());
            snapshot.record(record)
        })?;
        self.clear_log();
        Ok(())
    }

    /// The text of a key file that opens this store, to be kept elsewhere. It is handed out once
    /// the audit log says so.
    ///
    /// # Errors
    /// [`StoreError::WrongKey`] if the key opens no slot here; [`StoreError::Slot`] if it is a
    /// passphrase.
    pub fn export_key(&self, key: &Key) -> Result<Zeroizing<String>, StoreError> {
        let text = key.to_text().ok_or_else(key::no_key_file)?;
        self.write(|snapshot| {
            let opened = slot::open(&snapshot.slots, snapshot.store_id(), key, None)?;
            let Some((_, label)) = opened else {
                return Err(StoreError::WrongKey {
                    path: self.path.clone(),
                });
            };
            let mut record = snapshot.actor.record(AuditEvent::KeyExported);
            record.slot = Some(label);
            snapshot.record(record)
        })?;
        Ok(text)
    }
}
