//! Standing grants: to a digest, to a folder, and every way in which they must not help.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;

use super::bed::{Bed, name, text, until_over, value, wanted};
use crate::app::{Ask, Authority, Digest, EnvName, HostRule, Request, SecretBinding};
use crate::secrets::*;

fn bed() -> (Bed, SecretStore) {
    let bed = Bed::new();
    let store = bed.make();
    for secret in ["token", "other"] {
        store.create_secret(&name(secret), value(secret)).unwrap();
    }
    (bed, store)
}

fn digest() -> Digest {
    Digest::of(b"app")
}

fn env(name: &str) -> EnvName {
    name.parse().unwrap()
}

fn grant(to: Grantee) -> NewGrant {
    NewGrant {
        to,
        env: None,
        app: None,
        expires: None,
    }
}

/// What becomes of `TOKEN=token` for the app of this digest, in this folder.
fn bound(
    store: &SecretStore,
    by: Authority,
    app_digest: Digest,
    app_folder: Option<&Path>,
) -> Result<(), &'static str> {
    let mut wanted = wanted("token", None);
    wanted.by = by;
    let released = store.release(&ReleaseRequest {
        app_name: "pipeline",
        app_digest,
        app_folder,
        wanted: &[wanted],
    });
    match released {
        Ok(released) => {
            assert_eq!(text(&released[0].value), b"token");
            Ok(())
        }
        Err(StoreError::Refused { refusals }) => Err(refusals[0].reason.code()),
        Err(other) => panic!("{other:?}"),
    }
}

fn granted(store: &SecretStore, digest: Digest) -> Result<(), &'static str> {
    bound(store, Authority::Grant, digest, None)
}

#[test]
fn a_grant_to_a_digest_binds_for_that_digest_alone_until_it_is_revoked() {
    let (bed, store) = bed();
    let to = Grantee::App(digest());
    assert_eq!(granted(&store, digest()), Err("not-granted"));
    store.grant(&name("token"), &grant(to.clone())).unwrap();
    assert_eq!(granted(&store, digest()), Ok(()));
    assert_eq!(
        granted(&store, Digest::of(b"changed app")),
        Err("not-granted")
    );
    drop(store);
    let store = bed.open().unwrap();
    assert_eq!(granted(&store, digest()), Ok(()));
    let record = store
        .audit_list(&AuditFilter::default().limit(1))
        .unwrap()
        .remove(0);
    assert_eq!(record.grantee, Some(to.to_string()));

    let other = store.revoke(&name("other"), &to, None);
    assert!(matches!(other, Err(StoreError::NoGrant { .. })));
    assert_eq!(store.revoke(&name("token"), &to, None).unwrap(), 1);
    assert_eq!(granted(&store, digest()), Err("not-granted"));
    store.verify().unwrap();
}

#[test]
fn a_grant_holds_for_its_environment_name_and_until_it_expires() {
    let (_bed, store) = bed();
    let to = Grantee::App(digest());
    let with = |name: &str, expires: Option<Timestamp>| NewGrant {
        env: Some(env(name)),
        expires,
        ..grant(to.clone())
    };
    let hours = |hours| Some(Timestamp::now() + SignedDuration::from_hours(hours));
    store.grant(&name("token"), &with("OTHER", None)).unwrap();
    assert_eq!(granted(&store, digest()), Err("not-granted"));
    let past = store.grant(&name("token"), &with("TOKEN", hours(-1)));
    assert!(matches!(past, Err(StoreError::PastExpiry { .. })));
    assert_eq!(granted(&store, digest()), Err("not-granted"));
    until_over(|at| store.grant(&name("token"), &with("TOKEN", Some(at)))).unwrap();
    assert_eq!(granted(&store, digest()), Err("grant-expired"));
    // The same once more replaces it.
    store
        .grant(&name("token"), &with("TOKEN", hours(1)))
        .unwrap();
    assert_eq!(granted(&store, digest()), Ok(()));
    assert_eq!(store.show(&name("token")).unwrap().grants.len(), 2);
    let removed = store.revoke(&name("token"), &to, Some(&env("TOKEN")));
    assert_eq!(removed.unwrap(), 1);
    assert_eq!(granted(&store, digest()), Err("not-granted"));
}

