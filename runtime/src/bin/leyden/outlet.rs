//! Standard output and error while an app runs: once the run is to end, a pipe that nobody reads
//! holds it no longer, so that Works are stopped and the journal says how it ended.

use std::io::{self, IsTerminal as _, Write};
use std::os::fd::{AsFd as _, BorrowedFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use tokio::sync::oneshot;

/// What a pipe that polls as writable takes without blocking: `PIPE_BUF` of Linux (pipe(7)).
const CHUNK: usize = 4096;
/// How often a writer that waits looks whether the run is to end.
const LOOK: Duration = Duration::from_millis(100);
/// How long readers still have from then on: less than signals and time limits wait for the end.
const PATIENCE: Duration = Duration::from_millis(250);

/// When writers give up.
static UNTIL: OnceLock<Instant> = OnceLock::new();

/// The run is to end.
pub(crate) fn hurry() {
    let _ = UNTIL.set(Instant::now() + PATIENCE);
}

/// Tells when nobody can read standard output any more, also while nothing is written to it. An
/// error where that cannot be known: a file has no reader, and a terminal that goes away sends a
/// signal.
///
/// # Errors
///
/// The operating system's, where no thread can be had.
pub(crate) fn closed() -> io::Result<oneshot::Receiver<()>> {
    let (closed, told) = oneshot::channel();
    if io::stdout().is_terminal() {
        return Ok(told);
    }
    let wait = move || {
        let stdout = io::stdout();
        // Of no event but those that need not be asked for: an error, and a hang-up.
        let poll = || rustix::event::poll(&mut [PollFd::new(&stdout, PollFlags::empty())], None);
        let found = loop {
            match poll() {
                Ok(0) | Err(Errno::INTR) => {}
                found => break found,
            }
        };
        if found.is_ok() {
            let _ = closed.send(());
        }
    };
    std::thread::Builder::new()
        .name("leyden-reader".into())
        .spawn(wait)?;
    Ok(told)
}

/// Where the command and its apps write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout,
    Stderr,
}

/// Writes to one of both, without a buffer. What finds no reader in time is dropped: it is no
/// failure of the app's.
pub(crate) struct Outlet {
    stream: Stream,
    /// In the middle of a line, perhaps: nothing that follows is written.
    gave_up: bool,
}

impl Outlet {
    pub(crate) fn new(stream: Stream) -> Self {
        Self {
            stream,
            gave_up: false,
        }
    }
}

impl Write for Outlet {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let chunk = bytes.get(..CHUNK).unwrap_or(bytes);
        let written = match self.stream {
            _ if self.gave_up => None,
            Stream::Stdout => write(io::stdout().as_fd(), chunk)?,
            Stream::Stderr => write(io::stderr().as_fd(), chunk)?,
        };
        self.gave_up = written.is_none();
        Ok(written.unwrap_or(bytes.len()))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes what fits; none where that took too long.
fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<Option<usize>> {
    loop {
        let until = UNTIL.get();
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        let wait = left.map_or(LOOK, |left| left.min(LOOK));
        let wait = Timespec {
            tv_sec: 0,
            tv_nsec: wait.subsec_nanos().into(),
        };
        match rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::OUT)], Some(&wait)) {
            Ok(0) if left == Some(Duration::ZERO) => return Ok(None),
            Ok(0) | Err(Errno::INTR) => continue,
            // Writable, closed or unusable: the write itself tells.
            _ => {}
        }
        match rustix::io::write(fd, bytes) {
            // Somebody else made the descriptor non-blocking, or was faster.
            Err(Errno::INTR | Errno::AGAIN) => {}
            written => return Ok(Some(written?)),
        }
    }
}
