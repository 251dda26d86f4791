//! SIGINT, SIGTERM and SIGHUP: a thread of its own, so that they work whatever the others wait for.
//!
//! A prompt has switched the terminal's echo off, which is put back; a guest must be stopped.
//! Anything else just ends. A second signal ends the process at once, with its own status.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{HUNG_UP, INTERRUPTED, TERMINATED};
use crate::outlet;

/// Who is told of the next signal.
enum Listener {
    Nobody,
    /// With the terminal, where there is one.
    Prompt(Option<Terminal>),
    Run(oneshot::Sender<u8>),
}

static LISTENER: Mutex<Listener> = Mutex::new(Listener::Nobody);

/// The controlling terminal, as it was.
struct Terminal {
    file: File,
    settings: Termios,
}

impl Terminal {
    fn now() -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty")?;
        let settings = tcgetattr(&file)?;
        Ok(Self { file, settings })
    }

    /// Puts it back, and leaves the question's line. It may be gone: nothing is left to do then.
    fn put_back(mut self) {
        let _ = tcsetattr(&self.file, OptionalActions::Now, &self.settings);
        let _ = self.file.write_all(b"\n");
    }
}

/// How long whoever is told has to end the process.
const GRACE: Duration = Duration::from_millis(500);
/// The same where Works are to be stopped and waited for.
const GRACE_FOR_WORKS: Duration = Duration::from_secs(4);

static HAS_WORKS: AtomicBool = AtomicBool::new(false);

/// From here on, a limit on the size of files (`ulimit -f`) is an error of the write that goes beyond
/// it, as a full disk is. Without a handler it ends the process (setrlimit(2)).
///
/// # Errors
///
/// The operating system's, where no handler can be had.
pub(crate) fn outlive_file_limits() -> io::Result<()> {
    // tokio's handlers are set inside a runtime, and stay when it is gone.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let _inside = runtime.enter();
    handle_file_limits()
}

/// To be called inside a runtime.
fn handle_file_limits() -> io::Result<()> {
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// From here on, what is told of a signal has Works to stop.
pub(crate) fn allow_for_works() {
    HAS_WORKS.store(true, Ordering::Relaxed);
}

/// The exit status of the first signal from now on.
///
/// # Errors
///
/// The operating system's, where no thread or handler can be had.
pub(crate) fn first() -> io::Result<oneshot::Receiver<u8>> {
    watch()?;
    let (sender, receiver) = oneshot::channel();
    replace(Listener::Run(sender));
    Ok(receiver)
}

/// Calls what reads a passphrase or a value from the terminal.
pub(crate) fn during_prompt<T>(ask: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    watch()?;
    replace(Listener::Prompt(Terminal::now().ok()));
    let answer = ask();
    replace(Listener::Nobody);
    answer
}

fn replace(listener: Listener) -> Listener {
    std::mem::replace(
        &mut LISTENER.lock().unwrap_or_else(PoisonError::into_inner),
        listener,
    )
}

/// From now on a signal ends the process, with the status of that signal. Starts the thread, once;
/// the handlers stand when this returns.
///
/// # Errors
///
/// The operating system's, where no thread or handler can be had.
pub(crate) fn watch() -> io::Result<()> {
    static STARTED: OnceLock<()> = OnceLock::new();
    if STARTED.get().is_some() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _inside = runtime.enter();
        handle_file_limits()?;
        let hangup = (!hangup_is_ignored()).then(|| signal(SignalKind::hangup()));
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            hangup.transpose()?,
        )
    };
    let wait = async move {
        let mut next = async || {
            let hung_up = async {
                match &mut hangup {
                    Some(hangup) => hangup.recv().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
                _ = hung_up => HUNG_UP,
            }
        };
        let mut status = next().await;
        let answered = match replace(Listener::Nobody) {
            Listener::Run(sender) => {
                outlet::hurry();
                sender.send(status).is_ok()
            }
            Listener::Prompt(terminal) => {
                if let Some(terminal) = terminal {
                    terminal.put_back();
                }
                false
            }
            Listener::Nobody => false,
        };
        if answered {
            // Whoever was told ends the process, unless it is held up by something.
            let grace = match HAS_WORKS.load(Ordering::Relaxed) {
                true => GRACE_FOR_WORKS,
                false => GRACE,
            };
            status = tokio::time::timeout(grace, next()).await.unwrap_or(status);
        }
        std::process::exit(status.into());
    };
    std::thread::Builder::new()
        .name("leyden-signals".into())
        .spawn(move || runtime.block_on(wait))?;
    let _ = STARTED.set(());
    Ok(())
}

/// Whether this process was started so that it outlives its terminal, as by nohup(1).
fn hangup_is_ignored() -> bool {
    // Linux, proc_pid_status(5). Elsewhere a hang-up ends the command, as it does without a handler.
    let mut status = [0; 4096];
    let read = File::open("/proc/self/status").and_then(|mut file| file.read(&mut status));
    let status = status.get(..read.unwrap_or_default()).unwrap_or_default();
    ignores_hangup(&String::from_utf8_lossy(status))
}

fn ignores_hangup(status: &str) -> bool {
    // SIGHUP is signal 1: the lowest bit of the mask.
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .is_some_and(|mask| mask & 1 == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask_of_ignored_signals() {
        let status = |ignored: &str| {
            format!("Name:\tleyden\nSigBlk:\t0000000000000001\nSigIgn:\t{ignored}\nSigCgt:\t1\n")
        };
        assert!(ignores_hangup(&status("0000000000001001")));
        assert!(!ignores_hangup(&status("0000000000001000")));
        assert!(!ignores_hangup(""));
    }
}
