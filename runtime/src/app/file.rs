//! Opening files that somebody else may have put there: regular files only, and no hanging.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{Mode, OFlags};

/// Opens a regular file to be read.
///
/// What a path is can change between looking and opening, so both are done: the first look keeps
/// devices from being opened at all (opening some has effects), the second, on the open file,
/// is the one that counts. Without `NONBLOCK` the opening of a FIFO waits for a writer.
pub(super) fn open_regular(path: &Path) -> Result<(File, Metadata), OpenError> {
    refuse_others(&std::fs::metadata(path)?)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty()).map_err(io::Error::from)?);
    let metadata = file.metadata()?;
    refuse_others(&metadata)?;
    Ok((file, metadata))
}

/// How much room is made before anything was read, in bytes, where so much may come.
const ROOM: u64 = 64 << 20;

/// Reads to the end, or says `None` if there are more than `limit` bytes.
pub(super) fn read_bounded(reader: impl Read, limit: u64) -> io::Result<Option<Vec<u8>>> {
    // Not grown by and by where it is a component of megabytes.
    let mut bytes = Vec::with_capacity(usize::try_from(limit.min(ROOM)).unwrap_or_default() + 1);
    reader
        .take(limit.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(Some(bytes).filter(|bytes| bytes.len() as u64 <= limit))
}

/// Why a file was not opened.
#[derive(Debug)]
pub(super) enum OpenError {
    /// It is a folder, a FIFO, a device or a socket: which.
    NotAFile(&'static str),
    /// The operating system said no.
    Io(io::Error),
}

impl From<io::Error> for OpenError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn refuse_others(metadata: &Metadata) -> Result<(), OpenError> {
    use std::os::unix::fs::FileTypeExt as _;

    let kind = metadata.file_type();
    if kind.is_file() {
        return Ok(());
    }
    Err(OpenError::NotAFile(if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a pipe"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "text").unwrap();
        assert_eq!(open_regular(&file).unwrap().1.len(), 4);

        let fifo = folder.path().join("fifo");
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &fifo,
            rustix::fs::FileType::Fifo,
            Mode::RUSR | Mode::WUSR,
            0,
        )
        .unwrap();
        let socket = folder.path().join("socket");
        let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        let refused = |path: &Path| match open_regular(path) {
            Err(OpenError::NotAFile(what)) => what,
            other => unreachable!("{other:?}"),
        };
        assert_eq!(refused(&fifo), "a pipe");
        // Opening one fails, so that this shows the first look.
        assert_eq!(refused(&socket), "a socket");
        assert_eq!(refused(folder.path()), "a folder");
        assert_eq!(refused(Path::new("/dev/null")), "a device");
        assert!(matches!(
            open_regular(&folder.path().join("none")),
            Err(OpenError::Io(_))
        ));
    }

    #[test]
    fn reading_is_bounded() {
        assert_eq!(read_bounded(&b"1234"[..], 4).unwrap().unwrap(), b"1234");
        assert_eq!(read_bounded(&b"12345"[..], 4).unwrap(), None);
    }
}
