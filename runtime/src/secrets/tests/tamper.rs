//! Whoever writes to the file without a key is noticed: each cell, each row, each table.

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::bed::{Bed, name, passphrase, release, text, value, wanted};
use crate::secrets::*;

/// The tables, with how many columns of each are its key.
const TABLES: [(&str, usize); 7] = [
    ("audit", 1),
    ("head", 1),
    ("header", 1),
    ("kek", 1),
    ("node", 1),
    ("slot", 1),
    ("version", 2),
];

type Table = Vec<Vec<Value>>;

fn rows(connection: &Connection, table: &str) -> Table {
    let mut statement = connection
        .prepare(&format!("SELECT * FROM {table} ORDER BY 1, 2"))
        .unwrap();
    let columns = statement.column_count();
    let row = statement.query_map((), |row| (0..columns).map(|c| row.get(c)).collect());
    row.unwrap().collect::<Result<_, _>>().unwrap()
}

fn put(connection: &mut Connection, table: &str, rows: &Table) {
    let transaction = connection.transaction().unwrap();
    transaction
        .execute(&format!("DELETE FROM {table}"), ())
        .unwrap();
    for row in rows {
        let places = vec!["?"; row.len()].join(", ");
        let sql = format!("INSERT INTO {table} VALUES ({places})");
        transaction.execute(&sql, params_from_iter(row)).unwrap();
    }
    transaction.commit().unwrap();
}

/// A small store with every kind of row, and a copy of it from before the last changes.
struct Sample {
    bed: Bed,
    older: Vec<Table>,
    tables: Vec<Table>,
    bytes: Vec<u8>,
    state: Vec<(std::path::PathBuf, Vec<u8>)>,
}

const SECRETS: [&str; 4] = ["alpha", "beta", "gamma", "delta"];

impl Sample {
    fn new() -> Self {
        Self::changed_by(|store| {
            store.set_secret(&name("alpha"), value("second")).unwrap();
            store.set_secret(&name("beta"), value("second")).unwrap();
            store.delete(&name("delta")).unwrap();
            store
                .create_secret(&name("epsilon"), value("first"))
                .unwrap();
            store.add_slot("other", &Key::generate().unwrap()).unwrap();
        })
    }

    fn changed_by(change: impl FnOnce(&SecretStore)) -> Self {
        let bed = Bed::new();
        let store = bed.make();
        store
            .add_slot("spare", &passphrase("correct horse"))
            .unwrap();
        for secret in SECRETS {
            store.create_secret(&name(secret), value("first")).unwrap();
        }
        let older = TABLES
            .map(|(table, _)| rows(&bed.attacker(), table))
            .to_vec();
        change(&store);
        drop(store);
        let tables = TABLES
            .map(|(table, _)| rows(&bed.attacker(), table))
            .to_vec();
        let bytes = bed.bytes();
        let state = std::fs::read_dir(bed.state_dir())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .map(|path| (path.clone(), std::fs::read(path).unwrap()))
            .collect();
        Self {
            bed,
            older,
            tables,
            bytes,
            state,
        }
    }

    fn must_notice(&self, what: &str, table: &'static str, changed: &Table, releases: bool) {
        self.must_notice_all(what, &[(table, changed)], releases);
    }

