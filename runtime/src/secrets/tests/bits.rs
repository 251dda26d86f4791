//! Every single bit of a small store flipped: noticed, or without effect on what is read.

use std::fs::File;
use std::num::NonZeroU32;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::bed::{Bed, name, options, passphrase, text, value};
use crate::app::Digest;
use crate::secrets::release::open_value;
use crate::secrets::*;

/// What somebody with the key reads of the store, each part alone: one may be damaged and another
/// still be read.
#[derive(Debug)]
struct Seen {
    verified: Option<(u64, u64, u64)>,
    secrets: Option<Vec<SecretInfo>>,
    slots: Vec<sql::SlotRow>,
    log: Option<String>,
    values: Vec<Option<Vec<u8>>>,
}

/// The secrets, and how many versions each has.
const SECRETS: [(&str, u32); 2] = [("alpha", 2), ("gone", 1)];

/// `None` where the store is refused as a whole.
fn look(options: StoreOptions, path: &Path, key: &Key) -> Option<Seen> {
    let store = options.read_only(true).open(path, key).ok()?;
    let seen = store.read(|snapshot| {
        let verified = inspect::verify_all(snapshot).ok();
        let heads = snapshot.heads().ok();
        let there = heads.map(|heads| heads.into_iter().map(|(_, head)| head.info()).collect());
        let (key, all) = (&snapshot.keys.audit, AuditFilter::default());
        let log = chain::list(&snapshot.tables, key, snapshot.last_link(), &all).ok();
        let values = SECRETS.iter().flat_map(|(secret, versions)| {
            let found = snapshot.find(&name(secret)).ok();
            let (place, head) = found.and_then(|(place, head)| Some((place, head?))).unzip();
            (1..=*versions).map(move |number| {
                let head = head.as_ref().filter(|head| head.deleted.is_none())?;
                let value = open_value(snapshot, &place?, head, NonZeroU32::new(number)?);
                Some(text(&value.ok()??).to_vec())
            })
        });
        Ok(Seen {
            verified: verified.map(|it| (it.secrets, it.versions, it.audit_records)),
            secrets: there,
            slots: snapshot.slots.clone(),
            log: log.map(|log| {
                // That a backup was restored is not in the backup.
                let of_it = |record: &&AuditRecord| record.event != AuditEvent::StoreRestored;
                format!("{:?}", log.iter().filter(of_it).collect::<Vec<_>>())
            }),
            values: values.collect(),
        })
    });
    seen.ok()
}

impl Seen {
    /// Whether the damage was noticed. Whatever is read must be what was written; where the store
    /// verifies, all of it must be.
    fn noticed(&self, written: &Self, at: usize) -> bool {
        fn same<T: PartialEq + std::fmt::Debug>(read: &Option<T>, written: &Option<T>, at: usize) {
            if read.is_some() {
                assert_eq!(read, written, "bit {at}");
            }
        }
        same(&self.verified, &written.verified, at);
        same(&self.secrets, &written.secrets, at);
        assert_eq!(self.slots, written.slots, "bit {at}");
        same(&self.log, &written.log, at);
        for (read, written) in self.values.iter().zip(&written.values) {
            same(read, written, at);
        }
        if self.verified.is_some() {
            assert_eq!(format!("{self:?}"), format!("{written:?}"), "bit {at}");
        }
        self.verified.is_none()
    }
}

/// A store with every kind of row, in the smallest pages that SQLite has, so that what lies between
/// the rows, and costs time, is little.
fn small() -> (Bed, Vec<u8>) {
    let bed = Bed::new();
    let store = bed.make();
    store.add_slot("spare", &passphrase("correct")).unwrap();
    store.create_secret(&name("alpha"), value("first")).unwrap();
    store.set_secret(&name("alpha"), value("second")).unwrap();
    store.create_secret(&name("gone"), value("third")).unwrap();
    store.delete(&name("gone")).unwrap();
    drop(store);
    bed.attacker()
        .execute_batch(
            "PRAGMA journal_mode = DELETE; PRAGMA page_size = 512; VACUUM;
             PRAGMA journal_mode = WAL;",
        )
        .unwrap();
    let bytes = bed.bytes();
    (bed, bytes)
}

