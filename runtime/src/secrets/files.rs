//! Files and folders that are the user's alone: made so whatever the umask, refused if not so.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Read};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::Errno;
use rustix::process::geteuid;
use tempfile::NamedTempFile;
use zeroize::Zeroizing;

use super::StoreError;

const ROOT: u32 = 0;

/// Turns an operating system's error into ours.
pub(super) fn io<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl Fn(io::Error) -> StoreError + 'a {
    move |source| StoreError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// The folder that a file is in.
pub(super) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The path with this added to its last part.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Makes the folder, and those above it, with mode 0700, if it is not there.
pub(crate) fn make_folder(folder: &Path) -> Result<(), StoreError> {
    let failed = io("make the folder", folder);
    if folder.is_dir() {
        return Ok(());
    }
    if let Some(above) = folder.parent().filter(|above| *above != Path::new("")) {
        make_folder(above)?;
    }
    match DirBuilder::new().mode(0o700).create(folder) {
        // Somebody else was faster.
        Err(_) if folder.is_dir() => return Ok(()),
        made => made.map_err(&failed)?,
    }
    // The umask may have taken bits of our own.
    std::fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(failed)
}

/// Refuses a folder in which others can put, move or remove files.
pub(super) fn check_folder(folder: &Path) -> Result<(), StoreError> {
    let metadata = std::fs::metadata(folder).map_err(io("look at the folder", folder))?;
    let refuse = |problem: String, remedy: String| {
        Err(StoreError::Permission {
            path: folder.to_owned(),
            problem,
            remedy,
        })
    };
    if !metadata.is_dir() {
        return refuse("is not a folder".into(), "give the path of one".into());
    }
    if !Owner::UsOrRoot.is_of(&metadata) {
        return refuse(
            format!("belongs to user {}, not to you", metadata.uid()),
            "use a folder of your own".into(),
        );
    }
    if metadata.mode() & 0o022 != 0 {
        return refuse(
            format!(
                "is a folder that others may write to (mode {:03o})",
                metadata.mode() & 0o777
            ),
            format!("chmod go-w {}", folder.display()),
        );
    }
    Ok(())
}

/// Refuses what is not a regular file of ours that nobody else may open. It looks without opening:
/// closing any descriptor of a database drops the locks that SQLite holds on it in this process.
///
/// Returns the length in bytes, or `None` if there is no such file.
pub(super) fn check_file(path: &Path) -> Result<Option<u64>, StoreError> {
    match std::fs::symlink_metadata(path) {
        Ok(metadata) => check(path, &metadata, Owner::Us).map(|()| Some(metadata.len())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("look at", path)(error)),
    }
}

fn check(path: &Path, metadata: &Metadata, owner: Owner) -> Result<(), StoreError> {
    let refuse = |problem: String, remedy: String| {
        Err(StoreError::Permission {
            path: path.to_owned(),
            problem,
            remedy,
        })
    };
    if metadata.is_symlink() {
        return refuse(
            "is a symbolic link".into(),
            "give the path of the file itself".into(),
        );
    }
    if !metadata.is_file() {
        return refuse(
            "is not a regular file".into(),
            "give the path of one".into(),
        );
    }
    if !owner.is_of(metadata) {
        let user = geteuid().as_raw();
        return refuse(
            format!("belongs to user {}, not to you", metadata.uid()),
            format!("chown {user} {}", path.display()),
        );
    }
    // A file of root's that we may read we can read through its group only, or through an access
    // list, whose mask stands in the group's bits: that is how systemd hands over credentials.
    let from_root = metadata.uid() == ROOT && geteuid().as_raw() != ROOT;
    let forbidden = if from_root { 0o037 } else { 0o077 };
    if metadata.mode() & forbidden != 0 {
        return refuse(
            format!(
                "can be opened by others (mode {:03o})",
                metadata.mode() & 0o777
            ),
            format!("chmod 600 {}", path.display()),
        );
    }
    Ok(())
}

/// Whose a file or folder may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Us,
    /// For what is only read: root can read and change it all anyway.
    UsOrRoot,
}

impl Owner {
    fn is_of(self, metadata: &Metadata) -> bool {
        let user = metadata.uid();
        user == geteuid().as_raw() || (self == Self::UsOrRoot && user == ROOT)
    }
}

