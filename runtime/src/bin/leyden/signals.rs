//! SIGINT, SIGTERM and SIGHUP: a thread of its own, so that they work whatever the others wait for.
//!
//! A prompt has switched the terminal's echo off, which is put back, whatever ends or stops the
//! process; a guest must be stopped. Anything else just ends. A second signal ends the process at once,
//! with its own status.

use std::fs::File;
use std::io::{self, Read as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{HUNG_UP, INTERRUPTED, TERMINATED};
use crate::hidden::Hidden;
use crate::outlet;

/// Who is told of the next signal.
enum Listener {
    Nobody,
    Prompt(Hidden),
    Run(oneshot::Sender<u8>),
}

static LISTENER: Mutex<Listener> = Mutex::new(Listener::Nobody);

/// What else ends a process that does not handle it (POSIX, `signal.h`), but for its own failures.
const DEADLY: [Signal; 8] = [
    Signal::ABORT,
    Signal::ALARM,
    Signal::PROF,
    Signal::QUIT,
    Signal::USR1,
    Signal::USR2,
    Signal::VTALARM,
    Signal::XCPU,
];

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

/// Calls what asks for a passphrase or a value on the terminal; asks again after a stop.
///
/// # Errors
///
/// Those of `ask`, and the operating system's, where there is no terminal, thread or handler.
pub(crate) fn during_prompt<T>(
    question: &str,
    ask: impl FnOnce(&File, &str) -> io::Result<T>,
) -> io::Result<T> {
    guard_terminal(watch()?)?;
    let terminal = {
        let mut listener = listener();
        let hidden = Hidden::new(question)?;
        let terminal = hidden.terminal()?;
        *listener = Listener::Prompt(hidden);
        terminal
    };
    let answer = ask(&terminal, question);
    // It is put back before a signal is answered that comes now.
    *listener() = Listener::Nobody;
    answer
}

fn listener() -> MutexGuard<'static, Listener> {
    LISTENER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn replace(with: Listener) -> Listener {
    std::mem::replace(&mut listener(), with)
}

/// From now on no signal that can be handled leaves the terminal hidden that a prompt has.
fn guard_terminal(watch: &Handle) -> io::Result<()> {
    static GUARDED: OnceLock<()> = OnceLock::new();
    if GUARDED.get().is_some() {
        return Ok(());
    }
    let _inside = watch.enter();
    let ignored = ignored();
    for deadly in DEADLY.map(Signal::as_raw) {
        if !is_ignored(ignored, deadly) {
            let mut ends = signal(SignalKind::from_raw(deadly))?;
            watch.spawn(async move {
                ends.recv().await;
                if let Listener::Prompt(hidden) = replace(Listener::Nobody) {
                    hidden.leave();
                }
                // As a shell shows it.
                std::process::exit(128 + deadly);
            });
        }
    }
    let stop = Signal::TSTP.as_raw();
    if !is_ignored(ignored, stop) {
        let mut stops = signal(SignalKind::from_raw(stop))?;
        watch.spawn(async move {
            while stops.recv().await.is_some() {
                // Its own stop is not to be had any more. Without a prompt the next best, which does
                // nothing either where no shell could go on with it; with one, what surely stops,
                // because what is typed is shown meanwhile.
                let stop = match &*listener() {
                    Listener::Prompt(hidden) => {
                        hidden.put_back();
                        Signal::STOP
                    }
                    _ => Signal::TTIN,
                };
                let _ = kill_process(getpid(), stop);
            }
        });
    }
    let mut goes_on = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
    watch.spawn(async move {
        while goes_on.recv().await.is_some() {
            if let Listener::Prompt(hidden) = &*listener() {
                hidden.ask_again();
            }
        }
    });
    let _ = GUARDED.set(());
    Ok(())
}

/// From now on a signal ends the process, with the status of that signal. Starts the thread, once;
/// the handlers stand when this returns.
///
/// # Errors
///
/// The operating system's, where no thread or handler can be had.
pub(crate) fn watch() -> io::Result<&'static Handle> {
    static STARTED: OnceLock<Handle> = OnceLock::new();
    if let Some(started) = STARTED.get() {
        return Ok(started);
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate, mut hangup) = {
        let _inside = runtime.enter();
        handle_file_limits()?;
        // Where this process was started so that it outlives its terminal, as by nohup(1), it does.
        let outlives = is_ignored(ignored(), Signal::HUP.as_raw());
        let hangup = (!outlives).then(|| signal(SignalKind::hangup()));
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
            Listener::Prompt(hidden) => {
                hidden.leave();
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
    let handle = runtime.handle().clone();
    std::thread::Builder::new()
        .name("leyden-signals".into())
        .spawn(move || runtime.block_on(wait))?;
    Ok(STARTED.get_or_init(|| handle))
}

/// The signals that this process was started to ignore, or has a reason of its own to: a bit for each.
fn ignored() -> u64 {
    // Linux, proc_pid_status(5). Elsewhere a hang-up ends the command, as it does without a handler.
    let mut status = [0; 4096];
    let read = File::open("/proc/self/status").and_then(|mut file| file.read(&mut status));
    let status = status.get(..read.unwrap_or_default()).unwrap_or_default();
    ignored_in(&String::from_utf8_lossy(status))
}

fn ignored_in(status: &str) -> u64 {
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or_default()
}

/// The lowest bit of the mask is signal 1.
fn is_ignored(mask: u64, signal: i32) -> bool {
    mask >> (signal - 1) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_ignored_is_read_from_the_mask_of_ignored_signals() {
        let ignores = |ignored: &str, signal: Signal| {
            let status = format!(
                "Name:\tleyden\nSigBlk:\t0000000000000001\nSigIgn:\t{ignored}\nSigCgt:\t1\n"
            );
            is_ignored(ignored_in(&status), signal.as_raw())
        };
        assert!(ignores("0000000000001001", Signal::HUP));
        assert!(!ignores("0000000000001000", Signal::HUP));
        assert!(ignores("0000000000001000", Signal::PIPE));
        assert!(!is_ignored(ignored_in(""), Signal::HUP.as_raw()));
    }
}
