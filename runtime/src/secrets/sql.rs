//! All the SQL: reading and writing of rows; in `open`, the schema and how a database is opened.

mod open;

pub(super) use open::{FORMAT, connect, copy, give_log, hold, make, make_single};
pub(super) use open::{refuse_backup, shorten_log, slots};

use std::path::Path;

use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, Row, ffi, params};

use super::StoreError;
use super::keys::{Hash, StoreId};

/// The most slots and KEKs there may be.
pub(super) const MAX_SLOTS: usize = 32;
const MAX_KEKS: usize = 1024;

/// The one row of the table `header`.
#[derive(Debug, Clone)]
pub(super) struct HeaderRow {
    pub(super) store: StoreId,
    /// Microseconds since 1970.
    pub(super) created: i64,
    pub(super) generation: u64,
    pub(super) audit_sequence: u64,
    pub(super) audit_mac: Hash,
    pub(super) tree: Hash,
    pub(super) slots: Hash,
    pub(super) keks: Hash,
    pub(super) mac: Hash,
}

/// A key slot: its public part and the root key, sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotRow {
    pub(super) label: String,
    pub(super) public: String,
    pub(super) sealed: Vec<u8>,
}

/// A KEK, sealed under the root key.
#[derive(Debug)]
pub(super) struct KekRow {
    pub(super) version: u32,
    pub(super) created: i64,
    pub(super) sealed: Vec<u8>,
}

/// A version of a secret: its DEK, sealed under a KEK, and its value, sealed under the DEK.
#[derive(Debug)]
pub(super) struct VersionRow {
    pub(super) kek: u32,
    pub(super) dek: Vec<u8>,
    pub(super) value: Vec<u8>,
}

/// An audit record and its link in the chain.
#[derive(Debug)]
pub(super) struct AuditRow {
    pub(super) sequence: u64,
    pub(super) body: String,
    pub(super) mac: Hash,
}

/// The tables of a store, within a transaction of the caller's.
#[derive(Clone, Copy)]
pub(super) struct Tables<'c> {
    pub(super) connection: &'c Connection,
    pub(super) path: &'c Path,
}

