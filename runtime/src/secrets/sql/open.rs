//! How the database of a store is made, opened, copied and held, and the schema that it must have.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::limits::Limit;
use rusqlite::{Connection, MAIN_DB, OpenFlags};

use super::{SlotRow, Tables, is_of_writing};
use crate::secrets::StoreError;
use crate::secrets::files;
use crate::secrets::keys::StoreId;

/// The format of the store: the file's `user_version`, and a part of every seal.
pub(in crate::secrets) const FORMAT: u32 = 1;

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

/// More than there are: none is made twice.
const STATEMENTS: usize = 64;

/// Opens the database of a store, and checks that it is one.
pub(in crate::secrets) fn connect(
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
    Ok(connection)
}

/// Refuses a database without a log, which a backup is and a store is not. It is only looked at.
pub(in crate::secrets) fn refuse_backup(
    connection: &Connection,
    path: &Path,
) -> Result<(), StoreError> {
    match (Tables { connection, path }).pragma::<String>("journal_mode")? == "wal" {
        true => Ok(()),
        false => Err(StoreError::NotAStore {
            path: path.to_owned(),
            problem: "it is a backup, which is left as it is; `leyden store restore FILE` puts a \
                      backup in the place of the store, which is then as old as that"
                .into(),
        }),
    }
}

/// Gives a database a log, as a store has.
pub(in crate::secrets) fn give_log(connection: &Connection, path: &Path) -> Result<(), StoreError> {
    (Tables { connection, path }).set_journal("WAL")
}

/// Copies a log that has become long into the database, and begins it anew with what is written
/// next. Where that cannot be done now, because others use the store, somebody else does it later.
///
/// Each command that opens the store alone reads the whole log first, and does not shorten it at
/// its end: without this it would grow with every one of them. It keeps its size, because a file
/// that grows takes the disk longer than one that is written over.
pub(in crate::secrets) fn shorten_log(
    connection: &Connection,
    path: &Path,
    busy_timeout: Duration,
) {
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
    let read_only = || connection.is_readonly(MAIN_DB).map_err(failed);
    let opened_read_only = read_only()?;
    connection.busy_timeout(busy_timeout).map_err(failed)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
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
    // The header has been read. A write version that SQLite does not know makes it refuse each
    // write alone (its file format, "File format version numbers").
    if read_only()? != opened_read_only {
        let tables = Tables {
            connection: &connection,
            path,
        };
        return Err(tables.tampered("its header says that nobody may write to it"));
    }
    Ok(connection)
}

/// The store's identity and its slots: all that can be read before there is a key, and so not
/// verified yet.
pub(in crate::secrets) fn slots(
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
pub(in crate::secrets) fn make<T>(
    path: &Path,
    busy_timeout: Duration,
    fill: impl FnOnce(Tables<'_>) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
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
    let filled = fill(Tables {
        connection: &transaction,
        path,
    })?;
    transaction.commit().map_err(failed)?;
    // The mark for write-ahead logging goes into the file itself, and no log may be left beside
    // it: the file is renamed next.
    give_log(&connection, path)?;
    make_single(connection, path)?;
    Ok(filled)
}

/// Copies one state of a store into an empty file, which then has no log; what cannot be written is
/// told of that.
pub(in crate::secrets) fn copy(
    from: &Path,
    to: &Path,
    busy_timeout: Duration,
) -> Result<(), StoreError> {
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
        .map_err(|error| match is_of_writing(&error) {
            true => Tables::error(to, error),
            false => failed(error),
        })
}

/// Brings a database's log into it, and closes it, so that it is one file.
pub(in crate::secrets) fn make_single(
    connection: Connection,
    path: &Path,
) -> Result<(), StoreError> {
    let failed = |error| Tables::error(path, error);
    connection
        .set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, false)
        .map_err(failed)?;
    connection.close().map_err(|(_, error)| failed(error))
}

/// Keeps everybody from writing to a database, all of whose log is brought into it, until this is
/// dropped.
pub(in crate::secrets) fn hold(
    path: &Path,
    busy_timeout: Duration,
) -> Result<Connection, StoreError> {
    let access = OpenFlags::SQLITE_OPEN_READ_WRITE;
    let connection = connect_any(path, busy_timeout, access)?;
    let log = files::with_suffix(path, "-wal");
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

impl Tables<'_> {
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
}
