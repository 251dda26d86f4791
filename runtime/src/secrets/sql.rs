//! All the SQL: the schema, how a database is opened, and reading and writing of rows.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Params, Row, params};

use super::StoreError;
use super::files;
use super::keys::{Hash, StoreId};

/// The format of the store: the file's `user_version`, and a part of every seal.
pub(super) const FORMAT: u32 = 1;

/// `LEYD`: the file's `application_id`.
const APPLICATION_ID: i64 = 0x4c45_5944;

/// 3.51.3 is the first release without the WAL-reset bug, by which a commit beside a checkpoint
/// could damage a database that several processes write (<https://www.sqlite.org/wal.html>).
const OLDEST_SQLITE: i32 = 3_051_003;

/// The pages in the log beyond which whoever writes first copies them into the database and begins
/// the log anew.
const LONG_LOG: u64 = 64;

/// The size in bytes beyond which it is cut off, too: 4 MiB.
const LONGEST_LOG: u64 = 4 * 1024 * 1024;

/// The longest row: a value of 1 MiB, or the head of a secret with the most versions, fits twice.
const LONGEST_ROW: i32 = 4 * 1024 * 1024;

/// The most slots and KEKs there may be.
pub(super) const MAX_SLOTS: usize = 32;
const MAX_KEKS: usize = 1024;

/// The tables. A store whose schema differs by a letter is refused.
const SCHEMA: [(&str, &str); 7] = [
    (
        "audit",
        "CREATE TABLE audit (sequence INTEGER PRIMARY KEY, body TEXT NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    (
        "head",
        "CREATE TABLE head (place BLOB PRIMARY KEY, body TEXT NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "header",
        "CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), store BLOB NOT NULL, created INTEGER NOT NULL, generation INTEGER NOT NULL, audit_sequence INTEGER NOT NULL, audit_mac BLOB NOT NULL, tree BLOB NOT NULL, slots BLOB NOT NULL, keks BLOB NOT NULL, mac BLOB NOT NULL) STRICT",
    ),
    (
        "kek",
        "CREATE TABLE kek (version INTEGER PRIMARY KEY, created INTEGER NOT NULL, sealed BLOB NOT NULL) STRICT",
    ),
    (
        "node",
        "CREATE TABLE node (path TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "slot",
        "CREATE TABLE slot (label TEXT PRIMARY KEY, public TEXT NOT NULL, sealed BLOB NOT NULL) STRICT, WITHOUT ROWID",
    ),
    (
        "version",
        "CREATE TABLE version (place BLOB NOT NULL, number INTEGER NOT NULL, kek INTEGER NOT NULL, dek BLOB NOT NULL, value BLOB NOT NULL, PRIMARY KEY (place, number)) STRICT",
    ),
];

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

/// Opens the database of a store, and checks that it is one.
pub(super) fn connect(
    path: &Path,
    busy_timeout: Duration,
    read_only: bool,
) -> Result<Connection, StoreError> {
    let access = match read_only {
        true => OpenFlags::SQLITE_OPEN_READ_ONLY,
        false => OpenFlags::SQLITE_OPEN_READ_WRITE,
    };
    let connection = connect_any(path, busy_timeout, access)?;
    let tables = Tables {
        connection: &connection,
        path,
    };
    let not_ours = |problem: &str| {
        Err(StoreError::NotAStore {
            path: path.to_owned(),
            problem: problem.to_owned(),
        })
    };
    if tables.pragma::<i64>("application_id")? != APPLICATION_ID {
        return not_ours("it is an SQLite database of something else");
    }
    let (found, supported) = (tables.pragma::<i64>("user_version")?, i64::from(FORMAT));
    let path = path.to_owned();
    if found > supported {
        return Err(StoreError::TooNew {
            path,
            found,
            supported,
        });
    }
    if found < supported {
        return Err(StoreError::TooOld {
            path,
            found,
            supported,
        });
    }
    tables.check_schema()?;
    if !read_only && tables.pragma::<String>("journal_mode")? != "wal" {
        tables.set_journal("WAL")?;
    }
    Ok(connection)
}