impl Tables<'_> {
    /// Something is not what was written there.
    pub(super) fn tampered(&self, what: impl Into<String>) -> StoreError {
        StoreError::Tampered {
            path: self.path.to_owned(),
            what: what.into(),
        }
    }

    /// SQLite's error as ours.
    pub(super) fn error(path: &Path, error: rusqlite::Error) -> StoreError {
        let path = path.to_owned();
        let tampered = |what: &str| StoreError::Tampered {
            path: path.clone(),
            what: what.into(),
        };
        match &error {
            rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::Utf8Error(..) => {
                tampered("a cell holds what is never written there")
            }
            _ => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => StoreError::NotAStore {
                    path,
                    problem: "it is not an SQLite database".into(),
                },
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
                    StoreError::Busy { path }
                }
                Some(ErrorCode::DatabaseCorrupt) => tampered("SQLite finds it malformed"),
                Some(ErrorCode::TooBig) => tampered("a row is longer than any that is written"),
                _ => StoreError::Database {
                    path,
                    source: said_once(&error).into(),
                },
            },
        }
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        |error| Self::error(self.path, error)
    }

    /// Copies the log into the database and empties it, if nobody else is reading or writing.
    pub(super) fn clear_log(&self) -> Result<(), StoreError> {
        self.one("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
            .map(|_| ())
    }

    /// At most `limit` rows.
    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        limit: usize,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed())?;
        let rows = statement.query_map(params, read).map_err(self.failed())?;
        rows.take(limit)
            .collect::<Result<_, _>>()
            .map_err(self.failed())
    }

    /// Hands each row to `each`, which may stop it.
    fn each<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
        mut each: impl FnMut(T) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let mut statement = self.connection.prepare_cached(sql).map_err(self.failed())?;
        for row in statement.query_map(params, read).map_err(self.failed())? {
            if !each(row.map_err(self.failed())?)? {
                break;
            }
        }
        Ok(())
    }

    fn one<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Option<T>, StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.query_row(params, read).optional())
            .map_err(self.failed())
    }

    fn run(&self, sql: &str, params: impl Params) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(sql)
            .and_then(|mut statement| statement.execute(params))
            .map(|_| ())
            .map_err(self.failed())
    }

    pub(super) fn header(&self) -> Result<HeaderRow, StoreError> {
        let sql = "SELECT store, created, generation, audit_sequence, audit_mac, tree, slots, keks, mac FROM header";
        let rows = self.rows(sql, (), 2, |row| {
            Ok(HeaderRow {
                store: row.get(0)?,
                created: row.get(1)?,
                generation: number(row, 2)?,
                audit_sequence: number(row, 3)?,
                audit_mac: row.get(4)?,
                tree: row.get(5)?,
                slots: row.get(6)?,
                keks: row.get(7)?,
                mac: row.get(8)?,
            })
        })?;
        match <[HeaderRow; 1]>::try_from(rows) {
            Ok([header]) => Ok(header),
            Err(_) => Err(self.tampered("it has not exactly one header")),
        }
    }

    pub(super) fn put_header(&self, header: &HeaderRow) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO header VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
            params![
                header.store,
                header.created,
                header.generation.cast_signed(),
                header.audit_sequence.cast_signed(),
                header.audit_mac,
                header.tree,
                header.slots,
                header.keks,
                header.mac
            ],
        )
    }

    /// All slots, by label.
    pub(super) fn slots(&self) -> Result<Vec<SlotRow>, StoreError> {
        let sql = "SELECT label, public, sealed FROM slot ORDER BY label";
        let slots = self.rows(sql, (), MAX_SLOTS + 1, |row| {
            Ok(SlotRow {
                label: row.get(0)?,
                public: row.get(1)?,
                sealed: row.get(2)?,
            })
        })?;
        match slots.len() > MAX_SLOTS {
            true => Err(self.tampered("it has more key slots than a store can have")),
            false => Ok(slots),
        }
    }

    pub(super) fn add_slot(&self, slot: &SlotRow) -> Result<(), StoreError> {
        self.run(
            "INSERT INTO slot VALUES (?1, ?2, ?3)",
            params![slot.label, slot.public, slot.sealed],
        )
    }

    pub(super) fn remove_slot(&self, label: &str) -> Result<(), StoreError> {
        self.run("DELETE FROM slot WHERE label = ?1", [label])
    }

    /// All KEKs, by version.
    pub(super) fn keks(&self) -> Result<Vec<KekRow>, StoreError> {
        let sql = "SELECT version, created, sealed FROM kek ORDER BY version";
        let keks = self.rows(sql, (), MAX_KEKS + 1, |row| {
            Ok(KekRow {
                version: row.get(0)?,
                created: row.get(1)?,
                sealed: row.get(2)?,
            })
        })?;
        match keks.len() > MAX_KEKS {
            true => Err(self.tampered("it has more KEKs than a store can have")),
            false => Ok(keks),
        }
    }

    pub(super) fn add_kek(&self, kek: &KekRow) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO kek VALUES (?1, ?2, ?3)",
            params![kek.version, kek.created, kek.sealed],
        )
    }

    pub(super) fn remove_kek(&self, version: u32) -> Result<(), StoreError> {
        self.run("DELETE FROM kek WHERE version = ?1", [version])
    }

    pub(super) fn node(&self, path: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.one("SELECT body FROM node WHERE path = ?1", [path], |row| {
            row.get(0)
        })
    }

    pub(super) fn put_node(&self, path: &str, body: &[u8]) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO node VALUES (?1, ?2)",
            params![path, body],
        )
    }

    /// Removes all nodes, to build the tree anew.
    pub(super) fn remove_nodes(&self) -> Result<(), StoreError> {
        self.run("DELETE FROM node", ())
    }

    pub(super) fn node_count(&self) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM node")
    }

    pub(super) fn version_count(&self) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM version")
    }

    /// How many versions are under this KEK.
    pub(super) fn versions_under(&self, kek: u32) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM version WHERE kek = ?1";
        Ok(self.one(sql, [kek], |row| number(row, 0))?.unwrap_or(0))
    }

    /// How many versions are not under this KEK.
    pub(super) fn versions_not_under(&self, kek: u32) -> Result<u64, StoreError> {
        let sql = "SELECT count(*) FROM version WHERE kek <> ?1";
        Ok(self.one(sql, [kek], |row| number(row, 0))?.unwrap_or(0))
    }

    fn count(&self, sql: &str) -> Result<u64, StoreError> {
        Ok(self.one(sql, (), |row| number(row, 0))?.unwrap_or(0))
    }

    pub(super) fn head(&self, place: &Hash) -> Result<Option<String>, StoreError> {
        self.one(
            "SELECT body FROM head WHERE place = ?1",
            [&place[..]],
            |row| row.get(0),
        )
    }

    pub(super) fn put_head(&self, place: &Hash, body: &str) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO head VALUES (?1, ?2)",
            params![&place[..], body],
        )
    }

    pub(super) fn remove_head(&self, place: &Hash) -> Result<(), StoreError> {
        self.run("DELETE FROM head WHERE place = ?1", [&place[..]])
    }

    /// At most so many heads' places, in order, after this one.
    pub(super) fn places_after(
        &self,
        place: Option<&Hash>,
        limit: usize,
    ) -> Result<Vec<Hash>, StoreError> {
        let after = place.map_or(&[][..], |place| place);
        let sql = "SELECT place FROM head WHERE place > ?1 ORDER BY place";
        self.rows(sql, [after], limit, |row| row.get(0))
    }

    pub(super) fn head_count(&self) -> Result<u64, StoreError> {
        self.count("SELECT count(*) FROM head")
    }

    /// Hands each head's place and body over.
    pub(super) fn each_head(
        &self,
        mut each: impl FnMut(Hash, String) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
        self.each("SELECT place, body FROM head", (), read, |(place, body)| {
            each(place, body).map(|()| true)
        })
    }

    pub(super) fn version(
        &self,
        place: &Hash,
        number: u32,
    ) -> Result<Option<VersionRow>, StoreError> {
        self.one(
            "SELECT kek, dek, value FROM version WHERE place = ?1 AND number = ?2",
            params![&place[..], number],
            |row| {
                Ok(VersionRow {
                    kek: row.get(0)?,
                    dek: row.get(1)?,
                    value: row.get(2)?,
                })
            },
        )
    }

    pub(super) fn add_version(
        &self,
        place: &Hash,
        number: u32,
        row: &VersionRow,
    ) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO version VALUES (?1, ?2, ?3, ?4, ?5)",
            params![&place[..], number, row.kek, row.dek, row.value],
        )
    }

    pub(super) fn remove_version(&self, place: &Hash, number: u32) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM version WHERE place = ?1 AND number = ?2",
            params![&place[..], number],
        )
    }

    /// Moves all versions of one place to another.
    pub(super) fn move_versions(&self, from: &Hash, to: &Hash) -> Result<(), StoreError> {
        self.run(
            "UPDATE version SET place = ?2 WHERE place = ?1",
            [&from[..], &to[..]],
        )
    }

    pub(super) fn add_audit(&self, row: &AuditRow) -> Result<(), StoreError> {
        self.run(
            "INSERT OR REPLACE INTO audit VALUES (?1, ?2, ?3)",
            params![row.sequence.cast_signed(), row.body, row.mac],
        )
    }

    /// Hands the audit rows after this one over, in order, until `each` returns false.
    pub(super) fn audit_after(
        &self,
        sequence: u64,
        each: impl FnMut(AuditRow) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT sequence, body, mac FROM audit WHERE sequence > ?1 ORDER BY sequence";
        self.each(sql, [sequence.cast_signed()], audit_row, each)
    }

    /// Removes all audit records up to this one.
    pub(super) fn remove_audit_to(&self, sequence: u64) -> Result<(), StoreError> {
        self.run(
            "DELETE FROM audit WHERE sequence <= ?1",
            [sequence.cast_signed()],
        )
    }

    pub(super) fn put_audit_mac(&self, sequence: u64, mac: &Hash) -> Result<(), StoreError> {
        self.run(
            "UPDATE audit SET mac = ?2 WHERE sequence = ?1",
            params![sequence.cast_signed(), &mac[..]],
        )
    }

    /// Hands the audit rows over, newest first, until `each` returns false.
    pub(super) fn audit_backwards(
        &self,
        each: impl FnMut(AuditRow) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let sql = "SELECT sequence, body, mac FROM audit ORDER BY sequence DESC";
        self.each(sql, (), audit_row, each)
    }
}

