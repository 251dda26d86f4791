//! Key slots: every key that was added opens the store, and no other.

use super::bed::{Bed, get, name, passphrase, value};
use crate::secrets::*;

fn bed() -> Bed {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    store
        .add_slot("laptop", &passphrase("correct horse"))
        .unwrap();
    store
        .add_slot("desk", &passphrase("battery staple"))
        .unwrap();
    bed
}

fn open(bed: &Bed, key: Key, slot: Option<&str>) -> Result<SecretStore, StoreError> {
    let options = bed.options();
    match slot {
        Some(slot) => options.slot(slot),
        None => options,
    }
    .open(bed.path(), key)
}

#[test]
fn every_slot_opens_with_its_key_alone() {
    let bed = bed();
    for phrase in ["correct horse", "battery staple"] {
        let store = open(&bed, passphrase(phrase), None).unwrap();
        assert_eq!(get(&store, "token", None).unwrap(), b"x");
    }
    assert!(open(&bed, passphrase("battery staple"), Some("desk")).is_ok());
    let other = open(&bed, passphrase("battery staple"), Some("laptop"));
    assert!(matches!(other, Err(StoreError::WrongKey { .. })));
    let missing = open(&bed, passphrase("battery staple"), Some("attic"));
    assert!(matches!(missing, Err(StoreError::NoSuchSlot { labels, .. }) if labels.len() == 3));
}

#[test]
fn slots_are_listed_without_their_keys() {
    let bed = bed();
    let slots = open(&bed, passphrase("battery staple"), None)
        .unwrap()
        .slots()
        .unwrap();
    let told: Vec<_> = slots
        .iter()
        .map(|slot| (slot.label.as_str(), slot.current))
        .collect();
    assert_eq!(
        told,
        [("desk", true), ("key-file", false), ("laptop", false)]
    );
    assert_eq!(slots[1].kind, SlotKind::KeyFile);
    let cost = Argon2Cost {
        memory_kib: 8,
        passes: 1,
        lanes: 1,
    };
    assert_eq!(slots[0].kind, SlotKind::Passphrase(cost));
}

#[test]
fn g7_wrong_key_wrong_passphrase_and_damaged_slot_answer_alike() {
    let bed = bed();
    let answer = |result: Result<SecretStore, StoreError>| {
        let error = result.unwrap_err();
        (error.to_string(), format!("{error:?}"))
    };
    let expected = answer(open(&bed, Key::generate().unwrap(), None));
    assert!(expected.1.starts_with("WrongKey"));
    assert_eq!(answer(open(&bed, passphrase("wrong"), None)), expected);
    assert_eq!(answer(open(&bed, passphrase(""), None)), expected);
    assert_eq!(
        answer(open(&bed, passphrase("correct horse"), Some("desk"))),
        expected
    );
    assert_eq!(answer(open(&bed, bed.key(), Some("desk"))), expected);

    let good = bed.bytes();
    for damage in [
        "sealed = zeroblob(length(sealed))",
        "sealed = x''",
        "sealed = substr(sealed, 1, 40)",
        "sealed = CAST(x'02' || substr(sealed, 2) AS BLOB)",
        "sealed = CAST(substr(sealed, 1, 33) || CASE substr(sealed, 34, 1) WHEN x'00' THEN x'01' ELSE x'00' END || substr(sealed, 35) AS BLOB)",
        "public = ''",
        "public = replace(public, '\"salt\":\"', '\"salt\":\"00')",
        "public = replace(public, '\"passes\":1', '\"passes\":2')",
        "public = replace(public, '\"passes\":1', '\"passes\":65')",
        "public = replace(public, '\"memory_kib\":8', '\"memory_kib\":4294967295')",
        "public = replace(public, '\"lanes\":1', '\"lanes\":0')",
        "public = replace(public, '\"created\":\"2', '\"created\":\"1')",
        "public = replace(public, 'passphrase', 'key-file')",
        "label = 'renamed'",
    ] {
        bed.put_back(&good);
        let sql = format!("UPDATE slot SET {damage} WHERE label = 'desk'");
        assert_eq!(bed.attacker().execute(&sql, ()).unwrap(), 1);
        assert_eq!(
            answer(open(&bed, passphrase("battery staple"), None)),
            expected,
            "{damage}"
        );
        // Whoever has another key is told that the store was changed.
        let other = open(&bed, bed.key(), None);
        assert!(
            matches!(other, Err(StoreError::Tampered { .. })),
            "{damage}"
        );
    }
    // The store's identity is bound to every slot.
    bed.put_back(&good);
    bed.attacker()
        .execute("UPDATE header SET store = zeroblob(16)", ())
        .unwrap();
    assert_eq!(answer(bed.open()), expected);
}

