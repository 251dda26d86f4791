//! `leyden audit …` as it may be typed.

use clap::Subcommand;

use super::Report;

#[derive(Debug, Subcommand)]
pub(crate) enum AuditCommand {
    /// List what was done with secrets, oldest first
    #[command(after_long_help = AUDIT_LIST)]
    List {
        /// Of this secret only
        #[arg(long, value_name = "NAME")]
        secret: Option<String>,
        /// Of apps with this name or digest (sha256:…) only
        #[arg(long, value_name = "NAME|DIGEST")]
        app: Option<String>,
        /// The newest so many of them
        #[arg(long, value_name = "NUMBER")]
        limit: Option<usize>,
        #[command(flatten)]
        report: Report,
    },
    /// Verify the audit log and the whole store: that nobody changed, removed or swapped anything
    Verify(Report),
}

const AUDIT_LIST: &str = "\
Examples:
  leyden audit list --limit 20
  leyden audit list --secret my-secret
  leyden audit list --app pipeline --output json";
