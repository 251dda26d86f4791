//! Reading journals, for people: what ran, what was under way, how it ended.

use std::path::Path;

use jiff::Timestamp;
use rusqlite::{Connection, Row};
use serde::Serialize;

use crate::sandbox::Failure;

use super::id::RunId;
use super::runs::weigh;
use super::{lock, sql, wal};

/// Where a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunState {
    /// A process runs it.
    Running,
    /// It has ended.
    Ended,
    /// Its process died: what was under way did not end.
    Interrupted,
}

/// A run, without its Works.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct RunInfo {
    /// Its name.
    #[serde(serialize_with = "shown")]
    pub id: RunId,
    /// Where it is.
    pub state: RunState,
    /// The app's name: a label.
    pub app: String,
    /// The app's digest.
    pub digest: String,
    /// Who started it.
    pub user: String,
    /// On which machine.
    pub host: String,
    /// In which process, the last time.
    pub pid: u32,
    /// How often it was begun: 1, and one for each time that it was resumed.
    pub lives: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How, in a word: `exited`, `trapped`, `timed-out`, `out-of-memory`, `output-closed`,
    /// `stopped`, `host-failed`.
    pub ending: Option<String>,
    /// The Flow's exit status, where it ended by itself.
    pub status: Option<i32>,
    /// How, in a sentence.
    pub reason: Option<String>,
    /// Whether it keeps inputs and outputs, sealed, so that it can be resumed.
    pub sealed: bool,
    /// How many Works were started.
    pub works: u64,
    /// How many of them failed; those that were stopped are not among them.
    pub failed: u64,
    /// The size of all that is kept of it, in bytes.
    pub size: u64,
    /// What is damaged of what the journal of an interrupted run kept, in a sentence.
    pub damage: Option<String>,
}

/// One start of a Work.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct WorkInfo {
    /// Counts the starts of the run.
    pub number: u64,
    /// The Work.
    pub work: String,
    /// When the Flow started it.
    pub queued: Timestamp,
    /// The input's size in bytes.
    pub input_size: u64,
    /// When it ended; none where it is under way, or was when the process died.
    pub ended: Option<Timestamp>,
    /// Where the answer came from: `ran`, `cached` or `journal`.
    pub answer: Option<String>,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
    /// The output's size in bytes.
    pub output_size: Option<u64>,
    /// Its attempts.
    pub attempts: Vec<AttemptInfo>,
}

/// One attempt of a Work.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct AttemptInfo {
    /// In which life of the run.
    pub life: u32,
    /// Which one in that.
    pub attempt: u32,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// How it failed, if it did.
    pub failure: Option<Failure>,
}

/// What goes on with a run.
pub(super) struct Again {
    pub(super) key: Option<Vec<u8>>,
    pub(super) invocation: Option<Vec<u8>>,
    pub(super) life: u32,
}

/// A run; `None` where its journal is none that this version reads.
pub(super) fn run(folder: &Path, id: &RunId) -> rusqlite::Result<Option<RunInfo>> {
    // Before the row: a run that ends in between is not taken for one that was interrupted.
    let locked = lock::is_held(folder);
    let file = folder.join("journal.db");
    let Some(journal) = sql::look(&file)? else {
        return Ok(None);
    };
    // What is no JSON any more told of a failure, too.
    let works = "SELECT count(*), count(*) FILTER (WHERE failure IS NOT NULL
             AND CASE WHEN json_valid(failure) THEN failure ->> 'kind' END IS NOT 'stopped')
         FROM work";
    let (works, failed): (i64, i64) =
        journal.query_row(works, (), |row| Ok((row.get(0)?, row.get(1)?)))?;
    journal
        .query_row(
            "SELECT app, digest, user, host, pid, life, started, ended, ending, reason,
             key IS NOT NULL, status FROM run",
            (),
            |row| {
                let ended: Option<i64> = row.get(7)?;
                let state = match (ended, locked) {
                    (Some(_), _) => RunState::Ended,
                    (None, true) => RunState::Running,
                    (None, false) => RunState::Interrupted,
                };
                let is_cut = state == RunState::Interrupted;
                Ok(RunInfo {
                    id: id.clone(),
                    state,
                    app: row.get(0)?,
                    digest: row.get(1)?,
                    user: row.get(2)?,
                    host: row.get(3)?,
                    pid: match locked.then(|| lock::holder(folder)).flatten() {
                        Some(holder) => holder,
                        None => row.get(4)?,
                    },
                    lives: row.get(5)?,
                    started: time(row.get(6)?),
                    ended: ended.map(time),
                    ending: row.get(8)?,
                    reason: row.get(9)?,
                    sealed: row.get(10)?,
                    status: row.get(11)?,
                    works: count(works),
                    failed: count(failed),
                    size: weigh(folder).0,
                    damage: match is_cut && lock::has_log(folder) {
                        true => wal::damage(&journal, &file),
                        false => None,
                    },
                })
            },
        )
        .map(Some)
}