#[test]
fn a_grant_to_a_folder_binds_there_unless_others_may_write_to_it() {
    let (_bed, store) = bed();
    let folder = TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let to = Grantee::folder(&path).unwrap();
    let mode = |mode| std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    mode(0o777);
    let open = store.grant(&name("token"), &grant(to.clone()));
    assert!(matches!(open, Err(StoreError::Permission { .. })));
    mode(0o700);
    store.grant(&name("token"), &grant(to)).unwrap();
    let bind = |folder: Option<&Path>| bound(&store, Authority::Grant, Digest::of(b"any"), folder);
    assert_eq!(bind(Some(&path)), Ok(()));
    assert_eq!(bind(Some(path.parent().unwrap())), Err("not-granted"));
    assert_eq!(bind(Some(&path.join("below"))), Err("not-granted"));
    assert_eq!(bind(None), Err("not-granted"));
    mode(0o770);
    assert_eq!(bind(Some(&path)), Err("open-folder"));
}

#[test]
fn a_restricted_secret_takes_a_grant_to_the_digest_even_for_the_operator() {
    let (_bed, store) = bed();
    let folder = TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let bind = |by, digest| bound(&store, by, digest, Some(&path));
    assert_eq!(bind(Authority::Operator, digest()), Ok(()));
    let to_folder = grant(Grantee::folder(&path).unwrap());
    store.grant(&name("token"), &to_folder).unwrap();
    store.restrict(&name("token"), true).unwrap();
    assert!(matches!(
        store.grant(&name("token"), &to_folder),
        Err(StoreError::RestrictedToApps { .. })
    ));
    for by in [Authority::Operator, Authority::Grant] {
        assert_eq!(bind(by, digest()), Err("restricted"));
    }
    store
        .grant(&name("token"), &grant(Grantee::App(digest())))
        .unwrap();
    for by in [Authority::Operator, Authority::Grant] {
        assert_eq!(bind(by, digest()), Ok(()));
        assert_eq!(bind(by, Digest::of(b"changed")), Err("restricted"));
    }
    store.restrict(&name("token"), false).unwrap();
    assert_eq!(bind(Authority::Operator, Digest::of(b"x")), Ok(()));
}

#[test]
fn grants_stay_over_rotations_and_go_with_their_secret() {
    let (bed, mut store) = bed();
    store
        .grant(&name("token"), &grant(Grantee::App(digest())))
        .unwrap();
    store.restrict(&name("token"), true).unwrap();
    store.rotate_kek(|_, _| {}).unwrap();
    store.rotate_root(&[bed.key()]).unwrap();
    assert_eq!(granted(&store, digest()), Ok(()));
    assert_eq!(granted(&store, Digest::of(b"x")), Err("restricted"));
    store.delete(&name("token")).unwrap();
    assert_eq!(granted(&store, digest()), Err("deleted"));
    store.restore(&name("token")).unwrap();
    assert_eq!(granted(&store, digest()), Ok(()));
    store.destroy(&name("token")).unwrap();
    store.create_secret(&name("token"), value("token")).unwrap();
    assert_eq!(granted(&store, digest()), Err("not-granted"));
}