    /// What is true of the store after each change: verifying it fails, and what it releases, if
    /// anything, is what was put in.
    fn must_notice_all(&self, what: &str, changed: &[(&'static str, &Table)], releases: bool) {
        self.bed.put_back(&self.bytes);
        for (path, bytes) in &self.state {
            std::fs::write(path, bytes).unwrap();
        }
        let mut attacker = self.bed.attacker();
        attacker.execute_batch("PRAGMA synchronous = OFF").unwrap();
        for (table, rows) in changed {
            put(&mut attacker, table, rows);
        }
        drop(attacker);
        let Ok(store) = self.bed.open() else {
            return;
        };
        let table: Vec<_> = changed.iter().map(|(table, _)| table).collect();
        let verified = store.verify();
        assert!(verified.is_err(), "{table:?}: {what} was not noticed");
        if releases {
            for (secret, expected) in [("alpha", "second"), ("gamma", "first")] {
                if let Ok(released) = release(&store, &[wanted(secret, None)]) {
                    assert_eq!(
                        text(&released[0].value),
                        expected.as_bytes(),
                        "{table:?}: {what}"
                    );
                }
            }
            assert!(
                release(&store, &[wanted("delta", None)]).is_err(),
                "{table:?}: {what}"
            );
            assert!(
                release(&store, &[wanted("nothing", None)]).is_err(),
                "{table:?}: {what}"
            );
        }
    }

    fn each(&self) -> impl Iterator<Item = (&'static str, usize, &Table, &Table)> {
        TABLES
            .into_iter()
            .zip(self.tables.iter().zip(&self.older))
            .map(|((table, keys), (rows, older))| (table, keys, rows, older))
    }
}

/// The value with one bit changed, for each of its bytes.
fn flips(value: &Value) -> Vec<Value> {
    match value {
        Value::Integer(number) => {
            vec![Value::Integer(number ^ 1), Value::Integer(number ^ 1 << 40)]
        }
        Value::Text(text) => (0..text.len())
            .map(|at| {
                let mut bytes = text.clone().into_bytes();
                bytes[at] ^= 1;
                Value::Text(String::from_utf8(bytes).unwrap())
            })
            .collect(),
        Value::Blob(bytes) => (0..bytes.len())
            .map(|at| {
                let mut bytes = bytes.clone();
                bytes[at] ^= 1 << (at % 8);
                Value::Blob(bytes)
            })
            .chain((!bytes.is_empty()).then(|| Value::Blob(bytes[1..].to_vec())))
            .chain([Value::Blob([&bytes[..], &[0]].concat())])
            .collect(),
        other => panic!("no store holds {other:?}"),
    }
}

#[test]
fn g6_an_untouched_store_verifies() {
    let sample = Sample::new();
    let verified = sample.bed.open().unwrap().verify().unwrap();
    assert_eq!((verified.secrets, verified.versions), (5, 7));
    assert!(sample.tables.iter().all(|rows| !rows.is_empty()));
}

#[test]
fn g6_a_flipped_bit_in_any_cell_is_noticed() {
    // Each table has a store and a thread of its own: there are thousands of bytes.
    std::thread::scope(|scope| {
        for (table, _) in TABLES {
            scope.spawn(move || flip_each_byte(table));
        }
    });
}

fn flip_each_byte(flipped_table: &str) {
    let sample = Sample::new();
    let mut flipped_cells = 0;
    for (table, keys, rows, _) in sample.each().filter(|(table, ..)| *table == flipped_table) {
        let cells = |row: usize| (0..rows[row].len()).map(move |column| (row, column));
        for (row, column) in (0..rows.len()).flat_map(cells) {
            // The header's `id` can only be 1: SQLite refuses another.
            if (table, column) == ("header", 0) {
                continue;
            }
            for (byte, flipped) in flips(&rows[row][column]).into_iter().enumerate() {
                let mut changed = rows.clone();
                changed[row][column] = flipped;
                // A flipped key may be that of another row: SQLite refuses it.
                let key = &changed[row][..keys];
                if changed.iter().filter(|row| row[..keys] == *key).count() == 1 {
                    flipped_cells += 1;
                    let what = format!("a bit of row {row}, column {column}");
                    // A release waits for the disk: one byte of a cell in 64.
                    sample.must_notice(&what, table, &changed, byte % 64 == 0);
                }
            }
        }
    }
    assert!(flipped_cells > 50, "{flipped_table}");
}

#[test]
fn g6_removed_rows_are_noticed() {
    let sample = Sample::new();
    for (table, _, rows, _) in sample.each() {
        for row in 0..rows.len() {
            let mut changed = rows.clone();
            changed.remove(row);
            sample.must_notice(&format!("the removal of row {row}"), table, &changed, true);
        }
        sample.must_notice("the removal of all rows", table, &Vec::new(), true);
    }
}

#[test]
fn g6_inserted_rows_are_noticed() {
    let sample = Sample::new();
    for (table, _, rows, _) in sample.each().filter(|(table, ..)| *table != "header") {
        for (row, cells) in rows.iter().enumerate() {
            let mut inserted = cells.clone();
            // A key that no row has: a node's path may well be that of its neighbour and one digit.
            while rows.iter().any(|row| row[0] == inserted[0]) {
                inserted[0] = match &inserted[0] {
                    Value::Integer(_) => Value::Integer(1000),
                    Value::Text(text) => Value::Text(format!("{text}0")),
                    Value::Blob(_) => Value::Blob(vec![9; 32]),
                    other => panic!("no key is {other:?}"),
                };
            }
            let mut changed = rows.clone();
            changed.push(inserted);
            sample.must_notice(&format!("a copy of row {row}"), table, &changed, true);
        }
    }
}

#[test]
fn g6_swapped_rows_and_cells_are_noticed() {
    let sample = Sample::new();
    for (table, keys, rows, _) in sample.each() {
        for (a, b) in (0..rows.len()).flat_map(|a| (0..a).map(move |b| (a, b))) {
            let columns = keys..rows[a].len();
            let alone = columns.clone().map(|column| column..column + 1);
            for columns in alone.chain([columns.clone()]) {
                let mut changed = rows.clone();
                for column in columns.clone() {
                    let cell = changed[a][column].clone();
                    changed[a][column] = std::mem::replace(&mut changed[b][column], cell);
                }
                if changed != *rows {
                    let what = format!("swapping rows {a} and {b} in columns {columns:?}");
                    sample.must_notice(&what, table, &changed, true);
                }
            }
        }
    }
}

#[test]
fn g6_replayed_rows_and_tables_are_noticed() {
    let sample = Sample::new();
    let mut replayed = 0;
    for (table, keys, rows, older) in sample.each() {
        for old in older {
            let mut changed = rows.clone();
            for row in &mut changed {
                if row[..keys] == old[..keys] {
                    row.clone_from(old);
                }
            }
            if changed != *rows {
                replayed += 1;
                sample.must_notice("an older row", table, &changed, true);
            }
        }
        if older != rows {
            sample.must_notice("the older table", table, older, true);
        }
    }
    assert!(replayed >= 5, "the header, heads and nodes have changed");
}

#[test]
fn g6_rows_that_were_deleted_are_noticed_when_they_are_put_back() {
    let sample = Sample::changed_by(|store| {
        let keep = VersionOptions {
            keep: Some(1),
            ..VersionOptions::default()
        };
        store
            .set_secret_with(&name("alpha"), value("second"), &keep)
            .unwrap();
        store.destroy(&name("delta")).unwrap();
        store.remove_slot("spare").unwrap();
        store.rotate_kek(|_, _| {}).unwrap();
        store.audit_prune(Timestamp::MAX).unwrap();
    });
    let mut all = Vec::new();
    let mut put_back = Vec::new();
    for (table, keys, rows, older) in sample.each() {
        let is_gone = |old: &&Vec<Value>| !rows.iter().any(|row| row[..keys] == old[..keys]);
        for old in older.iter().filter(is_gone) {
            put_back.push(table);
            let changed = [&rows[..], std::slice::from_ref(old)].concat();
            sample.must_notice("a row that was deleted", table, &changed, true);
        }
        // The rows that are there still as they were, and the others again.
        let new = rows
            .iter()
            .filter(|row| !older.iter().any(|old| old[..keys] == row[..keys]));
        all.push((table, older.iter().chain(new).cloned().collect::<Table>()));
    }
    for table in ["audit", "kek", "slot", "version"] {
        assert!(put_back.contains(&table), "{table}");
    }
    // With what else was changed by deleting them, in whatever choice of tables.
    for choice in 1..1_u32 << TABLES.len() {
        let chosen = all
            .iter()
            .enumerate()
            .filter(|(at, _)| choice >> at & 1 == 1);
        let chosen: Vec<_> = chosen.map(|(_, (table, rows))| (*table, rows)).collect();
        if chosen.iter().any(|(table, _)| put_back.contains(table)) {
            sample.must_notice_all("deleted rows together", &chosen, true);
        }
    }
}

#[test]
fn g6_a_pruned_log_that_is_put_back_whole_is_noticed() {
    let bed = Bed::new();
    let mut store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    let pruned = rows(&bed.attacker(), "audit");
    let count = store.audit_prune(Timestamp::MAX).unwrap();
    let kept = rows(&bed.attacker(), "audit").split_off(1);
    // All MACs fit, as they did.
    put(
        &mut bed.attacker(),
        "audit",
        &[&pruned[..], &kept[..]].concat(),
    );
    assert_eq!((count, pruned.len() as u64), (3, 3));
    for error in [
        store.audit_verify().unwrap_err(),
        store.verify().unwrap_err(),
        store.audit_prune(Timestamp::MAX).unwrap_err(),
        store.rotate_root(&[bed.key()]).unwrap_err(),
    ] {
        let told = error.to_string();
        assert!(told.contains("broken at record 1: it was pruned"), "{told}");
    }
}

#[test]
fn g6_any_choice_of_tables_replayed_together_is_noticed() {
    let sample = Sample::new();
    for choice in 1..1_u32 << TABLES.len() {
        let chosen = sample
            .each()
            .enumerate()
            .filter(|(at, _)| choice >> at & 1 == 1);
        let older: Vec<_> = chosen
            .map(|(_, (table, _, _, older))| (table, older))
            .collect();
        let changes = sample.each().any(|(table, _, rows, old)| {
            old != rows && older.iter().any(|(chosen, _)| *chosen == table)
        });
        if changes {
            sample.must_notice_all("the older tables together", &older, true);
        }
    }
}

#[test]
fn g6_a_version_that_was_set_in_a_copy_of_the_store_is_noticed() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("first")).unwrap();
    drop(store);
    let copy = bed.bytes();
    bed.options()
        .state_dir(bed.folder.path().join("elsewhere"))
        .open(bed.path(), bed.key())
        .unwrap()
        .set_secret(&name("token"), value("theirs"))
        .unwrap();
    // Sealed for the same store, name and version, under the same KEK.
    let theirs = rows(&bed.attacker(), "version");
    bed.put_back(&copy);
    let store = bed.open().unwrap();
    store.set_secret(&name("token"), value("ours")).unwrap();
    put(&mut bed.attacker(), "version", &theirs);
    let refused = release(&store, &[wanted("token", None)]);
    assert!(
        matches!(refused, Err(StoreError::Refused { .. })),
        "{refused:?}"
    );
}

