//! A store that is put back as a whole is refused; many writers are not.

use std::io::{BufRead as _, BufReader};
use std::sync::atomic::{AtomicBool, Ordering};

use super::bed::{Bed, get, name, value};
use super::process::start;
use crate::secrets::*;

#[test]
fn g6_an_older_copy_of_the_whole_store_is_refused_unless_accepted() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("old")).unwrap();
    drop(store);
    let older = bed.bytes();
    let store = bed.open().unwrap();
    store.set_secret(&name("token"), value("new")).unwrap();
    drop(store);

    bed.put_back(&older);
    let error = bed.open().unwrap_err();
    assert!(matches!(error, StoreError::RolledBack { .. }));
    let text = error.to_string();
    assert!(
        text.contains("its generation is 2, and generation 3 was seen"),
        "{text}"
    );
    assert!(text.contains("--accept-rollback"), "{text}");

    let store = bed
        .options()
        .accept_rollback(true)
        .open(bed.path(), bed.key())
        .unwrap();
    assert_eq!(get(&store, "token", None).unwrap(), b"old");
    let events: Vec<_> = store
        .audit_list(&AuditFilter::default())
        .unwrap()
        .into_iter()
        .map(|record| record.event)
        .collect();
    assert!(events.contains(&AuditEvent::RollbackAccepted));
    drop(store);
    assert!(bed.open().is_ok());
}

#[test]
fn g6_an_older_copy_under_an_open_store_is_refused() {
    let bed = Bed::new();
    let store = bed.make();
    drop(store);
    let older = bed.bytes();
    let writer = bed.open().unwrap();
    writer.create_secret(&name("token"), value("x")).unwrap();
    drop(writer);
    bed.put_back(&older);
    let other_machine = bed.options().state_dir(bed.folder.path().join("other"));
    let open = other_machine.open(bed.path(), bed.key()).unwrap();
    // The record reaches it later: what it holds is then known to be old.
    std::fs::remove_dir_all(bed.folder.path().join("other")).unwrap();
    std::fs::rename(bed.state_dir(), bed.folder.path().join("other")).unwrap();
    assert!(matches!(open.list(), Err(StoreError::RolledBack { .. })));
    let set = open.create_secret(&name("late"), value("x"));
    assert!(matches!(set, Err(StoreError::RolledBack { .. })));
}

/// What a process prints before the secret that it has written.
const DONE: &str = "acknowledged ";

/// How an older copy is put in a store's place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Put {
    /// Under its name, without a log.
    Renamed,
    /// Into the same file, without a log.
    Written,
    /// Into the same file, and the log emptied.
    Emptied,
}

#[test]
fn g6_an_older_copy_under_processes_that_write_is_noticed_and_nothing_else_is() {
    for put in [Put::Renamed, Put::Written, Put::Emptied] {
        let bed = Bed::new();
        let store = bed.make();
        store.create_secret(&name("token"), value("old")).unwrap();
        drop(store);
        let older = bed.bytes();
        let tasks = ["writes 0", "writes 1", "writes 2"];
        let mut writers = tasks.map(|task| start(task, bed.folder.path()));
        let mut output = |writer: usize| {
            let stdout = writers[writer].stdout.take().unwrap();
            BufReader::new(stdout).lines().map_while(Result::ok)
        };
        let mut outputs = [output(0), output(1), output(2)];
        // Many write, and none of them is alarmed.
        let mut acknowledged = Vec::new();
        for output in &mut outputs {
            let written = output.filter_map(|line| Some(line.strip_prefix(DONE)?.to_owned()));
            acknowledged.extend(written.take(20));
        }
        assert_eq!(acknowledged.len(), 60);
        match put {
            Put::Renamed => {
                let copy = bed.folder.path().join("data/copy.db");
                std::fs::write(&copy, &older).unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&copy, mode).unwrap();
                for suffix in ["-wal", "-shm"] {
                    std::fs::remove_file(files::with_suffix(&bed.path(), suffix)).unwrap();
                }
                std::fs::rename(copy, bed.path()).unwrap();
            }
            Put::Written => bed.put_back(&older),
            Put::Emptied => {
                std::fs::write(bed.path(), &older).unwrap();
                let log = files::with_suffix(&bed.path(), "-wal");
                std::fs::write(log, "").unwrap();
            }
        }
        for (writer, output) in writers.iter_mut().zip(outputs) {
            // What is damaged, SQLite may have in its memory still.
            if put == Put::Emptied {
                writer.kill().unwrap();
            }
            let mut refused = false;
            for line in output {
                // As replaced, or, in the midst of it, as damaged.
                refused |= line.starts_with("refused");
                acknowledged.extend(line.strip_prefix(DONE).map(str::to_owned));
            }
            assert!(refused || put == Put::Emptied, "{put:?}");
            writer.wait().unwrap();
        }
        let opened = bed.open();
        if put == Put::Renamed {
            assert!(matches!(opened, Err(StoreError::RolledBack { .. })));
            continue;
        }
        // A writer may have brought its log into the file while that was overwritten: then either
        // not all of it fits, or nothing is lost.
        let whole = opened.and_then(|store| store.verify().map(|_| store));
        if let Ok(store) = whole {
            for secret in acknowledged {
                let found = get(&store, &secret, None);
                assert_eq!(found.unwrap(), secret.as_bytes(), "{put:?}");
            }
        }
    }
}

