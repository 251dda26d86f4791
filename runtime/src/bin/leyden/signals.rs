//! Ctrl-C and SIGTERM: a thread of its own, so that they work whatever the others wait for.
//!
//! A prompt reads the terminal in raw mode and must put it back; a guest must be stopped. Anything
//! else just ends. A second signal ends the process at once.

use std::io;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::oneshot;

use crate::exit::{INTERRUPTED, TERMINATED};

/// Who is told of the next signal.
enum Listener {
    Nobody,
    Prompt,
    Run(oneshot::Sender<u8>),
}

static LISTENER: Mutex<Listener> = Mutex::new(Listener::Nobody);

/// How long whoever is told has to end the process.
const GRACE: Duration = Duration::from_millis(500);

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
    replace(Listener::Prompt);
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

/// Starts the thread, once; the handlers stand when this returns.
fn watch() -> io::Result<()> {
    static STARTED: OnceLock<()> = OnceLock::new();
    if STARTED.get().is_some() {
        return Ok(());
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    let wait = async move {
        let mut next = async || {
            tokio::select! {
                _ = interrupt.recv() => INTERRUPTED,
                _ = terminate.recv() => TERMINATED,
            }
        };
        let status = next().await;
        let answered = match replace(Listener::Nobody) {
            Listener::Run(sender) => sender.send(status).is_ok(),
            // The prompt itself reads Ctrl-C as well.
            Listener::Prompt => status == INTERRUPTED,
            Listener::Nobody => false,
        };
        if answered {
            // Whoever was told ends the process, unless it is held up by something.
            let _ = tokio::time::timeout(GRACE, next()).await;
        }
        std::process::exit(status.into());
    };
    std::thread::Builder::new()
        .name("leyden-signals".into())
        .spawn(move || runtime.block_on(wait))?;
    let _ = STARTED.set(());
    Ok(())
}
