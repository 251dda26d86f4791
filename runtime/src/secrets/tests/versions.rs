//! A secret's versions: kept, expired, deleted, restored, destroyed, revealed.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bed::{Bed, get, name, release, text, until_over, value, wanted};
use crate::secrets::*;

fn hours(hours: i64) -> Timestamp {
    Timestamp::now() + SignedDuration::from_hours(hours)
}

fn numbers(store: &SecretStore) -> Vec<u32> {
    let versions = store.versions(&name("token")).unwrap();
    versions
        .iter()
        .map(|version| version.version.get())
        .collect()
}

fn events(store: &SecretStore) -> Vec<(AuditEvent, Option<u32>)> {
    let filter = AuditFilter::default().secret("token");
    let records = store.audit_list(&filter).unwrap();
    records
        .into_iter()
        .map(|record| (record.event, record.version))
        .collect()
}

/// Whether a row of the database holds these bytes' seal: their length tells.
fn sealed_values(bed: &Bed) -> i64 {
    bed.attacker()
        .query_row("SELECT count(*) FROM version", (), |row| row.get(0))
        .unwrap()
}

#[test]
fn as_many_versions_are_kept_as_was_said() {
    let bed = Bed::new();
    let store = bed.make();
    let keep = |keep| VersionOptions {
        keep: Some(keep),
        ..Default::default()
    };
    store
        .create_secret_with(&name("token"), value("1"), &keep(2))
        .unwrap();
    for text in ["2", "3", "4"] {
        store.set_secret(&name("token"), value(text)).unwrap();
    }
    assert_eq!(numbers(&store), [3, 4]);
    assert_eq!(sealed_values(&bed), 2);
    assert_eq!(get(&store, "token", Some(2)), None);
    assert_eq!(get(&store, "token", Some(3)).unwrap(), b"3");
    assert_eq!(store.show(&name("token")).unwrap().keep.unwrap().get(), 2);
    store
        .set_secret_with(&name("token"), value("5"), &keep(0))
        .unwrap();
    store.set_secret(&name("token"), value("6")).unwrap();
    assert_eq!(numbers(&store), [3, 4, 5, 6]);
    store
        .set_secret_with(&name("token"), value("7"), &keep(1))
        .unwrap();
    assert_eq!(numbers(&store), [7]);
    let destroyed: Vec<_> = events(&store)
        .into_iter()
        .filter(|(event, _)| *event == AuditEvent::VersionDestroyed)
        .filter_map(|(_, version)| version)
        .collect();
    assert_eq!(destroyed, [1, 2, 3, 4, 5, 6]);
    store.verify().unwrap();
}

#[test]
fn a_version_is_released_until_it_expires_and_no_older_one_instead() {
    let bed = Bed::new();
    let store = bed.make();
    let expires = |expires| VersionOptions {
        expires: Some(expires),
        ..Default::default()
    };
    store.create_secret(&name("token"), value("1")).unwrap();
    store
        .set_secret_with(&name("token"), value("2"), &expires(hours(1)))
        .unwrap();
    assert_eq!(get(&store, "token", None).unwrap(), b"2");
    // One that has passed is refused, and not as a version that is of no use.
    for past in [
        store.set_secret_with(&name("token"), value("3"), &expires(hours(-1))),
        store.create_secret_with(&name("other"), value("1"), &expires(hours(-1))),
    ] {
        assert!(matches!(past, Err(StoreError::PastExpiry { .. })));
    }
    assert_eq!(store.list().unwrap().len(), 1);
    until_over(|at| store.set_secret_with(&name("token"), value("3"), &expires(at))).unwrap();
    let refused = release(&store, &[wanted("token", None)]).unwrap_err();
    assert!(refused.to_string().contains("version 3 expired at"));
    assert_eq!(get(&store, "token", Some(1)).unwrap(), b"1");
    assert_eq!(get(&store, "token", Some(2)).unwrap(), b"2");
    let log = store.audit_list(&AuditFilter::default()).unwrap();
    let denied = log.iter().find(|r| r.outcome == AuditOutcome::Denied);
    assert_eq!(denied.unwrap().reason.as_deref(), Some("expired"));
}

#[test]
fn a_deleted_secret_can_be_restored_in_its_window_alone() {
    let bed = Bed::new();
    let store = bed.make();
    let token = name("token");
    store.create_secret(&token, value("1")).unwrap();
    let not_deleted = store.restore(&token);
    assert!(matches!(not_deleted, Err(StoreError::NotDeleted { .. })));
    store.delete(&token).unwrap();
    assert_eq!(get(&store, "token", None), None);
    assert!(store.purge().unwrap().is_empty());
    store.restore(&token).unwrap();
    assert_eq!(get(&store, "token", None).unwrap(), b"1");

    store.delete_for(&token, Duration::ZERO).unwrap();
    let late = store.restore(&token).unwrap_err();
    assert!(matches!(late, StoreError::NotRestorable { .. }));
    assert_eq!(sealed_values(&bed), 1);
    assert_eq!(store.purge().unwrap(), ["token"]);
    assert_eq!(sealed_values(&bed), 0);
    assert!(matches!(
        store.restore(&token),
        Err(StoreError::NotFound { .. })
    ));
    store.verify().unwrap();
    let seen: Vec<_> = events(&store).into_iter().map(|(event, _)| event).collect();
    assert!(seen.contains(&AuditEvent::SecretRestored));
    assert!(seen.contains(&AuditEvent::SecretDestroyed));
    // For ever is not too long.
    store.create_secret(&token, value("2")).unwrap();
    store.delete_for(&token, Duration::MAX).unwrap();
    store.restore(&token).unwrap();
}

