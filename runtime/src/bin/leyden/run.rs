//! `leyden run app`: binds an app, forgets the keys, and runs it.

use std::ffi::OsString;
use std::io;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context as _;
use leyden::app::{
    AppError, Binding, BindingError, DirRule, EnvEntry, HostRule, Scoped, SecretBinding,
};
use leyden::sandbox::{self, Cache};
use leyden::{App, Ending, Host, Input, Outcome, Output};

use crate::cli::RunApp;
use crate::events::{Events, Stream};
use crate::exit::{self, say, usage};
use crate::paths::Paths;
use crate::report::Format;
use crate::{progress, signals, unlock, watchdog};

/// Runs an app; the exit status.
pub(crate) fn app(
    arguments: RunApp,
    paths: impl FnOnce() -> anyhow::Result<Paths>,
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
    let paths = paths()?;
    let host = host(&app, &paths)?;
    // From here on, signals are answered by stopping the guest.
    let signal = signals::first().context("cannot wait for signals")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let events = (arguments.output == Format::Json).then(|| Events::new(io::stdout()));
    let status = runtime.block_on(async {
        tokio::select! {
            biased;
            Ok(status) = signal => {
                if let Some(events) = &events {
                    // Whoever reads them may be gone, too.
                    let _ = events.signalled(status);
                }
                Ok(status)
            }
            status = bind_and_run(host, &app, guest_arguments, events.as_ref()) => status,
        }
    });
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

/// A host for one run. Only an app that binds secrets has the store opened.
fn host(app: &App, paths: &Paths) -> anyhow::Result<Host> {
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
    let mut builder = Host::builder().on_demand();
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
    if binds {
        builder = builder.secrets(unlock::open(paths)?);
    }
    Ok(builder.build()?)
}

async fn bind_and_run(
    host: Host,
    app: &App,
    arguments: Vec<String>,
    events: Option<&Arc<Events<io::Stdout>>>,
) -> anyhow::Result<u8> {
    let bound = progress::during("compiling the app", host.bind(app)).await?;
    // Wipes the root key and the KEKs: no guest code has run so far.
    drop(host);
    let (stdout, stderr) = match events {
        Some(events) => (events.output(Stream::Stdout), events.output(Stream::Stderr)),
        None => (Output::stdout(), Output::stderr()),
    };
    if let Some(events) = events {
        told(events.started(bound.name(), bound.world()))?;
    }
    let input = Input {
        arguments,
        stdin: sandbox::Input::Inherit,
        stdout,
        stderr,
    };
    if let Some(limit) = bound.timeout() {
        watchdog::start(limit, bound.name()).context("cannot watch the time limit")?;
    }
    let outcome = bound.run(input).await;
    let timed_out = |outcome: &Outcome| matches!(outcome.ending, Ending::TimedOut(_));
    if !outcome.as_ref().is_ok_and(timed_out) {
        // It ended in time, however long the last event waits for its reader.
        watchdog::take_over();
    }
    let ending = outcome?.ending;
    let status = exit::of_ending(&ending);
    if let Some(events) = events {
        // Where nobody reads any more, the ending says so already.
        let _ = events.ended(&ending, status);
    }
    match &ending {
        Ending::Exited(_) => {}
        Ending::TimedOut(limit) => {
            watchdog::take_over();
            watchdog::tell(*limit, bound.name());
        }
        other => say(&format!("{}: {other}", bound.name())),
    }
    Ok(status)
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