#[test]
fn a_slot_of_another_store_does_not_open() {
    let (bed, other) = (bed(), Bed::new());
    let theirs = other.make();
    theirs
        .add_slot("laptop", &passphrase("correct horse"))
        .unwrap();
    let row: (String, Vec<u8>) = bed
        .attacker()
        .query_row(
            "SELECT public, sealed FROM slot WHERE label = 'laptop'",
            (),
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    let sql = "UPDATE slot SET public = ?1, sealed = ?2 WHERE label = 'laptop'";
    other.attacker().execute(sql, row).unwrap();
    assert!(matches!(
        open(&other, passphrase("correct horse"), None),
        Err(StoreError::WrongKey { .. })
    ));
}

#[test]
fn bad_slots_are_refused() {
    let bed = bed();
    let store = bed.open().unwrap();
    let before = store.audit_verify().unwrap();
    for label in ["", "a b", "a\n", "ü", &"x".repeat(65), "desk"] {
        let added = store.add_slot(label, &Key::generate().unwrap());
        assert!(matches!(added, Err(StoreError::Slot { .. })), "{label}");
    }
    assert!(matches!(
        store.add_slot("empty", &passphrase("")),
        Err(StoreError::Slot { .. })
    ));
    assert_eq!(store.audit_verify().unwrap(), before);
    for index in store.slots().unwrap().len()..32 {
        store
            .add_slot(&format!("s{index}"), &Key::generate().unwrap())
            .unwrap();
    }
    let added = store.add_slot("more", &Key::generate().unwrap());
    assert!(matches!(added, Err(StoreError::Slot { .. })));
    assert!(bed.open().is_ok());
}

#[test]
fn a_store_can_be_made_with_a_passphrase_alone() {
    let bed = Bed::new();
    let made = bed
        .options()
        .slot("mine")
        .create(bed.path(), passphrase("correct horse"))
        .unwrap();
    assert_eq!(made.slots().unwrap()[0].label, "mine");
    drop(made);
    assert!(open(&bed, passphrase("correct horse"), None).is_ok());
    assert!(matches!(
        open(&bed, passphrase("Correct horse"), None),
        Err(StoreError::WrongKey { .. })
    ));
}

#[test]
fn an_exported_key_opens_the_store_and_is_recorded() {
    let bed = bed();
    let store = bed.open().unwrap();
    let text = store.export_key(&bed.key()).unwrap();
    assert_eq!(text.as_bytes(), std::fs::read(bed.key_path()).unwrap());
    let record = store
        .audit_list(&AuditFilter::default().limit(1))
        .unwrap()
        .pop()
        .unwrap();
    assert_eq!(record.event, AuditEvent::KeyExported);
    assert_eq!(record.slot.as_deref(), Some("key-file"));
    let foreign = store.export_key(&Key::generate().unwrap());
    assert!(matches!(foreign, Err(StoreError::WrongKey { .. })));
    let phrase = store.export_key(&passphrase("correct horse"));
    assert!(matches!(phrase, Err(StoreError::Slot { .. })));
}
