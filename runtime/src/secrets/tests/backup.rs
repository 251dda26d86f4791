//! Backup and restore: consistent while others write, whole or not at all.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::bed::{Bed, get, name, value};
use super::process::{lines, start};
use crate::secrets::*;

fn bed() -> (Bed, SecretStore, std::path::PathBuf) {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("old")).unwrap();
    let backup = bed.folder.path().join("backup.db");
    (bed, store, backup)
}

/// A backup as the store's own file was then.
fn as_store(backup: &std::path::Path) -> Vec<u8> {
    let mut bytes = std::fs::read(backup).unwrap();
    // The file format's write and read version (https://www.sqlite.org/fileformat2.html).
    bytes[18..20].fill(2);
    bytes
}

fn restore(bed: &Bed, backup: &std::path::Path) -> Result<Verified, StoreError> {
    bed.options().restore(backup, bed.path(), &bed.key())
}

#[test]
fn a_backup_is_restored_over_newer_states_and_other_versions() {
    let (bed, store, backup) = bed();
    assert_eq!(store.backup(&backup).unwrap().versions, 1);
    let before = std::fs::read(&backup).unwrap();
    let again = store.backup(&backup);
    assert!(matches!(again, Err(StoreError::FileExists { .. })));
    assert_eq!(std::fs::read(&backup).unwrap(), before);
    store.set_secret(&name("token"), value("new")).unwrap();
    store.create_secret(&name("late"), value("x")).unwrap();
    assert_eq!(restore(&bed, &backup).unwrap().versions, 1);
    // Whoever has the replaced file open notices, and writes nothing into it.
    for failed in [
        store.list().map(|_| ()),
        store.set_secret(&name("token"), value("lost")).map(|_| ()),
    ] {
        assert!(matches!(failed, Err(StoreError::Replaced { .. })));
    }
    let restored = bed.open().unwrap();
    assert_eq!(get(&restored, "token", None).unwrap(), b"old");
    assert_eq!(get(&restored, "late", None), None);
    restored.verify().unwrap();
    let events = restored.audit_list(&AuditFilter::default()).unwrap();
    let has = |event| events.iter().any(|record| record.event == event);
    assert!(has(AuditEvent::StoreBackedUp) && has(AuditEvent::StoreRestored));
    restored.set_secret(&name("token"), value("newer")).unwrap();
    // The backup itself is now an older copy.
    drop((store, restored));
    bed.put_back(&as_store(&backup));
    assert!(matches!(bed.open(), Err(StoreError::RolledBack { .. })));
}

#[test]
fn a_backup_is_not_opened_as_a_store_and_stays_as_it_is() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    store.set_secret(&name("token"), value("new")).unwrap();
    let before = (std::fs::read(&backup).unwrap(), bed.files().len());
    for key in [bed.key(), Key::generate().unwrap()] {
        for read_only in [false, true] {
            for accept in [false, true] {
                let options = bed.options().read_only(read_only).accept_rollback(accept);
                let opened = options.open(&backup, &key);
                assert!(
                    matches!(opened, Err(StoreError::NotAStore { .. })),
                    "{opened:?}"
                );
            }
        }
    }
    let made = bed.options().open_or_create(&backup, bed.key_path());
    assert!(matches!(made, Err(StoreError::NotAStore { .. })));
    std::fs::remove_file(files::with_suffix(&backup, ".lock")).unwrap();
    assert_eq!((std::fs::read(&backup).unwrap(), bed.files().len()), before);
    // The store is what it was, and the backup is a backup.
    assert_eq!(get(&bed.open().unwrap(), "token", None).unwrap(), b"new");
    restore(&bed, &backup).unwrap();
    assert_eq!(get(&bed.open().unwrap(), "token", None).unwrap(), b"old");
    // In the store's place it is none either.
    bed.put_back(&before.0);
    assert!(matches!(bed.open(), Err(StoreError::NotAStore { .. })));
    assert_eq!(std::fs::read(bed.path()).unwrap(), before.0);
}

#[test]
fn a_stores_own_file_is_no_backup() {
    let (bed, store, _) = bed();
    let copy = bed.folder.path().join("copy.db");
    std::fs::copy(bed.path(), &copy).unwrap();
    for file in [copy, bed.path()] {
        let refused = restore(&bed, &file);
        assert!(
            matches!(refused, Err(StoreError::Backup { .. })),
            "{refused:?}"
        );
    }
    assert_eq!(get(&store, "token", None).unwrap(), b"old");
}

