//! The audit log: filtered, pruned to a checkpoint, and written to a second place.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::bed::{Bed, name, release, value, wanted};
use crate::secrets::*;

/// A log of 2 + 6 records, a moment before the last three of them, and the store.
fn bed() -> (Bed, SecretStore, Timestamp) {
    let bed = Bed::new();
    let store = bed.make();
    for secret in ["a", "b", "c"] {
        store.create_secret(&name(secret), value("x")).unwrap();
    }
    let log = store.audit_list(&AuditFilter::default()).unwrap();
    let last = log.last().unwrap().time;
    while Timestamp::now() <= last + SignedDuration::from_millis(1) {}
    let then = Timestamp::now();
    release(&store, &[wanted("a", None)]).unwrap();
    assert!(release(&store, &[wanted("nothing", None)]).is_err());
    release(&store, &[wanted("b", None)]).unwrap();
    (bed, store, then)
}

fn sequences(store: &SecretStore, filter: &AuditFilter) -> Vec<u64> {
    let records = store.audit_list(filter).unwrap();
    records.iter().map(|record| record.sequence).collect()
}

#[test]
fn the_log_is_filtered_by_time_event_and_outcome() {
    let (_bed, store, then) = bed();
    let filter = AuditFilter::default;
    assert_eq!(sequences(&store, &filter().since(then)), [6, 7, 8]);
    assert_eq!(sequences(&store, &filter().until(then)), [1, 2, 3, 4, 5]);
    let denied = filter().outcome(AuditOutcome::Denied);
    assert_eq!(sequences(&store, &denied), [7]);
    let released = filter()
        .event(AuditEvent::Release)
        .outcome(AuditOutcome::Done);
    assert_eq!(sequences(&store, &released), [6, 8]);
    assert_eq!(sequences(&store, &released.limit(1)), [8]);
}

#[test]
fn a_pruned_log_is_verified_from_its_checkpoint_on() {
    let (bed, mut store, then) = bed();
    assert_eq!(store.audit_prune(Timestamp::UNIX_EPOCH).unwrap(), 0);
    assert_eq!(store.audit_prune(then).unwrap(), 5);
    assert_eq!(sequences(&store, &AuditFilter::default()), [6, 7, 8, 9]);
    let pruned = store.audit_list(&AuditFilter::default().limit(1)).unwrap();
    assert_eq!(pruned[0].event, AuditEvent::AuditPruned);
    assert_eq!(pruned[0].up_to, Some(5));
    let verified = store.verify().unwrap();
    assert_eq!((verified.pruned_records, verified.audit_records), (5, 4));
    // And once more, over a checkpoint; and under another root key.
    store.rotate_root(&[bed.key()]).unwrap();
    assert_eq!(store.verify().unwrap().pruned_records, 5);
    assert_eq!(store.audit_prune(Timestamp::MAX).unwrap(), 5);
    assert_eq!(sequences(&store, &AuditFilter::default()), [11]);
    store.rotate_root(&[bed.key()]).unwrap();
    let verified = store.verify().unwrap();
    assert_eq!((verified.pruned_records, verified.audit_records), (10, 2));
    drop(store);
    bed.open()
        .unwrap()
        .create_secret(&name("d"), value("x"))
        .unwrap();
}

#[test]
fn a_machine_that_saw_the_store_before_it_was_pruned_opens_it() {
    let (bed, store, then) = bed();
    let other = bed.options().state_dir(bed.folder.path().join("other"));
    drop(other.open(bed.path(), bed.key()).unwrap());
    let older = bed.bytes();
    release(&store, &[wanted("a", None)]).unwrap();
    store.audit_prune(Timestamp::MAX).unwrap();
    drop(store);
    assert!(other.open(bed.path(), bed.key()).is_ok());
    bed.put_back(&older);
    let refused = other.open(bed.path(), bed.key());
    assert!(
        matches!(refused, Err(StoreError::RolledBack { .. })),
        "{then}"
    );
}

