//! Rotating the KEK: a new one is made, all DEKs are sealed under it, and the old one is dropped.
//!
//! In three kinds of transactions, each whole or not at all: the new KEK is added, and seals new
//! versions from then on; secret by secret, in the order of their places, DEKs are sealed under it
//! anew, a batch at a time, while others read and write; once none is left under another KEK, those
//! are removed. Whoever is killed in between leaves a store in which every version opens, and the
//! next rotation goes on with the KEK that is there. Values are not touched.

use super::actor::now;
use super::head::{self, Body, Head};
use super::keys::{Hash, KeyBox};
use super::seal::{self, Subject};
use super::snapshot::Snapshot;
use super::{AuditEvent, SecretStore, StoreError};

/// Secrets in one transaction: others wait no longer than these take.
const BATCH: usize = 64;

/// What a rotation of the KEK did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[non_exhaustive]
pub struct KekRotation {
    /// The KEK that all versions are under now.
    pub kek: u32,
    /// Whether it went on with a rotation that was broken off.
    pub resumed: bool,
    /// How many versions' DEKs were sealed anew.
    pub rewrapped: u64,
}

impl SecretStore {
    /// Rotates the KEK, or ends a rotation that was broken off. `progress` is told how many secrets
    /// are done, and of how many, after each transaction.
    ///
    /// Others may read and write meanwhile. It may be killed at any moment: what is done is done,
    /// and the next call goes on.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] if a version is not what was written; nothing is lost by it.
    pub fn rotate_kek(
        &self,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<KekRotation, StoreError> {
        let (kek, resumed, total) = self.write(|snapshot| {
            let total = snapshot.tables.head_count()?;
            let newest = snapshot.newest_kek_version();
            if snapshot.keks.len() > 1 {
                return Ok((newest, true, total));
            }
            let next = newest.checked_add(1);
            let next = next.ok_or_else(|| snapshot.tables.tampered("it has no KEK left"))?;
            let kek = KeyBox::random()?;
            snapshot.put_kek(next, now().as_microsecond(), &kek)?;
            record(snapshot, AuditEvent::KekAdded, next)?;
            Ok((next, false, total))
        })?;
        progress(0, total);
        let (mut rewrapped, mut done, mut last) = (0, 0, None);
        loop {
            let places = self.write(|snapshot| {
                let places = snapshot.tables.places_after(last.as_ref(), BATCH)?;
                for place in &places {
                    rewrapped += rewrap(snapshot, place, kek)?;
                }
                Ok(places)
            })?;
            done += places.len() as u64;
            match places.last() {
                Some(place) => last = Some(*place),
                None => break,
            }
            progress(done, total.max(done));
        }
        self.write(|snapshot| {
            if snapshot.newest_kek_version() != kek {
                // Somebody else has ended this rotation, and begun another.
                return Ok(());
            }
            if snapshot.tables.versions_not_under(kek)? > 0 {
                let what = "a version of a secret was inserted";
                return Err(snapshot.tables.tampered(what));
            }
            let old: Vec<_> = snapshot.keks.iter().map(|row| row.version).collect();
            for version in old.into_iter().filter(|version| *version != kek) {
                snapshot.remove_kek(version)?;
                record(snapshot, AuditEvent::KekRemoved, version)?;
            }
            Ok(())
        })?;
        self.clear_log();
        Ok(KekRotation {
            kek,
            resumed,
            rewrapped,
        })
    }
}

fn record(snapshot: &mut Snapshot<'_>, event: AuditEvent, kek: u32) -> Result<(), StoreError> {
    let mut record = snapshot.actor.record(event);
    record.kek = Some(kek);
    snapshot.record(record)
}

/// Seals the DEKs of a secret's versions under this KEK; returns how many were not.
fn rewrap(snapshot: &mut Snapshot<'_>, place: &Hash, kek: u32) -> Result<u64, StoreError> {
    let Some(Body::Secret(mut head)) = snapshot.body_at(place)? else {
        return Ok(0);
    };
    let not_written = |head: &Head, version| {
        let name = &head.name;
        let what = format!("version {version} of the secret `{name}` is not what was written");
        snapshot.tables.tampered(what)
    };
    let newest = snapshot
        .kek(kek)
        .ok_or_else(|| snapshot.tables.tampered("it has no KEK that opens"))?;
    let mut rewrapped = 0;
    for at in 0..head.versions.len() {
        let Some(version) = head.versions.get(at).map(|version| version.version) else {
            continue;
        };
        let number = version.get();
        let row = snapshot.tables.version(place, number)?;
        let expected = head.version(Some(version)).map(|version| version.hash);
        let Some(mut row) = row.filter(|row| Some(head::row_hash(place, version, row)) == expected)
        else {
            return Err(not_written(&head, version));
        };
        if row.kek == kek {
            continue;
        }
        let (store, name) = (snapshot.store_id(), head.canonical.as_str());
        let dek = snapshot.kek(row.kek).and_then(|old| {
            seal::open_brief_key(&old, &Subject::dek(store, name, number, row.kek), &row.dek)
        });
        let dek = dek.ok_or_else(|| not_written(&head, version))?;
        row.kek = kek;
        row.dek = seal::seal(
            &newest,
            &Subject::dek(store, name, number, kek),
            dek.expose(),
        )?;
        snapshot.tables.add_version(place, number, &row)?;
        if let Some(version) = head.versions.get_mut(at) {
            version.hash = head::row_hash(place, version.version, &row);
        }
        rewrapped += 1;
    }
    if rewrapped > 0 {
        snapshot.put_head(place, &head)?;
    }
    Ok(rewrapped)
}
