//! The folder of all runs: beginning one, going on with one, finding them.

mod prune;

pub use prune::Keep;
pub(super) use prune::weigh;

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

use crate::app::Digest;
use crate::secrets::{Actor, SecretStore};

use super::database::Database;
use super::error::JournalError;
use super::id::RunId;
use super::lock;
use super::log;
use super::places::Places;
use super::read::{self, RunInfo, WorkInfo};
use super::sql::Begin;
use super::writer::{Journal, Parts};

const JOURNAL: &str = "journal.db";
/// Its name until it is there whole.
const NEW_JOURNAL: &str = "journal.new";
/// What the sealed description of a run is sealed as.
const INVOCATION: &str = "invocation";

/// The folder of all runs' journals.
#[derive(Debug, Clone)]
pub struct Runs {
    folder: PathBuf,
    keep: Keep,
}

/// A run that is about to be gone on with.
#[derive(Debug)]
pub struct Claim {
    id: RunId,
    lock: File,
}

/// What a run begins with.
pub(crate) struct Beginning<'a> {
    /// The app's name.
    pub(crate) app: &'a str,
    /// The app's digest.
    pub(crate) digest: Digest,
    /// Seals inputs and outputs, if there is one.
    pub(crate) store: Option<&'a SecretStore>,
    /// Whatever the host needs to start it again, sealed.
    pub(crate) invocation: &'a [u8],
}