/// Copies a log that has become long into the database, and begins it anew with what is written
/// next. Where that cannot be done now, because others use the store, somebody else does it later.
///
/// Each command that opens the store alone reads the whole log first, and does not shorten it at
/// its end: without this it would grow with every one of them. It keeps its size, because a file
/// that grows takes the disk longer than one that is written over.
pub(super) fn shorten_log(connection: &Connection, path: &Path, busy_timeout: Duration) {
    let pages = |how| {
        let sql = format!("PRAGMA wal_checkpoint({how})");
        connection.query_row(&sql, (), |row| row.get::<_, i64>(1))
    };
    // SQLite 3.51 and later: how long it is, and nothing else.
    let is_long =
        pages("NOOP").is_ok_and(|pages| u64::try_from(pages).is_ok_and(|of| of > LONG_LOG));
    if is_long && connection.busy_timeout(Duration::ZERO).is_ok() {
        let log = std::fs::metadata(files::with_suffix(path, "-wal"));
        let is_too_long = log.is_ok_and(|log| log.len() > LONGEST_LOG);
        let _ = pages(if is_too_long { "TRUNCATE" } else { "RESTART" });
        let _ = connection.busy_timeout(busy_timeout);
    }
}

/// Opens a database with the settings that every store has.
fn connect_any(
    path: &Path,
    busy_timeout: Duration,
    access: OpenFlags,
) -> Result<Connection, StoreError> {
    if rusqlite::version_number() < OLDEST_SQLITE {
        return Err(StoreError::SqliteTooOld {
            found: rusqlite::version(),
        });
    }
    let failed = |error| Tables::error(path, error);
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    for (setting, on) in [
        // A one-shot command ends without copying the log into the database: the next one may.
        (DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true),
        (DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true),
        (DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, false),
        (DbConfig::SQLITE_DBCONFIG_ENABLE_FKEY, false),
    ] {
        connection.set_db_config(setting, on).map_err(failed)?;
    }
    for (limit, most) in [
        (Limit::SQLITE_LIMIT_LENGTH, LONGEST_ROW),
        (Limit::SQLITE_LIMIT_ATTACHED, 0),
    ] {
        connection.set_limit(limit, most).map_err(failed)?;
    }
    connection
        .execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA secure_delete = ON; PRAGMA cell_size_check = ON;
             PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;",
        )
        .map_err(failed)?;
    Ok(connection)
}

/// The store's identity and its slots: all that can be read before there is a key, and so not
/// verified yet.
pub(super) fn slots(
    connection: &Connection,
    path: &Path,
) -> Result<(StoreId, Vec<SlotRow>), StoreError> {
    let transaction = connection
        .unchecked_transaction()
        .map_err(|error| Tables::error(path, error))?;
    let tables = Tables {
        connection: &transaction,
        path,
    };
    Ok((tables.header()?.store, tables.slots()?))
}

/// Makes a store's database in an empty file: all of it in one transaction, which `fill` ends.
pub(super) fn make(
    path: &Path,
    busy_timeout: Duration,
    fill: impl FnOnce(Tables<'_>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut connection = connect_any(path, busy_timeout, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    let failed = |error| Tables::error(path, error);
    let transaction = connection.transaction().map_err(failed)?;
    for (_, create) in SCHEMA {
        transaction.execute_batch(create).map_err(failed)?;
    }
    transaction
        .execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {FORMAT};"
        ))
        .map_err(failed)?;
    fill(Tables {
        connection: &transaction,
        path,
    })?;
    transaction.commit().map_err(failed)?;
    // The mark for write-ahead logging goes into the file itself, and no log may be left beside
    // it: the file is renamed next.
    Tables {
        connection: &connection,
        path,
    }
    .set_journal("WAL")?;
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