#[test]
fn g6_every_single_flipped_bit_is_noticed_or_changes_nothing_that_is_read() {
    let (bed, bytes) = small();
    let key = bed.key();
    let written = look(bed.options(), &bed.path(), &key).unwrap();
    assert_eq!(written.verified, Some((2, 3, 7)));
    let values = [Some("first"), Some("second"), None];
    let values = values.map(|value| value.map(|value| value.as_bytes().to_vec()));
    assert_eq!(written.values, values);

    let bits = bytes.len() * 8;
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let noticed: usize = std::thread::scope(|scope| {
        let flip_from = |first: usize| {
            let (bed, bytes, key, written) = (&bed, &bytes, &key, &written);
            // Each thread has a copy of its own; what is remembered of the store is for all.
            let folder = tempfile::tempdir_in(bed.folder.path()).unwrap();
            let path = folder.path().join("store.db");
            std::fs::copy(bed.path(), &path).unwrap();
            scope.spawn(move || {
                let folder = folder;
                let file = File::options().write(true).open(&path).unwrap();
                let put = |byte: u8, at| file.write_all_at(&[byte], at as u64).unwrap();
                let mut noticed = 0;
                for bit in (first..bits).step_by(threads) {
                    let at = bit / 8;
                    put(bytes[at] ^ 1 << (bit % 8), at);
                    let seen = look(bed.options(), &path, key);
                    noticed += usize::from(seen.is_none_or(|seen| seen.noticed(written, bit)));
                    put(bytes[at], at);
                }
                drop(folder);
                noticed
            })
        };
        let flipping: Vec<_> = (0..threads).map(flip_from).collect();
        flipping.into_iter().map(|it| it.join().unwrap()).sum()
    });
    // What is not noticed lies between the rows, or is SQLite's own and unread.
    assert!(noticed > bits / 3, "{noticed} of {bits}");
}

/// Flips each of these bits of a log in turn, and counts what was noticed.
fn flip_log(bed: &Bed, bytes: &[u8], bits: &[usize], written: &Seen) -> usize {
    let (log, key) = (files::with_suffix(&bed.path(), "-wal"), bed.key());
    let file = File::options().write(true).open(log).unwrap();
    let put = |byte: u8, at| file.write_all_at(&[byte], at as u64).unwrap();
    let is_noticed = |bit: &&usize| {
        let at = **bit / 8;
        put(bytes[at] ^ 1 << (**bit % 8), at);
        let seen = look(bed.options(), &bed.path(), &key);
        put(bytes[at], at);
        seen.is_none_or(|seen| seen.noticed(written, **bit))
    };
    bits.iter().filter(is_noticed).count()
}

