//! The audit log's chain: each record's MAC covers the one before.
//!
//! Record `n` is stored with HMAC-SHA-256 over `frame("leyden/1/audit", mac of n − 1, n, body)`, the
//! number in 8 bytes, big endian; before the first stand 32 zeros. The body is an [`AuditRecord`]
//! in JSON. The last record's number and MAC stand in the store's header, so that none can be cut
//! off the end.
//!
//! Where the log was pruned, a *checkpoint* stands in the place of the last record that was removed,
//! with its number and its MAC, so that the rest follows from it. Its body is
//! `{"checkpoint": …, "mac": …}`, the latter being HMAC-SHA-256 in hex over
//! `frame("leyden/1/checkpoint", number, MAC of that record, checkpoint in JSON)`.

use std::cmp::Ordering;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::keys::{Hash, KeyBytes, same};
use super::sql::{AuditRow, Tables};
use super::{AuditEvent, AuditFilter, AuditFound, AuditRecord, StoreError};

/// Records that are read on, or rewritten, at a time.
const PAGE: usize = 1000;

const NEWER: &str = "a newer Leyden wrote it";
const STANDS_AGAIN: &str = "it was pruned, and stands there again";

/// A place in the chain: so far, and what the MAC is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Link {
    pub(super) sequence: u64,
    pub(super) mac: Hash,
}

impl Link {
    /// Before the first record.
    pub(super) const START: Self = Self {
        sequence: 0,
        mac: [0; 32],
    };
}

/// A checkpoint's body.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Checkpoint {
    /// When and by whom the log was pruned, as it is shown; in a text of its own, to be MACed.
    checkpoint: String,
    mac: String,
}

const CHECKPOINT: &str = "{\"checkpoint\":";

/// Adds a record after this link; returns the new last link, and the record as it is written.
pub(super) fn append(
    tables: &Tables<'_>,
    key: &KeyBytes,
    last: Link,
    record: &mut AuditRecord,
) -> Result<(Link, String), StoreError> {
    let sequence = last.sequence + 1;
    record.sequence = sequence;
    // Room for most records at once.
    let mut body = Vec::with_capacity(1024);
    let body = serde_json::to_writer(&mut body, record)
        .ok()
        .and_then(|()| String::from_utf8(body).ok())
        .ok_or_else(|| broken(tables, sequence, "it cannot be written"))?;
    let mac = link_mac(key, &last.mac, sequence, &body);
    let row = AuditRow {
        sequence,
        body,
        mac,
    };
    tables.add_audit(&row)?;
    Ok((Link { sequence, mac }, row.body))
}

/// Where the log begins: at the first record, or after a checkpoint, which is verified.
pub(super) fn start(tables: &Tables<'_>, key: &KeyBytes) -> Result<Link, StoreError> {
    let mut first = None;
    tables.audit_after(0, |row| {
        first = Some(row);
        Ok(false)
    })?;
    match first {
        Some(row) if is_checkpoint(&row) => checkpoint(tables, key, &row),
        _ => Ok(Link::START),
    }
}

/// Removes all records up to this link, and leaves a checkpoint.
pub(super) fn prune(
    tables: &Tables<'_>,
    key: &KeyBytes,
    to: Link,
    note: String,
) -> Result<(), StoreError> {
    tables.remove_audit_to(to.sequence)?;
    put_checkpoint(tables, key, to, note)
}

fn put_checkpoint(
    tables: &Tables<'_>,
    key: &KeyBytes,
    at: Link,
    note: String,
) -> Result<(), StoreError> {
    let mac = HEXLOWER.encode(&checkpoint_mac(key, at, &note));
    let checkpoint = Checkpoint {
        checkpoint: note,
        mac,
    };
    let body = serde_json::to_string(&checkpoint)
        .map_err(|_| broken(tables, at.sequence, "it cannot be written"))?;
    let Link { sequence, mac } = at;
    tables.add_audit(&AuditRow {
        sequence,
        body,
        mac,
    })
}

/// Up to where this record says that the log was pruned.
fn pruned_to(row: &AuditRow) -> u64 {
    let record: Option<AuditRecord> = serde_json::from_str(&row.body).ok();
    let pruned = record.filter(|record| record.event == AuditEvent::AuditPruned);
    pruned.and_then(|record| record.up_to).unwrap_or(0)
}

fn is_checkpoint(row: &AuditRow) -> bool {
    row.body.starts_with(CHECKPOINT)
}

/// The link that a checkpoint stands for.
fn checkpoint(tables: &Tables<'_>, key: &KeyBytes, row: &AuditRow) -> Result<Link, StoreError> {
    read_checkpoint(key, row)
        .map(|(link, _)| link)
        .ok_or_else(|| {
            broken(
                tables,
                row.sequence,
                "its checkpoint is not what was written",
            )
        })
}

fn read_checkpoint(key: &KeyBytes, row: &AuditRow) -> Option<(Link, String)> {
    let found: Checkpoint = serde_json::from_str(&row.body).ok()?;
    let link = Link {
        sequence: row.sequence,
        mac: row.mac,
    };
    let mac = HEXLOWER.decode(found.mac.as_bytes()).ok()?;
    let good = same(&mac, &checkpoint_mac(key, link, &found.checkpoint));
    good.then_some((link, found.checkpoint))
}

