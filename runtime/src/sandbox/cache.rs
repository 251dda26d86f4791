//! Compiled components, kept on disk so that a second start compiles nothing.
//!
//! Code is found by the SHA-256 of the component and the version of this crate. That it is for this
//! engine and processor is checked when it is mapped; what is not is compiled anew.
//! In front stands an index by device, inode, size and times of the component's file, for runs
//! that need not know what exactly they run because no secret is bound.
//!
//! Cached code is native code: the folder and each file in it must belong to this user and be
//! closed to others, checked on the open descriptor, or it is not used.

use std::fs::{self, File};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use data_encoding::HEXLOWER;
use rustix::fs::{Mode, OFlags};
use wasmtime::Engine;

use crate::app::{Digest, FileId};

use super::program::{Compiled, SandboxError};
use super::trusted::{self, Code};

/// Size of all compiled code beyond which the code used longest ago is removed: 2 GiB.
const MAX_SIZE: u64 = 2 << 30;
/// Ending of compiled code's file names.
const CODE: &str = "code";
/// Ending of the index's file names.
const INDEX: &str = "index";
/// Size in bytes of what is in one: a component's digest, and what shows that it is whole.
const ENTRY: usize = 64;
/// Ending of the names of files that are being written.
const PART: &str = "part";
/// Age beyond which notes and half-written files are removed.
const MAX_AGE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A folder of compiled components. Dropped, it waits until what it keeps is there.
#[derive(Debug)]
pub struct Cache {
    path: PathBuf,
    folder: OwnedFd,
    /// Threads that write code, for which the disk is waited for.
    writers: Mutex<Vec<JoinHandle<()>>>,
}

/// What a cache holds, for `leyden doctor`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheReport {
    /// Compiled components.
    pub entries: usize,
    /// Their size in bytes.
    pub bytes: u64,
}

impl Cache {
    /// Opens the folder, or makes it.
    ///
    /// # Errors
    ///
    /// Where it cannot be made, is a symbolic link, belongs to somebody else or is open to others.
    pub fn open(path: &Path) -> Result<Self, SandboxError> {
        let failed = |error: io::Error| SandboxError::Cache {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        make_folder(path).map_err(failed)?;
        let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder =
            rustix::fs::open(path, flags, Mode::empty()).map_err(|error| failed(error.into()))?;
        let stat = rustix::fs::fstat(&folder).map_err(|error| failed(error.into()))?;
        if !is_ours(stat.st_uid, stat.st_mode) {
            return Err(SandboxError::Cache {
                path: path.to_owned(),
                reason: format!(
                    "it must belong to you and be closed to others: chmod 700 {}",
                    path.display()
                ),
            });
        }
        Ok(Self {
            path: path.to_owned(),
            folder,
            writers: Mutex::default(),
        })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How much is cached.
    pub fn report(&self) -> CacheReport {
        let mut report = CacheReport::default();
        for (_, metadata) in files(&self.path, CODE) {
            report.entries += 1;
            report.bytes += metadata.len();
        }
        report
    }

    pub(super) fn get(&self, engine: &Engine, digest: &Digest) -> Option<Compiled> {
        let name = code_name(digest);
        let file = self.open_file(&name).or_else(|| {
            // It may be what is being written.
            self.wait_for_writers();
            self.open_file(&name)
        })?;
        let compiled = trusted::map_compiled(engine, &file)?;
        // When it was last used decides what is removed first; a failure costs only that.
        let _ = file.set_modified(std::time::SystemTime::now());
        Some(compiled)
    }

    /// Keeps compiled code, while whoever compiled it goes on. Whoever loses a race with another
    /// process has written the same. A cache that cannot be written costs time, not correctness.
    pub(super) fn put(&self, digest: &Digest, code: Arc<Code>) {
        let (path, name) = (self.path.clone(), code_name(digest));
        let writer = thread::Builder::new().name("leyden-cache".into());
        let writer = writer.spawn(move || {
            // A name never stands for half-written code, also after a power cut.
            if write(&path, &name, code.bytes(), File::sync_data).is_ok() {
                prune(&path);
            }
        });
        self.writers().extend(writer);
    }

    fn wait_for_writers(&self) {
        let writers = std::mem::take(&mut *self.writers());
        for writer in writers {
            let _ = writer.join();
        }
    }

    fn writers(&self) -> MutexGuard<'_, Vec<JoinHandle<()>>> {
        self.writers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The digest of the component that this file held when it was last read.
    pub(super) fn digest_of(&self, file: &FileId) -> Option<Digest> {
        let name = index_name(file);
        let mut entry = [0; ENTRY];
        self.open_file(&name)?.read_exact(&mut entry).ok()?;
        let digest = Digest::from(*entry.first_chunk()?);
        (index_entry(&name, &digest) == entry).then_some(digest)
    }

    pub(super) fn remember(&self, file: &FileId, digest: &Digest) -> io::Result<()> {
        let name = index_name(file);
        // Not waited for: what a power cut makes of it is no entry.
        write(&self.path, &name, &index_entry(&name, digest), |_| Ok(()))
    }

    fn open_file(&self, name: &str) -> Option<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.folder, name, flags, Mode::empty()).ok()?;
        let file = File::from(file);
        let metadata = file.metadata().ok()?;
        (metadata.is_file() && is_ours(metadata.uid(), metadata.mode())).then_some(file)
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        self.wait_for_writers();
    }
}

