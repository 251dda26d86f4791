//! The database of one run, while it is written.
//!
//! A run without Works has one row, written when it begins and once more when it ends: such a
//! journal is kept in memory, and its file written whole, under another name first. With the first
//! Work the file is opened, with a log in front of it: whatever is killed when, all that was
//! committed is there. Nothing is lost by a power cut that was there before.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rusqlite::Connection;

use super::lock;
use super::pending::What;
use super::rows;
use super::sql::{self, Begin};

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
        // Its log begins anew.
        database.note_log(false);
        let opened = sql::resume(&database.file);
        if let Some(connection) = database.noted(opened) {
            database.kept = Kept::Logged(connection);
            database.note_log(true);
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
            self.note_if_removed();
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

    /// What is written to files that somebody has removed is lost.
    fn note_if_removed(&self) {
        let stat = self.lock.as_ref().map(rustix::fs::fstat);
        if let Some(Ok(stat)) = stat
            && stat.st_nlink == 0
        {
            let _ = self.failed.set("its folder was removed".to_owned());
        }
    }

    fn open_log(&mut self) {
        if let Kept::Whole(_) = self.kept {
            self.kept = Kept::Nowhere;
            let opened = sql::open_logged(&self.file);
            if let Some(connection) = self.noted(opened) {
                self.kept = Kept::Logged(connection);
                self.note_log(true);
            }
        }
    }

    /// Notes for readers whether there is a log: from the first commit in it until it is begun anew.
    fn note_log(&self, has_log: bool) {
        if let Some(Err(error)) = self.lock.as_ref().map(|lock| lock::note(lock, has_log)) {
            let _ = self.failed.set(error.to_string());
        }
    }

    fn write_all(&mut self, records: &[What]) -> rusqlite::Result<()> {
        match &mut self.kept {
            Kept::Nowhere => Ok(()),
            Kept::Logged(connection) => rows::write(connection, records, self.life),
            Kept::Whole(connection) => {
                // There were no Works: this is the run's end.
                for record in records {
                    if let What::RunEnded { end, .. } = record {
                        sql::run_ended_alone(connection, end, &end.reason)?;
                    }
                }
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

/// A run that was dropped: that no log is left of it is then no damage.
impl Drop for Database {
    fn drop(&mut self) {
        if let Kept::Logged(connection) = &self.kept {
            // Whoever reads keeps the log. Nobody is to wait for that.
            let _ = connection.busy_timeout(Duration::ZERO);
            let _ = connection.query_row("PRAGMA journal_mode=MEMORY", (), |_| Ok(()));
        }
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
