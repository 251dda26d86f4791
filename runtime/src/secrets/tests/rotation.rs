//! Rotation of the KEK and of the root key: nothing is lost, whoever is killed when.

use std::time::Duration;

use super::bed::{Bed, get, name, passphrase, value};
use super::process::{lines, start};
use crate::secrets::*;

/// More secrets than are rewrapped in one transaction.
const SECRETS: usize = 150;

fn bed() -> Bed {
    let bed = Bed::new();
    let store = bed.make();
    for index in 0..SECRETS {
        let secret = format!("s-{index}");
        store.create_secret(&name(&secret), value(&secret)).unwrap();
    }
    store.set_secret(&name("s-0"), value("second")).unwrap();
    bed
}

/// Every secret is what it was, and the whole store is what was written.
fn whole(store: &SecretStore) {
    let verified = store.verify().unwrap();
    assert_eq!(verified.versions, SECRETS as u64 + 1);
    for index in 1..SECRETS {
        let secret = format!("s-{index}");
        assert_eq!(get(store, &secret, None).unwrap(), secret.as_bytes());
    }
    assert_eq!(get(store, "s-0", Some(1)).unwrap(), b"s-0");
    assert_eq!(get(store, "s-0", None).unwrap(), b"second");
}

fn keks(bed: &Bed) -> Vec<u32> {
    let attacker = bed.attacker();
    let mut keks = attacker
        .prepare("SELECT version FROM kek ORDER BY 1")
        .unwrap();
    let rows = keks.query_map((), |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn column(bed: &Bed, column: &str) -> Vec<String> {
    let attacker = bed.attacker();
    let mut rows = attacker
        .prepare(&format!("SELECT {column} FROM version ORDER BY 1"))
        .unwrap();
    let rows = rows.query_map((), |row| row.get(0)).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

#[test]
fn a_rotated_kek_is_gone_and_no_value_was_touched() {
    let bed = bed();
    let store = bed.open().unwrap();
    let (values, deks) = (column(&bed, "hex(value)"), column(&bed, "hex(dek)"));
    let mut told = Vec::new();
    let rotated = store.rotate_kek(|done, of| told.push((done, of))).unwrap();
    assert_eq!((rotated.kek, rotated.resumed), (2, false));
    assert_eq!(rotated.rewrapped, SECRETS as u64 + 1);
    assert_eq!(told.first(), Some(&(0, SECRETS as u64)));
    assert_eq!(told.last(), Some(&(SECRETS as u64, SECRETS as u64)));
    assert_eq!(keks(&bed), [2]);
    assert_eq!(column(&bed, "hex(value)"), values);
    let after = column(&bed, "hex(dek)");
    assert!(after.iter().all(|dek| !deks.contains(dek)));
    whole(&store);
    drop(store);
    whole(&bed.open().unwrap());
    assert_eq!(bed.open().unwrap().rotate_kek(|_, _| {}).unwrap().kek, 3);
}

#[test]
fn g8_a_rotation_of_the_kek_that_is_killed_at_any_step_goes_on() {
    let bed = bed();
    let mut resumed = 0;
    // After the new KEK, and after each batch.
    for step in 0..4 {
        let mut child = start(&format!("rotate {step}"), bed.folder.path());
        assert!(lines(&mut child, "rotated ").is_empty(), "step {step}");
        assert!(!child.wait().unwrap().success());
        let store = bed.open().unwrap();
        assert_eq!(keks(&bed).len(), 2);
        whole(&store);
        let rotated = store.rotate_kek(|_, _| {}).unwrap();
        assert!(rotated.resumed);
        resumed += rotated.rewrapped;
        assert_eq!(keks(&bed).len(), 1);
        whole(&store);
    }
    assert!(resumed > SECRETS as u64);
}

#[test]
fn versions_that_are_added_while_the_kek_is_rotated_stay() {
    let bed = bed();
    let (one, other) = (bed.open().unwrap(), bed.open().unwrap());
    let mut added = 0;
    one.rotate_kek(|_, _| {
        added += 1;
        let secret = format!("t-{added}");
        other.create_secret(&name(&secret), value(&secret)).unwrap();
        other.set_secret(&name("s-149"), value(&secret)).unwrap();
        // Deleted ones keep their values.
        let _ = other.delete(&name(&format!("s-{added}")));
    })
    .unwrap();
    assert!(added > 2);
    for index in 1..=added {
        let secret = format!("t-{index}");
        assert_eq!(get(&one, &secret, None).unwrap(), secret.as_bytes());
    }
    assert_eq!(get(&one, "s-149", Some(1)).unwrap(), b"s-149");
    one.verify().unwrap();
    assert_eq!(keks(&bed).len(), 1);
}

#[test]
fn g6_a_version_that_was_changed_stops_the_rotation_and_loses_no_other() {
    let bed = bed();
    bed.attacker()
        .execute("UPDATE version SET kek = 2 WHERE rowid = 7", ())
        .unwrap();
    let store = bed.open().unwrap();
    for _ in 0..2 {
        let stopped = store.rotate_kek(|_, _| {});
        assert!(matches!(stopped, Err(StoreError::Tampered { .. })));
        assert_eq!(keks(&bed), [1, 2]);
    }
    bed.attacker()
        .execute("UPDATE version SET kek = 1 WHERE rowid = 7", ())
        .unwrap();
    store.rotate_kek(|_, _| {}).unwrap();
    whole(&store);
}

#[test]
fn a_new_root_key_opens_with_the_kept_slots_alone() {
    let bed = bed();
    let mut store = bed.open().unwrap();
    store
        .add_slot("words", &passphrase("correct horse"))
        .unwrap();
    store.add_slot("lost", &passphrase("forgotten")).unwrap();
    let (recovery, code) = Key::generate_recovery().unwrap();
    store.add_slot("paper", &recovery).unwrap();
    let keep = [bed.key(), passphrase("correct horse"), recovery];
    let plan = store.plan_root_rotation(&keep).unwrap();
    assert_eq!(plan.kept, ["key-file", "paper", "words"]);
    assert_eq!(plan.dropped, ["lost"]);
    let (before, records) = (bed.bytes(), store.audit_verify().unwrap());
    assert_eq!(store.rotate_root(&keep).unwrap(), plan);
    whole(&store);
    drop(store);
    let paper = Key::from_typed(code.to_uppercase().into()).unwrap();
    for key in [bed.key(), passphrase("correct horse"), paper] {
        whole(&bed.options().open(bed.path(), key).unwrap());
    }
    let lost = bed.options().open(bed.path(), passphrase("forgotten"));
    assert!(matches!(lost, Err(StoreError::WrongKey { .. })));
    // The log is the same, and goes on.
    let store = bed.open().unwrap();
    let log = store.audit_list(&AuditFilter::default()).unwrap();
    let at = records as usize;
    assert_eq!(log[at].event, AuditEvent::RootRotated);
    assert_eq!(log[at + 1].event, AuditEvent::KeyRemoved);
    assert_eq!(log[at + 1].slot.as_deref(), Some("lost"));
    drop(store);
    // The store as it was before, whose slots open with the same keys.
    bed.put_back(&before);
    let old = bed.open().unwrap_err();
    assert!(matches!(old, StoreError::StateRecord { .. }), "{old}");
}

#[test]
fn a_root_key_drops_no_slot_that_was_added_since_it_was_planned() {
    let bed = bed();
    let mut store = bed.open().unwrap();
    let keep = [bed.key()];
    let plan = store.plan_root_rotation(&keep).unwrap();
    store.add_slot("late", &passphrase("late")).unwrap();
    let refused = store.rotate_root_as(&plan, &keep);
    assert!(matches!(refused, Err(StoreError::Busy { .. })));
    let late = bed.options().open(bed.path(), passphrase("late"));
    whole(&late.unwrap());
}

#[test]
fn a_root_key_is_kept_from_whoever_gives_no_credential_of_this_store() {
    let bed = bed();
    let mut store = bed.open().unwrap();
    let before = bed.bytes();
    for keep in [
        vec![],
        vec![passphrase("other")],
        vec![bed.key(), passphrase("other")],
    ] {
        let refused = store.rotate_root(&keep);
        assert!(matches!(refused, Err(StoreError::WrongKey { .. })));
    }
    assert_eq!(bed.bytes(), before);
}

#[test]
fn who_has_the_store_open_under_an_old_root_key_is_told_and_writes_nothing() {
    let bed = bed();
    let (mut one, other) = (bed.open().unwrap(), bed.open().unwrap());
    one.rotate_root(&[bed.key()]).unwrap();
    for failed in [
        other.list().map(|_| ()),
        other.set_secret(&name("s-1"), value("x")).map(|_| ()),
    ] {
        let error = failed.unwrap_err();
        assert!(matches!(error, StoreError::RootChanged { .. }), "{error}");
    }
    whole(&one);
}

#[test]
fn g6_a_damaged_store_gets_no_new_root_key() {
    for sql in [
        "UPDATE version SET dek = zeroblob(length(dek)) WHERE rowid = 7",
        "UPDATE audit SET body = replace(body, 's-1', 's-2') WHERE sequence = 4",
        "DELETE FROM head WHERE place = (SELECT max(place) FROM head)",
        "DELETE FROM version WHERE rowid = 7",
        "INSERT INTO version SELECT zeroblob(32), 1, kek, dek, value FROM version WHERE rowid = 7",
    ] {
        let bed = bed();
        let mut store = bed.open().unwrap();
        bed.attacker().execute(sql, ()).unwrap();
        let before = bed.bytes();
        let refused = store.rotate_root(&[bed.key()]).unwrap_err();
        let noticed = matches!(
            refused,
            StoreError::Tampered { .. } | StoreError::AuditBroken { .. }
        );
        assert!(noticed, "{sql}: {refused}");
        assert_eq!(bed.bytes(), before, "{sql}");
    }
}

#[test]
fn g8_a_rotation_of_the_root_key_is_whole_or_not_at_all_whoever_is_killed() {
    let bed = bed();
    let (mut rotated, mut round) = (0, 0);
    // On a slow machine a child may be killed before it comes to its first.
    while round < 12 || rotated == 0 {
        let mut child = start("root x", bed.folder.path());
        std::thread::sleep(Duration::from_millis(20 + 35 * round));
        child.kill().unwrap();
        rotated += lines(&mut child, "rotated").len();
        child.wait().unwrap();
        whole(&bed.open().unwrap());
        round += 1;
    }
}

#[test]
fn g8_a_rotation_of_the_root_key_that_is_killed_at_any_step_is_whole_or_not_at_all() {
    let bed = bed();
    let spare = passphrase("correct horse");
    let (mut old, mut new) = (0, 0);
    for step in 0.. {
        // A rotation drops it, as nobody gives it.
        let label = format!("spare-{step}");
        bed.open().unwrap().add_slot(&label, &spare).unwrap();
        let mut child = start(&format!("root-step {step}"), bed.folder.path());
        let ended = !lines(&mut child, "rotated ").is_empty();
        child.wait().unwrap();
        let store = bed.open().unwrap();
        whole(&store);
        match bed.options().open(bed.path(), &spare) {
            Ok(_) => old += 1,
            Err(StoreError::WrongKey { .. }) => new += 1,
            Err(other) => panic!("step {step}: {other}"),
        }
        if store.slots().unwrap().len() > 1 {
            store.remove_slot(&label).unwrap();
        }
        if ended {
            break;
        }
    }
    assert_eq!((old, new), (2, 3));
}

#[test]
fn the_last_slot_stays() {
    let bed = Bed::new();
    let store = bed.make();
    let last = store.remove_slot("key-file").unwrap_err().to_string();
    assert!(last.contains("is the last one"), "{last}");
    assert!(!last.contains("cannot be used"), "{last}");
    store
        .add_slot("words", &passphrase("correct horse"))
        .unwrap();
    store.remove_slot("key-file").unwrap();
    assert!(matches!(
        store.remove_slot("key-file"),
        Err(StoreError::NoSuchSlot { .. })
    ));
    assert!(store.remove_slot("words").is_err());
    let (key, words) = (bed.open(), passphrase("correct horse"));
    assert!(matches!(key, Err(StoreError::WrongKey { .. })));
    assert!(bed.options().open(bed.path(), words).is_ok());
}
