//! `leyden inspect` and `leyden trust` as they may be typed.

use std::path::PathBuf;

use clap::Args;
use jiff::Timestamp;

use super::Report;
use super::secret::future;

/// Which app to look at.
#[derive(Debug, Args)]
pub(crate) struct Inspect {
    /// A component or module, or a folder with a leyden.toml
    pub(crate) app: PathBuf,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// Which app to trust, and how.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// A folder with a leyden.toml; with --revoke also a digest (sha256:…)
    pub(crate) app: PathBuf,
    /// Trust whatever app is in this folder, also when it changes: while developing
    #[arg(long)]
    pub(crate) folder: bool,
    /// Until then: a time from now, such as 30d, or a date and time such as 2030-01-31T00:00:00Z
    #[arg(long, value_parser = future, value_name = "WHEN")]
    pub(crate) expires: Option<Timestamp>,
    /// Take back all that was granted to this version of the app and to its folder; with --folder to
    /// the folder alone, also where that or the app in it is gone
    #[arg(long, conflicts_with = "expires")]
    pub(crate) revoke: bool,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) report: Report,
}

pub(super) const INSPECT: &str = "\
Examples:
  leyden inspect ./report
  leyden inspect app.wasm --output json | jq .imports";

pub(super) const TRUST: &str = "\
Examples:
  leyden trust ./report                   shows what it asks for, asks, and grants it to this version
  leyden trust ./report --expires 30d --yes
  leyden trust . --folder                 grants it to whatever app is here: while developing
  leyden trust ./report --revoke          shows what is granted, asks, and takes all of it back
  leyden trust ./report --revoke --folder";
