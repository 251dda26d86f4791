//! A guest's standard streams: inherited, captured, or handed to the embedder as they come.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec};
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Notify;
use wasmtime_wasi::cli::{IsTerminal, StdinStream, StdoutStream};
use wasmtime_wasi::p2::pipe::MemoryInputPipe;
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::mask::{MAX_PATTERN, Mask, Masker};
use super::trusted;

/// What may be written to a pipe, terminal or socket that polls as writable without blocking:
/// `PIPE_BUF` of Linux (pipe(7)).
const CHUNK_TO_PIPE: usize = 4096;
/// What is written at once to a file or to an embedder.
const CHUNK: usize = 64 * 1024;

/// Where a guest reads its standard input from.
#[derive(Clone, Default)]
pub enum Input {
    /// Nothing: at its end at once.
    #[default]
    Empty,
    /// This process's standard input.
    Inherit,
    /// These bytes.
    Bytes(Bytes),
}

impl Input {
    pub(super) fn stream(&self) -> Box<dyn StdinStream + Sync> {
        match self {
            Self::Empty => Box::new(tokio::io::empty()),
            Self::Inherit => Box::new(Inherited(wasmtime_wasi::cli::stdin())),
            Self::Bytes(bytes) => Box::new(MemoryInputPipe::new(bytes.clone())),
        }
    }
}

/// This process's standard input, through wasmtime's reader thread.
struct Inherited(tokio::io::Stdin);

impl IsTerminal for Inherited {
    fn is_terminal(&self) -> bool {
        io::IsTerminal::is_terminal(&io::stdin())
    }
}

impl StdinStream for Inherited {
    fn async_stream(&self) -> Box<dyn AsyncRead + Send + Sync> {
        self.0.async_stream()
    }

    fn p2_stream(&self) -> Box<dyn wasmtime_wasi::p2::InputStream> {
        self.0.p2_stream()
    }
}

/// Where a guest's standard output or error goes; streamed, never collected unless asked.
#[derive(Clone, Default)]
pub struct Output {
    target: Target,
    /// Has a copy of what is written.
    tap: Option<Arc<Callback>>,
}

type Callback = dyn Fn(&[u8]) -> io::Result<()> + Send + Sync;

#[derive(Clone, Default)]
enum Target {
    #[default]
    Nowhere,
    Stdout,
    Stderr,
    Callback(Arc<Callback>),
}

impl Output {
    /// Thrown away.
    pub fn null() -> Self {
        Self::default()
    }

    /// This process's standard output.
    pub fn stdout() -> Self {
        Self::from(Target::Stdout)
    }

    /// This process's standard error.
    pub fn stderr() -> Self {
        Self::from(Target::Stderr)
    }

    /// Each write goes to `write`, in order, on the thread that runs the guest: it should be
    /// quick. An error of kind `BrokenPipe` ends the guest as a closed pipe does.
    pub fn to(write: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::from(Target::Callback(Arc::new(write)))
    }

    /// As this one, with a copy of all that is written to `tap`, whose errors count for nothing.
    pub(crate) fn tapped(self, tap: &Self) -> Self {
        let tap = match &tap.target {
            Target::Callback(tap) => Some(Arc::clone(tap)),
            _ => None,
        };
        Self { tap, ..self }
    }

    /// Kept in memory, the first `limit` bytes; what comes after is dropped.
    pub fn capture(limit: usize) -> (Self, Captured) {
        Self::keep(limit, || Ok(()))
    }

    /// The same, where the first byte beyond ends the guest.
    pub(super) fn capture_all(limit: usize) -> (Self, Captured) {
        Self::keep(limit, || Err(io::ErrorKind::BrokenPipe.into()))
    }

    fn keep(limit: usize, beyond: fn() -> io::Result<()>) -> (Self, Captured) {
        let captured = Captured::default();
        let kept = captured.clone();
        let output = Self::to(move |bytes| {
            let mut kept = kept.lock();
            let room = limit.saturating_sub(kept.len());
            match bytes.get(..room) {
                Some(first) if first.len() < bytes.len() => {
                    kept.extend_from_slice(first);
                    beyond()
                }
                _ => {
                    kept.extend_from_slice(bytes);
                    Ok(())
                }
            }
        });
        (output, captured)
    }

    /// This output for one instance; with a mask, secrets are taken out of it.
    pub(super) fn stream(&self, closed: &Closed, mask: Option<&Arc<Mask>>) -> GuestOutput {
        GuestOutput {
            output: self.clone(),
            closed: closed.clone(),
            masked: mask.map(|mask| Arc::new((Arc::clone(mask), Mutex::default()))),
        }
    }
}

/// What [`Output::capture`] kept.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the bytes written so far.
    pub fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.lock())
    }
}

/// Tells the run that nobody reads its output any more: a guest that goes on writing is stopped,
/// as a native program is by SIGPIPE.
#[derive(Clone, Default)]
pub(super) struct Closed(Arc<(Notify, AtomicBool)>);

impl Closed {
    pub(super) async fn wait(&self) {
        self.0.0.notified().await;
    }

    pub(super) fn is_so(&self) -> bool {
        self.0.1.load(Ordering::Acquire)
    }

    fn tell(&self) {
        self.0.1.store(true, Ordering::Release);
        self.0.0.notify_one();
    }
}

/// The error with which a write to a closed output traps.
#[derive(Debug, thiserror::Error)]
#[error("its output was closed by the reader")]
pub(super) struct OutputClosed;

