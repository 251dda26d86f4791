//! `leyden run app`: binds an app, forgets the keys, and runs it.

use std::ffi::OsString;
use std::io;
use std::num::{NonZeroU32, NonZeroUsize};
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use leyden::app::{
    AppError, Binding, BindingError, DirRule, EnvEntry, HostRule, Scoped, SecretBinding,
};
use leyden::run::journal::{Claim, Journal, Runs};
use leyden::run::{Event, Observer};
use leyden::sandbox::{self, Cache};
use leyden::secrets::SecretStore;
use leyden::{App, Bound, Ending, Host, Input, Outcome, Stopper};

use crate::cli::RunApp;
use crate::events::Events;
use crate::exit::{self, say, usage};
use crate::outlet::{self, Outlet, Stream};
use crate::paths::Paths;
use crate::report::Format;
use crate::runs::Invocation;
use crate::works::Watch;
use crate::{inspect, progress, signals, unlock, watchdog, works};

/// Works that run at once, of all kinds together.
const MAX_WORKS: u32 = 1024;

/// A run to go on with, and the store that it was made with.
pub(crate) struct Again {
    pub(crate) claim: Claim,
    pub(crate) store: SecretStore,
}

/// Runs an app; the exit status.
pub(crate) fn app(
    arguments: RunApp,
    paths: impl FnOnce() -> anyhow::Result<Paths>,
    again: Option<Again>,
) -> anyhow::Result<u8> {
    if arguments.cloud {
        anyhow::bail!(
            "no cluster is configured, so nothing was run; leave --cloud out to run the app on \
             this machine"
        );
    }
    if !arguments.extra.is_empty() {
        return Err(usage(
            "there is more than one APP (the others are not shown, because they may be values); \
             arguments for the app stand after `--`: leyden run app APP [OPTIONS] -- ARGS",
        ));
    }
    let bindings = bindings(&arguments)?;
    let guest_arguments = texts(&arguments.args)?;
    let app = describe(&arguments, bindings)?;
    for line in inspect::too_much_memory(&app) {
        say(&format!("warning: {line}"));
    }
    let paths = paths()?;
    // Runs that are too old are removed as one begins.
    paths.keep()?;
    let has_works = !app.manifest().works.is_empty();
    let (claim, store) = match again {
        Some(again) => (Some(again.claim), Some(again.store)),
        None => (None, None),
    };
    // Before the store is opened, which writes files, too.
    signals::watch().context("cannot wait for signals")?;
    let host = host(&app, &paths, store)?;
    let bound = progress::during("compiling the app", || host.bind_here(&app));
    paths.tell_of_audit_sink();
    let bound = bound?;
    // From here on, signals are answered by stopping the guest.
    let signal = signals::first().context("cannot wait for signals")?;
    let mut runtime = match has_works {
        true => {
            signals::allow_for_works();
            tokio::runtime::Builder::new_multi_thread()
        }
        // Starts faster, and one Flow has no use for more.
        false => tokio::runtime::Builder::new_current_thread(),
    };
    let runtime = runtime
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let run = Run {
        guest_arguments,
        events: (arguments.output == Format::Json)
            .then(|| Events::new(Outlet::new(Stream::Stdout))),
        watch: (has_works && arguments.output == Format::Text).then(Watch::new),
        mask_stdout: arguments.mask,
        runs: paths.runs(),
        resumed: claim,
        stopper: Stopper::default(),
    };
    let status = runtime.block_on(run.run(host, bound, signal));
    // Waiting for a thread that reads standard input, or compiles, would hold the command.
    runtime.shutdown_background();
    status
}

/// What the command line gives the app, in the order of its options' kinds.
fn bindings(arguments: &RunApp) -> anyhow::Result<Vec<Binding>> {
    let RunApp {
        env,
        secret,
        dir,
        allow_host,
        ..
    } = arguments;
    let mut bindings = read::<EnvEntry>("--env", env)?;
    bindings.extend(read::<SecretBinding>("--secret", secret)?);
    bindings.extend(read::<DirRule>("--dir", dir)?);
    bindings.extend(read::<HostRule>("--allow-host", allow_host)?);
    Ok(bindings)
}

