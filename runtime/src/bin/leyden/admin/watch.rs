//! Who changed what: the system tells when files of the store or of a run are written to, by any
//! process. Nothing is looked at over and over.

use std::path::Path;

use tokio::sync::watch;

/// How often something has changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) store: u64,
    pub(super) runs: u64,
}

/// Tells of changes.
pub(super) struct Changes(watch::Sender<Counts>);

impl Changes {
    /// Tells of those from now on.
    pub(super) fn follow(&self) -> watch::Receiver<Counts> {
        self.0.subscribe()
    }

    /// What lies in memory has changed, beside the store.
    pub(super) fn tell_store(&self) {
        self.0.send_modify(|counts| counts.store += 1);
    }
}

/// Watches the store's files and the folder of runs. Where the system cannot, nothing is told, and
/// pages are as they were when they were loaded.
pub(super) fn start(store: &Path, runs: &Path) -> Changes {
    let (sender, _) = watch::channel(Counts::default());
    #[cfg(target_os = "linux")]
    linux::start(sender.clone(), store, runs);
    #[cfg(not(target_os = "linux"))]
    let _ = (store, runs);
    Changes(sender)
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::HashMap;
    use std::ffi::{CStr, OsStr, OsString};
    use std::mem::MaybeUninit;
    use std::os::fd::{AsFd as _, OwnedFd};
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::{Path, PathBuf};

    use rustix::fs::inotify::{CreateFlags, Reader, WatchFlags, add_watch, init};
    use tokio::sync::watch::Sender;

    use super::Counts;

    /// What is written to in a run's folder; `lock` is closed when its process dies.
    const OF_A_RUN: [&str; 4] = ["journal.db", "journal.db-wal", "log", "lock"];
    /// Runs that are watched from the start: one that is older may be resumed, unseen until then.
    const NEWEST: usize = 256;

    /// Not of reading: looking at what changed is no change.
    const WRITES: WatchFlags = WatchFlags::MODIFY
        .union(WatchFlags::CLOSE_WRITE)
        .union(WatchFlags::CREATE)
        .union(WatchFlags::MOVED_TO)
        .union(WatchFlags::DELETE);

    /// What is watched by a number of the system's.
    enum Watched {
        Store,
        /// The folder in which that of runs is, or will be.
        AboveRuns,
        Runs,
        Run,
    }

    struct Watcher {
        inotify: OwnedFd,
        watched: HashMap<i32, Watched>,
        store: [OsString; 2],
        runs: PathBuf,
        sender: Sender<Counts>,
    }

    pub(super) fn start(sender: Sender<Counts>, store: &Path, runs: &Path) {
        let Ok(inotify) = init(CreateFlags::CLOEXEC) else {
            return;
        };
        let name = store.file_name().unwrap_or_default().to_owned();
        let mut log = name.clone();
        log.push("-wal");
        let mut watcher = Watcher {
            inotify,
            watched: HashMap::new(),
            store: [name, log],
            runs: runs.to_owned(),
            sender,
        };
        if let Some(folder) = store.parent() {
            watcher.add(folder, Watched::Store);
        }
        if let Some(folder) = runs.parent() {
            watcher.add(folder, Watched::AboveRuns);
        }
        watcher.add_runs();
        let thread = std::thread::Builder::new().name("leyden-watch".into());
        let _ = thread.spawn(move || watcher.run());
    }

    impl Watcher {
        fn add(&mut self, folder: &Path, as_what: Watched) {
            if let Ok(number) = add_watch(self.inotify.as_fd(), folder, WRITES) {
                self.watched.insert(number, as_what);
            }
        }

        /// The folder of runs, and the newest of them.
        fn add_runs(&mut self) {
            let folder = self.runs.clone();
            self.add(&folder, Watched::Runs);
            let entries = std::fs::read_dir(&folder).into_iter().flatten().flatten();
            let mut runs: Vec<_> = entries.map(|entry| entry.path()).collect();
            runs.sort_unstable();
            for run in runs.iter().rev().take(NEWEST) {
                self.add(run, Watched::Run);
            }
        }

        fn run(mut self) {
            let mut buffer = [MaybeUninit::uninit(); 8192];
            let Ok(inotify) = self.inotify.try_clone() else {
                return;
            };
            let mut reader = Reader::new(inotify, &mut buffer);
            loop {
                match reader.next() {
                    Ok(event) => {
                        let name = event.file_name().map(CStr::to_bytes).unwrap_or_default();
                        self.happened(event.wd(), OsStr::from_bytes(name));
                    }
                    Err(rustix::io::Errno::INTR) => {}
                    Err(_) => return,
                }
            }
        }

        fn happened(&mut self, number: i32, name: &OsStr) {
            let runs_name = self.runs.file_name();
            match self.watched.get(&number) {
                Some(Watched::Store) if self.store.iter().any(|of| of == name) => {
                    self.sender.send_modify(|counts| counts.store += 1);
                }
                Some(Watched::AboveRuns) if runs_name == Some(name) => {
                    self.add_runs();
                    self.sender.send_modify(|counts| counts.runs += 1);
                }
                Some(Watched::Runs) => {
                    let folder = self.runs.join(name);
                    if folder.is_dir() {
                        self.add(&folder, Watched::Run);
                        self.sender.send_modify(|counts| counts.runs += 1);
                    }
                }
                Some(Watched::Run) if OF_A_RUN.iter().any(|of| *of == name) => {
                    self.sender.send_modify(|counts| counts.runs += 1);
                }
                // Something else in the folder; or more events than the system keeps, of which the
                // next one tells.
                _ => {}
            }
        }
    }
}