#[test]
fn g6_a_checkpoint_that_nobody_wrote_is_noticed() {
    for sql in [
        "DELETE FROM audit WHERE sequence = 5",
        "DELETE FROM audit WHERE sequence = 6",
        "DELETE FROM audit WHERE sequence = 5; UPDATE audit SET body = '{\"checkpoint\":\"\",\"mac\":\"\"}' WHERE sequence = 6",
        "UPDATE audit SET body = replace(body, 'pruned at 2', 'pruned at 1') WHERE sequence = 5",
        "UPDATE audit SET mac = zeroblob(32) WHERE sequence = 5",
        "UPDATE audit SET sequence = 4 WHERE sequence = 5",
        // The checkpoint in the place of the record after it.
        "DELETE FROM audit WHERE sequence = 6; UPDATE audit SET sequence = 6 WHERE sequence = 5",
    ] {
        let (bed, store, then) = bed();
        store.audit_prune(then).unwrap();
        bed.attacker().execute_batch(sql).unwrap();
        let verified = store.audit_verify();
        assert!(
            matches!(verified, Err(StoreError::AuditBroken { .. })),
            "{sql}: {verified:?}"
        );
        assert!(store.audit_list(&AuditFilter::default()).is_err(), "{sql}");
        assert!(store.audit_prune(Timestamp::MAX).is_err(), "{sql}");
    }
}

#[test]
fn g6_the_first_record_that_is_told_of_a_pruned_log_is_the_one_that_should_not_be_there_or_is_gone()
{
    let again = "was pruned, and stands there again";
    for (sql, sequence, told) in [
        (
            "INSERT INTO audit SELECT * FROM kept WHERE sequence < 5",
            1,
            again,
        ),
        (
            "INSERT INTO audit SELECT * FROM kept WHERE sequence = 3",
            3,
            again,
        ),
        (
            "INSERT OR REPLACE INTO audit SELECT * FROM kept WHERE sequence <= 5",
            1,
            again,
        ),
        (
            "INSERT OR REPLACE INTO audit SELECT * FROM kept WHERE sequence IN (4, 5)",
            4,
            again,
        ),
        (
            "INSERT OR REPLACE INTO audit SELECT * FROM kept WHERE sequence = 5",
            5,
            again,
        ),
        (
            "DELETE FROM audit WHERE sequence = 5",
            5,
            "its checkpoint is missing",
        ),
        (
            "UPDATE audit SET mac = zeroblob(32) WHERE sequence = 5",
            5,
            "its checkpoint is not",
        ),
        // What else is broken is told as ever.
        ("DELETE FROM audit WHERE sequence = 7", 7, "it is missing"),
    ] {
        let (bed, store, then) = bed();
        let attacker = bed.attacker();
        let keep = "CREATE TEMP TABLE kept AS SELECT * FROM audit";
        attacker.execute_batch(keep).unwrap();
        store.audit_prune(then).unwrap();
        attacker.execute_batch(sql).unwrap();
        let first = store.audit_verify().unwrap_err();
        let StoreError::AuditBroken {
            sequence: is, what, ..
        } = first
        else {
            panic!("{sql}: {first}");
        };
        assert_eq!(is, sequence, "{sql}: {what}");
        assert!(what.contains(told), "{sql}: {what}");
    }
}

#[test]
fn g6_an_older_checkpoint_that_is_put_back_is_the_first_broken_record() {
    let (bed, store, then) = bed();
    store.audit_prune(then).unwrap();
    let attacker = bed.attacker();
    let keep = "CREATE TEMP TABLE kept AS SELECT * FROM audit";
    attacker.execute_batch(keep).unwrap();
    assert_eq!(store.audit_prune(Timestamp::MAX).unwrap(), 4);
    let put_back = "INSERT INTO audit SELECT * FROM kept WHERE sequence < 9";
    attacker.execute_batch(put_back).unwrap();
    let first = store.audit_verify().unwrap_err();
    assert!(
        matches!(first, StoreError::AuditBroken { sequence: 5, what, .. } if what.contains("again")),
        "{first}"
    );
}