/// Writes a file whole or not at all; `keep` says what it waits for before it has its name.
fn write(
    folder: &Path,
    name: &str,
    bytes: &[u8],
    keep: impl FnOnce(&File) -> io::Result<()>,
) -> io::Result<()> {
    let mut file = tempfile::Builder::new()
        .suffix(&format!(".{PART}"))
        .tempfile_in(folder)?;
    let closed = fs::Permissions::from_mode(0o600);
    file.as_file().set_permissions(closed)?;
    file.write_all(bytes)?;
    keep(file.as_file())?;
    file.persist(folder.join(name))?;
    Ok(())
}

fn files(folder: &Path, ending: &str) -> Vec<(PathBuf, fs::Metadata)> {
    let Ok(folder) = fs::read_dir(folder) else {
        return Vec::new();
    };
    folder
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|found| found == ending))
        .filter_map(|path| Some((path.clone(), fs::symlink_metadata(path).ok()?)))
        .collect()
}

/// Removes what was used longest ago, and what nobody will use: notes on files that changed
/// since, and what a killed process left half-written.
fn prune(folder: &Path) {
    let is_old = |metadata: &fs::Metadata| {
        let age = metadata.modified().map(|time| time.elapsed());
        age.is_ok_and(|age| age.is_ok_and(|age| age > MAX_AGE))
    };
    let left_over = files(folder, INDEX).into_iter().chain(files(folder, PART));
    for (path, _) in left_over.filter(|(_, metadata)| is_old(metadata)) {
        let _ = fs::remove_file(path);
    }
    let mut files = files(folder, CODE);
    let mut total: u64 = files.iter().map(|(_, metadata)| metadata.len()).sum();
    files.sort_by_key(|(_, metadata)| metadata.modified().ok());
    for (path, metadata) in files {
        if total <= MAX_SIZE {
            break;
        }
        // Code that is in use stays mapped after its name is gone.
        if fs::remove_file(path).is_ok() {
            total -= metadata.len();
        }
    }
}

/// Makes a folder and those that it lies in, closed to others whatever the umask.
fn make_folder(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    if let Some(parent) = parent.filter(|parent| !parent.exists()) {
        make_folder(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(0o700)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn is_ours(owner: u32, mode: u32) -> bool {
    owner == rustix::process::geteuid().as_raw() && mode & 0o077 == 0
}

fn code_name(digest: &Digest) -> String {
    let (version, processor) = (env!("CARGO_PKG_VERSION"), std::env::consts::ARCH);
    format!(
        "{}-{version}-{processor}.{CODE}",
        HEXLOWER.encode(digest.as_bytes())
    )
}

fn index_name(file: &FileId) -> String {
    let mut hasher = DefaultHasher::new();
    file.hash(&mut hasher);
    let FileId { device, inode, .. } = file;
    format!("{device:x}-{inode:x}-{:016x}.{INDEX}", hasher.finish())
}

/// The digest, and the digest of it with the name.
fn index_entry(name: &str, digest: &Digest) -> [u8; ENTRY] {
    let mut entry = [0; ENTRY];
    let (start, end) = entry.split_at_mut(ENTRY / 2);
    start.copy_from_slice(digest.as_bytes());
    end.copy_from_slice(Digest::of(&[name.as_bytes(), digest.as_bytes()].concat()).as_bytes());
    entry
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn what_is_being_written_is_found_and_is_there_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let engine = Engine::default();
        let put = |bytes: &[u8]| {
            let digest = Digest::of(bytes);
            let code = Code::of_module(&engine, bytes).unwrap();
            cache.put(&digest, Arc::new(code));
            digest
        };
        let first = put(b"\0asm\x01\0\0\0");
        assert!(cache.get(&engine, &first).is_some());
        let second = put(b"\0asm\x01\0\0\0\0\x01\0");
        let path = cache.path().join(code_name(&second));
        drop(cache);
        assert!(path.is_file());
    }

    #[test]
    fn what_a_power_cut_makes_of_an_entry_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::open(&folder.path().join("cache")).unwrap();
        let [file, other] = [1, 2].map(|inode| FileId {
            device: 1,
            inode,
            size: 1,
            modified_ns: 1,
            changed_ns: 1,
        });
        let digest = Digest::of(b"component");
        cache.remember(&file, &digest).unwrap();
        cache.remember(&other, &Digest::of(b"other")).unwrap();
        assert_eq!(cache.digest_of(&file), Some(digest));

        let path = cache.path().join(index_name(&file));
        let whole = fs::read(&path).unwrap();
        let half = [&whole[..ENTRY / 2], &[0; ENTRY / 2]].concat();
        let others = fs::read(cache.path().join(index_name(&other))).unwrap();
        for broken in [vec![], whole[..40].to_vec(), vec![0; ENTRY], half, others] {
            fs::write(&path, &broken).unwrap();
            assert_eq!(cache.digest_of(&file), None, "{broken:?}");
        }
    }
}