#[test]
fn a_destroyed_secret_leaves_no_row_and_no_number_comes_again() {
    let bed = Bed::new();
    let store = bed.make();
    let token = name("token");
    store.create_secret(&token, value("1")).unwrap();
    store.set_secret(&token, value("2")).unwrap();
    let sealed: Vec<u8> = bed
        .attacker()
        .query_row("SELECT value FROM version WHERE number = 2", (), |row| {
            row.get(0)
        })
        .unwrap();
    store.destroy(&token).unwrap();
    // Overwritten in the database and in its log.
    for file in bed.files() {
        let bytes = std::fs::read(&file).unwrap();
        let found = memchr::memmem::find(&bytes, &sealed[..48]);
        assert_eq!(found, None, "{}", file.display());
    }
    assert!(store.list().unwrap().is_empty());
    assert!(matches!(
        store.destroy(&token),
        Err(StoreError::NotFound { .. })
    ));
    assert!(matches!(
        store.set_secret(&token, value("x")),
        Err(StoreError::NotFound { .. })
    ));
    assert_eq!(store.create_secret(&token, value("3")).unwrap().get(), 3);
    assert_eq!(get(&store, "token", None).unwrap(), b"3");
    assert_eq!(store.verify().unwrap().secrets, 1);
    // Also one that was deleted before.
    store.delete(&token).unwrap();
    store.destroy(&token).unwrap();
    store.rotate_kek(|_, _| {}).unwrap();
    assert_eq!(store.create_secret(&token, value("4")).unwrap().get(), 4);
}

#[test]
fn what_opened_something_before_stands_in_no_file_any_more() {
    type Do = fn(&Bed, &mut SecretStore);
    let cases: [(&str, &str, Do); 4] = [
        (
            "a slot",
            "SELECT sealed FROM slot WHERE label = 'spare'",
            |_, store| {
                store.remove_slot("spare").unwrap();
            },
        ),
        (
            "a root key",
            "SELECT sealed FROM slot WHERE label = 'spare'",
            |bed, store| {
                store.rotate_root(&[bed.key()]).unwrap();
            },
        ),
        ("a KEK", "SELECT sealed FROM kek", |_, store| {
            store.rotate_kek(|_, _| {}).unwrap();
        }),
        ("a version", "SELECT value FROM version", |_, store| {
            let imported = named(vec![("token".into(), b"2".to_vec())], "").unwrap();
            store.import(&imported, true).unwrap();
        }),
    ];
    let mut still = Vec::new();
    for (what, sql, change) in cases {
        let bed = Bed::new();
        let mut store = bed.make();
        let keep = VersionOptions {
            keep: Some(1),
            ..VersionOptions::default()
        };
        let token = name("token");
        store.create_secret_with(&token, value("1"), &keep).unwrap();
        store.add_slot("spare", &Key::generate().unwrap()).unwrap();
        let sealed = |row: &rusqlite::Row<'_>| row.get::<_, Vec<u8>>(0);
        let sealed = bed.attacker().query_row(sql, (), sealed).unwrap();
        let is_in = |file: &std::path::PathBuf| {
            let bytes = std::fs::read(file).unwrap();
            memchr::memmem::find(&bytes, &sealed[..48]).is_some()
        };
        assert!(bed.files().iter().any(is_in), "{what}");
        change(&bed, &mut store);
        let found = bed.files().into_iter().filter(is_in);
        still.extend(found.map(|file| (what, file)));
    }
    assert!(still.is_empty(), "{still:?}");
}

#[test]
fn a_value_is_revealed_once_the_log_says_so() {
    let bed = Bed::new();
    let store = bed.make();
    let token = name("token");
    store.create_secret(&token, value("1")).unwrap();
    store.set_secret(&token, value("2")).unwrap();
    let first = std::num::NonZeroU32::new(1);
    assert_eq!(text(&store.reveal(&token, None).unwrap()), b"2");
    assert_eq!(text(&store.reveal(&token, first).unwrap()), b"1");
    let revealed = |(event, version)| (event == AuditEvent::Reveal).then_some(version);
    let log: Vec<_> = events(&store).into_iter().filter_map(revealed).collect();
    assert_eq!(log, [Some(2), Some(1)]);
    let missing = store.reveal(&token, std::num::NonZeroU32::new(3));
    assert!(matches!(missing, Err(StoreError::NoSuchVersion { .. })));
    bed.attacker()
        .execute(
            "UPDATE version SET value = zeroblob(64) WHERE number = 2",
            (),
        )
        .unwrap();
    let damaged = store.reveal(&token, None);
    assert!(matches!(damaged, Err(StoreError::Tampered { .. })));
    store.delete(&token).unwrap();
    let deleted = store.reveal(&token, first);
    assert!(matches!(deleted, Err(StoreError::Deleted { .. })));
}
