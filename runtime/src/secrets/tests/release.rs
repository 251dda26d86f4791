//! Release: all or nothing, audited and committed before a value leaves.

use std::error::Error as _;

use rusqlite::Connection;

use super::bed::{Bed, get, name, release, text, value, wanted};
use crate::app::Encoding;
use crate::secrets::*;

fn audit(store: &SecretStore) -> Vec<AuditRecord> {
    store.audit_list(&AuditFilter::default()).unwrap()
}

#[test]
fn values_come_in_the_order_they_were_wanted() {
    let bed = Bed::new();
    let store = bed.make();
    for secret in ["a", "b", "c"] {
        store
            .create_secret(&name(secret), value(&format!("{secret}1")))
            .unwrap();
        store
            .set_secret(&name(secret), value(&format!("{secret}2")))
            .unwrap();
    }
    let all = [
        wanted("c", None),
        wanted("A", Some(1)),
        wanted("b", Some(2)),
        wanted("c", Some(1)),
    ];
    let released = release(&store, &all).unwrap();
    let got: Vec<_> = released
        .iter()
        .map(|one| {
            (
                one.version.get(),
                std::str::from_utf8(text(&one.value)).unwrap(),
            )
        })
        .collect();
    assert_eq!(got, [(2, "c2"), (1, "a1"), (2, "b2"), (1, "c1")]);
}

#[test]
fn g5_every_release_has_its_committed_record() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("Token"), value("x")).unwrap();
    let before = audit(&store).len();
    let mut second = wanted("token", Some(1));
    second.component = "train".into();
    release(&store, &[wanted("token", None), second]).unwrap();
    // Through another connection: only what is committed is seen.
    let records = audit(&bed.open().unwrap());
    assert_eq!(records.len(), before + 2);
    let record = &records[before];
    assert_eq!(record.event, AuditEvent::Release);
    assert_eq!(record.outcome, AuditOutcome::Done);
    assert_eq!(record.app.as_deref(), Some("pipeline"));
    assert_eq!(record.component.as_deref(), Some("flow"));
    assert_eq!(record.secret.as_deref(), Some("token"));
    assert_eq!(record.env.as_deref(), Some("TOKEN"));
    assert_eq!(record.version, Some(1));
    assert_eq!(record.pid, std::process::id());
    assert!(record.app_digest.as_ref().unwrap().starts_with("sha256:"));
    assert!(record.component_digest.is_some() && !record.user.is_empty());
    assert_eq!(records[before + 1].component.as_deref(), Some("train"));
    assert_eq!(records[before + 1].sequence, records[before].sequence + 1);
}

#[test]
fn g6_damage_is_told_and_not_the_refusal_beside_it() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    let sql = "UPDATE head SET body = replace(body, '\"restricted\":false', '\"restricted\":true')";
    bed.attacker().execute(sql, ()).unwrap();
    for both in [["none", "token"], ["token", "none"]] {
        let told = release(&store, &both.map(|secret| wanted(secret, None)));
        assert!(matches!(told, Err(StoreError::Tampered { .. })), "{told:?}");
    }
}

#[test]
fn g5_what_cannot_be_recorded_is_not_released() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    let before = audit(&store).len();
    // The file may not grow: the records of many bindings do not fit into it.
    let limit = |connection: &Connection, pages: i64| {
        connection
            .query_row(&format!("PRAGMA max_page_count = {pages}"), (), |_| Ok(()))
            .unwrap();
    };
    limit(&store.connection.lock().unwrap(), 1);
    let many: Vec<_> = (0..200).map(|_| wanted("token", None)).collect();
    let refused = release(&store, &many).unwrap_err();
    assert!(matches!(refused, StoreError::Database { .. }));
    let why = refused.source().unwrap().to_string();
    assert!(why.starts_with("the disk is full; make room"), "{why}");
    assert_eq!(audit(&store).len(), before);
    limit(&store.connection.lock().unwrap(), 1 << 20);
    assert_eq!(release(&store, &many).unwrap().len(), 200);
    assert_eq!(audit(&store).len(), before + 200);
    store.verify().unwrap();
}

#[test]
fn g5_a_store_that_is_locked_releases_nothing() {
    let bed = Bed::new();
    bed.make()
        .create_secret(&name("token"), value("x"))
        .unwrap();
    let store = bed
        .options()
        .busy_timeout(std::time::Duration::from_millis(50));
    let store = store.open(bed.path(), bed.key()).unwrap();
    let other = bed.attacker();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert!(matches!(
        release(&store, &[wanted("token", None)]),
        Err(StoreError::Busy { .. })
    ));
    // What is refused is refused, though it cannot be written down.
    other.execute_batch("ROLLBACK").unwrap();
    assert!(release(&store, &[wanted("token", None)]).is_ok());
}

#[test]
fn g5_a_refusal_stands_although_it_cannot_be_recorded() {
    let bed = Bed::new();
    let store = bed.make();
    let before = audit(&store).len();
    let max = "PRAGMA max_page_count = 1";
    store
        .connection
        .lock()
        .unwrap()
        .query_row(max, (), |_| Ok(()))
        .unwrap();
    let many: Vec<_> = (0..200).map(|_| wanted("nothing", None)).collect();
    assert!(
        matches!(release(&store, &many), Err(StoreError::Refused { refusals }) if refusals.len() == 200)
    );
    assert_eq!(audit(&store).len(), before);
}

