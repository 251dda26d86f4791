//! Files and folders that are not as they must be: each refused, by its own error.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use super::bed::{Bed, name, value};
use crate::secrets::*;

fn chmod(path: &Path, mode: u32) {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn a_store_that_others_may_open_is_refused_with_what_mends_it() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    drop(store);
    for suffix in ["", "-wal", "-shm"] {
        let path = files::with_suffix(&bed.path(), suffix);
        for mode in [0o640, 0o604, 0o620, 0o666] {
            chmod(&path, mode);
            let error = bed.open().unwrap_err();
            assert!(
                matches!(error, StoreError::Permission { .. }),
                "{suffix} {mode:o} {error}"
            );
            let remedy = format!("chmod 600 {}", path.display());
            assert!(error.to_string().contains(&remedy), "{error}");
        }
        chmod(&path, 0o600);
    }
    let folder = bed.path().parent().unwrap().to_owned();
    chmod(&folder, 0o770);
    assert!(matches!(bed.open(), Err(StoreError::Permission { .. })));
    chmod(&folder, 0o755);
    assert!(bed.open().is_ok());
}

#[test]
fn a_key_file_that_others_may_open_is_refused_with_what_mends_it() {
    let bed = Bed::new();
    drop(bed.make());
    for mode in [0o640, 0o604, 0o644, 0o660] {
        chmod(&bed.key_path(), mode);
        let error = Key::from_file(bed.key_path()).unwrap_err();
        assert!(error.to_string().contains("chmod 600"), "{error}");
    }
    chmod(&bed.key_path(), 0o400);
    assert!(bed.open().is_ok());
}

#[test]
fn files_of_other_users_are_refused() {
    if !is_root() {
        return;
    }
    for file in [Bed::path, Bed::key_path] {
        let bed = Bed::new();
        drop(bed.make());
        std::os::unix::fs::chown(file(&bed), Some(12345), None).unwrap();
        let error =
            Key::from_file(bed.key_path()).and_then(|key| bed.options().open(bed.path(), key));
        let error = error.unwrap_err().to_string();
        assert!(
            error.contains("belongs to user 12345") && error.contains("chown 0"),
            "{error}"
        );
    }
}

#[test]
fn symbolic_links_are_refused() {
    let bed = Bed::new();
    drop(bed.make());
    for path in [bed.path(), bed.key_path()] {
        let real = files::with_suffix(&path, ".real");
        std::fs::rename(&path, &real).unwrap();
        symlink(&real, &path).unwrap();
        let error =
            Key::from_file(bed.key_path()).and_then(|key| bed.options().open(bed.path(), key));
        let error = error.unwrap_err();
        assert!(error.to_string().contains("symbolic link"), "{error}");
        std::fs::remove_file(&path).unwrap();
        std::fs::rename(&real, &path).unwrap();
    }
    // A link to the folder is the user's own arrangement.
    let link = bed.folder.path().join("link");
    symlink(bed.path().parent().unwrap(), &link).unwrap();
    let store = bed
        .options()
        .open(link.join("store.db"), bed.key())
        .unwrap();
    assert_eq!(store.path(), bed.path().canonicalize().unwrap());
}

#[test]
fn folders_and_pipes_in_the_place_of_files_are_refused_without_waiting() {
    let bed = Bed::new();
    drop(bed.make());
    let pipe = bed.folder.path().join("pipe");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    for path in [pipe.as_path(), bed.folder.path(), Path::new("/dev/null")] {
        let key = Key::from_file(path);
        assert!(matches!(key, Err(StoreError::Permission { .. })), "{key:?}");
        let store = bed.options().open(path, bed.key());
        assert!(
            matches!(store, Err(StoreError::Permission { .. })),
            "{store:?}"
        );
    }
    assert!(Key::from_file("/").is_err());
    assert!(bed.options().open("/", bed.key()).is_err());
    assert!(bed.options().open("", bed.key()).is_err());
    assert!(bed.options().open_or_create("", bed.key_path()).is_err());
}

