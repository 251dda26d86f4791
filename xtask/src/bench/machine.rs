//! The machine that is measured on, and what on it.

use std::fs::{self, File};
use std::io::{Seek as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::samples::Samples;

/// Writes to the disk that are timed.
const SYNCS: usize = 40;

pub(crate) struct Machine {
    processor: String,
    cores: usize,
    load: String,
    kernel: String,
    versions: Vec<String>,
    /// How long the disk takes to keep a page, in milliseconds.
    sync: Samples,
}

/// Bytes that can still be written where this folder is.
pub(crate) fn free(folder: &Path) -> Result<u64> {
    let file_system = rustix::fs::statvfs(folder)
        .with_context(|| format!("cannot tell how much of {} is free", folder.display()))?;
    Ok(file_system.f_bavail.saturating_mul(file_system.f_frsize))
}

impl Machine {
    /// Looks at it; `folder` is on the disk that is measured.
    pub(crate) fn look(folder: &Path, versions: Vec<String>) -> Result<Self> {
        let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let uname = rustix::system::uname();
        Ok(Self {
            processor: processor().unwrap_or_else(|| std::env::consts::ARCH.into()),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            load: load.split(' ').next().unwrap_or("unknown").into(),
            kernel: uname.release().to_string_lossy().into_owned(),
            versions,
            sync: sync(folder)?,
        })
    }

    pub(crate) fn to_json(&self) -> Value {
        json!({
            "processor": self.processor,
            "cores": self.cores,
            "load": self.load,
            "kernel": self.kernel,
            "versions": self.versions,
            "sync_milliseconds": self.sync.0,
        })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            processor,
            cores,
            load,
            kernel,
            ..
        } = self;
        writeln!(
            f,
            "{processor}, {cores} cores, Linux {kernel}; load before the start: {load}"
        )?;
        writeln!(f, "{}", self.versions.join("; "))?;
        match self.sync.summary() {
            Some(sync) => write!(
                f,
                "the disk keeps 4 KiB written over (fdatasync) in {:.2} ms, middle half {:.2} to {:.2}",
                sync.median, sync.first_quartile, sync.third_quartile
            ),
            None => Ok(()),
        }
    }
}

fn sync(folder: &Path) -> Result<Samples> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    let mut samples = Samples::default();
    for round in 0..=SYNCS {
        file.rewind()?;
        file.write_all(&[u8::try_from(round).unwrap_or_default(); 4096])?;
        let start = Instant::now();
        file.sync_data()?;
        if round > 0 {
            samples.0.push(start.elapsed().as_secs_f64() * 1e3);
        }
        // So that one does not find what the one before has begun.
        std::thread::sleep(Duration::from_millis(5));
    }
    fs::remove_file(path)?;
    Ok(samples)
}

/// The processor's name, as Linux tells it on x86-64.
fn processor() -> Option<String> {
    let information = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = information
        .lines()
        .find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