#[test]
fn g5_one_refusal_refuses_all_and_every_one_is_told_and_recorded() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("good"), value("x")).unwrap();
    store.create_secret(&name("gone"), value("x")).unwrap();
    store.delete(&name("gone")).unwrap();
    for bytes in [&b"\xff"[..], b"a\0b"] {
        let name = name(&format!("bytes-{}", bytes.len()));
        store
            .create_secret(&name, SecretValue::new(bytes.to_vec()).unwrap())
            .unwrap();
    }
    let before = audit(&store).len();
    let text = |secret: &str| {
        let mut wanted = wanted(secret, None);
        wanted.secret.encoding = Encoding::Text;
        wanted
    };
    let all = [
        wanted("good", None),
        wanted("goot", None),
        wanted("gone", None),
        wanted("good", Some(7)),
        text("bytes-1"),
        text("bytes-3"),
        wanted("bytes-1", None),
    ];
    let Err(error @ StoreError::Refused { .. }) = release(&store, &all) else {
        panic!("released");
    };
    let StoreError::Refused { refusals } = &error else {
        unreachable!()
    };
    let reasons: Vec<_> = refusals
        .iter()
        .map(|refusal| refusal.reason.clone())
        .collect();
    let version = |number| std::num::NonZeroU32::new(number).unwrap();
    assert_eq!(
        reasons,
        [
            RefusalReason::NotFound {
                suggestion: Some("good".into())
            },
            RefusalReason::Deleted,
            RefusalReason::NoSuchVersion {
                version: version(7),
                available: vec![version(1)]
            },
            RefusalReason::NotText(NotText::Utf8),
            RefusalReason::NotText(NotText::Nul),
        ]
    );
    let text = error.to_string();
    for part in [
        "TOKEN=goot",
        "did you mean `good`?",
        "no version 7; there are 1",
        ":base64",
    ] {
        assert!(text.contains(part), "{text}");
    }
    let records = audit(&store).split_off(before);
    assert_eq!(records.len(), 5);
    assert!(
        records
            .iter()
            .all(|record| record.outcome == AuditOutcome::Denied)
    );
    assert_eq!(records[0].reason.as_deref(), Some("not-found"));
    assert_eq!(records[2].version, Some(7));
}

#[test]
fn nothing_wanted_writes_nothing() {
    let bed = Bed::new();
    let store = bed.make();
    let before = bed.bytes();
    assert!(release(&store, &[]).unwrap().is_empty());
    assert_eq!(bed.bytes(), before);
}

#[test]
fn names_and_labels_of_any_length_fit_the_log() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    let mut wanted = wanted("token", None);
    wanted.component = "c".repeat(1 << 20);
    let app_name = "\u{1b}[31m".repeat(1 << 16);
    let app_digest = crate::app::Digest::of(b"app");
    let request = ReleaseRequest {
        app_name: &app_name,
        app_digest,
        app_folder: None,
        wanted: &[wanted],
    };
    store.release(&request).unwrap();
    let record = audit(&store).pop().unwrap();
    assert!(record.app.unwrap().len() <= 256 && record.component.unwrap().len() <= 256);
}

#[test]
fn the_largest_and_the_empty_value_come_back() {
    let bed = Bed::new();
    let store = bed.make();
    let large: Vec<u8> = (0..MAX_VALUE_BYTES).map(|index| index as u8).collect();
    store
        .create_secret(&name("large"), SecretValue::new(large.clone()).unwrap())
        .unwrap();
    store
        .create_secret(&name("empty"), SecretValue::new(Vec::new()).unwrap())
        .unwrap();
    assert_eq!(get(&store, "large", None).unwrap(), large);
    assert_eq!(get(&store, "empty", None).unwrap(), b"");
    assert_eq!(
        store.show(&name("large")).unwrap().versions[0].size,
        1 << 20
    );
}

#[test]
fn the_log_is_listed_by_secret_by_app_and_the_newest() {
    let bed = Bed::new();
    let store = bed.make();
    for secret in ["a", "b"] {
        store.create_secret(&name(secret), value("x")).unwrap();
    }
    release(
        &store,
        &[wanted("a", None), wanted("b", None), wanted("a", None)],
    )
    .unwrap();
    let list = |filter| {
        let records = store.audit_list(&filter).unwrap();
        records
            .into_iter()
            .map(|record| record.sequence)
            .collect::<Vec<_>>()
    };
    assert_eq!(list(AuditFilter::default()), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(list(AuditFilter::default().secret("A")), [3, 5, 7]);
    assert_eq!(list(AuditFilter::default().app("pipeline")), [5, 6, 7]);
    let digest = crate::app::Digest::of(b"app").to_string();
    assert_eq!(list(AuditFilter::default().app(digest)), [5, 6, 7]);
    assert_eq!(list(AuditFilter::default().limit(2)), [6, 7]);
    assert_eq!(list(AuditFilter::default().secret("b").limit(1)), [6]);
    assert_eq!(list(AuditFilter::default().limit(0)), [0; 0]);
}

#[test]
fn a_head_that_says_more_than_is_understood_refuses_its_secret() {
    use crate::secrets::head::Head;
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    store
        .write(|snapshot| {
            let (place, head) = snapshot.find(&name("token"))?;
            let mut head = head.unwrap();
            head.expires = Some(head.created);
            snapshot.put_head(&place, &head)
        })
        .unwrap();
    let refused = release(&store, &[wanted("token", None)]);
    assert!(
        matches!(refused, Err(StoreError::NewerFeature { .. })),
        "{refused:?}"
    );
    let unknown = r#"{"canonical":"a","name":"a","created":"2024-01-01T00:00:00Z","created_by":"u","updated":"2024-01-01T00:00:00Z","deleted":null,"expires":null,"restricted":false,"grants":[],"versions":[],"more":1}"#;
    assert!(serde_json::from_str::<Head>(unknown).is_err());
    assert!(serde_json::from_str::<Head>(&unknown.replace(",\"more\":1", "")).is_ok());
}
