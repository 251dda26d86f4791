//! `in-process sleepers WHO GUESTS FOLDER`: what Works that sleep take of memory and of the processor,
//! with Leyden or with the bare wasmtime crate (`WHO`), one in a process: what one has freed, the
//! other would use. `GUESTS` is where the guests are, `FOLDER` for this to write in.
//!
//! Prints a line for each measurement: what, who, a number; by tabs.

use std::fs;
use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use leyden_bench::{Work, engine};
use serde_json::json;
use tokio::runtime::Runtime;
use wasmtime::component::Component;
use wasmtime::error::Context;
use wasmtime::{Result, ensure};

use crate::works::{POOL, SLEEPERS, Side};

/// Those that sleep already when memory is looked at for the first time: all that is made once is
/// there, and what was left of compiling is in use.
const FIRST: usize = 200;

pub(crate) fn measure(arguments: &[String]) -> Result<()> {
    let [who, guests, folder] = arguments else {
        wasmtime::bail!("WHO GUESTS FOLDER are expected");
    };
    let (guests, folder) = (Path::new(guests), Path::new(folder));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    match who.as_str() {
        "leyden" => leyden(&runtime, guests, folder),
        _ => bare(&runtime, guests),
    }
}

fn leyden(runtime: &Runtime, guests: &Path, folder: &Path) -> Result<()> {
    let side = Side::new(runtime, guests, folder)?;
    let _guard = runtime.enter();
    let start = |count| {
        let script = json!([
            { "start": { "work": "sleeper", "input": { "sleep": 12000 }, "times": count } },
            "count",
        ]);
        side.bound.start(Side::input(&script.to_string()), None)
    };
    let running = memory("leyden", start)?;
    let (start, used) = (Instant::now(), processor()?);
    sleep(Duration::from_secs(5));
    let share = (processor()? - used) / start.elapsed().as_secs_f64() * 100.0;
    println!("idle\tleyden\t{share}");
    for one in running {
        runtime.block_on(one.outcome())?;
    }
    Ok(())
}

fn bare(runtime: &Runtime, guests: &Path) -> Result<()> {
    let sleeper = guests.join("work-probe.wasm");
    let work = Work::new(&Component::from_file(&engine(Some(POOL))?, sleeper)?)?;
    let start = |count: usize| -> Vec<_> {
        let one = |_| {
            let work = work.clone();
            runtime.spawn(async move { work.run(br#"{"sleep":6000}"#).await })
        };
        (0..count).map(one).collect()
    };
    let sleeping = memory("bare wasmtime crate", start)?;
    for one in sleeping.into_iter().flatten() {
        let slept = runtime.block_on(one).context("a task failed")??;
        ensure!(slept.is_ok(), "{slept:?}");
    }
    Ok(())
}

/// What each takes that is started when others sleep already.
fn memory<T>(who: &str, start: impl Fn(usize) -> T) -> Result<[T; 2]> {
    let first = start(FIRST);
    sleep(Duration::from_secs(1));
    let before = resident()?;
    let rest = start(SLEEPERS - FIRST);
    sleep(Duration::from_secs(3));
    let each = (resident()? - before) / (SLEEPERS - FIRST) as f64;
    println!("memory\t{who}\t{each}");
    Ok([first, rest])
}

/// This process's resident memory, in KiB (Linux, proc_pid_status(5)).
fn resident() -> Result<f64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB"));
    Ok(kib.context("no VmRSS")?.trim().parse()?)
}

/// The processor time that this process has used, in seconds, to a hundredth (proc_pid_stat(5)).
fn processor() -> Result<f64> {
    let stat = fs::read_to_string("/proc/self/stat")?;
    // Behind the name, which may hold anything: from the third field on.
    let (_, fields) = stat.rsplit_once(')').context("no name")?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.map(str::parse).collect::<Result<_, _>>()?;
    Ok(ticks.iter().sum::<f64>() / 100.0)
}
