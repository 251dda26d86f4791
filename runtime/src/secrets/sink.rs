//! A second place for audit records: a file of JSON lines, or the system's log.
//!
//! A sink that is required gets a record before it is committed, and what cannot be written there is
//! not done; so it may hold a record of what was then not done, never lack one. Any other sink gets
//! it after the commit; where it does not take it, it remembers that for whoever has the sink. So
//! does a required one with a refusal, which stands and is on record in the store all the same.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{StoreError, files};

/// A second place for audit records. A clone is the same one: it knows of the other's failures.
#[derive(Debug, Clone)]
pub struct AuditSink {
    to: AuditTarget,
    required: bool,
    failure: Arc<Mutex<Option<SinkFailure>>>,
}

/// A second place that is not required did not take records, which are in the store's log.
#[derive(Debug, thiserror::Error)]
#[error("what was done is in the store's audit log, but could not be recorded in {}", .path.display())]
#[non_exhaustive]
pub struct SinkFailure {
    /// Where it was to be recorded.
    pub path: PathBuf,
    /// Why it could not.
    #[source]
    pub source: io::Error,
}

/// Where audit records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditTarget {
    /// A regular file, to which a line of JSON is added for each; made, for the user alone, if there
    /// is none. One that holds anything else is left as it is.
    File(PathBuf),
    /// The system's log, at this datagram socket: facility `authpriv`, severity `notice` (RFC 3164).
    Syslog(PathBuf),
}

impl AuditTarget {
    /// Where the system's log takes records.
    pub const SYSLOG_SOCKET: &str = "/dev/log";
}

/// `authpriv` is facility 10, `notice` severity 5.
const PRIORITY: u8 = 10 * 8 + 5;

impl AuditSink {
    /// A second place. Where it is required, nothing is done that cannot be recorded there.
    pub fn new(to: AuditTarget, required: bool) -> Self {
        Self {
            to,
            required,
            failure: Arc::default(),
        }
    }

    /// Where records go.
    pub fn to(&self) -> &AuditTarget {
        &self.to
    }

    /// The last time that records could not be written there and are in the store alone, since this
    /// was last asked; where it is required, records of refusals.
    pub fn take_failure(&self) -> Option<SinkFailure> {
        self.failure
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// Before a commit: writes to a required sink.
    pub(super) fn before(&self, records: &[String]) -> Result<(), StoreError> {
        match self.required {
            true => self.write(records).map_err(|failed| StoreError::AuditSink {
                path: failed.path,
                source: failed.source,
            }),
            false => Ok(()),
        }
    }

    /// After a commit: writes to any other.
    pub(super) fn after(&self, records: &[String]) {
        if !self.required {
            self.tell(records);
        }
    }

    /// Writes to it, and remembers where that fails: nothing stops.
    pub(super) fn tell(&self, records: &[String]) {
        if let Err(failed) = self.write(records) {
            let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
            *last = Some(failed);
        }
    }

    fn write(&self, records: &[String]) -> Result<(), SinkFailure> {
        if records.is_empty() {
            return Ok(());
        }
        let (path, written) = match &self.to {
            AuditTarget::File(path) => (path.as_path(), append(path, records, self.required)),
            AuditTarget::Syslog(socket) => (socket.as_path(), send(socket, records)),
        };
        written.map_err(|source| SinkFailure {
            path: path.to_owned(),
            source,
        })
    }
}

fn append(path: &Path, records: &[String], sync: bool) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.read(true).append(true).create(true).mode(0o600);
    let mut file = files::open_regular(&mut options, path)?;
    // In one write, so that no other process's lines get between.
    let begun = if is_line_begun(&file)? { "\n" } else { "" };
    file.write_all(format!("{begun}{}\n", records.join("\n")).as_bytes())?;
    match sync {
        true => file.sync_data(),
        false => Ok(()),
    }
}

/// Whether the file's last line has no end, as where the disk was full.
///
/// # Errors
/// Where it holds something else than records: a key file, or a database, would be lost.
fn is_line_begun(file: &File) -> io::Result<bool> {
    let length = file.metadata()?.len();
    let byte = |at| {
        let mut byte = [0];
        file.read_exact_at(&mut byte, at).map(|()| byte)
    };
    match length.checked_sub(1) {
        None => Ok(false),
        Some(_) if byte(0)? != *b"{" => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it holds something else than audit records",
        )),
        Some(last) => Ok(byte(last)? != *b"\n"),
    }
}

fn send(to: &Path, records: &[String]) -> io::Result<()> {
    let socket = UnixDatagram::unbound()?;
    // A daemon that takes nothing must not hold whoever binds a secret.
    socket.set_nonblocking(true)?;
    socket.connect(to)?;
    for record in records {
        let line = format!("<{PRIORITY}>leyden[{}]: {record}", std::process::id());
        socket.send(line.as_bytes())?;
    }
    Ok(())
}