/// Copies one state of a store into an empty file, which then has no log.
pub(super) fn copy(from: &Path, to: &Path, busy_timeout: Duration) -> Result<(), StoreError> {
    let connection = connect(from, busy_timeout, true)?;
    let failed = |error| Tables::error(from, error);
    // `VACUUM INTO` attaches the new file.
    connection
        .set_limit(Limit::SQLITE_LIMIT_ATTACHED, 1)
        .map_err(failed)?;
    let shown = to.to_str().ok_or_else(|| StoreError::NotAStore {
        path: to.to_owned(),
        problem: "its path is not UTF-8".into(),
    })?;
    connection
        .execute("VACUUM INTO ?1", [shown])
        .map(|_| ())
        .map_err(failed)
}

/// Brings a database's log into it, and closes it, so that it is one file.
pub(super) fn make_single(connection: Connection, path: &Path) -> Result<(), StoreError> {
    let failed = |error| Tables::error(path, error);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

/// Keeps everybody from writing to a database, all of whose log is brought into it, until this is
/// dropped.
pub(super) fn hold(path: &Path, busy_timeout: Duration) -> Result<Connection, StoreError> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = connect_any(path, busy_timeout, access)?;
    let log = super::files::with_suffix(path, "-wal");
    let failed = |error| Tables::error(path, error);
    // Somebody may write between the two, and readers keep the log from being emptied.
    for _ in 0..100 {
        let tables = Tables {
            connection: &connection,
            path,
        };
        tables.clear_log()?;
        connection
            .execute_batch("BEGIN IMMEDIATE")
            .map_err(failed)?;
        if std::fs::metadata(&log).map_or(0, |log| log.len()) == 0 {
            return Ok(connection);
        }
        connection.execute_batch("ROLLBACK").map_err(failed)?;
        std::thread::sleep(Duration::from_millis(20));
    }
    Err(StoreError::Busy {
        path: path.to_owned(),
    })
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
                    source: Box::new(error),
                },
            },
        }
    }

    fn failed(&self) -> impl Fn(rusqlite::Error) -> StoreError + '_ {
        |error| Self::error(self.path, error)
    }

    fn pragma<T: rusqlite::types::FromSql>(&self, name: &str) -> Result<T, StoreError> {
        self.connection
            .pragma_query_value(None, name, |row| row.get(0))
            .map_err(self.failed())
    }

    fn set_journal(&self, mode: &str) -> Result<(), StoreError> {
        self.connection
            .pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))
            .map_err(self.failed())
    }

    /// Copies the log into the database and empties it, if nobody else is reading or writing.
    pub(super) fn clear_log(&self) -> Result<(), StoreError> {
        self.one("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
            .map(|_| ())
    }

    fn check_schema(&self) -> Result<(), StoreError> {
        let sql = "SELECT name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_autoindex_%' OR sql NOT NULL ORDER BY name";
        let found: Vec<(String, String)> = self.rows(sql, (), SCHEMA.len() + 1, |row| {
            Ok((row.get(0)?, row.get(1)?))
        })?;
        match found.iter().map(|(name, sql)| (&**name, &**sql)).eq(SCHEMA) {
            true => Ok(()),
            false => Err(self.tampered("its tables are not those of a store")),
        }
    }

    /// At most `limit` rows.
    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        limit: usize,
        read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare(sql).map_err(self.failed())?;
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
        let mut statement = self.connection.prepare(sql).map_err(self.failed())?;
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
            .execute(sql, params)
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

fn audit_row(row: &Row<'_>) -> rusqlite::Result<AuditRow> {
    Ok(AuditRow {
        sequence: number(row, 0)?,
        body: row.get(1)?,
        mac: row.get(2)?,
    })
}

/// A count: SQLite's integers are signed, and a negative one is never written.
fn number(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}
