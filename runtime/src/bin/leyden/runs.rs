//! `leyden runs`: what ran, what became of it, and going on with it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

use anyhow::Context as _;
use data_encoding::BASE64;
use leyden::app::nearest;
use leyden::run::journal::{JournalError, Keep, RunId, RunInfo, RunState, Runs, WorkInfo};
use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::cli::{Command, Report, RunCommand, RunsCommand, StoreOptions};
use crate::exit::{self, usage};
use crate::paths::Paths;
use crate::report::{self, Format, cell, print, printable, time};
use crate::run::Again;
use crate::{cli, run, timeline, unlock};

/// How many are named where many could be: of what is no run, and of runs that may be meant.
const NAMED: usize = 5;

pub(crate) fn run(command: RunsCommand, store: &StoreOptions) -> anyhow::Result<u8> {
    let paths = Paths::find(store)?;
    let runs = paths.runs();
    match command {
        RunsCommand::List { limit, report } => {
            list(&runs.list(limit.get())?, &report)?;
            tell_of_strays(&runs)?;
        }
        RunsCommand::Show { run, all, report } => show(&runs, &find(&runs, &run)?, all, &report)?,
        RunsCommand::Logs { run, work } => logs(&runs, &find(&runs, &run)?, work.as_deref())?,
        RunsCommand::Stop { run } => stop(&runs.show(&find(&runs, &run)?)?)?,
        RunsCommand::Resume { run, output } => {
            return resume(&find(&runs, &run)?, output, &runs, paths);
        }
        RunsCommand::Remove { run } => remove(&runs, &find(&runs, &run)?)?,
        RunsCommand::Prune {
            older_than,
            down_to,
        } => {
            let keep = paths.keep()?;
            let keep = Keep {
                age: older_than.unwrap_or(keep.age),
                size: down_to.map_or(keep.size, |size| size.as_u64()),
            };
            let removed = runs.keep(keep).prune()?;
            let removed = report::counted(removed.try_into()?, "run");
            report::line(&format!("removed {removed}"))?;
        }
    }
    Ok(exit::DONE)
}

/// The run that somebody means.
fn find(runs: &Runs, typed: &str) -> anyhow::Result<RunId> {
    match runs.find(typed)? {
        Ok(id) => Ok(id),
        Err(several) if several.is_empty() => Err(usage(match typed {
            "last" => "nothing has run here yet".to_owned(),
            _ => format!("there is no run `{typed}`; `leyden runs list` shows those there are"),
        })),
        Err(several) => {
            // The newest first, of which one is meant most likely.
            let names = several.iter().rev().map(ToString::to_string);
            let names = a_few(names, several.len());
            Err(usage(format!(
                "several runs are called like `{typed}`: {names}"
            )))
        }
    }
}

type Listed = Result<RunInfo, JournalError>;

fn list(runs: &[Listed], report: &Report) -> anyhow::Result<()> {
    if report.output == Format::Json {
        let row = |run: &Listed| match run {
            Ok(run) => serde_json::to_value(run),
            Err(JournalError::Damaged { id, folder, reason }) => Ok(json!({
                "id": id.as_str(), "state": "damaged", "folder": folder, "reason": reason,
            })),
            Err(other) => Ok(json!({ "state": "damaged", "reason": other.to_string() })),
        };
        let rows: Vec<_> = runs.iter().map(row).collect::<Result<_, _>>()?;
        return report::json(&rows);
    }
    if runs.is_empty() {
        return report::line("nothing has run here yet; run something: leyden run app APP");
    }
    let row = |run: &Listed| match run {
        Ok(run) => [
            cell(&run.id),
            cell(time(run.started)),
            cell(&run.app),
            cell(state(run)),
            cell(run.works),
            cell(run.failed),
        ],
        Err(error) => {
            let id = match error {
                JournalError::Damaged { id, .. } => id.as_str(),
                _ => "",
            };
            [id, "", "", "damaged", "", ""].map(cell)
        }
    };
    let header = ["RUN", "STARTED", "APP", "STATE", "WORKS", "FAILED"];
    report::table(header, runs.iter().map(row))?;
    for damaged in runs.iter().filter_map(|run| run.as_ref().err()) {
        exit::say(&damaged.to_string());
    }
    Ok(())
}

/// One line of what is no run: nothing here shows it, or removes it.
fn tell_of_strays(runs: &Runs) -> anyhow::Result<()> {
    let strays = runs.strays()?;
    if strays.is_empty() {
        return Ok(());
    }
    let names = strays.iter().map(|name| report::in_line(name.display()));
    exit::say(&format!(
        "warning: in {} lies what is no run: {}",
        runs.folder().display(),
        a_few(names, strays.len())
    ));
    Ok(())
}

