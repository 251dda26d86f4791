//! `cargo xtask guests`: the examples' and the tests' guests, built to `target/guests/*.wasm`.

mod python;
mod suite;
mod toolchain;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::step;
use toolchain::Toolchain;

/// Where a guest comes from and the name it gets: target, cargo's artifact, `target/guests/` name.
const GUESTS: [(&str, &str, &str); 27] = [
    ("wasm32-wasip1", "env", "env-p1"),
    ("wasm32-wasip1", "probe", "probe-p1"),
    ("wasm32-wasip2", "env", "env-p2"),
    ("wasm32-wasip2", "probe", "probe-p2"),
    ("wasm32-wasip2", "env_p3", "env-p3"),
    ("wasm32-wasip2", "probe_p3", "probe-p3"),
    ("wasm32-wasip2", "http-get", "http-get"),
    ("wasm32-wasip2", "tcp", "tcp"),
    ("wasm32-wasip2", "udp", "udp"),
    ("wasm32-wasip2", "listen", "listen"),
    ("wasm32-wasip2", "exit", "exit"),
    ("wasm32-wasip2", "sdk", "sdk"),
    ("wasm32-wasip2", "hello", "hello"),
    ("wasm32-wasip2", "fetch", "fetch"),
    ("wasm32-wasip1", "cat", "work-cat-p1"),
    ("wasm32-wasip2", "work-cat", "work-cat"),
    ("wasm32-wasip2", "work_probe", "work-probe"),
    ("wasm32-wasip2", "echo", "work-echo"),
    ("wasm32-wasip2", "flow-probe", "flow-probe"),
    ("wasm32-wasip2", "flow_p3", "flow-p3"),
    ("wasm32-wasip2", "pipeline", "pipeline/flow"),
    ("wasm32-wasip2", "count", "pipeline/count"),
    ("wasm32-wasip2", "etl", "etl/flow"),
    ("wasm32-wasip2", "flaky", "etl/flaky"),
    ("wasm32-wasip2", "slow", "etl/slow"),
    ("wasm32-wasip2", "load", "etl/load"),
    ("wasm32-wasip2", "python-work", "python-work/flow"),
];

/// Guests in Python: the folder they are in, their WIT and the world they are for, their
/// `target/guests/` name.
const PYTHON: [(&str, &str, &str, &str); 2] = [
    (
        "examples/seed-python",
        "examples/seed-python/wit",
        "command",
        "seed-python",
    ),
    (
        "examples/python-work",
        "guest-sdk/wit",
        "worker",
        "python-work/summary",
    ),
];

/// The examples that are apps of several components, with a manifest.
const APPS: [&str; 3] = ["pipeline", "etl", "python-work"];

/// What each target builds: of WASI 0.1, only what the standard library alone can do.
const TARGETS: [(&str, &[&str]); 2] = [
    ("wasm32-wasip1", &["--package", "plain"]),
    ("wasm32-wasip2", &["--workspace"]),
];

/// Prepares the toolchain and builds the one guest that `cargo xtask demo` runs.
pub(crate) fn build_hello() -> Result<PathBuf> {
    let root = root()?;
    let guests = root.join("target/guests");
    compile(&root, &[("wasm32-wasip2", &["--package", "hello"])])?;
    let hello = guests.join("hello.wasm");
    place(
        &guests.join("build/wasm32-wasip2/release/hello.wasm"),
        &hello,
    )?;
    Ok(hello)
}

/// Compiles packages of the guests' workspace for these targets.
fn compile(root: &Path, targets: &[(&str, &[&str])]) -> Result<()> {
    let work = root.join("target/guests/build");
    fs::create_dir_all(&work)?;
    let names: Vec<&str> = targets.iter().map(|(target, _)| *target).collect();
    let toolchain = Toolchain::prepare(&work, &names)?;
    for (target, packages) in targets {
        step::run(
            toolchain
                .build(target)
                .current_dir(root.join("tests/guests"))
                .args(["--release", "--locked", "--target-dir"])
                .arg(&work)
                .args(*packages),
        )?;
    }
    Ok(())
}

/// Prepares the toolchain and builds every guest. Quick where nothing has changed.
pub(crate) fn build() -> Result<()> {
    let root = root()?;
    let guests = root.join("target/guests");
    let work = guests.join("build");
    compile(&root, &TARGETS)?;
    for app in APPS {
        let manifest = root.join("examples").join(app).join("leyden.toml");
        fs::create_dir_all(guests.join(app))?;
        place(&manifest, &guests.join(app).join("leyden.toml"))?;
    }
    for (target, artifact, name) in GUESTS {
        let built = work.join(format!("{target}/release/{artifact}.wasm"));
        place(&built, &guests.join(format!("{name}.wasm")))?;
    }

    for (source, wit, world, name) in PYTHON {
        python::build(
            &root.join(source),
            (&root.join(wit), world),
            &work,
            &guests.join(format!("{name}.wasm")),
        )?;
    }
    suite::fetch(&root.join("target/wasi-testsuite"))?;
    eprintln!("guests are in {}", guests.display());
    Ok(())
}

/// The repository: the folder above this package's.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = here.parent().context("xtask lies in the repository")?;
    Ok(root.to_owned())
}

/// Copies a guest where it has changed, so that its time tells when it did; whole or not at all.
fn place(built: &Path, at: &Path) -> Result<()> {
    let bytes = fs::read(built).with_context(|| format!("cannot read {}", built.display()))?;
    if fs::read(at).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    let part = at.with_extension("part");
    fs::write(&part, bytes)
        .and_then(|()| fs::rename(&part, at))
        .with_context(|| format!("cannot write {}", at.display()))
}
