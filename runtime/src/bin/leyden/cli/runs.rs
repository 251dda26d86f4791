//! `leyden runs …` as it may be typed.

use std::num::NonZeroUsize;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Subcommand;

use super::Report;
use crate::report::Format;

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List the newest runs
    #[command(after_long_help = RUNS_LIST)]
    List {
        /// So many of them
        #[arg(long, value_name = "NUMBER", default_value = "20")]
        limit: NonZeroUsize,
        #[command(flatten)]
        report: Report,
    },
    /// Show one run: how it ended, and the timeline of its Works
    #[command(after_long_help = RUNS_SHOW)]
    Show {
        /// The run's name, a part of it that no other has, or `last`
        run: String,
        /// Show every Work, and not only the first, the slowest and the failed
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        report: Report,
    },
    /// Print what a run's Works, and its Flow on standard error, wrote; without secrets
    #[command(after_long_help = RUNS_LOGS)]
    Logs {
        /// The run's name, a part of it that no other has, or `last`
        run: String,
        /// Of this Work only, or of this start of it; `flow` for the Flow
        #[arg(value_name = "WORK[#NUMBER]")]
        work: Option<String>,
    },
    /// Stop a run that is under way: its Flow and its Works
    Stop {
        /// The run's name, a part of it that no other has, or `last`
        run: String,
    },
    /// Go on with a run that was interrupted, stopped or failed
    ///
    /// The app is bound anew, with the options that it was first run with, and must be the same to
    /// the byte. Its Flow runs again from its beginning; a Work that it starts with the same input
    /// as before is answered as it ended then, and the others run. What was under way, and what
    /// the Flow itself did, is done once more. The run must have been made with a store.
    #[command(after_long_help = RUNS_RESUME)]
    Resume {
        /// The run's name, a part of it that no other has, or `last`
        run: String,
        /// text: the app's own output; json: its output as events, one on each line
        #[arg(long, value_enum, value_name = "FORMAT")]
        output: Option<Format>,
    },
    /// Remove one run, with its log and the inputs and outputs that it kept
    #[command(after_long_help = RUNS_REMOVE)]
    Remove {
        /// The run's name, a part of it that no other has, or `last`
        run: String,
    },
    /// Remove old runs now
    ///
    /// This happens by itself, too, from time to time: runs older than 30 days go, and the oldest
    /// where all take more than 1 GiB. LEYDEN_RUNS_MAX_AGE and LEYDEN_RUNS_MAX_SIZE set other
    /// bounds, such as 7days and 200MiB.
    Prune {
        /// Those older than this [env: LEYDEN_RUNS_MAX_AGE; default: 30days]
        #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
        older_than: Option<Duration>,
        /// The oldest, until all take no more than this [env: LEYDEN_RUNS_MAX_SIZE; default: 1GiB]
        #[arg(long, value_parser = super::size, value_name = "SIZE")]
        down_to: Option<ByteSize>,
    },
}

const RUNS_LIST: &str = "\
Examples:
  leyden runs list
  leyden runs list --limit 100 --output json | jq -r '.[] | select(.failed > 0).id'";

const RUNS_SHOW: &str = "\
Examples:
  leyden runs show last
  leyden runs show 123k3fq --all";

const RUNS_LOGS: &str = "\
Examples:
  leyden runs logs last
  leyden runs logs last train            of all starts of the Work `train`
  leyden runs logs last 'train#12'       of one of them";

const RUNS_REMOVE: &str = "\
Examples:
  leyden runs remove last
  leyden runs remove 20261124-110809-123k3fq";

const RUNS_RESUME: &str = "\
Examples:
  leyden runs resume last
  leyden runs resume 20261124-110809-123k3fq";
