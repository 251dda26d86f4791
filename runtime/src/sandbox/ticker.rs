//! The thread that makes running guests yield, so that time limits, cancelling and signals work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

/// Time between two ticks: the longest that a computing guest keeps a thread of the executor.
const TICK: Duration = Duration::from_millis(10);

/// Advances an engine's epoch while guests run; parked otherwise. Its thread starts with the
/// first guest and ends when the `Ticker` is dropped.
pub(super) struct Ticker {
    shared: Arc<Shared>,
    started: AtomicBool,
    thread: OnceLock<Thread>,
}

struct Shared {
    engine: Engine,
    running: AtomicUsize,
    parked: AtomicBool,
    ended: AtomicBool,
}

/// Keeps the ticker going; one for each running guest.
pub(super) struct Running(Arc<Shared>);

impl Ticker {
    pub(super) fn new(engine: Engine) -> Self {
        Self {
            shared: Arc::new(Shared {
                engine,
                running: AtomicUsize::new(0),
                parked: AtomicBool::new(false),
                ended: AtomicBool::new(false),
            }),
            started: AtomicBool::new(false),
            thread: OnceLock::new(),
        }
    }

    /// Notes that a guest starts.
    ///
    /// # Errors
    ///
    /// The operating system's, where no thread can be had.
    pub(super) fn start(&self) -> std::io::Result<Running> {
        self.shared.running.fetch_add(1, Ordering::SeqCst);
        let running = Running(Arc::clone(&self.shared));
        if !self.started.swap(true, Ordering::SeqCst) {
            let shared = Arc::clone(&self.shared);
            let spawned = std::thread::Builder::new()
                .name("leyden-ticker".into())
                .spawn(move || shared.tick());
            match spawned {
                Ok(handle) => drop(self.thread.set(handle.thread().clone())),
                Err(error) => {
                    self.started.store(false, Ordering::SeqCst);
                    return Err(error);
                }
            }
        } else if self.shared.parked.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
        Ok(running)
    }
}

impl Shared {
    fn tick(&self) {
        while !self.ended.load(Ordering::SeqCst) {
            if self.running.load(Ordering::SeqCst) > 0 {
                std::thread::sleep(TICK);
                self.engine.increment_epoch();
                continue;
            }
            self.parked.store(true, Ordering::SeqCst);
            // A guest that started meanwhile has seen no flag and wakes nobody: look again.
            if self.running.load(Ordering::SeqCst) == 0 && !self.ended.load(Ordering::SeqCst) {
                std::thread::park();
            }
            self.parked.store(false, Ordering::SeqCst);
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.get() {
            thread.unpark();
        }
    }
}
