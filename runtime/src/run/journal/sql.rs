//! All SQL of the journal.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags, params};

use crate::sandbox::Failure;

/// `LEYJ`: tells a journal from other SQLite files.
const APPLICATION: i32 = 0x4c45_594a;
/// The version of the tables.
const FORMAT: i32 = 2;

const RUN: &str = "
CREATE TABLE run (
    id INTEGER PRIMARY KEY CHECK (id = 1), app TEXT NOT NULL, digest TEXT NOT NULL,
    user TEXT NOT NULL, host TEXT NOT NULL, pid INTEGER NOT NULL, life INTEGER NOT NULL,
    started INTEGER NOT NULL, ended INTEGER, ending TEXT, status INTEGER, reason TEXT,
    key BLOB, invocation BLOB) STRICT;";

/// Made with the first Work: most commands run none, and making tables takes a while.
///
/// Of a Work that began and ended between two commits, its last attempt stands in its own row
/// (`life`, `attempt`, `began`): what is written for a short Work is then one row in one page.
const WORKS: &str = "
CREATE TABLE IF NOT EXISTS work (
    number INTEGER PRIMARY KEY, name TEXT NOT NULL, place BLOB, occurrence INTEGER NOT NULL,
    queued INTEGER NOT NULL, input BLOB, input_size INTEGER NOT NULL,
    ended INTEGER, answer TEXT, failure TEXT, output BLOB, output_size INTEGER,
    life INTEGER, attempt INTEGER, began INTEGER) STRICT;
CREATE TABLE IF NOT EXISTS attempt (
    number INTEGER NOT NULL, life INTEGER NOT NULL, attempt INTEGER NOT NULL,
    started INTEGER NOT NULL, ended INTEGER, failure TEXT,
    PRIMARY KEY (number, life, attempt)) STRICT, WITHOUT ROWID;";

/// All attempts.
pub(super) const ATTEMPTS: &str = "
SELECT number, life, attempt, started, ended, failure FROM attempt
UNION ALL
SELECT number, life, attempt, began, ended, failure FROM work WHERE began IS NOT NULL
ORDER BY number, life, attempt";

/// What is known of a run when it begins. Times are microseconds since 1970.
pub(super) struct Begin {
    pub(super) app: String,
    pub(super) digest: String,
    pub(super) user: String,
    pub(super) host: String,
    pub(super) started: i64,
    pub(super) key: Option<Vec<u8>>,
    pub(super) invocation: Option<Vec<u8>>,
}

/// How a run ended.
pub(super) struct RunEnd {
    pub(super) at: i64,
    pub(super) ending: &'static str,
    pub(super) status: Option<i32>,
    pub(super) reason: String,
}

/// Makes the database of a new run, in memory.
pub(super) fn create(begin: &Begin) -> rusqlite::Result<Connection> {
    let connection = prepared(Connection::open_in_memory()?)?;
    connection.execute_batch(&format!(
        "PRAGMA application_id={APPLICATION}; PRAGMA user_version={FORMAT}; BEGIN; {RUN}"
    ))?;
    connection.execute(
        "INSERT INTO run (id, app, digest, user, host, pid, life, started, key, invocation)
         VALUES (1, ?, ?, ?, ?, ?, 1, ?, ?, ?)",
        params![
            begin.app,
            begin.digest,
            begin.user,
            begin.host,
            std::process::id(),
            begin.started,
            begin.key,
            begin.invocation,
        ],
    )?;
    connection.execute_batch("COMMIT")?;
    Ok(connection)
}

/// Opens the database of a run to write to it. From then on a log is written first: whatever is
/// killed when, all that was committed is there.
pub(super) fn open_logged(path: &Path) -> rusqlite::Result<Connection> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("PRAGMA synchronous=OFF")?;
    let mode: String = connection.pragma_query_value(None, "journal_mode", |row| row.get(0))?;
    if mode != "wal" {
        // That there is a log stands in the first page, which is written at once: with a journal of
        // that write on disk, a process killed in its middle would leave what nobody who only reads
        // can open.
        connection.execute_batch("PRAGMA journal_mode=MEMORY; PRAGMA journal_mode=WAL")?;
    }
    // The first write to a log. In a new one nothing stands behind it that could be taken for its own:
    // the disk need not be waited for.
    make_works(&connection)?;
    // The log is copied into the database, for which the disk is waited for, each 16 MiB.
    connection.execute_batch("PRAGMA synchronous=NORMAL; PRAGMA wal_autocheckpoint=4000")?;
    Ok(connection)
}

