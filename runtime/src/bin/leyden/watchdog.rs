//! A time limit that holds whatever holds the thread that runs the app: another one ends the process.
//!
//! The sandbox stops a guest at its limit. But a pipe that nobody reads can hold that thread in a
//! write: of an event, of the guest's output where another process fills the pipe as well, or of
//! the very line that says what happened.

use std::io;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

use leyden::Ending;

use crate::exit::{TIMED_OUT, say};
use crate::outlet;

/// How long the sandbox has to stop the guest, and standard error to take a line.
const GRACE: Duration = Duration::from_millis(500);

/// Who holds this ends the process.
static ENDING: Mutex<()> = Mutex::new(());

/// How long it has where Works are to be stopped and waited for, too.
const GRACE_FOR_WORKS: Duration = Duration::from_secs(4);

/// Ends the process some time after the limit, unless somebody [took over](take_over).
///
/// # Errors
///
/// The operating system's, where no thread can be had.
pub(crate) fn start(limit: Duration, app: &str, has_works: bool) -> io::Result<()> {
    let app = app.to_owned();
    let grace = if has_works { GRACE_FOR_WORKS } else { GRACE };
    let watch = move || {
        thread::sleep(limit);
        if ENDING.try_lock().is_ok() {
            // It has not ended in time.
            outlet::hurry();
        }
        thread::sleep(grace);
        take_over();
        tell(limit, &app);
        std::process::exit(TIMED_OUT.into());
    };
    thread::Builder::new()
        .name("leyden-watchdog".into())
        .spawn(watch)?;
    Ok(())
}

/// From here on the caller ends the process; does not return where the watchdog does so already.
/// A second call by the same thread does not return either.
pub(crate) fn take_over() {
    std::mem::forget(ENDING.lock());
}

/// Says that the app ran longer than its limit; gives up where standard error takes nothing.
pub(crate) fn tell(limit: Duration, app: &str) {
    let line = format!("{app}: {}", Ending::TimedOut(limit));
    let (said, told) = mpsc::channel();
    let saying = thread::Builder::new().spawn(move || {
        say(&line);
        let _ = said.send(());
    });
    if saying.is_ok() {
        let _ = told.recv_timeout(GRACE);
    }
}
