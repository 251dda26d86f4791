//! Pages of the list of secrets: as the whole list has them, whoever changed what in between.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::bed::{Bed, name, value};
use crate::app::Digest;
use crate::secrets::*;

fn query() -> SecretQuery {
    SecretQuery {
        limit: usize::MAX,
        ..SecretQuery::default()
    }
}

fn names(page: &SecretPage) -> Vec<&str> {
    page.secrets
        .iter()
        .map(|secret| secret.name.as_str())
        .collect()
}

#[test]
fn secrets_are_searched_sorted_and_cut() {
    let bed = Bed::new();
    let store = bed.make();
    for text in ["b-two", "A-One", "c-three", "b-four"] {
        store.create_secret(&name(text), value("x")).unwrap();
    }
    store.set_secret(&name("a-one"), value("y")).unwrap();
    store.expire(&name("b-four"), None, Expiry::Now).unwrap();
    store.delete(&name("c-three")).unwrap();
    let page = |query: SecretQuery| store.page(&query).unwrap();
    assert_eq!(
        names(&page(query())),
        ["A-One", "b-four", "b-two", "c-three"]
    );
    let found = page(SecretQuery {
        search: "B-".into(),
        ..query()
    });
    assert_eq!(
        (names(&found), found.matching, found.total),
        (vec!["b-four", "b-two"], 2, 4)
    );
    for (show, only) in [
        (Shown::Active, vec!["A-One", "b-two"]),
        (Shown::Expired, vec!["b-four"]),
        (Shown::Deleted, vec!["c-three"]),
    ] {
        let show = Some(show);
        assert_eq!(names(&page(SecretQuery { show, ..query() })), only);
    }
    let newest = page(SecretQuery {
        order: SecretOrder::Updated,
        descending: true,
        limit: 2,
        ..query()
    });
    assert_eq!(
        (names(&newest), newest.matching),
        (vec!["c-three", "b-four"], 4)
    );
    let second = page(SecretQuery {
        offset: 1,
        limit: 2,
        ..query()
    });
    assert_eq!(names(&second), ["b-four", "b-two"]);
    let beyond = page(SecretQuery {
        offset: 9,
        ..query()
    });
    assert_eq!((names(&beyond), beyond.matching), (vec![], 4));
}

#[test]
fn what_another_process_changed_is_seen_also_after_the_log_was_pruned() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("one"), value("x")).unwrap();
    assert_eq!(names(&store.page(&query()).unwrap()), ["one"]);
    let other = bed.open().unwrap();
    other.create_secret(&name("two"), value("x")).unwrap();
    assert_eq!(names(&store.page(&query()).unwrap()), ["one", "two"]);
    other.destroy(&name("one")).unwrap();
    assert_eq!(names(&store.page(&query()).unwrap()), ["two"]);
    other.create_secret(&name("three"), value("x")).unwrap();
    other
        .audit_prune(Timestamp::now() + SignedDuration::from_hours(1))
        .unwrap();
    assert_eq!(names(&store.page(&query()).unwrap()), ["three", "two"]);
}

#[test]
fn grants_to_an_app_are_found_in_all_secrets() {
    let bed = Bed::new();
    let store = bed.make();
    let to = Grantee::App(Digest::of(b"app"));
    for text in ["one", "two", "three"] {
        store.create_secret(&name(text), value("x")).unwrap();
    }
    let grant = |secret: &str, to: &Grantee| {
        let new = NewGrant {
            to: to.clone(),
            env: None,
            app: None,
            expires: None,
        };
        store.grant(&name(secret), &new).unwrap();
    };
    grant("one", &to);
    grant("two", &Grantee::App(Digest::of(b"other")));
    let granted = |store: &SecretStore| -> Vec<String> {
        let grants = store.grants_to(&to).unwrap().grants;
        grants.into_iter().map(|(secret, _)| secret).collect()
    };
    assert_eq!(granted(&store), ["one"]);
    grant("three", &to);
    assert_eq!(granted(&store), ["one", "three"]);
    bed.open().unwrap().revoke(&name("one"), &to, None).unwrap();
    assert_eq!(granted(&store), ["three"]);
}

#[test]
fn g6_a_page_shows_no_head_and_follows_no_record_that_was_changed() {
    for (sql, seen_before) in [
        (
            "UPDATE head SET body = replace(body, '\"restricted\":false', '\"restricted\":true')",
            true,
        ),
        ("DELETE FROM head", true),
        (
            "UPDATE audit SET body = replace(body, '\"two\"', '\"one\"')",
            true,
        ),
        (
            "UPDATE head SET body = replace(body, '\"restricted\":false', '\"restricted\":true')",
            false,
        ),
    ] {
        let bed = Bed::new();
        let store = bed.make();
        store.create_secret(&name("one"), value("x")).unwrap();
        if seen_before {
            store.page(&query()).unwrap();
        }
        bed.open()
            .unwrap()
            .create_secret(&name("two"), value("x"))
            .unwrap();
        bed.attacker().execute(sql, ()).unwrap();
        let shown = store.page(&query());
        match sql.contains("audit") {
            // All heads are read instead.
            true => {
                let shown = shown.unwrap().secrets;
                let names: Vec<_> = shown.into_iter().map(|secret| secret.name).collect();
                assert_eq!(names, ["one", "two"]);
                assert!(store.audit_verify().is_err());
            }
            false => {
                let shown = shown.unwrap();
                assert!(shown.secrets.is_empty(), "{sql}: {shown:?}");
                let mut damaged = shown.damaged.iter();
                assert!(damaged.all(|error| matches!(error, StoreError::Tampered { .. })));
                assert!(!shown.damaged.is_empty());
                assert!(matches!(store.list(), Err(StoreError::Tampered { .. })));
            }
        }
    }
}

