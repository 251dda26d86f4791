//! A component's bytes: opened once, read once, and the same for everybody who asks.

use std::fmt;
use std::fs::{File, Metadata};
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::digest::Digest;
use super::file::{OpenError, open_regular, read_bounded};
use super::kind::{Kind, LOOKED_AT};
use super::suggest::shown_path;

/// The most bytes a component may have: 512 MiB.
pub const MAX_COMPONENT_BYTES: u64 = 512 << 20;

/// Where a component's bytes come from: a file, or memory.
///
/// A file is opened once, when the source is made; its bytes are read once, when they are first
/// asked for, through that same handle, so that what is hashed is what is inspected and compiled.
/// Clones share the handle and the bytes.
#[derive(Clone)]
pub struct ComponentSource(Arc<Inner>);

struct Inner {
    name: String,
    kind: Kind,
    origin: Option<Origin>,
    bytes: OnceLock<Vec<u8>>,
    digest: OnceLock<Digest>,
}

struct Origin {
    path: PathBuf,
    id: FileId,
    /// Taken when the bytes have been read; the lock makes that happen once.
    file: Mutex<Option<File>>,
}

/// What tells one state of one file from any other, without reading it: a key for an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileId {
    /// The device it is on.
    pub device: u64,
    /// Its inode there.
    pub inode: u64,
    /// Its size in bytes.
    pub size: u64,
    /// When its contents last changed, in nanoseconds since 1970.
    pub modified_ns: i128,
    /// When its contents, owner, mode or links last changed, in nanoseconds since 1970.
    pub changed_ns: i128,
}

/// A component could not be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// There is no such file.
    #[error("{} is not there", shown_path(path))]
    NotFound {
        /// The file.
        path: PathBuf,
    },
    /// The operating system does not let us read it.
    #[error("{} cannot be read: {error}", shown_path(path))]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: io::Error,
    },
    /// It is a folder, a pipe, a device or a socket.
    #[error("{} is {what}: a component is an ordinary file", shown_path(path))]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What is there.
        what: &'static str,
    },
    /// It is too large.
    #[error("{name} has more than 512 MiB, the most a component may have")]
    TooLarge {
        /// The source's name.
        name: String,
    },
    /// It is nothing that runs.
    #[error("{name} is not runnable: {looks}")]
    NotRunnable {
        /// The source's name.
        name: String,
        /// What it looks like, and what to do.
        looks: &'static str,
    },
    /// The file changed between opening and reading.
    #[error(
        "{} changed while it was read: start again when it is complete",
        shown_path(path)
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
}

impl SourceError {
    /// What the operating system said about this path.
    pub(super) fn io(path: &Path, error: io::Error) -> Self {
        let path = path.to_owned();
        match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Self::NotFound { path },
            _ => Self::Unreadable { path, error },
        }
    }
}

impl FileId {
    fn of(metadata: &Metadata) -> Self {
        let ns = |seconds: i64, ns: i64| i128::from(seconds) * 1_000_000_000 + i128::from(ns);
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.len(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
        }
    }

    /// Whether both have the same contents. A changed owner, mode or link count is no matter:
    /// replacing a file by renaming changes those of the one that is open.
    fn same_contents(&self, other: &Self) -> bool {
        (self.size, self.modified_ns) == (other.size, other.modified_ns)
    }
}