#[test]
fn g5_a_store_is_not_replaced_without_its_record_in_a_second_place() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    store.set_secret(&name("token"), value("new")).unwrap();
    drop(store);
    let restore = |to: &std::path::Path| {
        let sink = AuditSink::new(AuditTarget::File(to.to_owned()), true);
        let options = bed.options().audit_sink(sink);
        options.restore(&backup, bed.path(), &bed.key())
    };
    let refused = restore(&bed.folder.path().join("none/log"));
    assert!(matches!(refused, Err(StoreError::AuditSink { .. })));
    let now = || get(&bed.open().unwrap(), "token", None).unwrap();
    assert_eq!(now(), b"new");
    let log = bed.folder.path().join("log");
    restore(&log).unwrap();
    assert_eq!(now(), b"old");
    let written = std::fs::read_to_string(log).unwrap();
    assert!(written.contains("store-restored"), "{written}");
}

#[test]
fn a_backup_is_restored_where_there_is_no_store() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    drop(store);
    let other = Bed::new();
    let path = other.path();
    other.options().restore(&backup, &path, &bed.key()).unwrap();
    let restored = other.options().open(&path, bed.key()).unwrap();
    assert_eq!(get(&restored, "token", None).unwrap(), b"old");
}

#[test]
fn a_backup_is_restored_over_a_store_that_opens_no_more() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    drop(store);
    let good = bed.bytes();
    for bad in [&b"garbage"[..], b"", &good[..good.len() / 2]] {
        bed.put_back(bad);
        assert!(bed.open().is_err());
        restore(&bed, &backup).unwrap();
        assert_eq!(get(&bed.open().unwrap(), "token", None).unwrap(), b"old");
    }
}

#[test]
fn g6_a_damaged_backup_replaces_nothing() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    store.set_secret(&name("token"), value("new")).unwrap();
    let good = std::fs::read(&backup).unwrap();
    for at in (0..good.len()).step_by(397) {
        let mut bad = good.clone();
        bad[at] ^= 1;
        std::fs::write(&backup, bad).unwrap();
        // A byte that no row uses changes nothing, and then it is the same backup.
        if let Ok(verified) = restore(&bed, &backup) {
            assert_eq!(verified.versions, 1, "byte {at}");
            let restored = bed.open().unwrap();
            assert_eq!(get(&restored, "token", None).unwrap(), b"old");
            restored.set_secret(&name("token"), value("new")).unwrap();
        } else {
            assert_eq!(get(&bed.open().unwrap(), "token", None).unwrap(), b"new");
        }
    }
    std::fs::write(&backup, &good[..good.len() / 2]).unwrap();
    assert!(restore(&bed, &backup).is_err());
    std::fs::remove_file(&backup).unwrap();
    assert!(restore(&bed, &backup).is_err());
    let strange = bed
        .options()
        .restore(&backup, bed.path(), &Key::generate().unwrap());
    assert!(strange.is_err());
    assert_eq!(get(&bed.open().unwrap(), "token", None).unwrap(), b"new");
}

#[test]
fn g6_a_header_that_forbids_writing_is_damage_of_a_backup_and_of_a_store() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    drop(store);
    let (good, good_backup) = (bed.bytes(), std::fs::read(&backup).unwrap());
    // The file format's write version, of which SQLite knows no more than 2.
    for version in [3, 5, 129, 255] {
        let with_version = |bytes: &[u8]| {
            let mut bytes = bytes.to_vec();
            bytes[18] = version;
            bytes
        };
        bed.put_back(&with_version(&good));
        let looked = bed.options().read_only(true).open(bed.path(), bed.key());
        let verified = looked.unwrap().verify().map(drop);
        for damaged in [bed.open().map(drop), verified] {
            assert!(
                matches!(damaged, Err(StoreError::Tampered { .. })),
                "{damaged:?}"
            );
        }
        bed.put_back(&good);
        std::fs::write(&backup, with_version(&good_backup)).unwrap();
        let told = restore(&bed, &backup).unwrap_err().to_string();
        assert!(
            told.contains("backup.db") && told.contains("is damaged"),
            "{told}"
        );
    }
}