#[test]
fn what_was_granted_of_a_deleted_secret_is_taken_back_and_does_not_come_back_with_it() {
    let (_bed, store) = bed();
    let to = Grantee::App(digest());
    for by_name in [true, false] {
        store.grant(&name("token"), &grant(to.clone())).unwrap();
        store.delete(&name("token")).unwrap();
        let found = store.grants_to(&to).unwrap();
        assert_eq!((found.grants.len(), found.of_deleted.len()), (0, 1));
        let removed = match by_name {
            true => store.revoke(&name("token"), &to, None),
            false => store.distrust(&to).map(|taken| taken.revoked),
        };
        assert_eq!(removed.unwrap(), 1);
        assert!(store.grants_to(&to).unwrap().of_deleted.is_empty());
        let again = store.revoke(&name("token"), &to, None);
        assert!(matches!(again, Err(StoreError::NoGrant { .. })));
        store.restore(&name("token")).unwrap();
        assert_eq!(granted(&store, digest()), Err("not-granted"));
    }
    // It only takes away.
    store.delete(&name("token")).unwrap();
    let given = store.grant(&name("token"), &grant(to));
    assert!(matches!(given, Err(StoreError::Deleted { .. })));
    store.verify().unwrap();
}

#[test]
fn what_can_be_taken_back_is_beside_what_is_damaged() {
    let (bed, store) = bed();
    let to = Grantee::App(digest());
    let damage = |of: &str| {
        let sql = r#"UPDATE head SET body = replace(body, 'by":"', 'by":"x') WHERE body LIKE ?"#;
        assert_eq!(bed.attacker().execute(sql, [of]).unwrap(), 1);
    };
    let app = AppIdentity {
        digest: digest(),
        folder: None,
    };
    trust(&store, app, &to).unwrap();
    store.grant(&name("other"), &grant(to.clone())).unwrap();
    // Also where the names are known already.
    assert_eq!(store.grants_to(&to).unwrap().grants.len(), 2);
    damage("%\"canonical\":\"other\"%");
    let found = store.grants_to(&to).unwrap();
    assert_eq!((found.grants.len(), found.hosts.len()), (1, 2));
    assert_eq!(found.damaged.len(), 1);
    let taken = store.distrust(&to).unwrap();
    assert_eq!((taken.revoked, taken.damaged.len()), (3, 1));
    let other = taken.damaged[0].to_string();
    assert!(other.contains("`other` by its own words"), "{other}");
    assert_eq!(covered(&store, &app), [false; 3]);
    // What was granted of hosts is in a head of the app's own.
    trust(&store, app, &to).unwrap();
    damage("{\"app\"%");
    assert_eq!(store.grants_to(&to).unwrap().damaged.len(), 2);
    let taken = store.distrust(&to).unwrap();
    assert_eq!((taken.revoked, taken.damaged.len()), (1, 2));
    assert_eq!(granted(&store, digest()), Err("not-granted"));
}

#[test]
fn g6_a_grant_that_was_put_back_or_moved_is_noticed() {
    let (bed, store) = bed();
    let heads = |bed: &Bed| -> Vec<(Vec<u8>, String)> {
        let attacker = bed.attacker();
        let mut heads = attacker.prepare("SELECT place, body FROM head").unwrap();
        let rows = heads.query_map((), |row| Ok((row.get(0)?, row.get(1)?)));
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    };
    let to = Grantee::App(digest());
    store.grant(&name("token"), &grant(to.clone())).unwrap();
    let with_grant = heads(&bed);
    store.revoke(&name("token"), &to, None).unwrap();
    for (place, body) in with_grant {
        let sql = "UPDATE head SET body = ?2 WHERE place = ?1";
        bed.attacker().execute(sql, (place, body)).unwrap();
    }
    let mut wanted = wanted("token", None);
    wanted.by = Authority::Grant;
    let refused = super::bed::release(&store, &[wanted]);
    assert!(matches!(refused, Err(StoreError::Tampered { .. })));
}

fn requests() -> Vec<Request> {
    let token = SecretBinding {
        env: env("TOKEN"),
        secret: "token".parse().unwrap(),
    };
    let host = |rule: &str| Ask::Host(rule.parse::<HostRule>().unwrap());
    let work = Some("train".parse().unwrap());
    vec![
        Request {
            work: None,
            ask: Ask::Secret(token),
        },
        Request {
            work: None,
            ask: host("api.example.com"),
        },
        Request {
            work,
            ask: host("db.example.com:5432"),
        },
    ]
}