/// The first of so many names, and how many there are beside them.
fn a_few(names: impl Iterator<Item = String>, count: usize) -> String {
    let mut names: Vec<_> = names.take(NAMED).collect();
    if count > NAMED {
        names.push(format!("and {} more", count - NAMED));
    }
    names.join(", ")
}

/// Where a run is, or how it ended.
pub(crate) fn state(run: &RunInfo) -> String {
    match (run.state, run.status, &run.ending) {
        (RunState::Ended, Some(0), _) => "ended".to_owned(),
        (RunState::Ended, Some(status), _) => format!("exit status {status}"),
        (RunState::Ended, None, Some(ending)) => ending.clone(),
        (RunState::Running, ..) => "running".to_owned(),
        _ => "interrupted".to_owned(),
    }
}

fn show(runs: &Runs, id: &RunId, all: bool, report: &Report) -> anyhow::Result<()> {
    let (info, works) = (runs.show(id)?, runs.works(id)?);
    match report.output {
        Format::Json => {
            let mut document = serde_json::to_value(&info)?;
            if let Some(object) = document.as_object_mut() {
                // In place of their number.
                object.insert("works".into(), serde_json::to_value(&works)?);
            }
            report::json(&document)
        }
        Format::Text => print(timeline::draw(&info, &works, all)),
    }
}

fn logs(runs: &Runs, id: &RunId, work: Option<&str>) -> anyhow::Result<()> {
    let lines = log_of(&runs.log(id)?, work);
    match work.filter(|work| *work != "flow") {
        _ if !lines.is_empty() => {}
        Some(work) => is_started(runs, id, work)?,
        // Where its journal cannot be read, that is why there is nothing.
        None => drop(runs.show(id)?),
    }
    print(lines)
}

/// Whether a run has started this Work, or this start of it.
fn is_started(runs: &Runs, id: &RunId, typed: &str) -> anyhow::Result<()> {
    let works = runs.works(id)?;
    let is_it = |work: &WorkInfo| {
        let number = typed.strip_prefix(&work.work);
        number.is_some_and(|rest| rest.is_empty() || rest == format!("#{}", work.number))
    };
    if works.iter().any(is_it) {
        return Ok(());
    }
    let name = typed.split('#').next().unwrap_or(typed);
    let names: BTreeSet<&str> = works.iter().map(|work| work.work.as_str()).collect();
    let hint = match nearest(name, names.iter().copied()) {
        Some(same) if same == name => format!("; `leyden runs show {id} --all` shows its starts"),
        Some(nearest) => format!("; did you mean `{nearest}`?"),
        None if names.is_empty() => ", and no other".to_owned(),
        None => {
            let names: Vec<_> = names.into_iter().take(20).collect();
            format!("; it started: {}", names.join(", "))
        }
    };
    Err(usage(format!(
        "the run {id} started no Work `{typed}`{hint}"
    )))
}

/// The lines of a log that are of a Work, of one start of it (`train#12`), or of all.
pub(crate) fn log_of(log: &str, work: Option<&str>) -> String {
    let is_wanted = |line: &&str| {
        let of = line.split(' ').nth(1).unwrap_or_default();
        work.is_none_or(|work| of == work || of.split('#').next() == Some(work))
    };
    log.lines()
        .filter(is_wanted)
        .flat_map(|line| [printable(line), "\n".to_owned()])
        .collect()
}

/// Removes a run, and says which that was.
fn remove(runs: &Runs, id: &RunId) -> anyhow::Result<()> {
    let of = match runs.show(id) {
        Ok(run) => format!(" of {}, begun {}", run.app, time(run.started)),
        // One that cannot be read is removed as well.
        Err(_) => String::new(),
    };
    runs.remove(id)?;
    report::line(&format!("removed the run {id}{of}"))
}

fn stop(run: &RunInfo) -> anyhow::Result<()> {
    report::line(&ask_to_stop(run, || Ok(()))?)
}

