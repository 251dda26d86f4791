//! One run of a bound app: its Flow from start to end, and its Works with it.

use std::sync::Arc;

use tokio::sync::SetOnce;
use tokio::task::JoinSet;

use crate::Error;
use crate::sandbox::{self, Ending, Output, SandboxError, Works};

use super::bound::BoundApp;
use super::event::{Event, Observer};
use super::journal::Journal;
use super::lines;
use super::runner::Runner;

/// What one run is given beside its bindings.
#[derive(Clone, Default)]
pub struct Input {
    /// Arguments, without the program's name, which comes first by itself.
    pub arguments: Vec<String>,
    /// Standard input of the Flow; empty where nothing is said.
    pub stdin: sandbox::Input,
    /// Standard output of the Flow; thrown away where nothing is said.
    pub stdout: Output,
    /// Standard error of the Flow, without the app's secrets; thrown away where nothing is said.
    pub stderr: Output,
    /// Whether the app's secrets are taken out of standard output, too.
    pub mask_stdout: bool,
    /// Who is told of what happens.
    pub observer: Option<Observer>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// How its Flow did.
    pub ending: Ending,
}

/// Stops a run from elsewhere. Clones stop the same one.
#[derive(Debug, Clone, Default)]
pub struct Stopper(Arc<SetOnce<Ending>>);

impl Stopper {
    /// Asks the run to end: its Flow and its Works are stopped, wherever they are.
    pub fn stop(&self) {
        self.end(Ending::Stopped);
    }

    /// The same, because nobody reads any more what the run writes ([`Ending::OutputClosed`]).
    pub fn output_closed(&self) {
        self.end(Ending::OutputClosed);
    }

    /// Whoever asks first says how it ends.
    fn end(&self, ending: Ending) {
        let _ = self.0.set(ending);
    }
}

/// All that starts a run.
pub(crate) struct Start {
    pub(crate) input: Input,
    pub(crate) stopper: Stopper,
    pub(crate) journal: Option<Journal>,
}

/// Runs a bound app to its end. Dropping the future stops the Flow and its Works.
pub(crate) async fn run(app: &Arc<BoundApp>, start: Start) -> Result<Outcome, Error> {
    let failed = |source| Error::Sandbox {
        component: app.name.clone(),
        source,
    };
    if app.works.is_empty() {
        return run_here(app, start).await.map_err(failed);
    }
    // A task among those of its Works: the end of one then wakes it without waking a thread.
    let mut flow = JoinSet::new();
    let here = Arc::clone(app);
    flow.spawn(async move { run_here(&here, start).await });
    match flow.join_next().await {
        Some(Ok(outcome)) => outcome.map_err(failed),
        Some(Err(error)) => Err(Error::Task(error.to_string())),
        // Not reached: it was put there.
        None => Err(Error::Task("the Flow's task is gone".into())),
    }
}

/// The same, polled by whoever awaits it.
async fn run_here(app: &Arc<BoundApp>, start: Start) -> Result<Outcome, SandboxError> {
    let Start {
        input,
        stopper,
        journal,
    } = start;
    let journal = journal.map(Arc::new);
    // Never closed: an error is one of having no place.
    let place = app.flows.as_ref().map(|flows| flows.try_acquire());
    if let Some(Err(_)) = &place {
        if let Some(journal) = &journal {
            journal.end(&Err(SandboxError::Full)).await;
        }
        return Err(SandboxError::Full);
    }
    let mut arguments = input.arguments;
    arguments.insert(0, app.name.clone());
    let mut setup = app.flow.setup(arguments, &app.mask);
    setup.stdin = input.stdin;
    setup.stdout = input.stdout;
    setup.stderr = match &journal {
        Some(journal) => {
            let journal = Arc::clone(journal);
            let log = lines::output(move |line| journal.log_flow(&line));
            input.stderr.tapped(&log)
        }
        None => input.stderr,
    };
    setup.mask_stdout = input.mask_stdout;
    let works = (!app.works.is_empty())
        .then(|| Runner::new(app, input.observer.clone(), journal.clone()))
        .map(Stopping);
    setup.works = works
        .as_ref()
        .map(|works| Arc::new(Arc::clone(&works.0)) as Arc<dyn Works>);

    let ending = tokio::select! {
        biased;
        ending = app.flow.program.run(setup) => ending,
        asked = stopper.0.wait() => Ok(asked.clone()),
    };
    // Nobody starts a Work any more, and the log's last line is out: what the Flow was given is gone
    // with it.
    if let Some(works) = &works {
        works.0.close().await;
    }
    if let Some(journal) = &journal {
        journal.end(&ending).await;
        if let (Some(observer), Some(reason)) = (&input.observer, journal.new_failure()) {
            observer.tell(&Event::JournalFailed(reason));
        }
    }
    Ok(Outcome { ending: ending? })
}

/// Stops all Works when the run is dropped.
struct Stopping(Arc<Runner>);

impl Drop for Stopping {
    fn drop(&mut self) {
        self.0.abort();
    }
}