#[test]
fn g5_the_second_place_has_a_store_from_its_first_record() {
    let bed = Bed::new();
    let path = bed.folder.path().join("audit.jsonl");
    let options = |to: &std::path::Path, required| {
        let sink = AuditSink::new(AuditTarget::File(to.to_owned()), required);
        bed.options().audit_sink(sink)
    };
    // Nothing is made that cannot be recorded there: neither a store nor a key for it.
    let nowhere = bed.folder.path().join("not/there");
    let refused = options(&nowhere, true).open_or_create(bed.path(), bed.key_path());
    assert!(matches!(refused, Err(StoreError::AuditSink { .. })));
    assert!(!bed.key_path().exists());
    let left = std::fs::read_dir(bed.path().parent().unwrap()).unwrap();
    let left: Vec<_> = left.map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left, ["store.db.lock"]);
    for required in [false, true] {
        let made = options(&path, required).open_or_create(bed.path(), bed.key_path());
        let kept = made
            .unwrap()
            .store
            .audit_list(&AuditFilter::default())
            .unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        let written = written
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        assert_eq!(written.collect::<Vec<AuditRecord>>(), kept);
        for file in [&*path, &bed.path(), &bed.key_path()] {
            std::fs::remove_file(file).unwrap();
        }
        std::fs::remove_dir_all(bed.folder.path().join("state")).unwrap();
    }
}

fn with_sink(bed: &Bed, path: &std::path::Path, required: bool) -> SecretStore {
    let sink = AuditSink::new(AuditTarget::File(path.to_owned()), required);
    let options = bed.options().audit_sink(sink);
    options.open(bed.path(), bed.key()).unwrap()
}

