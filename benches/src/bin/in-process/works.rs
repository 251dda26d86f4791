//! `in-process works GUESTS FOLDER PYTHON ROUNDS COUNT...`: Works started by a Flow, the same instances
//! with the bare wasmtime crate, and a process of Python for each job. `GUESTS` is where the guests
//! are, `FOLDER` for this to write in; without Python its path is empty.
//!
//! Prints a line for each measurement: what, who, a number; by tabs.

use std::fs;
use std::future::Future;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use leyden::run::journal::Runs;
use leyden::secrets::StoreOptions;
use leyden::{App, Bound, Ending, Host, Input, Key, Output};
use leyden_bench::{Work, engine};
use serde_json::json;
use tokio::runtime::Runtime;
use wasmtime::component::Component;
use wasmtime::error::Context;
use wasmtime::{Result, ensure};

const FLOWS: u32 = 4;
const WORKS: u32 = 1024;
/// Instances that either side keeps memory ready for.
pub(crate) const POOL: u32 = FLOWS + WORKS;
/// How many of the Work that sleeps may run at once.
pub(crate) const SLEEPERS: usize = 1000;

/// Who is measured, as it is printed.
const PLAIN: &str = "leyden";
const JOURNAL: &str = "leyden, with its journal";
const BARE: &str = "bare wasmtime crate";
const ONE_BY_ONE: &str = "one after the other";

pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    let [guests, folder, python, rounds, counts @ ..] = arguments else {
        wasmtime::bail!("GUESTS FOLDER PYTHON ROUNDS COUNT... are expected");
    };
    let (guests, folder) = (Path::new(guests), Path::new(folder));
    let rounds: usize = rounds.parse()?;
    let counts: Vec<usize> = counts
        .iter()
        .map(|count| count.parse())
        .collect::<Result<_, _>>()?;
    let first = counts.first().context("a COUNT is expected")?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    let side = Side::new(&runtime, guests, folder)?;
    let bare = Work::new(&Component::from_file(
        &engine(Some(POOL))?,
        guests.join("work-echo.wasm"),
    )?)?;
    let cores = std::thread::available_parallelism()?.get();

    // Enough that what a run takes besides its Works does not count.
    let in_turn = first / 2;
    let mut subjects = [PLAIN, JOURNAL, BARE];
    for round in 0..=rounds {
        // What is done for the first time is not what is measured.
        let show = |what: &str, who: &str, taken: Duration, count: usize| {
            if round > 0 {
                println!(
                    "{what}\t{who}\t{}",
                    taken.as_secs_f64() * 1e6 / count as f64
                );
            }
        };
        // Each follows each other one in turn.
        subjects.rotate_left(1);
        let compare = |what: &str, count: usize, tasks: usize, script: &serde_json::Value| {
            for who in subjects {
                let taken = match who {
                    BARE => timed(&runtime, || many(bare.clone(), tasks, count))?,
                    _ => side.run(&script.to_string(), who == JOURNAL)?,
                };
                show(what, who, taken, count);
            }
            Ok::<(), wasmtime::Error>(())
        };
        for count in [1, 100].into_iter().chain(counts.iter().copied()) {
            let script = json!([
                { "start": { "work": "echo", "text": "x", "times": count } },
                "count",
            ]);
            compare(&format!("start {count}"), count, cores, &script)?;
        }
        let script = json!([{ "in-turn": { "work": "echo", "text": "x", "times": in_turn } }]);
        compare(ONE_BY_ONE, in_turn, 1, &script)?;
        if !python.is_empty() {
            let start = Instant::now();
            let job = Command::new(python).args(["-c", "print('x')"]).output()?;
            ensure!(job.status.success(), "{python}: {}", job.status);
            show(
                ONE_BY_ONE,
                "a Python process for each job",
                start.elapsed(),
                1,
            );
        }
    }
    Ok(())
}

/// Calls a Work `count` times, by so many tasks.
async fn many(work: Work, tasks: usize, count: usize) -> Result<()> {
    let tasks: Vec<_> = (0..tasks)
        .map(|task| {
            let work = work.clone();
            let share = (count + task) / tasks;
            tokio::spawn(async move {
                for _ in 0..share {
                    ensure!(work.run(b"x").await?.is_ok(), "the Work failed");
                }
                Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.context("a task failed")??;
    }
    Ok(())
}

fn timed<R: Future<Output = Result<()>>>(
    runtime: &Runtime,
    work: impl FnOnce() -> R,
) -> Result<Duration> {
    let start = Instant::now();
    runtime.block_on(work())?;
    Ok(start.elapsed())
}

/// Leyden's side: an app of a Flow that runs scripts, and Works.
pub(crate) struct Side<'a> {
    runtime: &'a Runtime,
    host: Host,
    pub(crate) bound: Bound,
    runs: Runs,
}

impl<'a> Side<'a> {
    pub(crate) fn new(runtime: &'a Runtime, guests: &Path, folder: &Path) -> Result<Self> {
        let app = folder.join("app");
        fs::create_dir_all(&app)?;
        for name in ["flow-probe", "work-echo", "work-probe"] {
            let file = format!("{name}.wasm");
            fs::copy(guests.join(&file), app.join(&file))?;
        }
        fs::write(
            app.join("leyden.toml"),
            format!(
                "[flow]\ncomponent = \"flow-probe.wasm\"\n\
                 [works.echo]\ncomponent = \"work-echo.wasm\"\n\
                 [works.sleeper]\ncomponent = \"work-probe.wasm\"\nparallel = {SLEEPERS}\n"
            ),
        )?;
        let key_file = folder.join("key");
        Key::generate()?.write_new(&key_file)?;
        let store = StoreOptions::new()
            .state_dir(folder.join("state"))
            .create(folder.join("data/store.db"), Key::from_file(&key_file)?)?;
        let host = Host::builder()
            .instances(FLOWS)
            .works(WORKS)
            .secrets(store)
            .build()?;
        let bound = runtime.block_on(host.bind(&App::from_path(&app)?))?;
        Ok(Self {
            runtime,
            host,
            bound,
            runs: Runs::new(folder.join("runs")),
        })
    }

    pub(crate) fn input(script: &str) -> Input {
        Input {
            arguments: vec![script.to_owned()],
            stderr: Output::stderr(),
            ..Input::default()
        }
    }

    /// Runs a script to its end.
    fn run(&self, script: &str, journal: bool) -> Result<Duration> {
        let start = Instant::now();
        let journal = match journal {
            true => Some(self.host.begin(&self.runs, &self.bound, b"")?),
            false => None,
        };
        let running = self
            .bound
            .run_with(Self::input(script), Default::default(), journal);
        let ending = self.runtime.block_on(running)?.ending;
        ensure!(ending == Ending::Exited(0), "{ending:?}");
        Ok(start.elapsed())
    }
}