#[test]
fn backups_are_consistent_while_others_write() {
    let (bed, store, backup) = bed();
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let writer = bed.open().unwrap();
        let ended = &ended;
        scope.spawn(move || {
            for index in 0.. {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let secret = format!("s-{index}");
                writer
                    .create_secret(&name(&secret), value(&secret))
                    .unwrap();
                writer.set_secret(&name("token"), value(&secret)).unwrap();
            }
        });
        for index in 0..8 {
            let backup = backup.with_extension(format!("{index}"));
            let verified = store.backup(&backup).unwrap();
            // Two writes make one of each: between them there is one version less.
            assert!(verified.versions <= 2 * verified.secrets);
        }
        ended.store(true, Ordering::Relaxed);
    });
    restore(&bed, &backup.with_extension("3")).unwrap();
    bed.open().unwrap().verify().unwrap();
}

#[test]
fn g8_a_restore_that_is_killed_at_any_step_leaves_the_old_store_or_the_new_one() {
    let (mut old, mut new) = (0, 0);
    for step in 0.. {
        let (bed, store, backup) = bed();
        store.backup(&backup).unwrap();
        store.set_secret(&name("token"), value("new")).unwrap();
        drop(store);
        let mut child = start(&format!("restore {step}"), bed.folder.path());
        let ended = !lines(&mut child, "restored ").is_empty();
        child.wait().unwrap();
        // It opens as ever: nothing is repeated, and no rollback accepted.
        let store = bed.open().unwrap();
        store.verify().unwrap();
        match get(&store, "token", None).unwrap().as_slice() {
            b"new" => old += 1,
            _ => new += 1,
        }
        let found = get(&store, "token", None);
        store.create_secret(&name("after"), value("x")).unwrap();
        drop(store);
        assert_eq!(get(&bed.open().unwrap(), "token", None), found);
        // And from then on, the other one is an older copy, or one that has parted.
        let restored = files::with_suffix(&bed.path(), ".restored");
        let other = if restored.exists() { restored } else { backup };
        bed.put_back(&as_store(&other));
        assert!(matches!(bed.open(), Err(StoreError::RolledBack { .. })));
        if ended {
            break;
        }
    }
    assert!(old > 2 && new > 2, "{old} {new}");
}

#[test]
fn g8_what_is_acknowledged_beside_a_restore_that_is_killed_is_not_lost() {
    for step in 0.. {
        let (bed, store, backup) = bed();
        store.backup(&backup).unwrap();
        let mut child = start(&format!("restore {step}"), bed.folder.path());
        let ended = !lines(&mut child, "restored ").is_empty();
        child.wait().unwrap();
        // This one has been open all the while.
        let created = store.create_secret(&name("beside"), value("x"));
        drop(store);
        let store = bed.open().unwrap();
        store.verify().unwrap();
        let there = get(&store, "beside", None).is_some();
        assert_eq!(created.is_ok(), there, "step {step}");
        if ended {
            assert!(matches!(created, Err(StoreError::Replaced { .. })));
            break;
        }
    }
}

#[test]
fn g8_nobody_opens_a_store_while_another_one_takes_its_place() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    drop(store);
    let (mut tried, mut busy) = (0, 0);
    let look = bed.options().read_only(true).busy_timeout(Duration::ZERO);
    let try_it = || {
        let looked = look.open(bed.path(), bed.key());
        tried += 1;
        busy += usize::from(matches!(looked, Err(StoreError::Busy { .. })));
    };
    let restored = bed
        .options()
        .restore_by_steps(&backup, &bed.path(), &bed.key(), try_it);
    restored.unwrap();
    bed.open().unwrap().verify().unwrap();
    assert!(tried > 5 && busy == tried, "{busy} of {tried}");
}

#[test]
fn g8_no_write_is_lost_to_a_restore_beside_it_that_was_acknowledged_after_it() {
    let (bed, store, backup) = bed();
    store.backup(&backup).unwrap();
    drop(store);
    for _ in 0..5 {
        let restored = AtomicBool::new(false);
        let acknowledged = std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut after = Vec::new();
                for index in 0..60 {
                    let began_after = restored.load(Ordering::SeqCst);
                    let Ok(store) = bed.open() else { continue };
                    let secret = format!("s-{index}");
                    let created = store.create_secret(&name(&secret), value("x"));
                    if created.is_ok() && began_after {
                        after.push(secret);
                    }
                }
                after
            });
            std::thread::sleep(std::time::Duration::from_millis(30));
            restore(&bed, &backup).unwrap();
            restored.store(true, Ordering::SeqCst);
            writer.join().unwrap()
        });
        let store = bed.open().unwrap();
        store.verify().unwrap();
        for secret in acknowledged {
            assert!(get(&store, &secret, None).is_some(), "{secret}");
        }
    }
}
