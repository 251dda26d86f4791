//! The thread that makes running guests yield, so that time limits, cancelling and signals work.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
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
    /// Guests. Each start and end changes it, on all threads at once: without the lock.
    running: AtomicUsize,
    /// Whether the thread is to be woken, or started. It says so before it looks at `running` for
    /// the last time, and a guest counts itself before it looks here: one of them sees the other.
    asleep: AtomicBool,
    state: Mutex<State>,
    wake: Condvar,
}

#[derive(Default)]
struct State {
    started: bool,
    ended: bool,
}

/// Keeps the ticker going; one for each running guest.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    pub(super) fn new(engine: Engine) -> Self {
        Self(Arc::new(Shared {
            engine,
            running: AtomicUsize::new(0),
            asleep: AtomicBool::new(true),
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
        self.0.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.0));
        if self.0.asleep.load(Ordering::SeqCst) {
            self.0.wake()?;
        }
        Ok(running)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the thread, or starts it.
    #[cold]
    fn wake(self: &Arc<Self>) -> io::Result<()> {
        let mut state = self.lock();
        if !state.started {
            let shared = Arc::clone(self);
            thread::Builder::new()
                .name("leyden-ticker".into())
                .spawn(move || shared.tick())?;
            state.started = true;
        }
        // Once: it takes the thread a while to wake, in which many guests may start.
        if self.asleep.swap(false, Ordering::SeqCst) {
            self.wake.notify_one();
        }
        Ok(())
    }

    fn tick(&self) {
        loop {
            let state = self
                .wake
                .wait_while(self.lock(), |state| !state.ended && self.is_idle())
                .unwrap_or_else(PoisonError::into_inner);
            if state.ended {
                return;
            }
            drop(state);
            thread::sleep(TICK);
            self.engine.increment_epoch();
        }
    }

    /// Whether nothing runs; then whoever starts next wakes the thread.
    fn is_idle(&self) -> bool {
        if self.running.load(Ordering::SeqCst) > 0 {
            return false;
        }
        self.asleep.store(true, Ordering::SeqCst);
        if self.running.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.asleep.store(false, Ordering::SeqCst);
        false
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake.notify_one();
    }
}
