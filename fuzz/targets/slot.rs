//! A key slot of a store that somebody else wrote: what is read before any key is verified.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use leyden_fuzz::secrets::{Argon2Cost, Key, StoreOptions};
use libfuzzer_sys::fuzz_target;
use rusqlite::Connection;
use tempfile::TempDir;

struct Made {
    folder: TempDir,
    keys: [Key; 3],
    attacker: Connection,
}

impl Made {
    fn options(&self) -> StoreOptions {
        let cost = Argon2Cost {
            memory_kib: 8,
            passes: 1,
            lanes: 1,
        };
        StoreOptions::new()
            .state_dir(self.folder.path().join("state"))
            .argon2(cost)
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("store.db")
    }
}

static MADE: LazyLock<std::sync::Mutex<Made>> = LazyLock::new(|| {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("store.db");
    let keys = [
        Key::generate().unwrap(),
        Key::from_passphrase(String::from("correct horse").into()),
        Key::generate_recovery().unwrap().0,
    ];
    let made = Made {
        folder,
        keys,
        attacker: Connection::open_in_memory().unwrap(),
    };
    let store = made.options().create(&path, &made.keys[0]).unwrap();
    store.add_slot("b", &made.keys[1]).unwrap();
    store.add_slot("c", &made.keys[2]).unwrap();
    drop(store);
    let attacker = Connection::open(path).unwrap();
    attacker.execute_batch("PRAGMA synchronous = OFF").unwrap();
    std::sync::Mutex::new(Made { attacker, ..made })
});

// The label, the public part and the sealed key, with a NUL between them.
fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == 0);
    let mut text = || String::from_utf8_lossy(parts.next().unwrap_or_default()).into_owned();
    let (label, public) = (text(), text());
    let sealed = parts.next().unwrap_or_default();
    // What a slot may cost is bounded far above what a fuzzer has time and memory for.
    let digits = |text: &str| {
        text.split(|c: char| !c.is_ascii_digit())
            .any(|run| run.len() > 2)
    };
    if public.contains("passphrase") && digits(public.split("salt").next().unwrap_or_default()) {
        return;
    }
    let made = MADE.lock().unwrap();
    let row = (&label, &public, sealed);
    let sql = "DELETE FROM slot WHERE label NOT IN ('key-file', 'b', 'c')";
    made.attacker.execute(sql, ()).unwrap();
    let sql = "INSERT OR IGNORE INTO slot VALUES (?, ?, ?)";
    made.attacker.execute(sql, row).unwrap();
    for key in &made.keys {
        // A slot that was put in is noticed, whatever it is.
        assert!(made.options().open(made.store(), key).is_err() || made.attacker.changes() == 0);
    }
});
