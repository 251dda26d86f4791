//! The thread that makes running guests yield, so that time limits, cancelling and signals work.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// Time between two ticks: the longest that a computing guest keeps a thread of the executor.
const TICK: Duration = Duration::from_millis(10);

/// Advances an engine's epoch while guests run; asleep otherwise. Its thread starts with the
/// first guest and ends when the `Ticker` is dropped.
pub(super) struct Ticker(Arc<Shared>);

struct Shared {
    engine: Engine,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    running: usize,
    started: bool,
    /// Whether the thread waits to be woken.
    asleep: bool,
    ended: bool,
}

/// Keeps the ticker going; one for each running guest.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    pub(super) fn new(engine: Engine) -> Self {
        Self(Arc::new(Shared {
            engine,
            state: Mutex::default(),
            wake: Condvar::new(),
        }))
    }

    /// Notes that a guest starts.
    ///
    /// # Errors
    ///
    /// The operating system's, where no thread can be had.
    pub(super) fn start(&self) -> io::Result<Running> {
        let mut state = self.0.lock();
        if !state.started {
            let shared = Arc::clone(&self.0);
            thread::Builder::new()
                .name("leyden-ticker".into())
                .spawn(move || shared.tick())?;
            state.started = true;
        }
        state.running += 1;
        // Once: it takes the thread a while to wake, in which many guests may start.
        if std::mem::take(&mut state.asleep) {
            self.0.wake.notify_one();
        }
        Ok(Running(Arc::clone(&self.0)))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tick(&self) {
        loop {
            let state = self
                .wake
                .wait_while(self.lock(), |state| {
                    state.asleep = state.running == 0 && !state.ended;
                    state.asleep
                })
                .unwrap_or_else(PoisonError::into_inner);
            if state.ended {
                return;
            }
            drop(state);
            thread::sleep(TICK);
            self.engine.increment_epoch();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.lock().running -= 1;
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake.notify_one();
    }
}