#[test]
fn g6_a_copy_that_went_on_elsewhere_is_refused_although_it_is_longer() {
    let bed = Bed::new();
    drop(bed.make());
    let copy = bed.bytes();
    let store = bed.open().unwrap();
    store.create_secret(&name("here"), value("x")).unwrap();
    drop(store);
    bed.put_back(&copy);
    let elsewhere = bed.options().state_dir(bed.folder.path().join("elsewhere"));
    let store = elsewhere.open(bed.path(), bed.key()).unwrap();
    for index in 0..5 {
        store
            .create_secret(&name(&format!("there-{index}")), value("x"))
            .unwrap();
    }
    drop(store);
    assert!(matches!(bed.open(), Err(StoreError::RolledBack { .. })));
    assert!(elsewhere.open(bed.path(), bed.key()).is_ok());
}

#[test]
fn a_machine_that_has_not_seen_the_store_accepts_it_and_remembers() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    drop(store);
    let older = bed.bytes();
    std::fs::remove_dir_all(bed.state_dir()).unwrap();
    let store = bed.open().unwrap();
    store.set_secret(&name("token"), value("y")).unwrap();
    drop(store);
    bed.put_back(&older);
    assert!(matches!(bed.open(), Err(StoreError::RolledBack { .. })));
}

#[test]
fn a_damaged_record_is_refused_unless_the_store_is_accepted() {
    let bed = Bed::new();
    drop(bed.make());
    let state = bed
        .files()
        .into_iter()
        .find(|file| file.extension().is_some_and(|e| e == "state"));
    let state = state.unwrap();
    let good = std::fs::read_to_string(&state).unwrap();
    let flipped: String = good.replacen(' ', " 1", 1);
    for bad in [
        "",
        "nonsense",
        &good[..good.len() - 1],
        &flipped,
        &"x".repeat(1 << 20),
    ] {
        std::fs::write(&state, bad).unwrap();
        assert!(
            matches!(bed.open(), Err(StoreError::StateRecord { .. })),
            "{bad:.40}"
        );
    }
    bed.options()
        .accept_rollback(true)
        .open(bed.path(), bed.key())
        .unwrap();
    assert!(bed.open().is_ok());
}

#[test]
fn g6_many_threads_that_write_never_raise_a_false_alarm() {
    let bed = Bed::new();
    drop(bed.make());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let bed = &bed;
            scope.spawn(move || {
                let store = bed.open().unwrap();
                for index in 0..15 {
                    let name = name(&format!("s-{thread}-{index}"));
                    store.create_secret(&name, value("x")).unwrap();
                    store.list().unwrap();
                    assert_eq!(get(&store, name.as_str(), None).unwrap(), b"x");
                    if index % 5 == 0 {
                        bed.open().unwrap().show(&name).unwrap();
                    }
                }
            });
        }
    });
    let verified = bed.open().unwrap().verify().unwrap();
    // Made, its key added; each secret created and released.
    assert_eq!((verified.secrets, verified.audit_records), (60, 2 + 120));
}

#[test]
fn g6_readers_beside_a_writer_never_raise_a_false_alarm() {
    let bed = Bed::new();
    let (first, writing) = (bed.make(), AtomicBool::new(true));
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let store = bed.open().unwrap();
                while writing.load(Ordering::Relaxed) {
                    store.slots().unwrap();
                }
            });
        }
        for index in 0..300 {
            first
                .create_secret(&name(&format!("s-{index}")), value("x"))
                .unwrap();
        }
        writing.store(false, Ordering::Relaxed);
    });
}

#[test]
fn one_store_serves_many_threads() {
    fn shared<T: Send + Sync>(_: &T) {}
    let bed = Bed::new();
    let store = bed.make();
    shared(&store);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                store
                    .create_secret(&name(&format!("s-{thread}")), value("x"))
                    .unwrap();
            });
        }
    });
    assert_eq!(store.list().unwrap().len(), 4);
}

#[test]
fn an_error_after_the_commit_says_that_the_change_is_committed() {
    let bed = Bed::new();
    let store = bed.make();
    let record = store.state.path().to_owned();
    let error = store
        .write(|_| {
            std::fs::write(&record, "garbage").unwrap();
            Ok(())
        })
        .unwrap_err();
    assert!(
        matches!(error, StoreError::StateNotWritten { .. }),
        "{error:?}"
    );
    assert!(error.may_be_committed());
    // The next one is refused before anything is changed.
    let error = store.create_secret(&name("late"), value("x")).unwrap_err();
    assert!(matches!(error, StoreError::StateRecord { .. }), "{error:?}");
    assert!(!error.may_be_committed());
}

#[test]
fn a_look_changes_nothing_and_notices_an_older_copy() {
    let bed = Bed::new();
    let store = bed.make();
    drop(store);
    let older = bed.bytes();
    let store = bed.open().unwrap();
    store.create_secret(&name("token"), value("x")).unwrap();
    drop(store);

    let nowhere = bed.folder.path().join("nowhere");
    let before = (bed.files(), bed.bytes());
    let look = bed.options().state_dir(&nowhere).read_only(true);
    let store = look.open(bed.path(), bed.key()).unwrap();
    store.verify().unwrap();
    let added = store.create_secret(&name("late"), value("x"));
    assert!(
        matches!(added, Err(StoreError::Database { .. })),
        "{added:?}"
    );
    drop(store);
    assert_eq!((bed.files(), bed.bytes()), before);
    assert!(!nowhere.exists());

    // Also where there is neither log nor index, which SQLite makes.
    bed.put_back(&before.1);
    look.open(bed.path(), bed.key()).unwrap().verify().unwrap();
    bed.put_back(&older);
    let looked = bed
        .options()
        .read_only(true)
        .accept_rollback(true)
        .open(bed.path(), bed.key());
    assert!(
        matches!(looked, Err(StoreError::RolledBack { .. })),
        "{looked:?}"
    );
}
