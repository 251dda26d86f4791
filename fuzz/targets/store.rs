//! A store that was changed at some places: opened and read without a panic, or refused.
#![no_main]

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::{fs, process};

use leyden_fuzz::secrets::{AuditFilter, Key, SecretValue, StoreOptions};
use libfuzzer_sys::fuzz_target;

struct Made {
    folder: PathBuf,
    bytes: Vec<u8>,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("leyden-fuzz-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let key = folder.join("key");
    Key::generate().unwrap().write_new(&key).unwrap();
    let store = StoreOptions::new()
        .state_dir(folder.join("state"))
        .create(folder.join("store.db"), Key::from_file(&key).unwrap())
        .unwrap();
    for name in ["a", "b", "c"] {
        let value = SecretValue::new(name.into()).unwrap();
        store.create_secret(&name.parse().unwrap(), value).unwrap();
    }
    drop(store);
    let connection = rusqlite::Connection::open(folder.join("store.db")).unwrap();
    let whole = "PRAGMA wal_checkpoint(TRUNCATE)";
    connection.query_row(whole, (), |_| Ok(())).unwrap();
    drop(connection);
    let bytes = fs::read(folder.join("store.db")).unwrap();
    Made { folder, bytes }
});

// Each three bytes change one byte of the store.
fuzz_target!(|changes: &[u8]| {
    let mut bytes = MADE.bytes.clone();
    for change in changes.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([change[0], change[1]])) % bytes.len();
        bytes[at] ^= change[2];
    }
    let store = MADE.folder.join("changed.db");
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(MADE.folder.join(format!("changed.db{ending}")));
    }
    fs::write(&store, &bytes).unwrap();
    // A file that others can open is refused before it is looked at.
    fs::set_permissions(&store, fs::Permissions::from_mode(0o600)).unwrap();
    let key = Key::from_file(MADE.folder.join("key")).unwrap();
    let options = StoreOptions::new().state_dir(MADE.folder.join("state-of-changed"));
    let opened = options.open(&store, key);
    assert!(opened.is_ok() || bytes != MADE.bytes, "{opened:?}");
    if let Ok(store) = opened {
        let _ = store.list();
        let _ = store.audit_list(&AuditFilter::default());
        let _ = store.verify();
    }
});