/// Stops a run by the signal that its own terminal would send; what then is to be said. `before` is
/// called where nothing speaks against it.
///
/// # Errors
///
/// Where it is not under way, or not in a process of this program; those of `before`.
pub(crate) fn ask_to_stop(
    run: &RunInfo,
    before: impl FnOnce() -> anyhow::Result<()>,
) -> anyhow::Result<String> {
    if run.state != RunState::Running {
        return Err(usage(format!(
            "the run {} is not under way: {}",
            run.id,
            state(run)
        )));
    }
    let pid = i32::try_from(run.pid).ok().and_then(Pid::from_raw);
    let pid = pid.context("its journal names no process")?;
    anyhow::ensure!(
        is_leyden(run.pid),
        "the run {} is under way in the process {}, which is not the `leyden` command: stop it there",
        run.id,
        run.pid
    );
    before()?;
    rustix::process::kill_process(pid, Signal::TERM)
        .with_context(|| format!("the process {} cannot be stopped", run.pid))?;
    Ok(format!(
        "asked the run {} to stop (process {})",
        run.id, run.pid
    ))
}

/// Whether a process runs this same program: one inside a service would end the service.
fn is_leyden(pid: u32) -> bool {
    let name = |path: PathBuf| Some(path.file_name()?.to_owned());
    let of_process = std::fs::read_link(format!("/proc/{pid}/exe")).ok();
    let ours = std::env::current_exe().ok();
    of_process.and_then(name).is_some_and(|of| {
        // What was replaced meanwhile has a mark behind its name.
        let of = of.to_string_lossy();
        ours.and_then(name)
            .is_some_and(|ours| of.trim_end_matches(" (deleted)") == ours.to_string_lossy())
    })
}

fn resume(id: &RunId, output: Option<Format>, runs: &Runs, paths: Paths) -> anyhow::Result<u8> {
    // Nobody should have to open the store for what cannot be done.
    let info = runs.show(id)?;
    if !info.sealed {
        return Err(JournalError::NotSealed(id.clone()).into());
    }
    // Nor should a secret be released for what another process does already.
    let claim = runs.claim(id)?;
    let store = unlock::open(&paths)?;
    let invocation = Invocation::from_bytes(&runs.invocation(id, &store)?)?;
    if let Some(damage) = &info.damage {
        exit::say(&format!("warning: the run {id}: {damage}"));
    }
    let folder = &invocation.folder;
    std::env::set_current_dir(folder)
        .with_context(|| format!("the run was made in {}", folder.display()))?;
    let parsed = cli::parse_from(invocation.arguments);
    let Ok(Command::Run(RunCommand::App(mut arguments))) = parsed.map(|cli| cli.command) else {
        anyhow::bail!(
            "this version of Leyden does not know the options that the run was made with"
        );
    };
    if let Some(output) = output {
        arguments.output = output;
    }
    let again = Again { claim, store };
    run::app(*arguments, || Ok(paths), Some(again))
}

/// A command line and where it was typed: what a run is started again with. Kept sealed, because
/// plain entries are nobody else's business.
pub(crate) struct Invocation {
    folder: PathBuf,
    arguments: Vec<OsString>,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    folder: String,
    arguments: Vec<String>,
}

impl Invocation {
    /// This process's.
    pub(crate) fn current() -> anyhow::Result<Self> {
        Ok(Self {
            folder: std::env::current_dir().context("the current folder is not there")?,
            arguments: std::env::args_os().collect(),
        })
    }

    pub(crate) fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        // Paths and arguments are bytes.
        Ok(serde_json::to_vec(&Kept {
            folder: BASE64.encode(self.folder.as_os_str().as_bytes()),
            arguments: self
                .arguments
                .iter()
                .map(|argument| BASE64.encode(argument.as_bytes()))
                .collect(),
        })?)
    }

    /// Where the app is that was run, as far as this version of Leyden knows the options.
    #[cfg(feature = "admin")]
    pub(crate) fn app(self) -> Option<PathBuf> {
        match cli::parse_from(self.arguments).ok()?.command {
            Command::Run(RunCommand::App(arguments)) => Some(self.folder.join(arguments.app)),
            _ => None,
        }
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        let kept: Kept = serde_json::from_slice(bytes)?;
        let text = |text: &String| Ok(OsString::from_vec(BASE64.decode(text.as_bytes())?));
        Ok(Self {
            folder: text(&kept.folder)?.into(),
            arguments: kept
                .arguments
                .iter()
                .map(text)
                .collect::<anyhow::Result<_>>()?,
        })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_invocation_is_kept_to_the_byte() {
        let arguments = vec!["leyden".into(), OsString::from_vec(b"a\xff=\n".to_vec())];
        let invocation = Invocation {
            folder: OsString::from_vec(b"/x\xfe".to_vec()).into(),
            arguments: arguments.clone(),
        };
        let again = Invocation::from_bytes(&invocation.to_bytes().unwrap()).unwrap();
        assert_eq!(again.arguments, arguments);
        assert_eq!(again.folder, invocation.folder);
    }
}