#[test]
fn g6_a_secret_put_under_another_name_is_noticed() {
    let bed = Bed::new();
    let store = bed.make();
    store
        .create_secret(&name("cheap"), value("attacker's"))
        .unwrap();
    store
        .create_secret(&name("dear"), value("victim's"))
        .unwrap();
    let attacker = bed.attacker();
    // The sealed value of one version of a secret under the row of another.
    attacker
        .execute(
            "UPDATE version SET (kek, dek, value) = (SELECT kek, dek, value FROM version WHERE rowid = 1) WHERE rowid = 2",
            (),
        )
        .unwrap();
    let Err(StoreError::Refused { refusals }) = release(&store, &[wanted("dear", None)]) else {
        panic!("released");
    };
    assert!(matches!(
        refusals[0].reason,
        RefusalReason::Undecryptable { .. }
    ));
    assert!(matches!(store.verify(), Err(StoreError::Tampered { .. })));
    assert_eq!(
        text(&release(&store, &[wanted("cheap", None)]).unwrap()[0].value),
        b"attacker's"
    );
}

#[test]
fn g6_audit_verify_names_the_first_broken_record() {
    for (sql, broken) in [
        (
            "UPDATE audit SET body = replace(body, 'alpha', 'omega') WHERE sequence = 4",
            4,
        ),
        ("DELETE FROM audit WHERE sequence = 5", 5),
        ("DELETE FROM audit WHERE sequence >= 6", 6),
        ("UPDATE audit SET mac = zeroblob(32) WHERE sequence = 3", 3),
        (
            "INSERT INTO audit SELECT 8, body, mac FROM audit WHERE sequence = 7",
            8,
        ),
    ] {
        let bed = Bed::new();
        let store = bed.make();
        for secret in ["one", "alpha", "three", "four", "five"] {
            store.create_secret(&name(secret), value("x")).unwrap();
        }
        assert_eq!(store.audit_verify().unwrap(), 7);
        bed.attacker().execute(sql, ()).unwrap();
        // This machine knows the end of the chain already: another one verifies all of it.
        std::fs::remove_dir_all(bed.state_dir()).unwrap();
        let store = bed.open().unwrap();
        match store.audit_verify() {
            Err(StoreError::AuditBroken { sequence, .. }) => assert_eq!(sequence, broken, "{sql}"),
            other => panic!("{sql}: {other:?}"),
        }
        assert!(store.audit_list(&AuditFilter::default()).is_err(), "{sql}");
    }
}

#[test]
fn g6_triggers_views_and_other_tables_are_refused() {
    for sql in [
        "CREATE TRIGGER t AFTER INSERT ON audit BEGIN DELETE FROM audit; END",
        "CREATE VIEW v AS SELECT * FROM head",
        "CREATE TABLE extra (x)",
        "CREATE INDEX i ON version (kek)",
        "DROP TABLE node",
        "ALTER TABLE slot RENAME COLUMN public TO published",
    ] {
        let bed = Bed::new();
        drop(bed.make());
        bed.attacker().execute_batch(sql).unwrap();
        assert!(
            matches!(bed.open(), Err(StoreError::Tampered { .. })),
            "{sql}"
        );
    }
}
