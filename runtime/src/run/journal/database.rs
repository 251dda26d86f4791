//! The database of one run, while it is written.
//!
//! A run without Works has one row, written when it begins and once more when it ends: such a
//! journal is kept in memory, and its file written whole, under another name first. With the first
//! Work the file is opened, with a log in front of it: whatever is killed when, all that was
//! committed is there. Nothing is lost by a power cut that was there before.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rusqlite::Connection;

use super::pending::What;
use super::sql::{self, Begin, EndedRow};

pub(super) struct Database {
    file: PathBuf,
    kept: Kept,
    /// How often the run was begun or gone on with.
    life: u32,
    failed: Arc<OnceLock<String>>,
    /// Held until the last record is written.
    lock: Option<File>,
}

enum Kept {
    Whole(Connection),
    Logged(Connection),
    Nowhere,
}

impl Database {
    /// That of a new run. Where it cannot be made, the run goes on without, and `failed` says why.
    pub(super) fn begin(
        file: PathBuf,
        lock: File,
        failed: Arc<OnceLock<String>>,
        begin: &Begin,
    ) -> Self {
        let mut database = Self {
            file,
            kept: Kept::Nowhere,
            life: 1,
            failed,
            lock: Some(lock),
        };
        let made = sql::create(begin).and_then(|mut connection| {
            save(&mut connection, &database.file)?;
            Ok(connection)
        });
        if let Some(connection) = database.noted(made) {
            database.kept = Kept::Whole(connection);
        }
        database
    }

    /// That of a run which is gone on with.
    pub(super) fn resume(
        file: PathBuf,
        lock: File,
        failed: Arc<OnceLock<String>>,
        life: u32,
    ) -> Self {
        let mut database = Self {
            file,
            kept: Kept::Nowhere,
            life,
            failed,
            lock: Some(lock),
        };
        let opened = sql::resume(&database.file);
        if let Some(connection) = database.noted(opened) {
            database.kept = Kept::Logged(connection);
        }
        database
    }

    /// Whether a run that ends now is written without waiting for the disk.
    pub(super) fn ends_fast(&self) -> bool {
        !matches!(self.kept, Kept::Logged(_))
    }

    /// Writes records, all or none. What follows on a gap would tell something that was not: after
    /// a failure only how the run ended is still written, if there is room for that.
    pub(super) fn write(&mut self, records: &[What]) {
        let is_end = |what: &What| matches!(what, What::RunEnded { .. });
        if !records.iter().all(is_end) {
            self.open_log();
        }
        if self.failed.get().is_none() {
            let written = self.write_all(records);
            self.noted(written);
        }
        if records.iter().any(is_end) {
            if let Some(reason) = self.failed.get().cloned() {
                let _ = self.write_end(records, &reason);
            }
            // Its last connection copies the log into the database and removes it.
            self.kept = Kept::Nowhere;
            self.lock = None;
        }
    }

    fn open_log(&mut self) {
        if let Kept::Whole(_) = self.kept {
            self.kept = Kept::Nowhere;
            let opened = sql::open_logged(&self.file);
            if let Some(connection) = self.noted(opened) {
                self.kept = Kept::Logged(connection);
            }
        }
    }

    fn write_all(&mut self, records: &[What]) -> rusqlite::Result<()> {
        match &mut self.kept {
            Kept::Nowhere => Ok(()),
            Kept::Logged(connection) => write_rows(connection, records, self.life),
            Kept::Whole(connection) => {
                write_rows(connection, records, self.life)?;
                save(connection, &self.file)
            }
        }
    }

    /// Writes the run's end behind a gap.
    fn write_end(&mut self, records: &[What], gap: &str) -> rusqlite::Result<()> {
        let (Kept::Whole(connection) | Kept::Logged(connection)) = &self.kept else {
            return Ok(());
        };
        for record in records {
            if let What::RunEnded { end, .. } = record {
                let reason = format!("{} (its journal has a gap: {gap})", end.reason);
                sql::run_ended_alone(connection, end, &reason)?;
            }
        }
        match &mut self.kept {
            Kept::Whole(connection) => save(connection, &self.file),
            _ => Ok(()),
        }
    }

    fn noted<T>(&self, result: rusqlite::Result<T>) -> Option<T> {
        result
            .map_err(|error| self.failed.set(error.to_string()))
            .ok()
    }
}

/// Writes the whole database to its file, which has its name only once all of it is there.
fn save(connection: &mut Connection, file: &Path) -> rusqlite::Result<()> {
    let failed = |error: std::io::Error| rusqlite::Error::ToSqlConversionFailure(error.into());
    let bytes = connection.serialize("main")?;
    let new = file.with_extension("new");
    let write = || {
        let mut written = File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        written.write_all(&bytes)?;
        fs::rename(&new, file)
    };
    write().map_err(failed)
}

/// Writes rows in one transaction. What began and ended within it is written once, and not twice.
fn write_rows(connection: &mut Connection, records: &[What], life: u32) -> rusqlite::Result<()> {
    let ended: HashMap<u64, &EndedRow> = records
        .iter()
        .filter_map(|record| match record {
            What::Ended(row, ..) => Some((row.number, row)),
            _ => None,
        })
        .collect();
    let mut whole_work = HashMap::new();
    let transaction = connection.transaction()?;
    for record in records {
        match record {
            What::Queued(row) => {
                let end = ended.get(&row.number).copied();
                sql::queued(&transaction, row, end)?;
                if end.is_some() {
                    whole_work.insert(row.number, 0);
                }
            }
            What::Attempt(number, attempt, at) => {
                let end = ended.get(number).filter(|end| end.attempt == *attempt);
                sql::attempt(&transaction, (*number, life, *attempt), *at, end.copied())?;
                if end.is_some()
                    && let Some(whole) = whole_work.get_mut(number)
                {
                    *whole = *attempt;
                }
            }
            What::Failed(number, attempt, at, failure) => {
                let place = (*number, life, *attempt);
                sql::attempt_ended(&transaction, place, *at, Some(failure))?;
            }
            What::Ended(row, ..) => {
                let whole = whole_work.get(&row.number);
                if row.attempt > 0 && whole != Some(&row.attempt) {
                    let place = (row.number, life, row.attempt);
                    sql::attempt_ended(&transaction, place, row.at, row.failure.as_ref())?;
                }
                if whole.is_none() {
                    sql::ended(&transaction, row)?;
                }
            }
            What::RunEnded { end, .. } => sql::run_ended(&transaction, end)?,
        }
    }
    transaction.commit()
}