#[test]
fn a_second_place_gets_the_same_records() {
    let (bed, store, _) = bed();
    let path = bed.folder.path().join("audit.jsonl");
    drop(store);
    for required in [false, true] {
        let mut store = with_sink(&bed, &path, required);
        release(&store, &[wanted("a", None)]).unwrap();
        assert!(release(&store, &[wanted("nothing", None)]).is_err());
        store.rotate_root(&[bed.key()]).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap();
    let written: Vec<AuditRecord> = written
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let kept = bed
        .open()
        .unwrap()
        .audit_list(&AuditFilter::default().limit(6));
    assert_eq!(written, kept.unwrap());
}

#[test]
fn g5_nothing_is_released_that_a_required_second_place_does_not_take() {
    let (bed, store, _) = bed();
    drop(store);
    let nowhere = bed.folder.path().join("not/there");
    let store = with_sink(&bed, &nowhere, true);
    let before = store.audit_verify().unwrap();
    let refused = release(&store, &[wanted("a", None)]);
    assert!(matches!(refused, Err(StoreError::AuditSink { .. })));
    let refused = store.set_secret(&name("a"), value("y"));
    assert!(matches!(refused, Err(StoreError::AuditSink { .. })));
    assert_eq!(store.audit_verify().unwrap(), before);
    // A refusal stands, and is on record here alone.
    let refused = release(&store, &[wanted("nothing", None)]);
    assert!(matches!(refused, Err(StoreError::Refused { .. })));
    let last = store.audit_list(&AuditFilter::default().limit(1)).unwrap();
    assert_eq!(last[0].reason.as_deref(), Some("not-found"));
    // Where nobody asked for more, it does not hold anybody up; whoever has the sink is told.
    let sink = AuditSink::new(AuditTarget::File(nowhere.clone()), false);
    let options = bed.options().audit_sink(sink.clone());
    let store = options.open(bed.path(), bed.key()).unwrap();
    assert!(sink.take_failure().is_none());
    release(&store, &[wanted("a", None)]).unwrap();
    assert_eq!(sink.take_failure().unwrap().path, nowhere);
    assert!(sink.take_failure().is_none());
}

#[test]
fn g5_a_system_log_that_takes_nothing_stops_what_must_be_recorded_there() {
    let (bed, store, _) = bed();
    drop(store);
    let socket = bed.folder.path().join("log");
    // It is there, and nobody reads from it.
    let log = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    let sink = |required| AuditSink::new(AuditTarget::Syslog(socket.clone()), required);
    let open = |required| {
        let options = bed.options().audit_sink(sink(required));
        options.open(bed.path(), bed.key()).unwrap()
    };
    let store = open(true);
    let mut created = (0..2_000).map(|at| {
        let secret = name(&format!("s-{at}"));
        (store.create_secret(&secret, value("x")), secret)
    });
    let (refused, secret) = created.find(|(created, _)| created.is_err()).unwrap();
    assert!(matches!(refused, Err(StoreError::AuditSink { .. })));
    // What could not be recorded was not done, and is where the record is not required.
    assert!(store.show(&secret).is_err());
    assert!(release(&store, &[wanted("a", None)]).is_err());
    assert!(release(&open(false), &[wanted("a", None)]).is_ok());
    drop(log);
}

#[test]
fn g6_a_look_into_a_damaged_log_finds_the_records_that_are_whole_and_says_where_it_is_not() {
    let set = |column: &str, sequence: u64| {
        let value = if column == "mac" {
            "zeroblob(32)"
        } else {
            "'{}'"
        };
        format!("UPDATE audit SET {column} = {value} WHERE sequence = {sequence}")
    };
    for (sql, broken, whole) in [
        (set("body", 4), 4, &[1, 2, 3, 5, 6, 7, 8][..]),
        (set("body", 8), 8, &[1, 2, 3, 4, 5, 6, 7]),
        (set("body", 1), 1, &[2, 3, 4, 5, 6, 7, 8]),
        // The MAC of each covers the one before.
        (set("mac", 4), 4, &[1, 2, 3, 6, 7, 8]),
        (set("mac", 8), 8, &[1, 2, 3, 4, 5, 6, 7]),
        (
            "UPDATE audit SET mac = x'00' WHERE sequence = 4".into(),
            4,
            &[1, 2, 3, 6, 7, 8],
        ),
        (
            "DELETE FROM audit WHERE sequence IN (4, 5)".into(),
            4,
            &[1, 2, 3, 7, 8],
        ),
        ("DELETE FROM audit WHERE sequence >= 7".into(), 7, &[1, 2, 3, 4, 5, 6]),
        ("DELETE FROM audit WHERE sequence <= 2".into(), 1, &[4, 5, 6, 7, 8]),
        ("DELETE FROM audit".into(), 1, &[]),
        (
            "INSERT INTO audit SELECT 9, body, mac FROM audit WHERE sequence = 8".into(),
            9,
            &[1, 2, 3, 4, 5, 6, 7, 8],
        ),
        (
            "INSERT INTO audit SELECT 0, body, zeroblob(32) FROM audit WHERE sequence = 1".into(),
            0,
            &[1, 2, 3, 4, 5, 6, 7, 8],
        ),
        // One in another's place.
        (
            "UPDATE audit SET (body, mac) = (SELECT body, mac FROM audit WHERE sequence = 7) WHERE sequence = 4".into(),
            4,
            &[1, 2, 3, 6, 7, 8],
        ),
    ] {
        let (bed, store, _) = bed();
        bed.attacker().execute(&sql, ()).unwrap();
        let found = store.audit_look(&AuditFilter::default()).unwrap();
        let Some(StoreError::AuditBroken { sequence, .. }) = found.broken else {
            panic!("{sql}: {found:?}");
        };
        let records: Vec<_> = found.records.iter().map(|record| record.sequence).collect();
        assert_eq!((sequence, &records[..]), (broken, whole), "{sql}");
        assert!(store.audit_list(&AuditFilter::default()).is_err(), "{sql}");
        assert!(store.audit_verify().is_err() || broken == 0, "{sql}");
    }
}

#[test]
fn a_look_goes_back_no_further_than_it_was_told() {
    let (bed, store, then) = bed();
    let look = |store: &SecretStore, filter: AuditFilter| {
        let found = store.audit_look(&filter).unwrap();
        assert!(found.broken.is_none(), "{found:?}");
        let sequences = found.records.iter().map(|record| record.sequence);
        (sequences.collect::<Vec<_>>(), found.older)
    };
    let filter = AuditFilter::default;
    assert_eq!(look(&store, filter().among(3)), (vec![6, 7, 8], Some(6)));
    let all: Vec<_> = (1..=8).collect();
    assert_eq!(look(&store, filter().among(8)), (all.clone(), None));
    assert_eq!(look(&store, filter()), (all, None));
    assert_eq!(look(&store, filter().limit(2)), (vec![7, 8], Some(7)));
    assert_eq!(look(&store, filter().among(0)), (vec![], Some(9)));
    let on = filter().before(6).among(3);
    assert_eq!(look(&store, on), (vec![3, 4, 5], Some(3)));
    let of_c = filter().secret("c");
    assert_eq!(look(&store, of_c.clone().among(3)), (vec![], Some(6)));
    assert_eq!(look(&store, of_c.among(4)), (vec![5], Some(5)));
    // What is left unread may be damaged.
    let sql = "UPDATE audit SET body = '{}' WHERE sequence = 1";
    bed.attacker().execute(sql, ()).unwrap();
    assert_eq!(look(&store, filter().among(3)), (vec![6, 7, 8], Some(6)));
    assert!(
        store
            .audit_look(&filter().among(8))
            .unwrap()
            .broken
            .is_some()
    );
    let (_bed, store, _) = self::bed();
    store.audit_prune(then).unwrap();
    assert_eq!(store.audit_look(&filter()).unwrap().older, None);
}

#[test]
fn g6_a_long_log_is_read_in_parts_each_verified_to_follow() {
    let (bed, store, _) = bed();
    release(&store, &vec![wanted("a", None); 2500]).unwrap();
    let read = |place: &mut AuditPlace, filter: &AuditFilter| store.audit_next(place, filter);
    let filter = AuditFilter::default().event(AuditEvent::Release);
    let expected = store.audit_list(&filter).unwrap();
    let begun = store.audit_begin().unwrap();
    // What comes later is another reading's.
    release(&store, &[wanted("a", None)]).unwrap();
    let (mut place, mut parts) = (begun.clone(), Vec::new());
    while let Some(part) = read(&mut place, &filter).unwrap() {
        assert!(part.len() <= 1000);
        parts.push(part);
    }
    assert_eq!(parts.len(), 3);
    assert_eq!(parts.concat(), expected);
    assert!(read(&mut place, &filter).unwrap().is_none());

    let mut place = begun.clone();
    read(&mut place, &filter).unwrap();
    let sql = "UPDATE audit SET body = replace(body, 'done', 'denied') WHERE sequence = 1500";
    assert_eq!(bed.attacker().execute(sql, ()).unwrap(), 1);
    let broken = read(&mut place, &filter);
    assert!(matches!(
        broken,
        Err(StoreError::AuditBroken { sequence: 1500, .. })
    ));
    assert!(store.audit_begin().is_err());
    // What was there before a part of it was pruned cannot be read on.
    let (_bed, store, _) = self::bed();
    let mut place = store.audit_begin().unwrap();
    store.audit_prune(Timestamp::now()).unwrap();
    let pruned = store.audit_next(&mut place, &filter).unwrap_err();
    assert!(
        pruned.to_string().contains("it was pruned meanwhile"),
        "{pruned}"
    );
}

#[test]
fn what_reads_all_of_a_store_keeps_nobody_waiting() {
    let (_bed, store, _) = bed();
    // Somebody else's turn, which is not over before all is read.
    let turn = store.lock();
    std::thread::scope(|scope| {
        let (told, read) = std::sync::mpsc::channel();
        let store = &store;
        scope.spawn(move || {
            store.verify().unwrap();
            store.audit_begin().unwrap();
            store.audit_look(&AuditFilter::default()).unwrap();
            told.send(()).unwrap();
        });
        let is_read = read.recv_timeout(Duration::from_secs(60)).is_ok();
        drop(turn);
        assert!(is_read);
    });
}