/// Makes the tables of Works, if there are none.
pub(super) fn make_works(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {WORKS} COMMIT"))
}

/// Writes all of it or nothing. By statements that are kept, which rusqlite's transactions are not:
/// they would be made anew for each commit.
pub(super) fn in_transaction(
    connection: &Connection,
    write: impl FnOnce() -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let run = |sql| connection.prepare_cached(sql)?.execute(());
    run("BEGIN")?;
    let written = write().and_then(|()| run("COMMIT"));
    if written.is_err() {
        // In vain where SQLite has done so already.
        let _ = run("ROLLBACK");
    }
    written.map(|_| ())
}

/// Opens the database of a run to go on with it: a life more.
pub(super) fn resume(path: &Path) -> rusqlite::Result<Connection> {
    let connection = open_logged(path)?;
    // The log begins anew: what an earlier life left of one is no damage of this one's.
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))?;
    connection.execute(
        "UPDATE run SET life = life + 1, pid = ?, ended = NULL, ending = NULL, status = NULL,
         reason = NULL",
        [std::process::id()],
    )?;
    Ok(connection)
}

/// Opens the database of a run to look at it. `None` where it is no journal that this version
/// reads.
pub(super) fn look(path: &Path) -> rusqlite::Result<Option<Connection>> {
    // SQLite opens what lies beside it, too, and would wait for whoever writes into a FIFO.
    let is_else = |suffix: &&str| {
        let mut path = path.as_os_str().to_owned();
        path.push(suffix);
        let is_file = fs::symlink_metadata(path).map(|file| file.is_file());
        is_file.is_ok_and(|is_file| !is_file)
    };
    if ["", "-wal", "-shm", "-journal"].iter().any(is_else) {
        return Ok(None);
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let number = |pragma| connection.pragma_query_value(None, pragma, |row| row.get::<_, i32>(0));
    if number("application_id")? != APPLICATION || number("user_version")? != FORMAT {
        return Ok(None);
    }
    let tables: i64 =
        connection.query_row("SELECT count(*) FROM sqlite_schema", (), |row| row.get(0))?;
    if tables == 1 {
        // There was no Work: empty tables stand in for theirs, on this connection.
        let here = WORKS.replace("CREATE TABLE", "CREATE TEMP TABLE");
        connection.execute_batch(&format!("PRAGMA temp_store=MEMORY; {here}"))?;
    }
    Ok(Some(connection))
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    prepared(Connection::open_with_flags(path, flags)?)
}

fn prepared(connection: Connection) -> rusqlite::Result<Connection> {
    connection.busy_timeout(Duration::from_secs(10))?;
    connection.set_prepared_statement_cache_capacity(16);
    Ok(connection)
}

/// What a Work's start is written as.
pub(super) struct QueuedRow {
    pub(super) number: u64,
    pub(super) name: std::sync::Arc<str>,
    pub(super) place: Option<[u8; 32]>,
    pub(super) occurrence: u32,
    pub(super) at: i64,
    pub(super) input: Option<Vec<u8>>,
    pub(super) input_size: usize,
}

/// What a Work's end is written as.
pub(super) struct EndedRow {
    pub(super) number: u64,
    pub(super) attempt: u32,
    pub(super) at: i64,
    pub(super) answer: &'static str,
    pub(super) failure: Option<Failure>,
    pub(super) output: Option<Vec<u8>>,
    pub(super) output_size: Option<usize>,
}

/// How a Work ended, and in which life, and when its last attempt began, where that is written with
/// its end.
#[derive(Clone, Copy)]
pub(super) struct Last<'a> {
    pub(super) end: &'a EndedRow,
    pub(super) life: u32,
    pub(super) began: Option<i64>,
}

impl<'a> Last<'a> {
    /// One whose last attempt has a row of its own.
    pub(super) fn new(end: &'a EndedRow, life: u32) -> Self {
        Self {
            end,
            life,
            began: None,
        }
    }
}