impl ComponentSource {
    /// Opens a file. Its first bytes are looked at, the rest is left for [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// [`SourceError`], also for anything that is no ordinary file (without waiting for it) and
    /// for what is nothing to run.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        let name = shown_path(path);
        let (file, metadata) = open_regular(path).map_err(|error| match error {
            OpenError::NotAFile(what) => SourceError::NotAFile {
                path: path.to_owned(),
                what,
            },
            OpenError::Io(error) => SourceError::io(path, error),
        })?;
        if metadata.len() > MAX_COMPONENT_BYTES {
            return Err(SourceError::TooLarge { name });
        }
        let mut start = [0; LOOKED_AT];
        let length = read_start(&file, &mut start).map_err(|io| SourceError::io(path, io))?;
        let start = start.get(..length).unwrap_or_default();
        let kind = match Kind::of(start, Some(path)) {
            Ok(kind) => kind,
            Err(looks) => return Err(SourceError::NotRunnable { name, looks }),
        };
        let origin = Origin {
            path: path.to_owned(),
            id: FileId::of(&metadata),
            file: Mutex::new(Some(file)),
        };
        Ok(Self::new(name, kind, Some(origin), OnceLock::new()))
    }

    /// A source of bytes in memory, under a name for messages.
    ///
    /// # Errors
    /// [`SourceError::TooLarge`] and [`SourceError::NotRunnable`].
    pub fn from_bytes(
        name: impl Into<String>,
        bytes: impl Into<Vec<u8>>,
    ) -> Result<Self, SourceError> {
        let (name, bytes) = (name.into(), bytes.into());
        if bytes.len() as u64 > MAX_COMPONENT_BYTES {
            return Err(SourceError::TooLarge { name });
        }
        match Kind::of(start_of(&bytes), None) {
            Ok(kind) => Ok(Self::new(name, kind, None, bytes.into())),
            Err(looks) => Err(SourceError::NotRunnable { name, looks }),
        }
    }

    fn new(name: String, kind: Kind, origin: Option<Origin>, bytes: OnceLock<Vec<u8>>) -> Self {
        Self(Arc::new(Inner {
            name,
            kind,
            origin,
            bytes,
            digest: OnceLock::new(),
        }))
    }

    /// Its name for messages: the path, or what it was called.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The file it comes from, if from a file.
    pub fn path(&self) -> Option<&Path> {
        self.0.origin.as_ref().map(|origin| origin.path.as_path())
    }

    /// What it is, by its first bytes.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The file's state when it was opened, if it is from a file.
    pub fn file_id(&self) -> Option<FileId> {
        self.0.origin.as_ref().map(|origin| origin.id)
    }

    /// All its bytes: read on the first call, and the same ever after.
    ///
    /// # Errors
    /// [`SourceError::Unreadable`], and [`SourceError::Changed`] if the file was written to since
    /// it was opened.
    pub fn bytes(&self) -> Result<&[u8], SourceError> {
        let Inner {
            kind,
            origin,
            bytes,
            ..
        } = &*self.0;
        // Without an origin the bytes were there from the start.
        let (None, Some(origin)) = (bytes.get(), origin) else {
            return Ok(bytes.get().map(Vec::as_slice).unwrap_or_default());
        };
        let mut file = origin.file.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = &*file {
            let read = origin.read(opened, *kind)?;
            // Nobody else sets them: we hold the lock, and the file is still there.
            let _ = bytes.set(read);
            *file = None;
        }
        Ok(bytes.get().map(Vec::as_slice).unwrap_or_default())
    }

    /// SHA-256 of exactly [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// As for [`bytes`](Self::bytes).
    pub fn digest(&self) -> Result<Digest, SourceError> {
        let bytes = self.bytes()?;
        Ok(*self.0.digest.get_or_init(|| Digest::of(bytes)))
    }
}

impl Origin {
    /// Reads the whole of the open file, and makes sure that it is what was opened.
    fn read(&self, mut file: &File, kind: Kind) -> Result<Vec<u8>, SourceError> {
        let unreadable = |error| SourceError::io(&self.path, error);
        let changed = || SourceError::Changed {
            path: self.path.clone(),
        };
        // An earlier attempt that failed has moved the position.
        io::Seek::rewind(&mut file).map_err(unreadable)?;
        let bytes = read_bounded(file, self.id.size)
            .map_err(unreadable)?
            .ok_or_else(changed)?;
        let now = FileId::of(&file.metadata().map_err(unreadable)?);
        if bytes.len() as u64 != self.id.size
            || !now.same_contents(&self.id)
            || Kind::of(start_of(&bytes), None) != Ok(kind)
        {
            return Err(changed());
        }
        Ok(bytes)
    }
}

impl fmt::Debug for ComponentSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentSource")
            .field("name", &self.0.name)
            .field("kind", &self.0.kind)
            .finish_non_exhaustive()
    }
}

fn start_of(bytes: &[u8]) -> &[u8] {
    bytes.get(..LOOKED_AT).unwrap_or(bytes)
}