#[test]
fn g6_one_damaged_secret_is_named_and_the_others_are_shown() {
    let bed = Bed::new();
    let store = bed.make();
    let to = Grantee::App(Digest::of(b"app"));
    for text in ["one", "two", "three"] {
        store.create_secret(&name(text), value("x")).unwrap();
        let new = NewGrant {
            to: to.clone(),
            env: None,
            app: None,
            expires: None,
        };
        store.grant(&name(text), &new).unwrap();
    }
    let change = |from: &str, to: &str| {
        let sql = format!(
            "UPDATE head SET body = replace(body, '\"restricted\":{from}', '\"restricted\":{to}') WHERE body LIKE '%\"two\"%'"
        );
        assert_eq!(bed.attacker().execute(&sql, ()).unwrap(), 1);
    };
    // Seen before the damage, and not.
    for store in [bed.open().unwrap(), store] {
        assert_eq!(names(&store.page(&query()).unwrap()).len(), 3);
        change("false", "true");
        let granted = store.grants_to(&to).unwrap();
        assert_eq!((granted.grants.len(), granted.damaged.len()), (2, 1));
        let found = store.look().unwrap();
        let page = store.page(&query()).unwrap();
        assert_eq!(names(&page), ["one", "three"]);
        assert_eq!((page.matching, page.total), (2, 2));
        assert_eq!(page.secrets, found.secrets);
        for damaged in [page.damaged, found.damaged] {
            let [StoreError::Tampered { what, .. }] = &damaged[..] else {
                panic!("{damaged:?}");
            };
            assert!(what.contains("`two` by its own words"), "{what}");
        }
        // Neither deleting another nor what goes with it is refused.
        store.delete(&name("one")).unwrap();
        assert!(store.purge().unwrap().is_empty());
        store.restore(&name("one")).unwrap();
        assert!(matches!(store.list(), Err(StoreError::Tampered { .. })));
        change("true", "false");
        let whole = store.page(&query()).unwrap();
        assert_eq!((whole.total, whole.damaged.len()), (3, 0));
    }
}

#[test]
fn the_expiry_of_a_version_is_set_lifted_and_recorded() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("one"), value("1")).unwrap();
    store.set_secret(&name("one"), value("2")).unwrap();
    let later = Timestamp::now() + SignedDuration::from_hours(1);
    let expiries = || -> Vec<_> {
        let versions = store.versions(&name("one")).unwrap();
        versions
            .into_iter()
            .map(|version| version.expires)
            .collect()
    };
    let told = store.expire(&name("one"), None, Expiry::At(later)).unwrap();
    assert_eq!((told.version.get(), told.expires), (2, Some(later)));
    assert_eq!(expiries(), [None, Some(later)]);
    store
        .expire(&name("one"), 1.try_into().ok(), Expiry::At(later))
        .unwrap();
    store.expire(&name("one"), None, Expiry::Never).unwrap();
    // What has passed is refused, and changes nothing.
    let past = Timestamp::now() - SignedDuration::from_hours(1);
    let refused = store.expire(&name("one"), None, Expiry::At(past));
    assert!(matches!(refused, Err(StoreError::PastExpiry { at }) if at == past));
    assert_eq!(expiries(), [Some(later), None]);
    let missing = store.expire(&name("one"), 3.try_into().ok(), Expiry::Never);
    assert!(matches!(missing, Err(StoreError::NoSuchVersion { .. })));
    let filter = AuditFilter::default().event(AuditEvent::ExpirySet);
    let versions: Vec<_> = store
        .audit_list(&filter)
        .unwrap()
        .into_iter()
        .map(|record| record.version)
        .collect();
    assert_eq!(versions, [Some(2), Some(1), Some(2)]);
    store.verify().unwrap();
    store
        .delete_for(&name("one"), Duration::from_secs(60))
        .unwrap();
    let deleted = store.expire(&name("one"), None, Expiry::Never);
    assert!(matches!(deleted, Err(StoreError::Deleted { .. })));
}

#[test]
fn keks_tell_their_age_and_use() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("one"), value("1")).unwrap();
    store.set_secret(&name("one"), value("2")).unwrap();
    let told = |store: &SecretStore| -> Vec<_> {
        let keks = store.keks().unwrap();
        keks.iter()
            .map(|kek| (kek.version, kek.uses, kek.current))
            .collect()
    };
    assert_eq!(told(&store), [(1, 2, true)]);
    store.rotate_kek(|_, _| {}).unwrap();
    assert_eq!(told(&store), [(2, 2, true)]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    /// Whatever is done through whichever of two open stores, a page shows what the list shows.
    #[test]
    fn a_page_is_what_the_list_is(steps in prop::collection::vec((0..6_u8, 0..4_u8, any::<bool>()), 1..24)) {
        let bed = Bed::new();
        let stores = [bed.make(), bed.open().unwrap()];
        for (what, whose, by_other) in steps {
            let (name, store) = (name(&format!("n{whose}")), &stores[usize::from(by_other)]);
            // Some of these are refused, and then change nothing.
            match what {
                0 | 1 => drop(store.create_secret(&name, value("x"))),
                2 => drop(store.set_secret(&name, value("y"))),
                3 => drop(store.delete(&name)),
                4 => drop(store.restore(&name)),
                _ => drop(store.destroy(&name)),
            }
            if what % 2 == 0 {
                for store in &stores {
                    prop_assert_eq!(store.page(&query()).unwrap().secrets, store.list().unwrap());
                }
            }
        }
        for store in &stores {
            let page = store.page(&query()).unwrap();
            prop_assert_eq!(page.total, page.secrets.len());
            prop_assert_eq!(page.secrets, store.list().unwrap());
        }
    }
}
