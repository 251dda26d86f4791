//! The Work `flaky`, an ordinary program: fetches the day's orders from a source that breaks off
//! the first time. It counts its attempts in a folder, which it gets by `--dir flaky:…`; each
//! attempt runs in a new sandbox and would remember nothing.

use std::fs;

use anyhow::{Context, Result};
use serde_json::json;

const ATTEMPTS: &str = "/state/attempts";

fn main() -> Result<()> {
    let attempts = fs::read_to_string(ATTEMPTS).unwrap_or_default();
    let attempt = attempts.trim().parse().unwrap_or(0) + 1;
    fs::write(ATTEMPTS, format!("{attempt}\n"))
        .with_context(|| format!("cannot write {ATTEMPTS}: give `--dir flaky:FOLDER::/state`"))?;
    // A bug, not an error that it could return: it traps, and is tried again.
    assert!(attempt > 1, "the source broke off at attempt {attempt}");
    let orders = json!([
        { "customer": "Ada", "cents": 1200 },
        { "customer": "Charles", "cents": 350 },
        { "customer": "Grace", "cents": 2999 },
    ]);
    println!("{orders}");
    Ok(())
}