/// Fills the buffer from the start of the file, as far as there is something.
fn read_start(file: &File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut length = 0;
    while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64) {
            Ok(0) => break,
            Ok(read) => length += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(length)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::io::Write as _;

    use super::*;

    const MODULE: &[u8] = b"\0asm\x01\0\0\0";

    fn file(bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("app.wasm");
        std::fs::write(&path, bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_is_read_through_the_handle_it_was_opened_by() {
        let (folder, path) = file(MODULE);
        let source = ComponentSource::open(&path).unwrap();
        assert_eq!(
            (source.kind(), source.path()),
            (Kind::CoreModule, Some(&*path))
        );
        assert_eq!(source.file_id().unwrap().size, 8);

        // Another file takes its place: we still have the one that was opened.
        let other = folder.path().join("other");
        std::fs::write(&other, b"\0asm\x01\0\0\0other").unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_eq!(source.bytes().unwrap(), MODULE);
        assert_eq!(source.digest().unwrap(), Digest::of(MODULE));

        // What was read stays, and is the same memory for clones.
        std::fs::remove_file(&path).unwrap();
        let clone = source.clone();
        assert!(std::ptr::eq(
            source.bytes().unwrap(),
            clone.bytes().unwrap()
        ));
        assert_ne!(
            ComponentSource::open(&other).err().map(|e| e.to_string()),
            None
        );
    }

    #[test]
    fn the_handle_is_let_go_after_reading() {
        let (_folder, path) = file(MODULE);
        let source = ComponentSource::open(&path).unwrap();
        let open =
            |s: &ComponentSource| s.0.origin.as_ref().unwrap().file.lock().unwrap().is_some();
        assert!(open(&source));
        source.bytes().unwrap();
        assert!(!open(&source));
    }

    #[test]
    fn a_file_that_changed_is_refused() {
        let changed = |change: &dyn Fn(&mut File)| {
            let (_folder, path) = file(MODULE);
            let source = ComponentSource::open(&path).unwrap();
            change(&mut File::options().write(true).open(&path).unwrap());
            matches!(source.bytes(), Err(SourceError::Changed { .. }))
        };
        assert!(changed(&|file| file.set_len(7).unwrap()));
        assert!(changed(&|file| file.set_len(9).unwrap()));
        // Same size, other contents, said to be as old as before: the kind gives it away.
        assert!(changed(&|file| {
            let before = file.metadata().unwrap().modified().unwrap();
            file.write_all(b"(module)").unwrap();
            file.set_modified(before).unwrap();
        }));
        assert!(changed(&|file| {
            let before = file.metadata().unwrap().modified().unwrap();
            file.set_modified(before + std::time::Duration::from_nanos(1))
                .unwrap();
        }));
        assert!(!changed(&|_| {}));
    }

    #[test]
    fn what_cannot_run_is_refused_when_opened() {
        let (folder, path) = file(b"print()");
        let error = ComponentSource::open(&path).unwrap_err();
        assert!(matches!(error, SourceError::NotRunnable { .. }), "{error}");
        let error = ComponentSource::open(folder.path()).unwrap_err();
        assert!(
            matches!(
                error,
                SourceError::NotAFile {
                    what: "a folder",
                    ..
                }
            ),
            "{error}"
        );
        let error = ComponentSource::open(folder.path().join("none")).unwrap_err();
        assert!(matches!(error, SourceError::NotFound { .. }), "{error}");
        let error = ComponentSource::from_bytes("memory", *b"").unwrap_err();
        assert!(
            error
                .to_string()
                .contains("memory is not runnable: it is empty"),
            "{error}"
        );
    }

    #[test]
    fn size_is_bounded() {
        let (_folder, path) = file(MODULE);
        let file = File::options().write(true).open(&path).unwrap();
        file.set_len(MAX_COMPONENT_BYTES).unwrap();
        assert!(ComponentSource::open(&path).is_ok());
        file.set_len(MAX_COMPONENT_BYTES + 1).unwrap();
        let error = ComponentSource::open(&path).unwrap_err();
        assert!(matches!(error, SourceError::TooLarge { .. }), "{error}");
    }

    #[test]
    fn bytes_in_memory() {
        let source = ComponentSource::from_bytes("memory", MODULE).unwrap();
        assert_eq!((source.bytes().unwrap(), source.file_id()), (MODULE, None));
        assert_eq!(source.digest().unwrap(), Digest::of(MODULE));
        assert!(!format!("{source:?}").contains("asm"));
    }
}