fn trust(store: &SecretStore, app: AppIdentity<'_>, to: &Grantee) -> Result<(), StoreError> {
    store.trust(&NewTrust {
        seen: SeenApp {
            app,
            components: [("flow".into(), Digest::of(b"flow").to_string())].into(),
            requests: requests(),
        },
        to,
        name: "pipeline",
        expires: None,
    })
}

fn covered(store: &SecretStore, app: &AppIdentity<'_>) -> Vec<bool> {
    let coverage = store.coverage(app, &requests()).unwrap();
    coverage.iter().map(Coverage::is_granted).collect()
}

#[test]
fn a_trusted_app_is_granted_all_that_it_asks_for_and_nothing_more() {
    let (bed, mut store) = bed();
    let folder = TempDir::new().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let app = AppIdentity {
        digest: digest(),
        folder: Some(&path),
    };
    let changed = AppIdentity {
        digest: Digest::of(b"changed"),
        ..app
    };
    let to = Grantee::App(digest());
    assert_eq!(covered(&store, &app), [false; 3]);
    trust(&store, app, &to).unwrap();
    store.rotate_root(&[bed.key()]).unwrap();
    assert_eq!(covered(&store, &app), [true; 3]);
    assert_eq!(covered(&store, &changed), [false; 3]);
    // The Work's host is not the Flow's, nor the other way round.
    for request in &mut requests()[1..] {
        request.work = request
            .work
            .take()
            .is_none()
            .then(|| "train".parse().unwrap());
        let coverage = store.coverage(&app, std::slice::from_ref(request)).unwrap();
        assert_eq!(coverage, [Coverage::Refused(RefusalReason::NotGranted)]);
    }
    let last = store
        .last_granted(&Grantee::folder(&path).unwrap())
        .unwrap();
    let last = last.unwrap();
    assert_eq!(last.digest, digest().to_string());
    assert_eq!(last.asks.len(), 3);

    let in_folder = Grantee::folder(&path).unwrap();
    trust(&store, changed, &in_folder).unwrap();
    assert_eq!(covered(&store, &changed), [true; 3]);
    let hosts = store.grants_to(&in_folder).unwrap().hosts;
    let hosts = hosts.iter().map(|of| (of.work.as_deref(), &*of.host));
    let hosts: Vec<_> = hosts.collect();
    let expected = [
        (None, "api.example.com"),
        (Some("train"), "db.example.com:5432"),
    ];
    assert_eq!(hosts, expected);
    assert_eq!(store.distrust(&in_folder).unwrap().revoked, 3);
    assert!(store.grants_to(&in_folder).unwrap().hosts.is_empty());
    assert_eq!(covered(&store, &changed), [false; 3]);
    assert_eq!(store.distrust(&to).unwrap().revoked, 3);
    assert_eq!(covered(&store, &app), [false; 3]);
    assert_eq!(store.distrust(&to).unwrap().revoked, 0);
    store.verify().unwrap();
}

#[test]
fn an_app_that_asks_for_what_is_not_there_is_not_trusted_by_half() {
    let (_bed, store) = bed();
    let to = Grantee::App(digest());
    let app = AppIdentity {
        digest: digest(),
        folder: None,
    };
    store.delete(&name("token")).unwrap();
    let deleted = trust(&store, app, &to);
    assert!(matches!(deleted, Err(StoreError::Deleted { .. })));
    assert_eq!(covered(&store, &app), [false; 3]);
    let coverage = store.coverage(&app, &requests()).unwrap();
    assert_eq!(coverage[0], Coverage::Refused(RefusalReason::Deleted));
    store.destroy(&name("token")).unwrap();
    let coverage = store.coverage(&app, &requests()).unwrap();
    assert!(matches!(
        coverage[0],
        Coverage::Refused(RefusalReason::NotFound { .. })
    ));
    assert!(trust(&store, app, &to).is_err());
}
