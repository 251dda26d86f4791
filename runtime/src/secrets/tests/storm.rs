//! kill -9 storms and full disks: nothing that was acknowledged is lost, and the store opens.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Child;
use std::time::Duration;

use super::bed::{Bed, get, name, value};
use super::process::{lines, start};
use crate::app::Digest;
use crate::secrets::{Grantee, SecretStore};

/// Rounds of four kills each; `LEYDEN_STORM` asks for more.
fn rounds() -> u64 {
    let asked = std::env::var("LEYDEN_STORM").ok();
    asked.and_then(|asked| asked.parse().ok()).unwrap_or(50)
}

#[test]
fn g8_a_storm_of_kills_over_all_writers_loses_nothing_that_was_acknowledged() {
    let bed = Bed::new();
    drop(bed.make());
    let mut acknowledged = BTreeMap::new();
    for round in 0..rounds() {
        // Four processes at once, killed one after the other, whatever they are doing.
        let tasks = [
            format!("endless {round}"),
            "rekey x".into(),
            format!("import {round}"),
            format!("backup {round}"),
        ];
        let mut children: Vec<Child> = tasks
            .iter()
            .map(|task| start(task, bed.folder.path()))
            .collect();
        // Each process starts with opening the store; after that it is in the midst of writing.
        std::thread::sleep(Duration::from_millis(40 + 37 * (round % 11)));
        children.rotate_left(round as usize % 4);
        for child in &mut children {
            // None ends by itself: an alarm that is false, or an error, would end it.
            assert!(child.try_wait().unwrap().is_none());
            child.kill().unwrap();
            // What was printed before the kill is in the pipe.
            for secret in lines(child, "acknowledged ") {
                acknowledged.insert(secret.clone(), secret);
            }
            child.wait().unwrap();
        }
        let store = bed.open().unwrap();
        store.verify().unwrap();
    }
    // Of single secrets, and of imports.
    for kind in ["s-", "i-"] {
        assert!(acknowledged.keys().any(|name| name.starts_with(kind)));
    }
    let store = bed.open().unwrap();
    assert!(store.keks().unwrap().last().unwrap().version > 1);
    for (secret, text) in acknowledged {
        assert_eq!(get(&store, &secret, None).unwrap(), text.as_bytes());
    }
    // A rotation that was killed goes on.
    store.rotate_kek(|_, _| {}).unwrap();
    store.verify().unwrap();
    let is_backup = |file: &&PathBuf| file.extension().is_some_and(|e| e == "backup");
    let files = bed.files();
    let backups: Vec<_> = files.iter().filter(is_backup).collect();
    assert!(!backups.is_empty());
    for backup in backups {
        let copy = Bed::new();
        let options = copy.options();
        options.restore(backup, copy.path(), &bed.key()).unwrap();
    }
}

#[test]
fn g8_a_full_disk_gives_an_error_and_loses_nothing_whatever_is_done() {
    for what in [
        "create", "set", "grant", "import", "rotate", "root", "backup", "restore", "prune",
    ] {
        let bed = Bed::new();
        let store = bed.make();
        // A database that is larger than some of the limits.
        let first = "first".repeat(10_000);
        store.create_secret(&name("first"), value(&first)).unwrap();
        store
            .backup(bed.folder.path().join("first.backup"))
            .unwrap();
        drop(store);
        // The limit is on the size of each file, in KiB: from too little for the log to enough.
        let (mut refused, mut done) = (0, 0);
        for limit in [16, 48, 96, 160, 240, 4096] {
            let mut child = start(&format!("full {what} {limit}"), bed.folder.path());
            let mut acknowledged = Vec::new();
            for line in lines(&mut child, "") {
                match line.split_once(' ') {
                    Some(("acknowledged", secret)) => acknowledged.push(secret.to_owned()),
                    Some(("refused", error)) => {
                        let told = error.contains("store.db") || error.contains(".backup");
                        assert!(told, "{what}: {error}");
                        refused += 1;
                    }
                    _ => {}
                }
            }
            assert!(child.wait().unwrap().success(), "{what}");
            done += acknowledged.len();
            let store = bed.open().unwrap();
            store.verify().unwrap();
            assert_eq!(get(&store, "first", Some(1)).unwrap(), first.as_bytes());
            for secret in acknowledged {
                assert!(is_there(&bed, &store, what, &secret), "{secret}");
            }
            let is_part = |file: &PathBuf| {
                let name = file.file_name().unwrap().to_string_lossy();
                name.ends_with(".tmp") || name.contains(".restored")
            };
            assert!(
                !bed.files().iter().any(is_part),
                "{what}: {:?}",
                bed.files()
            );
        }
        assert!(refused > 0 && done > 0, "{what}: {refused} {done}");
    }
}

/// Whether what was acknowledged is in the store.
fn is_there(bed: &Bed, store: &SecretStore, what: &str, secret: &str) -> bool {
    let is_value = |name, version| get(store, name, version) == Some(secret.as_bytes().to_vec());
    let first = || store.show(&name("first")).unwrap();
    match what {
        "create" => is_value(secret, None),
        "import" => is_value(secret, None) && get(store, &format!("{secret}-b"), None).is_some(),
        "set" => {
            let versions = first().versions;
            let mut numbers = versions.iter().map(|version| version.version.get());
            numbers.any(|version| is_value("first", Some(version)))
        }
        "grant" => {
            let to = Grantee::App(Digest::of(secret.as_bytes()));
            first().grants.iter().any(|grant| grant.to == to)
        }
        "backup" => {
            let (copy, backup) = (
                Bed::new(),
                bed.folder.path().join(format!("{secret}.backup")),
            );
            let restored = copy.options().restore(backup, copy.path(), &bed.key());
            restored.is_ok()
        }
        // That it verifies is all.
        _ => true,
    }
}
