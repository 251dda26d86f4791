//! The host, where there is no sandbox: Works are functions on threads. For unit tests.

use std::any::Any;
use std::cell::RefCell;
use std::collections::{BTreeMap, VecDeque};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use zeroize::Zeroizing;

use crate::{Failure, Status};

/// How many Works run at once: the same on every machine, so that tests behave alike.
const PARALLEL: usize = 8;

/// What a Work does, its input and output as bytes.
pub(crate) type Function = dyn Fn(Vec<u8>) -> Result<Vec<u8>, Failure> + Send + Sync;

thread_local! {
    /// Each test runs on a thread of its own, so that this is each test's own app.
    static APP: RefCell<App> = RefCell::default();
}

/// The app's Works, and what runs them.
#[derive(Default)]
struct App {
    works: BTreeMap<String, Arc<Function>>,
    queue: Arc<Queue>,
}

impl Drop for App {
    /// A Flow that ends takes its Works with it: here, those that have not begun.
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.closed = true;
        for job in state.pending.drain(..) {
            job.end(Err(Failure::Stopped));
        }
        self.queue.more.notify_all();
        self.queue.ended.notify_all();
    }
}

pub(crate) fn register(name: &str, function: Arc<Function>) {
    APP.with_borrow_mut(|app| app.works.insert(name.into(), function));
}

/// The names of the app's Works.
pub(crate) fn names() -> Vec<String> {
    APP.with_borrow(|app| app.works.keys().cloned().collect())
}

/// Starts a Work.
pub(crate) fn start(work: &str, input: &[u8]) -> Handle {
    APP.with_borrow(|app| {
        let job = Arc::new(Job {
            function: app.works.get(work).cloned(),
            progress: Mutex::new(Progress::Pending(input.to_vec())),
        });
        if job.function.is_some() {
            Queue::push(&app.queue, job.clone());
        } else {
            let reason = format!("no Work {work} is registered on this thread");
            job.end(Err(Failure::Refused(reason)));
        }
        Handle {
            queue: app.queue.clone(),
            job,
        }
    })
}

/// The Works that wait for their turn, and how many threads run them.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    /// One was added, or there will be no more.
    more: Condvar,
    /// One has ended, or was stopped.
    ended: Condvar,
}

#[derive(Default)]
struct State {
    pending: VecDeque<Arc<Job>>,
    threads: usize,
    closed: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(queue: &Arc<Self>, job: Arc<Job>) {
        let mut state = queue.lock();
        state.pending.push_back(job);
        if state.threads < PARALLEL {
            state.threads += 1;
            let queue = queue.clone();
            thread::spawn(move || queue.run());
        }
        drop(state);
        queue.more.notify_one();
    }

    /// Runs one after the other until there will be no more.
    fn run(&self) {
        let mut state = self.lock();
        while !state.closed {
            let Some(job) = state.pending.pop_front() else {
                state = wait(&self.more, state);
                continue;
            };
            drop(state);
            job.run();
            state = self.lock();
            self.ended.notify_all();
        }
    }
}

fn wait<'s>(on: &Condvar, state: MutexGuard<'s, State>) -> MutexGuard<'s, State> {
    on.wait(state).unwrap_or_else(PoisonError::into_inner)
}

/// One start of a Work.
struct Job {
    function: Option<Arc<Function>>,
    progress: Mutex<Progress>,
}

enum Progress {
    /// It waits, with this input.
    Pending(Vec<u8>),
    Running,
    Ended(Result<Vec<u8>, Failure>),
}

impl Job {
    fn progress(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has_ended(&self) -> bool {
        matches!(*self.progress(), Progress::Ended(_))
    }

    /// What has ended, because it was stopped, stays so.
    fn end(&self, result: Result<Vec<u8>, Failure>) {
        let mut progress = self.progress();
        if !matches!(*progress, Progress::Ended(_)) {
            *progress = Progress::Ended(result);
        }
    }

    fn run(&self) {
        let mut progress = self.progress();
        let input = match &mut *progress {
            Progress::Pending(input) => std::mem::take(input),
            Progress::Running | Progress::Ended(_) => return,
        };
        *progress = Progress::Running;
        drop(progress);
        if let Some(function) = &self.function {
            let result = catch_unwind(AssertUnwindSafe(|| function(input)));
            self.end(result.unwrap_or_else(|panic| Err(Failure::Trap(message(&*panic)))));
        }
    }
}

/// What a panic said.
fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    format!("panicked: {}", text.unwrap_or("without a message"))
}

/// A started Work.
pub(crate) struct Handle {
    queue: Arc<Queue>,
    job: Arc<Job>,
}

impl Handle {
    pub(crate) fn status(&self) -> Status {
        match &*self.job.progress() {
            Progress::Pending(_) => Status::Pending,
            Progress::Running => Status::Running,
            Progress::Ended(Ok(_)) => Status::Succeeded,
            Progress::Ended(Err(Failure::Stopped)) => Status::Stopped,
            Progress::Ended(Err(_)) => Status::Failed,
        }
    }

    pub(crate) fn output(&self) -> Result<Vec<u8>, Failure> {
        let mut state = self.queue.lock();
        loop {
            if let Progress::Ended(result) = &*self.job.progress() {
                return result.clone();
            }
            state = wait(&self.queue.ended, state);
        }
    }

    /// A thread cannot be stopped: what it returns is thrown away.
    pub(crate) fn stop(&self) {
        self.job.end(Err(Failure::Stopped));
        let _state = self.queue.lock();
        self.queue.ended.notify_all();
    }
}

/// Waits until any has ended: the places of all that have, in order. There is at least one.
pub(crate) fn ended(handles: &[&Handle]) -> Vec<usize> {
    let Some(first) = handles.first() else {
        return Vec::new();
    };
    let mut state = first.queue.lock();
    loop {
        let ended = handles.iter().enumerate();
        let ended = ended.filter(|(_, handle)| handle.job.has_ended());
        let places: Vec<usize> = ended.map(|(place, _)| place).collect();
        if !places.is_empty() {
            return places;
        }
        state = wait(&first.queue.ended, state);
    }
}

/// The secret bound to an environment name, and its version: here, a variable of the process.
pub(crate) fn secret(name: &str) -> Option<(Zeroizing<Vec<u8>>, u32)> {
    let value = std::env::var_os(name)?;
    Some((value.into_encoded_bytes().into(), 1))
}