/// Reads the values of one option. What is wrong is told without the value: it may be a secret
/// at the wrong place.
fn read<T>(option: &'static str, typed: &[OsString]) -> anyhow::Result<Vec<Binding>>
where
    Scoped<T>: FromStr<Err = BindingError> + Into<Binding>,
{
    let read = |typed: &OsString| {
        let text = typed.to_str().ok_or_else(|| usage("it is not UTF-8"))?;
        let scoped = text.parse::<Scoped<T>>().map_err(AppError::from);
        Ok(scoped.map_err(leyden::Error::from)?.into())
    };
    typed
        .iter()
        .map(read)
        .collect::<anyhow::Result<_>>()
        .context(option)
}

/// The guest's arguments, which WASI wants as UTF-8.
fn texts(arguments: &[OsString]) -> anyhow::Result<Vec<String>> {
    let text = |(place, argument): (usize, &OsString)| match argument.to_str() {
        Some(text) if text.contains('\0') => Err(usage(format!("argument {place} holds a NUL"))),
        Some(text) => Ok(text.to_owned()),
        None => Err(usage(format!("argument {place} after `--` is not UTF-8"))),
    };
    (1..).zip(arguments).map(text).collect()
}

fn describe(arguments: &RunApp, bindings: Vec<Binding>) -> Result<App, leyden::Error> {
    let mut app = App::from_path(&arguments.app)?;
    if let Some(name) = &arguments.name {
        app = app.name(name);
    }
    for file in &arguments.env_file {
        app = app.env_file(file)?;
    }
    for binding in bindings {
        app = app.with(binding)?;
    }
    if let Some(timeout) = arguments.timeout {
        app = app.timeout(timeout);
    }
    if let Some(memory) = arguments.memory {
        app = app.memory(memory.as_u64());
    }
    Ok(app)
}

/// A host for one run. Only an app that binds secrets needs the store; for one with Works it is
/// opened where it opens by itself, to seal what the journal keeps.
fn host(app: &App, paths: &Paths, store: Option<SecretStore>) -> anyhow::Result<Host> {
    let binds = match app.plan() {
        Ok(plan) => {
            let works = plan.works.values().map(|work| &work.component);
            let mut components = std::iter::once(&plan.flow).chain(works);
            components.any(|one| !one.secrets.is_empty())
        }
        // The store may grant it.
        Err(AppError::Uncovered { .. }) if unlock::is_there(&paths.store) => true,
        Err(error) => return Err(leyden::Error::from(error).into()),
    };
    let mut builder = match places(app) {
        // One Flow: mapping its memory takes less than keeping some ready.
        0 => Host::builder().on_demand(),
        works => Host::builder().instances(1).works(works),
    };
    for path in paths.protected() {
        builder = builder.protect(path);
    }
    let cache = &paths.folders.cache;
    match Cache::open(cache) {
        Ok(_) => builder = builder.cache(cache),
        // Compiling anew costs time and nothing else.
        Err(error) => say(&format!(
            "warning: {error}; the app is compiled for this run alone"
        )),
    }
    let store = match store {
        Some(store) => Some(store),
        None if binds => Some(unlock::open(paths)?),
        None if !app.manifest().works.is_empty() => unlock::open_without_asking(paths),
        None => None,
    };
    if let Some(store) = store {
        builder = builder.secrets(store);
    }
    Ok(builder.build()?)
}

/// How many Works may run at once: as many of each kind as its manifest allows.
fn places(app: &App) -> u32 {
    // Read out of files, so only where somebody wants to know.
    let cores = std::cell::LazyCell::new(|| {
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        u32::try_from(cores).unwrap_or(MAX_WORKS)
    });
    let works = app.manifest().works.values();
    works
        .map(|work| work.parallel.map_or_else(|| *cores, NonZeroU32::get))
        .fold(0, u32::saturating_add)
        .min(MAX_WORKS)
}

/// One run of an app.
struct Run {
    guest_arguments: Vec<String>,
    /// Where its output becomes events.
    events: Option<Arc<Events<Outlet>>>,
    /// Where it has Works, and somebody to show them to.
    watch: Option<Arc<Watch>>,
    mask_stdout: bool,
    runs: Runs,
    /// The run that is gone on with.
    resumed: Option<Claim>,
    stopper: Stopper,
}

impl Run {
    /// Forgets the keys and runs the app; the exit status.
    async fn run(
        mut self,
        host: Host,
        bound: Bound,
        mut signal: tokio::sync::oneshot::Receiver<u8>,
    ) -> anyhow::Result<u8> {
        let journal = self.journal(&host, &bound)?;
        // Wipes the root key and the KEKs: no guest code has run so far.
        drop(host);
        if let Some(events) = &self.events {
            told(events.started(bound.name(), bound.world(), journal.as_ref()))?;
        }
        if let Some(limit) = bound.timeout() {
            let has_works = bound.works().next().is_some();
            watchdog::start(limit, bound.name(), has_works)
                .context("cannot watch the time limit")?;
        }
        // Between events, too: a Flow that computes or sleeps writes none.
        let unread = self.events.as_ref().map(|_| outlet::closed()).transpose();
        let unread = unread.context("cannot watch standard output")?;
        let unread = async {
            match unread {
                Some(unread) => unread.await,
                None => std::future::pending().await,
            }
        };
        let running = bound.run_with(self.input(), self.stopper.clone(), journal);
        let mut running = std::pin::pin!(running);
        let outcome = tokio::select! {
            biased;
            Ok(status) = &mut signal => {
                self.stopper.stop();
                // Lets Works end, and the journal say so; a second signal does not wait.
                let _ = running.await;
                return Ok(self.signalled(status));
            }
            outcome = &mut running => outcome,
            Ok(()) = unread => {
                self.stopper.output_closed();
                running.await
            }
        };
        self.ended(&bound, outcome)
    }

    /// The run's journal. Without one the app runs all the same, unless it is to be gone on with.
    fn journal(&mut self, host: &Host, bound: &Bound) -> anyhow::Result<Option<Journal>> {
        if let Some(claim) = self.resumed.take() {
            return Ok(Some(host.resume(&self.runs, bound, claim)?));
        }
        let invocation = Invocation::current()?.to_bytes()?;
        let begun = host.begin(&self.runs, bound, &invocation);
        match &begun {
            Err(error) => say(&format!("warning: no journal is kept of this run: {error}")),
            Ok(journal) if self.watch.is_some() && !journal.keeps_payloads() => say(&format!(
                "the run {} cannot be resumed: without a store that opens by itself, its journal \
                 keeps no inputs and outputs",
                journal.id()
            )),
            Ok(_) => {}
        }
        Ok(begun.ok())
    }

    fn input(&self) -> Input {
        let stream = |stream| match (&self.events, &self.watch) {
            (Some(events), _) => events.output(stream),
            (None, Some(watch)) => watch.output(stream),
            (None, None) if stream == Stream::Stdout => leyden::Output::stdout(),
            (None, None) => leyden::Output::stderr(),
        };
        let events = self.events.as_ref().map(Events::observer);
        Input {
            arguments: self.guest_arguments.clone(),
            stdin: sandbox::Input::Inherit,
            stdout: stream(Stream::Stdout),
            stderr: stream(Stream::Stderr),
            mask_stdout: self.mask_stdout,
            observer: events
                .or_else(|| self.watch.as_ref().map(Watch::observer))
                .or_else(|| Some(Observer::new(only_journal))),
        }
    }

    /// A signal stopped it: the exit status.
    fn signalled(&self, status: u8) -> u8 {
        self.summarize();
        if let Some(events) = &self.events {
            // Whoever reads them may be gone, too.
            let _ = events.signalled(status);
        }
        status
    }

    fn ended(&self, bound: &Bound, outcome: Result<Outcome, leyden::Error>) -> anyhow::Result<u8> {
        let timed_out = |outcome: &Outcome| matches!(outcome.ending, Ending::TimedOut(_));
        if !outcome.as_ref().is_ok_and(timed_out) {
            // It ended in time, however long the last event waits for its reader.
            watchdog::take_over();
        }
        let ending = outcome?.ending;
        let status = exit::of_ending(&ending);
        if let Some(events) = &self.events {
            // Where nobody reads any more, the ending says so already.
            let _ = events.ended(&ending, status);
        }
        match &ending {
            Ending::Exited(_) => self.summarize(),
            Ending::TimedOut(limit) => {
                watchdog::take_over();
                self.summarize();
                watchdog::tell(*limit, bound.name());
            }
            other => {
                self.summarize();
                say(&format!("{}: {other}", bound.name()));
            }
        }
        Ok(status)
    }

    fn summarize(&self) {
        if let Some(summary) = self.watch.as_ref().and_then(|watch| watch.summary()) {
            say(&summary);
        }
    }
}

/// What is told of a run without Works.
fn only_journal(event: &Event) {
    if let Event::JournalFailed(reason) = event {
        say(&works::journal_failed(reason));
    }
}

/// A reader of the events that went away before anything ran.
fn told(result: io::Result<()>) -> anyhow::Result<()> {
    result.map_err(|error| match error.kind() {
        io::ErrorKind::BrokenPipe => exit::Failure::OutputClosed.into(),
        _ => anyhow::Error::new(error).context("cannot write to standard output"),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::ffi::OsStringExt as _;

    use super::*;

    fn refused(option: &'static str, typed: &str) -> (u8, String) {
        let typed = [OsString::from(typed)];
        let error = match option {
            "--env" => read::<EnvEntry>(option, &typed),
            "--secret" => read::<SecretBinding>(option, &typed),
            "--dir" => read::<DirRule>(option, &typed),
            _ => read::<HostRule>(option, &typed),
        }
        .unwrap_err();
        (exit::status_of(&error), exit::explain(&error))
    }

    #[test]
    fn bad_bindings_are_usage_errors_that_name_the_option_and_not_the_value() {
        for (option, typed) in [
            ("--env", "hunter2!"),
            ("--env", "=hunter2"),
            ("--env", "A-B=hunter2"),
            ("--env", "LEYDEN_X=hunter2"),
            ("--env", "A=hunter2\0"),
            ("--env", "A"),
            ("--secret", "A"),
            ("--secret", "A="),
            ("--secret", "A=b@0"),
            ("--dir", ""),
            ("--allow-host", "*"),
        ] {
            let (status, text) = refused(option, typed);
            assert_eq!(status, 2, "{typed}: {text}");
            assert!(text.starts_with(option), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
            assert!(!text.contains('\n'), "{text}");
        }
    }

    #[test]
    fn what_is_not_utf8_is_a_usage_error() {
        let odd = [OsString::from_vec(b"A=\xffhunter2".to_vec())];
        let error = read::<EnvEntry>("--env", &odd).unwrap_err();
        assert_eq!(
            (exit::status_of(&error), exit::explain(&error)),
            (2, "--env: it is not UTF-8".into())
        );
        let error = texts(&odd).unwrap_err();
        assert_eq!(exit::explain(&error), "argument 1 after `--` is not UTF-8");
    }
}