fn checkpoint_mac(key: &KeyBytes, at: Link, note: &str) -> Hash {
    key.mac(&[
        b"leyden/1/checkpoint",
        &at.sequence.to_be_bytes(),
        &at.mac,
        note.as_bytes(),
    ])
}

/// Verifies that the chain leads from one link to the other, and that nothing stands behind it.
pub(super) fn verify(
    tables: &Tables<'_>,
    key: &KeyBytes,
    from: Link,
    to: Link,
) -> Result<(), StoreError> {
    walk(tables, key, from, to, |_| {})
}

/// Verifies the whole log, as far as it was not pruned, to this end; returns where it begins.
pub(super) fn verify_whole(
    tables: &Tables<'_>,
    key: &KeyBytes,
    end: Link,
) -> Result<Link, StoreError> {
    let verified = start(tables, key).and_then(|start| {
        let mut pruned = 0;
        walk(tables, key, start, end, |row| {
            pruned = pruned.max(pruned_to(row));
        })?;
        match pruned <= start.sequence {
            true => Ok(start),
            false => Err(broken(tables, start.sequence + 1, STANDS_AGAIN)),
        }
    });
    verified.map_err(|error| wrong_start(tables, key, end).unwrap_or(error))
}

/// What is wrong with where a log begins that is broken: it was pruned up to a record that those at
/// its end tell, and nothing but a checkpoint stands so early.
fn wrong_start(tables: &Tables<'_>, key: &KeyBytes, end: Link) -> Option<StoreError> {
    let newest = AuditFilter::default().event(AuditEvent::AuditPruned);
    let told = look(tables, key, end, &newest.limit(1)).ok()?;
    let pruned = told.records.first()?.up_to?;
    let mut first = None;
    let read = tables.audit_after(0, |row| {
        first = Some(row);
        Ok(false)
    });
    read.ok()?;
    let first = first?;
    match first.sequence.cmp(&pruned) {
        Ordering::Less => Some(broken(tables, first.sequence, STANDS_AGAIN)),
        Ordering::Equal if is_checkpoint(&first) => None,
        Ordering::Equal => Some(broken(tables, pruned, STANDS_AGAIN)),
        Ordering::Greater => Some(broken(tables, pruned, "its checkpoint is missing")),
    }
}

/// As [`verify`], and hands each row over; none of them counts until all are verified.
pub(super) fn walk(
    tables: &Tables<'_>,
    key: &KeyBytes,
    from: Link,
    to: Link,
    mut each: impl FnMut(&AuditRow),
) -> Result<(), StoreError> {
    let mut at = from;
    tables.audit_after(from.sequence, |row| {
        if at.sequence == to.sequence {
            return Err(broken(tables, at.sequence + 1, "it stands after the end"));
        }
        at = follow(tables, key, at, &row)?;
        each(&row);
        Ok(true)
    })?;
    check_end(tables, at, to)
}

/// The records that the filter wants among the next page's, before this end, each verified; and the
/// link that they lead to.
pub(super) fn read_on(
    tables: &Tables<'_>,
    key: &KeyBytes,
    from: Link,
    end: Link,
    filter: &AuditFilter,
) -> Result<(Link, Vec<AuditRecord>), StoreError> {
    let (mut at, mut records) = (from, Vec::new());
    let last = end.sequence.min(from.sequence + PAGE as u64);
    tables.audit_after(from.sequence, |row| {
        if is_checkpoint(&row) {
            return Err(broken(tables, at.sequence + 1, "it was pruned meanwhile"));
        }
        at = follow(tables, key, at, &row)?;
        let record = serde_json::from_str::<AuditRecord>(&row.body);
        let record = record.map_err(|_| broken(tables, row.sequence, NEWER))?;
        records.extend(Some(record).filter(|record| filter.wants(record)));
        Ok(at.sequence < last)
    })?;
    match at.sequence == end.sequence {
        true => check_end(tables, at, end)?,
        false if at.sequence < last => {
            return Err(broken(tables, at.sequence + 1, "it is missing"));
        }
        false => {}
    }
    Ok((at, records))
}

/// The link of this row, if it follows from the one before.
fn follow(
    tables: &Tables<'_>,
    key: &KeyBytes,
    before: Link,
    row: &AuditRow,
) -> Result<Link, StoreError> {
    let sequence = before.sequence + 1;
    if row.sequence != sequence {
        return Err(broken(tables, sequence, "it is missing"));
    }
    if !same(&row.mac, &link_mac(key, &before.mac, sequence, &row.body)) {
        return Err(broken(tables, sequence, "it is not what was written"));
    }
    Ok(Link {
        sequence,
        mac: row.mac,
    })
}

fn check_end(tables: &Tables<'_>, at: Link, end: Link) -> Result<(), StoreError> {
    match (at.sequence == end.sequence, same(&at.mac, &end.mac)) {
        (true, true) => Ok(()),
        (true, false) => Err(broken(tables, at.sequence, "it is not what was written")),
        (false, _) => Err(broken(tables, at.sequence + 1, "it is missing")),
    }
}

