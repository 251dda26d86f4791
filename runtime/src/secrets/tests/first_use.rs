//! The first use: whoever is killed when, the next call goes on.

use super::bed::{Bed, get, name, value};
use crate::secrets::*;

#[test]
fn the_first_call_makes_store_and_key_and_the_next_opens_them() {
    let bed = Bed::new();
    let opened = bed
        .options()
        .open_or_create(bed.path(), bed.key_path())
        .unwrap();
    assert!(opened.made_store && opened.made_key);
    opened
        .store
        .create_secret(&name("token"), value("x"))
        .unwrap();
    drop(opened);
    let opened = bed
        .options()
        .open_or_create(bed.path(), bed.key_path())
        .unwrap();
    assert!(!opened.made_store && !opened.made_key);
    assert_eq!(get(&opened.store, "token", None).unwrap(), b"x");
}

#[test]
fn g8_each_state_that_a_killed_first_use_leaves_is_gone_on_from() {
    type Leave = fn(&Bed);
    let states: [(&str, Leave); 6] = [
        ("folder", |bed| {
            std::fs::create_dir_all(bed.path().parent().unwrap()).unwrap()
        }),
        ("lock file", |bed| {
            files::make_folder(bed.path().parent().unwrap()).unwrap();
            drop(files::lock(&files::with_suffix(&bed.path(), ".lock")).unwrap());
        }),
        ("part of a key file under its temporary name", |bed| {
            files::make_folder(bed.key_path().parent().unwrap()).unwrap();
            let part = bed.key_path().with_file_name(".leyden-a1b2c3.tmp");
            std::fs::write(part, "leyden-key-1-aaaa").unwrap();
        }),
        ("key file", |bed| {
            Key::generate().unwrap().write_new(bed.key_path()).unwrap()
        }),
        ("key file and an empty database", |bed| {
            Key::generate().unwrap().write_new(bed.key_path()).unwrap();
            files::make_folder(bed.path().parent().unwrap()).unwrap();
            files::make_private(&files::with_suffix(&bed.path(), ".new")).unwrap();
        }),
        ("key file and half a database with its journal", |bed| {
            Key::generate().unwrap().write_new(bed.key_path()).unwrap();
            files::make_folder(bed.path().parent().unwrap()).unwrap();
            for suffix in [".new", ".new-journal", ".new-wal", ".new-shm"] {
                std::fs::write(files::with_suffix(&bed.path(), suffix), [7; 5000]).unwrap();
            }
        }),
    ];
    for (state, leave) in states {
        let bed = Bed::new();
        leave(&bed);
        let key = std::fs::read(bed.key_path()).ok();
        let opened = bed
            .options()
            .open_or_create(bed.path(), bed.key_path())
            .unwrap();
        assert_eq!(
            (opened.made_store, opened.made_key),
            (true, key.is_none()),
            "{state}"
        );
        if let Some(key) = key {
            assert_eq!(std::fs::read(bed.key_path()).unwrap(), key, "{state}");
        }
        opened
            .store
            .create_secret(&name("token"), value("x"))
            .unwrap();
        drop(opened);
        assert_eq!(
            get(&bed.open().unwrap(), "token", None).unwrap(),
            b"x",
            "{state}"
        );
        let left = |suffix| files::with_suffix(&bed.path(), suffix).exists();
        assert!(
            !left(".new") && !left(".new-journal") && !left(".new-wal"),
            "{state}"
        );
    }
}

#[test]
fn a_new_key_is_never_made_for_a_store_that_is_there() {
    let bed = Bed::new();
    drop(bed.make());
    std::fs::remove_file(bed.key_path()).unwrap();
    let opened = bed.options().open_or_create(bed.path(), bed.key_path());
    assert!(matches!(opened, Err(StoreError::MissingKey { .. })));
    assert!(!bed.key_path().exists());
}

#[test]
fn a_bad_key_file_makes_no_store() {
    let bed = Bed::new();
    files::make_folder(bed.key_path().parent().unwrap()).unwrap();
    files::make_private(&bed.key_path()).unwrap();
    let opened = bed.options().open_or_create(bed.path(), bed.key_path());
    assert!(matches!(
        opened,
        Err(StoreError::KeyFile {
            problem: KeyFileProblem::Empty,
            ..
        })
    ));
    assert!(!bed.path().exists());
}

#[test]
fn a_store_is_not_made_over_another() {
    let bed = Bed::new();
    drop(bed.make());
    let before = bed.bytes();
    let made = bed.options().create(bed.path(), Key::generate().unwrap());
    assert!(matches!(made, Err(StoreError::StoreExists { .. })));
    assert_eq!(bed.bytes(), before);
}

#[test]
fn a_key_file_is_not_written_over_another() {
    let bed = Bed::new();
    drop(bed.make());
    let before = std::fs::read(bed.key_path()).unwrap();
    assert!(Key::generate().unwrap().write_new(bed.key_path()).is_err());
    assert_eq!(std::fs::read(bed.key_path()).unwrap(), before);
}

#[test]
fn threads_that_use_it_first_make_one_store_and_one_key() {
    let bed = Bed::new();
    let made: Vec<_> = std::thread::scope(|scope| {
        let open = || {
            bed.options()
                .open_or_create(bed.path(), bed.key_path())
                .unwrap()
        };
        let threads: Vec<_> = (0..6).map(|_| scope.spawn(open)).collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    assert_eq!(made.iter().filter(|opened| opened.made_store).count(), 1);
    assert_eq!(made.iter().filter(|opened| opened.made_key).count(), 1);
}

#[test]
fn opening_makes_nothing() {
    let bed = Bed::new();
    let opened = bed.options().open(bed.path(), Key::generate().unwrap());
    assert!(matches!(opened, Err(StoreError::MissingStore { .. })));
    assert!(bed.files().is_empty());
    files::make_folder(bed.path().parent().unwrap()).unwrap();
    let opened = bed.options().open(bed.path(), Key::generate().unwrap());
    assert!(matches!(opened, Err(StoreError::MissingStore { .. })));
    assert!(bed.files().is_empty());
}

#[test]
fn a_key_file_under_a_name_of_the_stores_own_is_refused() {
    for suffix in ["", ".new", ".lock", "-wal", "-shm", "-journal"] {
        let bed = Bed::new();
        files::make_folder(bed.path().parent().unwrap()).unwrap();
        let key = files::with_suffix(&bed.path(), suffix);
        let refused = bed.options().open_or_create(bed.path(), &key);
        assert!(
            matches!(refused, Err(StoreError::Permission { .. })),
            "{suffix}: {refused:?}"
        );
        assert!(!key.exists(), "{suffix}");
    }
}
