//! A sign of life for what takes long, on standard error and only on a terminal.

use std::io::IsTerminal as _;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

/// What is shorter than this shows nothing.
const LONG: Duration = Duration::from_secs(1);

/// Does something; shows what it is about if it takes long.
pub(crate) fn during<T>(what: &'static str, work: impl FnOnce() -> T) -> T {
    if !std::io::stderr().is_terminal() {
        return work();
    }
    let (done, watched) = mpsc::channel::<()>();
    // Where there is no thread, nothing is shown.
    let watch = thread::Builder::new().spawn(move || {
        if watched.recv_timeout(LONG) == Err(RecvTimeoutError::Timeout) {
            let _shown = Shown::now(what);
            let _ = watched.recv();
        }
    });
    let result = work();
    drop(done);
    if let Ok(watch) = watch {
        // The line is gone when this returns.
        let _ = watch.join();
    }
    result
}

/// A spinner that goes away when dropped.
pub(crate) struct Shown(ProgressBar);

impl Shown {
    /// Shows what is about to take long.
    pub(crate) fn now(what: &'static str) -> Self {
        let bar = ProgressBar::new_spinner().with_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        Self(bar)
    }

    /// Shows how far something has come that is about to take long.
    pub(crate) fn so_far(what: &'static str) -> Self {
        let style = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len}");
        let bar = ProgressBar::no_length().with_message(what);
        Self(bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar())))
    }

    /// It has come so far, of so much.
    pub(crate) fn at(&self, done: u64, of: u64) {
        self.0.set_length(of);
        self.0.set_position(done);
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