/// All starts of Works of a run, in their order; `None` where its journal is none that this version
/// reads.
pub(super) fn works(folder: &Path) -> rusqlite::Result<Option<Vec<WorkInfo>>> {
    let Some(journal) = sql::look(&folder.join("journal.db"))? else {
        return Ok(None);
    };
    let mut works = journal
        .prepare(
            "SELECT number, name, queued, input_size, ended, answer, failure, output_size
             FROM work ORDER BY number",
        )?
        .query_map((), |row| {
            Ok(WorkInfo {
                number: count(row.get(0)?),
                work: row.get(1)?,
                queued: time(row.get(2)?),
                input_size: count(row.get(3)?),
                ended: row.get::<_, Option<i64>>(4)?.map(time),
                answer: row.get(5)?,
                failure: failure(row, 6)?,
                output_size: row.get::<_, Option<i64>>(7)?.map(count),
                attempts: Vec::new(),
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut attempts = journal.prepare(sql::ATTEMPTS)?;
    let mut rows = attempts.query(())?;
    while let Some(row) = rows.next()? {
        let number = count(row.get(0)?);
        if let Ok(at) = works.binary_search_by_key(&number, |work| work.number)
            && let Some(work) = works.get_mut(at)
        {
            work.attempts.push(AttemptInfo {
                life: row.get(1)?,
                attempt: row.get(2)?,
                started: time(row.get(3)?),
                ended: row.get::<_, Option<i64>>(4)?.map(time),
                failure: failure(row, 5)?,
            });
        }
    }
    Ok(Some(works))
}

/// What is needed to go on with a run.
pub(super) fn again(folder: &Path) -> rusqlite::Result<Option<Again>> {
    let read = |journal: Connection| {
        journal.query_row("SELECT key, invocation, life FROM run", (), |row| {
            Ok(Again {
                key: row.get(0)?,
                invocation: row.get(1)?,
                life: row.get(2)?,
            })
        })
    };
    sql::look(&folder.join("journal.db"))?.map(read).transpose()
}

/// How a Work failed. Where that is damaged, it is the affair of this Work alone.
fn failure(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<Failure>> {
    let damaged = || Failure::Refused("what the journal says of its failure is damaged".into());
    let text = row.get_ref(column)?.as_bytes_or_null()?;
    Ok(text.map(|text| serde_json::from_slice(text).unwrap_or_else(|_| damaged())))
}

fn time(microseconds: i64) -> Timestamp {
    Timestamp::from_microsecond(microseconds).unwrap_or_default()
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn shown<S: serde::Serializer>(id: &RunId, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(id.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A journal, as bytes, with a run and a Work that failed and was tried again.
    fn journal(folder: &Path) -> Vec<u8> {
        let connection = sql::create(&sql::Begin {
            app: "app".into(),
            digest: "sha256:00".into(),
            user: "ada".into(),
            host: "desk".into(),
            started: 1,
            key: Some(vec![7; 100]),
            invocation: Some(vec![8; 100]),
        })
        .unwrap();
        sql::make_works(&connection).unwrap();
        connection
            .execute_batch(
                r#"INSERT INTO work VALUES (1, 'train', zeroblob(32), 0, 2, x'00', 1,
                     3, 'ran', '{"kind":"timed-out","detail":{"secs":1,"nanos":0}}', NULL, NULL,
                     NULL, NULL, NULL);
                   INSERT INTO attempt VALUES (1, 1, 1, 2, 3, '{"kind":"trap","detail":"t"}'),
                     (1, 1, 2, 3, 4, NULL);"#,
            )
            .unwrap();
        let file = folder.join("made.db");
        let into = connection.execute("VACUUM INTO ?1", [file.to_str().unwrap()]);
        into.unwrap();
        std::fs::read(file).unwrap()
    }

    fn read_all(folder: &Path) -> (usize, usize) {
        let id = RunId::new(Timestamp::now());
        let runs = run(folder, &id).ok().flatten().into_iter().count();
        let works = works(folder).ok().flatten().map_or(0, |works| works.len());
        let _ = again(folder);
        (runs, works)
    }

    proptest! {
        /// Whatever somebody has made of the file: it is read, or refused, without a panic.
        #[test]
        fn a_damaged_journal_is_read_or_refused(
            changes in prop::collection::vec((any::<prop::sample::Index>(), 1_u8..), 0..12),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let folder = tempfile::tempdir().unwrap();
            let mut bytes = journal(folder.path());
            std::fs::write(folder.path().join("journal.db"), &bytes).unwrap();
            prop_assert_eq!(read_all(folder.path()), (1, 1));
            for (at, change) in &changes {
                let at = at.index(bytes.len());
                bytes[at] ^= change;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            std::fs::write(folder.path().join("journal.db"), &bytes).unwrap();
            read_all(folder.path());
        }

        /// The same for what stands in the cells.
        #[test]
        fn journal_rows_of_any_content_are_read_or_refused(
            text in ".{0,40}", number in any::<i64>(), other in any::<i64>(), blob: Vec<u8>,
        ) {
            let folder = tempfile::tempdir().unwrap();
            let bytes = journal(folder.path());
            let path = folder.path().join("journal.db");
            std::fs::write(&path, bytes).unwrap();
            let journal = Connection::open(&path).unwrap();
            for sql in [
                "UPDATE run SET app = ?1, ending = ?1, reason = ?1, key = ?2, invocation = ?2",
                "UPDATE work SET name = ?1, answer = ?1, failure = ?1, place = ?2, output = ?2",
                "UPDATE attempt SET failure = ?1 WHERE ?2 IS NOT NULL",
            ] {
                journal.execute(sql, (&text, &blob)).unwrap();
                read_all(folder.path());
            }
            for sql in [
                "UPDATE run SET pid = ?1, life = ?2, started = ?1, ended = ?2, status = ?1",
                "UPDATE work SET number = ?1, queued = ?2, input_size = ?1, ended = ?2",
                "UPDATE work SET output_size = ?1, occurrence = ?2",
                "UPDATE attempt SET life = ?1, started = ?2, ended = ?1 WHERE attempt = 1",
            ] {
                journal.execute(sql, (number, other)).unwrap();
                read_all(folder.path());
            }
        }
    }
}