impl Runs {
    /// The runs in this folder, which is made with the first one.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self {
            folder: folder.into(),
            keep: Keep::default(),
        }
    }

    /// For how long they are kept.
    pub fn keep(self, keep: Keep) -> Self {
        Self { keep, ..self }
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of one run. It may be reached through symbolic links; past them, none is followed.
    fn folder_of(&self, id: &RunId) -> PathBuf {
        let folder = self.folder.canonicalize();
        folder.as_deref().unwrap_or(&self.folder).join(id.as_str())
    }

    /// Begins the journal of a new run.
    pub(crate) fn begin(&self, beginning: &Beginning<'_>) -> Result<Journal, JournalError> {
        crate::secrets::make_folder(&self.folder)?;
        let started = Timestamp::now();
        let (id, folder) = loop {
            let id = RunId::new(started);
            let folder = self.folder_of(&id);
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => break (id, folder),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => {
                    return Err(JournalError::Io {
                        path: folder,
                        source,
                    });
                }
            }
        };
        let begun = self.begin_at(folder, id, beginning);
        self.prune_sometimes();
        begun
    }

    fn begin_at(
        &self,
        folder: PathBuf,
        id: RunId,
        beginning: &Beginning<'_>,
    ) -> Result<Journal, JournalError> {
        let begun = self.begin_in(&folder, id, beginning);
        let is_there = |journal: &Journal| journal.failure().is_none();
        if !begun.as_ref().is_ok_and(is_there) {
            // A full disk, say. A folder without a journal is of no run.
            let _ = fs::remove_dir_all(folder);
        }
        begun
    }

    fn begin_in(
        &self,
        folder: &Path,
        id: RunId,
        beginning: &Beginning<'_>,
    ) -> Result<Journal, JournalError> {
        let lock = lock::take(folder, &id)?;
        let keys = beginning.store.map(|store| store.new_run_key(id.as_str()));
        let (key, sealed) = keys.transpose()?.unzip();
        let invocation = key
            .as_ref()
            .map(|key| key.seal(INVOCATION, 0, beginning.invocation))
            .transpose()?;
        // Asked once: the answer is read out of files.
        let store = beginning.store;
        let Actor { user, host } = store.map_or_else(Actor::current, |store| store.actor().clone());
        let begin = Begin {
            app: beginning.app.to_owned(),
            digest: beginning.digest.to_string(),
            user,
            host,
            started: Timestamp::now().as_microsecond(),
            key: sealed,
            invocation,
        };
        let failed = Arc::default();
        let database = Database::begin(folder.join(JOURNAL), lock, Arc::clone(&failed), &begin);
        Ok(Journal::new(Parts {
            id,
            runs: self.clone(),
            folder: folder.to_owned(),
            key,
            places: Places::default(),
            first: 1,
            database,
            failed,
        }))
    }

    /// Takes a run to go on with it: nobody else can, until this is dropped.
    ///
    /// # Errors
    /// [`JournalError::NotFound`], [`JournalError::UnderWay`].
    pub fn claim(&self, id: &RunId) -> Result<Claim, JournalError> {
        let folder = self.existing(id)?;
        let lock = lock::take(&folder, id)?;
        Ok(Claim {
            id: id.clone(),
            lock,
        })
    }

    /// Goes on with a run that did not end well.
    pub(crate) fn resume(
        &self,
        claim: Claim,
        digest: Digest,
        store: Option<&SecretStore>,
    ) -> Result<Journal, JournalError> {
        let Claim { id, lock } = claim;
        let (id, folder) = (&id, self.existing(&id)?);
        let info = self.show_locked(&folder, id)?;
        if info.ending.is_some() && info.status == Some(0) {
            return Err(JournalError::Ended(id.clone()));
        }
        if info.digest != digest.to_string() {
            return Err(JournalError::AppChanged {
                id: id.clone(),
                was: info.digest,
                is: digest,
            });
        }
        let damaged = self.damaged(id);
        let again = read::again(&folder).map_err(&damaged)?;
        let again = again.ok_or_else(|| self.unknown_format(id))?;
        let sealed = again
            .key
            .ok_or_else(|| JournalError::NotSealed(id.clone()))?;
        let key = store.and_then(|store| store.open_run_key(id.as_str(), &sealed));
        let key = key.ok_or_else(|| JournalError::OtherStore(id.clone()))?;
        let file = folder.join(JOURNAL);
        let places = Places::resume(&file).map_err(&damaged)?;
        let (places, first) = places.ok_or_else(|| self.unknown_format(id))?;
        let failed = Arc::default();
        let database = Database::resume(file, lock, Arc::clone(&failed), again.life + 1);
        Ok(Journal::new(Parts {
            id: id.clone(),
            runs: self.clone(),
            folder,
            key: Some(key),
            places,
            first,
            database,
            failed,
        }))
    }

    /// What the host kept to start a run again.
    ///
    /// # Errors
    /// [`JournalError::NotFound`], [`JournalError::NotSealed`], [`JournalError::OtherStore`].
    pub fn invocation(&self, id: &RunId, store: &SecretStore) -> Result<Vec<u8>, JournalError> {
        let folder = self.existing(id)?;
        let again = read::again(&folder).map_err(self.damaged(id))?;
        let again = again.ok_or_else(|| self.unknown_format(id))?;
        let (Some(sealed), Some(invocation)) = (again.key, again.invocation) else {
            return Err(JournalError::NotSealed(id.clone()));
        };
        let key = store.open_run_key(id.as_str(), &sealed);
        key.and_then(|key| key.open(INVOCATION, 0, &invocation))
            .ok_or_else(|| JournalError::OtherStore(id.clone()))
    }

    /// Whether a run keeps what is needed to go on with it.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn is_sealed(&self, id: &RunId) -> Result<bool, JournalError> {
        Ok(self.show(id)?.sealed)
    }

    /// The newest runs, newest first; [`JournalError::Damaged`] for each that cannot be read.
    ///
    /// # Errors
    /// [`JournalError::Io`] where the folder cannot be read; one that is not there has no runs.
    pub fn list(&self, most: usize) -> Result<Vec<Result<RunInfo, JournalError>>, JournalError> {
        let runs = self.ids()?.into_iter().rev();
        let gone = |error: &JournalError| matches!(error, JournalError::NotFound(_));
        let info = |id: RunId| {
            let info = self.show(&id);
            // Removed meanwhile.
            (!info.as_ref().is_err_and(gone)).then_some(info)
        };
        Ok(runs.filter_map(info).take(most).collect())
    }

    /// One run.
    ///
    /// # Errors
    /// [`JournalError::NotFound`], [`JournalError::Damaged`].
    pub fn show(&self, id: &RunId) -> Result<RunInfo, JournalError> {
        self.show_locked(&self.existing(id)?, id)
    }

    fn show_locked(&self, folder: &Path, id: &RunId) -> Result<RunInfo, JournalError> {
        let info = read::run(folder, id).map_err(self.damaged(id))?;
        info.ok_or_else(|| self.unknown_format(id))
    }

    /// The Works of a run, in the order in which they were started.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn works(&self, id: &RunId) -> Result<Vec<WorkInfo>, JournalError> {
        let works = read::works(&self.existing(id)?).map_err(self.damaged(id))?;
        works.ok_or_else(|| self.unknown_format(id))
    }

    /// The lines of a run's log that are still there, oldest first.
    ///
    /// # Errors
    /// [`JournalError::NotFound`], [`JournalError::Io`].
    pub fn log(&self, id: &RunId) -> Result<String, JournalError> {
        let path = self.existing(id)?;
        log::read(&path).map_err(|source| JournalError::Io { path, source })
    }

    /// The run that somebody means: its whole name, or a part of it that no other has; the newest
    /// for `last`.
    ///
    /// # Errors
    /// [`JournalError::Io`]. `Ok(Err(names))` where several are meant, or none.
    pub fn find(&self, typed: &str) -> Result<Result<RunId, Vec<RunId>>, JournalError> {
        let mut ids = self.ids()?;
        if typed == "last" {
            return Ok(ids.pop().ok_or_else(Vec::new));
        }
        if let Some(exact) = ids.iter().find(|id| id.as_str() == typed) {
            return Ok(Ok(exact.clone()));
        }
        ids.retain(|id| !typed.is_empty() && id.as_str().contains(typed));
        Ok(match ids.len() {
            1 => ids.pop().ok_or(ids),
            _ => Err(ids),
        })
    }

    /// All runs whose journal has begun, oldest first.
    fn ids(&self) -> Result<Vec<RunId>, JournalError> {
        let mut ids = self.folders()?;
        ids.retain(|id| self.existing(id).is_ok());
        Ok(ids)
    }

    /// All folders of runs, oldest first; a process that died at once may have left one empty.
    fn folders(&self) -> Result<Vec<RunId>, JournalError> {
        let mut ids: Vec<RunId> = self.entries()?.iter().filter_map(id_of).collect();
        ids.sort_unstable();
        Ok(ids)
    }

    /// What lies among the runs and is none, by name: of no run are files, links that lead nowhere,
    /// and folders without a journal. Names that begin with a dot are not told.
    ///
    /// # Errors
    /// [`JournalError::Io`] where the folder cannot be read.
    pub fn strays(&self) -> Result<Vec<OsString>, JournalError> {
        let is_run = |name: &OsString| {
            // One that begins has its lock before its journal.
            let is_one = |id: RunId| self.is_ours(&id) || lock::is_held(&self.folder_of(&id));
            id_of(name).is_some_and(is_one)
        };
        let is_hidden = |name: &OsString| name.as_encoded_bytes().starts_with(b".");
        let mut names = self.entries()?;
        names.retain(|name| !is_hidden(name) && !is_run(name));
        names.sort_unstable();
        Ok(names)
    }

    fn entries(&self) -> Result<Vec<OsString>, JournalError> {
        match fs::read_dir(&self.folder) {
            Ok(entries) => Ok(entries.flatten().map(|entry| entry.file_name()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(JournalError::Io {
                path: self.folder.clone(),
                source,
            }),
        }
    }

    fn damaged(&self, id: &RunId) -> impl Fn(rusqlite::Error) -> JournalError {
        move |error| JournalError::Damaged {
            id: id.clone(),
            folder: self.folder_of(id),
            reason: error.to_string(),
        }
    }

    fn unknown_format(&self, id: &RunId) -> JournalError {
        JournalError::Damaged {
            id: id.clone(),
            folder: self.folder_of(id),
            reason: "it is no journal that this version of Leyden reads".into(),
        }
    }

    /// Whether it is a run, or what is left of one whose process died as it began: nothing else that
    /// lies here is removed.
    fn is_ours(&self, id: &RunId) -> bool {
        let is_left = |entry: io::Result<fs::DirEntry>| {
            entry.is_ok_and(|entry| {
                let name = entry.file_name();
                name == lock::LOCK || name == NEW_JOURNAL
            })
        };
        let is_left_over =
            || fs::read_dir(self.folder_of(id)).is_ok_and(|mut entries| entries.all(is_left));
        self.existing(id).is_ok() || (id.is_whole() && is_left_over())
    }

    fn existing(&self, id: &RunId) -> Result<PathBuf, JournalError> {
        let folder = self.folder_of(id);
        // Whatever it is: what is no journal is told to be none, and not hidden.
        match folder.join(JOURNAL).symlink_metadata() {
            Ok(_) => Ok(folder),
            Err(_) => Err(JournalError::NotFound(id.clone())),
        }
    }
}

fn id_of(name: &OsString) -> Option<RunId> {
    name.to_str()?.parse().ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use super::super::read::RunState;
    use super::*;

    fn begin(runs: &Runs) -> Journal {
        // Names tell milliseconds apart.
        std::thread::sleep(Duration::from_millis(2));
        runs.begin(&Beginning {
            app: "app",
            digest: Digest::of(b""),
            store: None,
            invocation: b"",
        })
        .unwrap()
    }

    #[tokio::test]
    async fn a_run_is_running_then_interrupted_or_ended() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path().join("runs"));
        assert!(runs.list(9).unwrap().is_empty());
        let journal = begin(&runs);
        let id = journal.id().clone();
        let state = || runs.show(&id).map(|info| info.state);
        // Its thread makes the file.
        while !matches!(state(), Ok(RunState::Running)) {
            assert!(journal.failure().is_none());
            std::thread::yield_now();
        }
        let own = std::process::id();
        assert!(matches!(
            runs.claim(&id),
            Err(JournalError::UnderWay { pid, .. }) if pid == Some(own)
        ));
        drop(journal);
        while state().unwrap() != RunState::Interrupted {
            std::thread::yield_now();
        }
        assert!(matches!(
            runs.resume(runs.claim(&id).unwrap(), Digest::of(b""), None),
            Err(JournalError::NotSealed(_))
        ));

        let journal = begin(&runs);
        let id = journal.id().clone();
        journal.end(&Ok(crate::sandbox::Ending::Exited(0))).await;
        let info = runs.show(&id).unwrap();
        assert_eq!((info.state, info.status), (RunState::Ended, Some(0)));
        assert_eq!(runs.find("last").unwrap().unwrap(), id);
    }

    #[tokio::test]
    async fn a_run_that_wrote_much_removes_the_oldest_as_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep {
            age: Duration::MAX,
            size: 1 << 20,
        };
        let runs = Runs::new(folder.path()).keep(keep);
        let ended = Ok(crate::sandbox::Ending::Exited(0));
        let mut ids = Vec::new();
        for (size, left) in [(1 << 19, 1), (1 << 19, 1), (1, 2), (1 << 21, 1)] {
            let journal = begin(&runs);
            let file = folder.path().join(journal.id().as_str()).join("log");
            fs::write(file, vec![0; size]).unwrap();
            ids.push(journal.id().clone());
            journal.end(&ended).await;
            // No hour has passed since the first began.
            assert_eq!(runs.folders().unwrap(), ids[ids.len() - left..], "{size}");
        }
    }

    #[tokio::test]
    async fn a_run_that_gets_no_journal_leaves_no_folder() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path());
        let (id, run) = (RunId::new(Timestamp::now()), folder.path().join("run"));
        // Where its file should come to be.
        fs::create_dir_all(run.join("journal.new")).unwrap();
        let beginning = Beginning {
            app: "app",
            digest: Digest::of(b""),
            store: None,
            invocation: b"",
        };
        let journal = runs.begin_at(run.clone(), id, &beginning).unwrap();
        assert!(journal.new_failure().is_some());
        assert!(!run.exists());
        journal.log_flow("a line");
        journal.end(&Ok(crate::sandbox::Ending::Exited(0))).await;
        assert!(runs.folders().unwrap().is_empty());
    }

    #[tokio::test]
    async fn old_runs_go_and_the_newest_stays() {
        let folder = tempfile::tempdir().unwrap();
        let keep = Keep {
            age: Duration::ZERO,
            size: u64::MAX,
        };
        let runs = Runs::new(folder.path()).keep(keep);
        for _ in 0..3 {
            let ended = Ok(crate::sandbox::Ending::Exited(1));
            begin(&runs).end(&ended).await;
        }
        let under_way = begin(&runs);
        let newest = begin(&runs);
        assert!(runs.folders().unwrap().len() <= 5);
        runs.prune().unwrap();
        let left = [under_way.id().clone(), newest.id().clone()];
        // Whether or not their journals have come to be.
        assert_eq!(runs.folders().unwrap(), left);
    }

    /// A process may die when its journal says that there is a log, and the log is not there yet.
    #[tokio::test]
    async fn a_log_that_is_missing_is_damage_only_where_one_was_begun() {
        let folder = tempfile::tempdir().unwrap();
        let runs = Runs::new(folder.path());
        let journal = begin(&runs);
        let id = journal.id().clone();
        let run = folder.path().join(id.as_str());
        drop(journal);
        let copy = |from: &str, to: &str| fs::copy(run.join(from), run.join(to)).unwrap();
        // As a killed process leaves it.
        let log = super::super::sql::open_logged(&run.join(JOURNAL)).unwrap();
        copy(JOURNAL, "kept");
        drop(log);
        for (noted, is_damaged) in [("1", false), ("1 log", true)] {
            copy("kept", JOURNAL);
            fs::write(run.join(lock::LOCK), noted).unwrap();
            let shown = runs.show(&id).unwrap();
            assert_eq!(shown.state, RunState::Interrupted);
            assert_eq!(shown.damage.is_some(), is_damaged, "{shown:?}");
        }
    }
}
