//! `leyden audit …` as it may be typed.

use clap::Subcommand;
use jiff::Timestamp;

use super::Report;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what was done with secrets, oldest first
    #[command(after_long_help = AUDIT_LIST)]
    List {
        /// Of this secret, or this version (NAME@NUMBER) of it, only
        #[arg(long, value_name = "NAME")]
        secret: Option<String>,
        /// Of apps with this name, of a Work (APP/WORK), or of a digest that begins so (sha256:…) only
        #[arg(long, value_name = "NAME|DIGEST")]
        app: Option<String>,
        /// With this outcome only: done or denied
        #[arg(long, value_parser = ["done", "denied"], value_name = "OUTCOME")]
        outcome: Option<String>,
        /// From then on: 24h ago, written 24h, or a date (UTC) such as 2030-01-31 or 2030-01-31T00:00:00Z
        #[arg(long, value_parser = moment, value_name = "WHEN")]
        since: Option<Timestamp>,
        /// Before then: as --since
        #[arg(long, value_parser = moment, value_name = "WHEN")]
        until: Option<Timestamp>,
        /// The newest so many of them
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
        #[command(flatten)]
        report: Report,
    },
    /// Verify the audit log and the whole store: that nobody changed, removed or swapped anything
    Verify(Report),
    /// Remove old records; what is left can still be verified
    ///
    /// A checkpoint, which nobody without the key can make, stands where they were.
    #[command(after_long_help = AUDIT_PRUNE)]
    Prune {
        /// Those from before then: 365d ago, written 365d, or 2030-01-31T00:00:00Z
        #[arg(long, value_parser = moment, value_name = "WHEN")]
        before: Timestamp,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        report: Report,
    },
}

/// A time ago, or a date and time.
pub(crate) fn moment(typed: &str) -> Result<Timestamp, String> {
    /// Letters of a date without a time.
    const DATE: usize = "2030-01-31".len();
    if let Ok(span) = humantime::parse_duration(typed) {
        let far = |_| "that is too long ago".to_owned();
        return Timestamp::now().checked_sub(span).map_err(far);
    }
    let wrong = |_| {
        "say how long ago, such as 30d, or a date, such as 2030-01-31, or 2030-01-31T00:00:00Z"
            .to_owned()
    };
    // A day begins as times are shown: in UTC.
    let at = match typed.len() {
        DATE => format!("{typed}T00:00:00Z").parse(),
        _ => typed.parse(),
    };
    at.map_err(wrong)
}

const AUDIT_PRUNE: &str = "\
Examples:
  leyden audit list --until 365d --output json > audit-before.jsonl
  leyden audit prune --before 365d";

const AUDIT_LIST: &str = "\
Examples:
  leyden audit list --limit 20
  leyden audit list --secret my-secret
  leyden audit list --outcome denied --since 24h
  leyden audit list --app pipeline --output json    a record on each line";