#[test]
fn g6_a_flipped_bit_of_the_log_is_noticed_or_changes_nothing_that_is_read() {
    // https://www.sqlite.org/fileformat2.html#walformat
    const HEADER: usize = 32;
    const FRAME: usize = 24;
    let (bed, _) = small();
    let store = bed.open().unwrap();
    store.create_secret(&name("late"), value("x")).unwrap();
    store.restrict(&name("alpha"), true).unwrap();
    drop(store);
    let log = files::with_suffix(&bed.path(), "-wal");
    let bytes = std::fs::read(&log).unwrap();
    let written = look(bed.options(), &bed.path(), &bed.key()).unwrap();
    assert_eq!(written.verified, Some((3, 4, 9)));
    // All bits of what SQLite says of the log and of each page, and some of the pages.
    let is_chosen = |bit: &usize| match (bit / 8).checked_sub(HEADER) {
        Some(at) => at % (FRAME + 512) < FRAME || bit.is_multiple_of(61),
        None => true,
    };
    let bits: Vec<usize> = (0..bytes.len() * 8).filter(is_chosen).collect();
    // Who opens the store first checks the sums in its log: what comes after a wrong one is gone,
    // and the store an older one.
    let noticed = flip_log(&bed, &bytes, &bits, &written);
    assert!(noticed > bits.len() * 9 / 10, "{noticed} of {}", bits.len());
    let mut cut = bytes.clone();
    *cut.last_mut().unwrap() ^= 1;
    std::fs::write(&log, &cut).unwrap();
    let refused = bed.open();
    assert!(
        matches!(refused, Err(StoreError::RolledBack { .. })),
        "{refused:?}"
    );
    std::fs::write(&log, &bytes).unwrap();
    // Who opens it beside others does not: what is read is verified as all else.
    let _other = bed
        .options()
        .read_only(true)
        .open(bed.path(), bed.key())
        .unwrap();
    let noticed = flip_log(&bed, &bytes, &bits, &written);
    assert!(noticed > 0, "{noticed} of {}", bits.len());
}

/// Restores a backup in this folder: what is then read there, or `None` where it is refused.
fn restored(folder: &Path, backup: &Path, key: &Key, bit: usize) -> Option<Seen> {
    let (options, path) = (options(folder), folder.join("data/store.db"));
    options.restore(backup, &path, key).ok()?;
    let seen = look(options, &path, key);
    Some(seen.unwrap_or_else(|| panic!("bit {bit}: it was restored, and does not open")))
}

#[test]
fn g6_a_flipped_bit_of_a_backup_is_refused_or_changes_nothing_that_is_read() {
    let (bed, _) = small();
    let (key, backup) = (bed.key(), bed.folder.path().join("backup.db"));
    let store = bed.open().unwrap();
    let grant = NewGrant {
        to: Grantee::App(Digest::of(b"app")),
        env: None,
        app: None,
        expires: None,
    };
    store.grant(&name("alpha"), &grant).unwrap();
    store.backup(&backup).unwrap();
    drop(store);
    let bytes = std::fs::read(&backup).unwrap();
    let place = || tempfile::tempdir_in(bed.folder.path()).unwrap();
    let written = restored(place().path(), &backup, &key, 0).unwrap();
    assert_eq!(written.verified, Some((2, 3, 10)));
    assert_eq!(written.secrets.as_ref().unwrap()[0].grants.len(), 1);

    // Where the database says what it is, the rest of its first page, which is nearly empty, and a
    // part of all else.
    let (header, page, bits) = (128 * 8, 512 * 8, bytes.len() * 8);
    let first = (0..header).chain((header..page).step_by(7));
    let flipped: Vec<usize> = first.chain((page..bits).step_by(97)).collect();
    let threads = std::thread::available_parallelism().map_or(2, usize::from);
    let refused: usize = std::thread::scope(|scope| {
        let flip_from = |first: usize| {
            let (bytes, key, written, flipped) = (&bytes, &key, &written, &flipped);
            let folder = place();
            scope.spawn(move || {
                let backup = folder.path().join("flipped.db");
                let mut refused = 0;
                for bit in flipped.iter().skip(first).step_by(threads) {
                    let mut bad = bytes.clone();
                    bad[bit / 8] ^= 1 << (bit % 8);
                    std::fs::write(&backup, bad).unwrap();
                    match restored(folder.path(), &backup, key, *bit) {
                        Some(seen) => {
                            assert_eq!(format!("{seen:?}"), format!("{written:?}"), "bit {bit}");
                        }
                        None => refused += 1,
                    }
                }
                refused
            })
        };
        let flipping: Vec<_> = (0..threads).map(flip_from).collect();
        flipping.into_iter().map(|it| it.join().unwrap()).sum()
    });
    // What is taken all the same lies between the rows, or is SQLite's own and unread.
    assert!(refused > flipped.len() / 4, "{refused}");
}