#[test]
fn files_that_are_no_store_are_refused() {
    let bed = Bed::new();
    let store = bed.make();
    for index in 0..20 {
        store
            .create_secret(&name(&format!("s{index}")), value("x"))
            .unwrap();
    }
    drop(store);
    let good = bed.bytes();
    let refused = |bytes: &[u8], what: &str| {
        bed.put_back(bytes);
        let error = bed.open().unwrap_err();
        let typed = matches!(
            error,
            StoreError::NotAStore { .. } | StoreError::Tampered { .. }
        );
        assert!(typed, "{what}: {error:?}");
    };
    refused(b"", "empty");
    refused(b"x", "one byte");
    refused(&[0; 4096], "zeros");
    refused("text\n".repeat(1000).as_bytes(), "text");
    refused(&good[..50], "part of the header");
    refused(&good[..100], "the header");
    for pages in 1..good.len() / 4096 {
        // Pages that are not looked at to open it are by verifying it.
        bed.put_back(&good[..pages * 4096]);
        assert!(
            bed.open().and_then(|store| store.verify()).is_err(),
            "{pages} pages"
        );
    }
    let other = Bed::new();
    std::fs::create_dir(other.path().parent().unwrap()).unwrap();
    other
        .attacker()
        .execute_batch("CREATE TABLE t (x)")
        .unwrap();
    refused(&std::fs::read(other.path()).unwrap(), "another database");

    // A file of 1 TiB, all of it a hole after a good beginning.
    bed.put_back(&good[..4096]);
    let file = std::fs::OpenOptions::new()
        .write(true)
        .open(bed.path())
        .unwrap();
    if file.set_len(1 << 40).is_ok() {
        drop(file);
        assert!(bed.open().and_then(|store| store.verify()).is_err());
    }
}

#[test]
fn g8_bytes_changed_anywhere_in_the_file_never_panic_and_release_no_other_value() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    drop(store);
    let good = bed.bytes();
    for at in (0..good.len()).step_by(41) {
        let mut bad = good.clone();
        bad[at] ^= 0x55;
        bed.put_back(&bad);
        let Ok(store) = bed.open() else {
            continue;
        };
        if let Some(value) = super::bed::get(&store, "token", None) {
            assert_eq!(value, b"x", "byte {at}");
        }
        let _ = (
            store.verify(),
            store.list(),
            store.audit_list(&AuditFilter::default()),
        );
    }
}

#[test]
fn rows_too_long_for_any_store_are_not_read() {
    for sql in [
        "UPDATE head SET body = printf('%.*c', 200000000, 'x')",
        "UPDATE slot SET public = printf('%.*c', 200000000, 'x')",
        "UPDATE header SET audit_mac = zeroblob(200000000)",
    ] {
        let bed = Bed::new();
        bed.make()
            .create_secret(&name("token"), value("x"))
            .unwrap();
        bed.attacker().execute_batch(sql).unwrap();
        let listed = bed.open().and_then(|store| store.list());
        assert!(
            matches!(listed, Err(StoreError::Tampered { .. })),
            "{sql}: {listed:?}"
        );
    }
}

#[test]
fn other_formats_are_refused_with_what_to_do() {
    let bed = Bed::new();
    drop(bed.make());
    bed.attacker()
        .execute_batch("PRAGMA user_version = 2")
        .unwrap();
    let error = bed.open().unwrap_err();
    assert!(matches!(
        error,
        StoreError::TooNew {
            found: 2,
            supported: 1,
            ..
        }
    ));
    bed.attacker()
        .execute_batch("PRAGMA user_version = 0")
        .unwrap();
    let error = bed.open().unwrap_err();
    assert!(matches!(
        error,
        StoreError::TooOld {
            found: 0,
            supported: 1,
            ..
        }
    ));
    assert!(error.to_string().contains("store upgrade"));
}