/// One instance's output. Clones are the same stream.
#[derive(Clone)]
pub(super) struct GuestOutput {
    output: Output,
    closed: Closed,
    masked: Option<Arc<Masked>>,
}

/// What is to be hidden, and what is held back of the stream.
type Masked = (Arc<Mask>, Mutex<Masker>);

impl IsTerminal for GuestOutput {
    fn is_terminal(&self) -> bool {
        match self.output.target {
            Target::Stdout => io::IsTerminal::is_terminal(&io::stdout()),
            Target::Stderr => io::IsTerminal::is_terminal(&io::stderr()),
            Target::Nowhere | Target::Callback(_) => false,
        }
    }
}

impl StdoutStream for GuestOutput {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.writer())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.writer())
    }
}

impl GuestOutput {
    fn writer(&self) -> Writer {
        Writer {
            output: self.clone(),
            waiter: None,
        }
    }

    /// Writes what was held back. The guest is gone: nobody can be told of an error.
    pub(super) fn finish(&self) {
        if let Some(masked) = &self.masked {
            let (mask, masker) = &**masked;
            let rest = masker
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .finish(mask);
            let _ = self.output.write(&rest);
        }
    }
}

impl From<Target> for Output {
    fn from(target: Target) -> Self {
        Self { target, tap: None }
    }
}

impl Output {
    fn write(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        if let Some(tap) = &self.tap {
            let _ = tap(bytes);
        }
        match &self.target {
            Target::Nowhere => Ok(()),
            Target::Callback(write) => write(bytes),
            Target::Stdout => write_fd(io::stdout().as_fd(), bytes),
            Target::Stderr => write_fd(io::stderr().as_fd(), bytes),
        }
    }
}

/// Writes what a guest writes, at once; waits without a thread while a pipe is full.
struct Writer {
    output: GuestOutput,
    /// Made when a pipe was first found full.
    waiter: Option<AsyncFd<OwnedFd>>,
}

impl Writer {
    fn with_fd<R>(&self, f: impl FnOnce(BorrowedFd<'_>) -> R) -> Option<R> {
        match self.output.output.target {
            Target::Stdout => Some(f(io::stdout().as_fd())),
            Target::Stderr => Some(f(io::stderr().as_fd())),
            Target::Nowhere | Target::Callback(_) => None,
        }
    }

    /// How much can be written now without blocking.
    fn room(&self) -> usize {
        self.with_fd(|fd| {
            let mut polled = [PollFd::new(&fd, PollFlags::OUT)];
            let now = Timespec {
                tv_sec: 0,
                tv_nsec: 0,
            };
            match rustix::event::poll(&mut polled, Some(&now)) {
                Ok(0) => 0,
                // Writable, closed or unusable: the write itself tells.
                _ if is_regular_file(fd) => CHUNK,
                // What was held back is written with it.
                _ if self.output.masked.is_some() => CHUNK_TO_PIPE - MAX_PATTERN,
                _ => CHUNK_TO_PIPE,
            }
        })
        .unwrap_or(CHUNK)
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let GuestOutput {
            output,
            closed,
            masked,
        } = &self.output;
        let result = match masked.as_deref() {
            None => output.write(bytes),
            Some((mask, masker)) => {
                // Held for the write, too: writers of one stream keep their order.
                let mut masker = masker.lock().unwrap_or_else(PoisonError::into_inner);
                output.write(&masker.push(mask, bytes))
            }
        };
        if let Err(error) = &result
            && error.kind() == io::ErrorKind::BrokenPipe
        {
            closed.tell();
        }
        result
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            let room = self.room();
            if room > 0 {
                return Poll::Ready(Ok(room));
            }
            if self.waiter.is_none() {
                let own = self.with_fd(|fd| fd.try_clone_to_owned()).transpose()?;
                self.waiter = own.map(trusted::wait_for_writable).transpose()?;
            }
            let Some(waiter) = &self.waiter else {
                return Poll::Ready(Ok(CHUNK));
            };
            // Readiness is edge-triggered: forget the last edge, then look again at the pipe.
            let mut guard = ready!(waiter.poll_write_ready(cx))?;
            guard.clear_ready();
        }
    }
}

fn is_regular_file(fd: BorrowedFd<'_>) -> bool {
    rustix::fs::fstat(fd)
        .is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file())
}

fn write_fd(fd: BorrowedFd<'_>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match rustix::io::write(fd, bytes) {
            Ok(written) => bytes = bytes.get(written..).unwrap_or_default(),
            Err(rustix::io::Errno::INTR) => {}
            // Somebody else made the descriptor non-blocking.
            Err(rustix::io::Errno::AGAIN) => {
                rustix::event::poll(&mut [PollFd::new(&fd, PollFlags::OUT)], None)?;
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// WASI 0.1 and 0.2.
impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes).map_err(|error| match error.kind() {
            io::ErrorKind::BrokenPipe => StreamError::Trap(OutputClosed.into()),
            _ => StreamError::LastOperationFailed(error.into()),
        })
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(self.room())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {
        // An error here shows again at the write.
        let _ = std::future::poll_fn(|cx| self.poll_room(cx)).await;
    }
}

/// WASI 0.3.
impl AsyncWrite for Writer {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let room = ready!(self.poll_room(cx))?.min(bytes.len());
        let chunk = bytes.get(..room).unwrap_or(bytes);
        self.write_all(chunk)?;
        Poll::Ready(Ok(chunk.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
