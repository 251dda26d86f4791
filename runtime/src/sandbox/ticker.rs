//! The thread that makes running guests yield, so that time limits, cancelling and signals work.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::thread;
use std::time::Duration;

use wasmtime::Engine;

/// Time between two ticks: the longest that a computing guest keeps a thread of the executor.
const TICK: Duration = Duration::from_millis(10);

/// Advances an engine's epoch while guests compute; asleep otherwise, also while all that run wait
/// for the host. Its thread starts with the first guest and ends when the `Ticker` is dropped.
pub(super) struct Ticker(Arc<Shared>);

struct Shared {
    engine: Engine,
    /// Guests that a thread is busy with. All threads change it at once: without the lock.
    busy: AtomicUsize,
    /// Whether the thread is to be woken, or started. It says so before it looks at `busy` for
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

/// Keeps the ticker going; one for each poll of a guest.
struct Busy<'t>(&'t Shared);

impl Ticker {
    pub(super) fn new(engine: Engine) -> Self {
        Self(Arc::new(Shared {
            engine,
            busy: AtomicUsize::new(0),
            asleep: AtomicBool::new(true),
            state: Mutex::default(),
            wake: Condvar::new(),
        }))
    }

    /// Runs a guest, which gets ticks whenever it computes.
    pub(super) fn attend<F>(&self, guest: F) -> Attended<'_, F> {
        Attended {
            ticker: self,
            guest: Box::pin(guest),
        }
    }

    fn busy(&self) -> io::Result<Busy<'_>> {
        self.0.busy.fetch_add(1, Ordering::SeqCst);
        let busy = Busy(&self.0);
        if self.0.asleep.load(Ordering::SeqCst) {
            self.0.wake()?;
        }
        Ok(busy)
    }
}

/// A guest that gets ticks. In a box of its own: it is the largest part of the futures around it,
/// each of which would have room for it and be moved with it.
pub(super) struct Attended<'t, F> {
    ticker: &'t Ticker,
    guest: Pin<Box<F>>,
}

impl<F: Future> Future for Attended<'_, F> {
    /// The operating system's error, where no thread can be had.
    type Output = io::Result<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let _busy = self.ticker.busy()?;
        self.guest.as_mut().poll(context).map(Ok)
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

    /// Whether nothing computes; then whoever does next wakes the thread.
    fn is_idle(&self) -> bool {
        if self.busy.load(Ordering::SeqCst) > 0 {
            return false;
        }
        self.asleep.store(true, Ordering::SeqCst);
        if self.busy.load(Ordering::SeqCst) == 0 {
            return true;
        }
        self.asleep.store(false, Ordering::SeqCst);
        false
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.0.lock().ended = true;
        self.0.wake.notify_one();
    }
}