#[test]
fn the_database_is_set_as_it_must_be() {
    let bed = Bed::new();
    let store = bed.make();
    let connection = store.connection.lock().unwrap();
    let text = |name: &str| -> String {
        connection
            .pragma_query_value(None, name, |row| {
                row.get::<_, rusqlite::types::Value>(0)
                    .map(|value| format!("{value:?}"))
            })
            .unwrap()
    };
    for (setting, expected) in [
        ("journal_mode", r#"Text("wal")"#),
        ("synchronous", "Integer(2)"),
        ("secure_delete", "Integer(1)"),
        ("foreign_keys", "Integer(0)"),
        ("trusted_schema", "Integer(0)"),
        ("busy_timeout", "Integer(30000)"),
    ] {
        assert_eq!(text(setting), expected, "{setting}");
    }
}

#[test]
fn keys_come_through_descriptors_and_pipes() {
    use std::os::fd::AsRawFd;
    let bed = Bed::new();
    drop(bed.make());
    let text = std::fs::read(bed.key_path()).unwrap();
    let file = std::fs::File::open(bed.key_path()).unwrap();
    for folder in ["/dev/fd", "/proc/self/fd"] {
        let key = Key::from_file(format!("{folder}/{}", file.as_raw_fd())).unwrap();
        assert!(bed.options().open(bed.path(), key).is_ok());
        let (reader, mut writer) = std::io::pipe().unwrap();
        std::io::Write::write_all(&mut writer, &text).unwrap();
        drop(writer);
        let path = format!("{folder}/{}", reader.as_raw_fd());
        let opened = bed.options().open_or_create(bed.path(), path).unwrap();
        assert!(!opened.made_store);
    }
    let missing = Key::from_file("/dev/fd/987654");
    assert!(matches!(missing, Err(StoreError::MissingKey { .. })));
    let none = bed.folder.path().join("none/store.db");
    let made = bed.options().open_or_create(none, "/dev/fd/987654");
    assert!(matches!(made, Err(StoreError::MissingKey { .. })));
}

#[test]
fn an_endless_key_file_is_not_read_to_its_end() {
    // Nothing is asked of a descriptor but its first bytes.
    let zero = std::fs::File::open("/dev/zero").unwrap();
    let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&zero));
    assert!(matches!(
        Key::from_file(path),
        Err(StoreError::KeyFile { .. })
    ));
}

#[test]
fn passphrase_files_are_read_without_their_line_end_and_checked_as_key_files_are() {
    let bed = Bed::new();
    let phrase = bed.folder.path().join("phrase");
    let set = |text: &[u8]| {
        std::fs::write(&phrase, text).unwrap();
        chmod(&phrase, 0o600);
        Key::from_passphrase_file(&phrase)
    };
    let made = bed
        .options()
        .create(bed.path(), set(b"correct horse\n").unwrap());
    drop(made.unwrap());
    for (text, opens) in [
        (&b"correct horse"[..], true),
        (b"correct horse\r\n", true),
        (b"correct horse\n\n", false),
        (b" correct horse", false),
    ] {
        let opened = bed.options().open(bed.path(), set(text).unwrap());
        assert_eq!(opened.is_ok(), opens, "{text:?}");
    }
    assert!(set(&[b'x'; 64 * 1024]).is_ok());
    for (text, problem) in [
        (&b"\n"[..], "is empty"),
        (b"\xff", "is not UTF-8"),
        (&[b'x'; 64 * 1024 + 1], "is longer than 64 KiB"),
    ] {
        let error = set(text).unwrap_err();
        assert!(matches!(error, StoreError::PassphraseFile { .. }));
        assert!(error.to_string().ends_with(problem), "{error}");
    }

    drop(set(b"correct horse"));
    let refused = |path: &Path, words: &str| {
        let error = Key::from_passphrase_file(path).unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    };
    chmod(&phrase, 0o640);
    refused(&phrase, "chmod 600");
    chmod(&phrase, 0o600);
    let link = bed.folder.path().join("link");
    symlink(&phrase, &link).unwrap();
    refused(&link, "symbolic link");
    refused(bed.folder.path(), "not a regular file");
    refused(&bed.folder.path().join("none"), "is not there");
    if is_root() {
        std::os::unix::fs::chown(&phrase, Some(12345), None).unwrap();
        refused(&phrase, "belongs to user 12345");
    }

    let (reader, mut writer) = std::io::pipe().unwrap();
    std::io::Write::write_all(&mut writer, b"correct horse\n").unwrap();
    drop(writer);
    let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&reader));
    let key = Key::from_passphrase_file(path).unwrap();
    assert!(bed.options().open(bed.path(), key).is_ok());
}