/// Reads a file that opens the store, or an inherited descriptor, of which nothing is asked: no
/// more than one byte beyond `most`, whatever there is. `None` if there is no file.
pub(super) fn read_opener(
    path: &Path,
    most: usize,
) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
    let opened = match is_descriptor(path) {
        true => File::open(path).map(Ok),
        false => open_private(path, Owner::UsOrRoot),
    };
    let file = match opened {
        Ok(file) => file?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open", path)(error)),
    };
    // The whole capacity at once: a vector that grows leaves copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most + 1));
    file.take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(io("read", path))?;
    Ok(Some(bytes))
}

/// Whether the path names a descriptor that this process inherited.
pub(super) fn is_descriptor(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"]
            .iter()
            .any(|folder| path.parent() == Some(Path::new(folder)))
}

/// Opens a file of ours for reading, checked on the open descriptor. The outer error is the
/// operating system's, the inner one a refusal.
pub(super) fn open_private(path: &Path, owner: Owner) -> io::Result<Result<File, StoreError>> {
    // Without O_NONBLOCK, opening a FIFO would wait for a writer.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    match OpenOptions::new().read(true).custom_flags(flags).open(path) {
        Ok(file) => {
            let metadata = file.metadata()?;
            Ok(check(path, &metadata, owner).map(|()| file))
        }
        Err(error) => match std::fs::symlink_metadata(path) {
            Ok(metadata) if metadata.is_symlink() => Ok(Err(check(path, &metadata, owner)
                .err()
                .unwrap_or_else(|| io("open", path)(error)))),
            _ => Err(error),
        },
    }
}

/// Opens a regular file and nothing else, with these options: without following a link, and without
/// waiting, as for the other end of a FIFO.
pub(crate) fn open_regular(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let refuse = |problem| Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
    match options.custom_flags(flags).open(path) {
        Ok(file) if file.metadata()?.is_file() => Ok(file),
        Ok(_) => refuse("it is not a regular file"),
        Err(error) if Errno::from_io_error(&error) == Some(Errno::LOOP) => {
            refuse("it is a symbolic link: give the path of the file itself")
        }
        Err(error) => Err(error),
    }
}

/// A new file of mode 0600 in the folder, which is removed unless it is given a name.
pub(super) fn private_temp(folder: &Path) -> io::Result<NamedTempFile> {
    let mode = Permissions::from_mode(0o600);
    let file = tempfile::Builder::new()
        .prefix(".leyden-")
        .suffix(".tmp")
        .permissions(mode.clone())
        .tempfile_in(folder)?;
    file.as_file().set_permissions(mode)?;
    Ok(file)
}

/// Gives such a file a name that nothing has.
pub(super) fn give_new_name(
    file: NamedTempFile,
    path: &Path,
    action: &'static str,
) -> Result<(), StoreError> {
    match file.persist_noclobber(path) {
        Ok(_) => Ok(()),
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
            Err(StoreError::FileExists {
                path: path.to_owned(),
            })
        }
        Err(error) => Err(io(action, path)(error.error)),
    }
}

/// Makes a new empty file of mode 0600.
pub(super) fn make_private(path: &Path) -> Result<File, StoreError> {
    let failed = io("make", path);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(&failed)?;
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(failed)?;
    Ok(file)
}

/// Takes the lock that the file stands for; dropping it, or dying, gives it back.
pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let failed = io("lock", path);
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    let file = open_regular(options.mode(0o600), path).map_err(&failed)?;
    file.set_permissions(Permissions::from_mode(0o600))
        .map_err(&failed)?;
    flock(&file, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    Ok(file)
}

/// Opens the file that a lock stands for, if there is one.
pub(super) fn open_lock(path: &Path) -> Result<Option<File>, StoreError> {
    match open_regular(OpenOptions::new().read(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some).map_err(io("lock", path)),
    }
}

/// Brings the folder's entries to disk.
pub(super) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let failed = io("sync the folder", folder);
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(failed)
}

/// Brings a file's bytes to disk.
pub(super) fn sync_file(path: &Path) -> Result<(), StoreError> {
    File::open(path)
        .and_then(|file| file.sync_all())
        .map_err(io("sync", path))
}

/// Removes a file that may not be there.
pub(super) fn remove(path: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io("remove", path)(error)),
        _ => Ok(()),
    }
}