/// A Work's start, and its end where that is known already.
pub(super) fn queued(
    connection: &Connection,
    row: &QueuedRow,
    last: Option<&Last<'_>>,
) -> rusqlite::Result<()> {
    let end = last.map(|last| last.end);
    let began = last.and_then(|last| Some((last, last.began?)));
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO work
             (number, name, place, occurrence, queued, input, input_size,
              ended, answer, failure, output, output_size, life, attempt, began)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            number(row.number),
            &*row.name,
            row.place,
            row.occurrence,
            row.at,
            row.input,
            size(row.input_size),
            end.map(|end| end.at),
            end.map(|end| end.answer),
            end.and_then(|end| json(end.failure.as_ref())),
            end.and_then(|end| end.output.as_ref()),
            end.and_then(|end| end.output_size.map(size)),
            began.map(|(last, _)| last.life),
            began.map(|(last, _)| last.end.attempt),
            began.map(|(_, at)| at),
        ])?;
    Ok(())
}

/// Before a Work of an earlier life is started once more, which writes its row anew: its attempt
/// there gets a row of its own.
pub(super) fn keep_attempt(connection: &Connection, of: u64) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO attempt (number, life, attempt, started, ended, failure)
             SELECT number, life, attempt, began, ended, failure FROM work
             WHERE number = ? AND began IS NOT NULL",
        )?
        .execute([number(of)])?;
    Ok(())
}

/// Which attempt: the Work's number, the life of the run, the attempt's number.
pub(super) type Attempt = (u64, u32, u32);

pub(super) fn attempt(
    connection: &Connection,
    (of, life, attempt): Attempt,
    at: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO attempt (number, life, attempt, started) VALUES (?, ?, ?, ?)",
        )?
        .execute(params![number(of), life, attempt, at])?;
    Ok(())
}

pub(super) fn attempt_ended(
    connection: &Connection,
    (of, life, attempt): Attempt,
    at: i64,
    failure: Option<&Failure>,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE attempt SET ended = ?, failure = ?
             WHERE number = ? AND life = ? AND attempt = ?",
        )?
        .execute(params![at, json(failure), number(of), life, attempt])?;
    Ok(())
}

pub(super) fn ended(connection: &Connection, last: &Last<'_>) -> rusqlite::Result<()> {
    let (row, began) = (last.end, last.began);
    connection
        .prepare_cached(
            "UPDATE work SET ended = ?, answer = ?, failure = ?, output = ?, output_size = ?,
             life = ?, attempt = ?, began = ?
             WHERE number = ?",
        )?
        .execute(params![
            row.at,
            row.answer,
            json(row.failure.as_ref()),
            row.output,
            row.output_size.map(size),
            began.map(|_| last.life),
            began.map(|_| row.attempt),
            began,
            number(row.number),
        ])?;
    Ok(())
}

pub(super) fn run_ended(connection: &Connection, end: &RunEnd) -> rusqlite::Result<()> {
    // What still waited, or was aborted, is stopped with its run. When an attempt of a life that was
    // killed ended, nobody knows.
    let stopped = json(Some(&Failure::Stopped));
    for sql in [
        "UPDATE attempt SET ended = ?, failure = ?
         WHERE ended IS NULL AND life = (SELECT life FROM run)",
        "UPDATE work SET ended = ?, failure = ?, answer = 'ran' WHERE ended IS NULL",
    ] {
        connection.execute(sql, params![end.at, stopped])?;
    }
    run_ended_alone(connection, end, &end.reason)
}

/// The same, where there were no Works, or it is not known what became of them.
pub(super) fn run_ended_alone(
    connection: &Connection,
    end: &RunEnd,
    reason: &str,
) -> rusqlite::Result<()> {
    connection.execute(
        "UPDATE run SET ended = ?, ending = ?, status = ?, reason = ?",
        params![end.at, end.ending, end.status, reason],
    )?;
    Ok(())
}

/// SQLite's integers are signed. Numbers and sizes here never reach 2⁶³.
fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn size(size: usize) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn json(failure: Option<&Failure>) -> Option<String> {
    failure.and_then(|failure| serde_json::to_string(failure).ok())
}