/// Verifies the last record alone, so that no other is written after one that was changed.
pub(super) fn verify_end(tables: &Tables<'_>, key: &KeyBytes, end: Link) -> Result<(), StoreError> {
    let newest = AuditFilter::default().limit(1);
    list(tables, key, end, &newest).map(|_| ())
}

/// The records that the filter wants, oldest first, each verified back from the end.
pub(super) fn list(
    tables: &Tables<'_>,
    key: &KeyBytes,
    end: Link,
    filter: &AuditFilter,
) -> Result<Vec<AuditRecord>, StoreError> {
    let found = look(tables, key, end, filter)?;
    match found.broken {
        None => Ok(found.records),
        Some(broken) => Err(broken),
    }
}

/// As [`list`], past records that are not what was written: each that is handed out was written by
/// whoever has the key, in its place and after the one before.
pub(super) fn look(
    tables: &Tables<'_>,
    key: &KeyBytes,
    end: Link,
    filter: &AuditFilter,
) -> Result<AuditFound, StoreError> {
    let (limit, among) = (filter.limit, filter.among);
    let (limit, among) = (limit.unwrap_or(usize::MAX), among.unwrap_or(usize::MAX));
    let mut found = AuditFound::default();
    if limit == 0 || among == 0 {
        found.older = Some(end.sequence + 1);
        return Ok(found);
    }
    let damaged = |sequence, what| Some(broken(tables, sequence, what));
    // A record is verified once the MAC before it is known: one step later.
    let verify = |found: &mut AuditFound, row: &AuditRow, before: &Hash| {
        if !same(&row.mac, &link_mac(key, before, row.sequence, &row.body)) {
            found.broken = damaged(row.sequence, "it is not what was written");
            return;
        }
        match serde_json::from_str::<AuditRecord>(&row.body) {
            Ok(record) if filter.wants(&record) => found.records.push(record),
            Ok(_) => {}
            Err(_) => found.broken = damaged(row.sequence, NEWER),
        }
    };
    let (mut waiting, mut looked, mut pruned) = (None::<AuditRow>, 0, false);
    tables.audit_backwards(|row| {
        if row.sequence > end.sequence || row.sequence == 0 {
            found.broken = damaged(row.sequence, "it stands outside of the log");
            return Ok(true);
        }
        let after = waiting.take();
        let expected = after
            .as_ref()
            .map_or(end.sequence, |after| after.sequence - 1);
        match after {
            _ if row.sequence != expected => {
                found.broken = damaged(row.sequence + 1, "it is missing");
            }
            Some(after) => verify(&mut found, &after, &row.mac),
            None if same(&row.mac, &end.mac) => {}
            None => found.broken = damaged(row.sequence, "it is not what was written"),
        }
        if is_checkpoint(&row) {
            let bad = checkpoint(tables, key, &row).err();
            found.broken = bad.or(found.broken.take());
            pruned = true;
            return Ok(false);
        }
        looked += usize::from(filter.before.is_none_or(|before| row.sequence < before));
        let is_enough = found.records.len() >= limit || looked > among;
        found.older = is_enough.then_some(row.sequence + 1);
        waiting = Some(row);
        Ok(!is_enough)
    })?;
    if found.older.is_none() && !pruned {
        match waiting {
            Some(first) if first.sequence == 1 => verify(&mut found, &first, &Link::START.mac),
            _ => found.broken = damaged(1, "it is missing"),
        }
    }
    found.records.reverse();
    Ok(found)
}

/// Verifies the log to this end, and chains all of it anew under another key; returns the new end.
pub(super) fn rechain(
    tables: &Tables<'_>,
    old: &KeyBytes,
    new: &KeyBytes,
    end: Link,
) -> Result<Link, StoreError> {
    let mut at = verify_whole(tables, old, end)?;
    if at != Link::START {
        let mut note = None;
        tables.audit_after(at.sequence - 1, |row| {
            note = read_checkpoint(old, &row).map(|(_, note)| note);
            Ok(false)
        })?;
        // It was verified a moment ago.
        put_checkpoint(tables, new, at, note.unwrap_or_default())?;
    }
    loop {
        // Not while the rows are being read.
        let mut page = Vec::new();
        tables.audit_after(at.sequence, |row| {
            page.push((row.sequence, row.body));
            Ok(page.len() < PAGE)
        })?;
        if page.is_empty() {
            return Ok(at);
        }
        for (sequence, body) in page {
            let mac = link_mac(new, &at.mac, sequence, &body);
            tables.put_audit_mac(sequence, &mac)?;
            at = Link { sequence, mac };
        }
    }
}

fn link_mac(key: &KeyBytes, before: &Hash, sequence: u64, body: &str) -> Hash {
    key.mac(&[
        b"leyden/1/audit",
        before,
        &sequence.to_be_bytes(),
        body.as_bytes(),
    ])
}

fn broken(tables: &Tables<'_>, sequence: u64, what: &'static str) -> StoreError {
    StoreError::AuditBroken {
        path: tables.path.to_owned(),
        sequence,
        what,
    }
}