/// What SQLite says, which rusqlite's error and its source both have in their text; of what cannot be
/// written, what to do: SQLite tells a full disk from the rest, and no more of it.
fn said_once(error: &rusqlite::Error) -> String {
    let rusqlite::Error::SqliteFailure(code, text) = error else {
        return error.to_string();
    };
    let code = code.extended_code;
    let text = match code {
        ffi::SQLITE_FULL => Some("the disk is full; make room there, and try again"),
        _ if is_of_writing(error) => Some(
            "it cannot be written to: lift what stops it, which may be a limit on the size of files \
             (ulimit -f), a quota, or the disk itself, and try again",
        ),
        _ => text.as_deref(),
    };
    text.map_or_else(
        || error.to_string(),
        |text| format!("{text} (SQLite's error {code})"),
    )
}

/// Whether a file could not be written to, or not become as long as it had to.
fn is_of_writing(error: &rusqlite::Error) -> bool {
    const OF_WRITING: [i32; 4] = [
        ffi::SQLITE_FULL,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_TRUNCATE,
        ffi::SQLITE_IOERR_SHMSIZE,
    ];
    let code = error.sqlite_error().map(|error| error.extended_code);
    code.is_some_and(|code| OF_WRITING.contains(&code))
}

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: number(row, 0)?,
        body: row.get(1)?,
        // One of another length fits no record.
        mac: row.get(2).unwrap_or_default(),
    })
}

/// A count: SQLite's integers are signed, and a negative one is never written.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
