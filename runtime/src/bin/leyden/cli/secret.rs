//! `leyden secret …` as it may be typed.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use jiff::Timestamp;
use leyden::secrets::Expiry;

use super::Report;

#[derive(Debug, Subcommand)]
pub(crate) enum SecretCommand {
    /// Make a new secret
    ///
    /// The value is asked for on the terminal without being shown, or read from standard input
    /// where that is a pipe or a file: to its end, exactly as it is. It never stands on the
    /// command line, where other users and the shell's history would see it. The first secret
    /// makes the store and its key file.
    #[command(after_long_help = CREATE)]
    Create(NewValue),
    /// Give a secret a new version
    ///
    /// The value is read as for `secret create`. Apps that bind the secret without a version get
    /// the new one from their next run on.
    #[command(after_long_help = SET)]
    Set(NewValue),
    /// List all secrets, without their values
    List(Report),
    /// Tell about one secret, without its value
    Show {
        /// The secret's name
        name: String,
        #[command(flatten)]
        report: Report,
    },
    /// List one secret's versions
    Versions {
        /// The secret's name
        name: String,
        #[command(flatten)]
        report: Report,
    },
    /// Set when a version expires, and is released no more, or that it does not
    ///
    /// The newest version, unless one is named. An app that runs now keeps what it was given.
    #[command(after_long_help = EXPIRE)]
    Expire(Expire),
    /// Print a secret's value
    ///
    /// To a terminal it asks first; to a pipe or file only with --yes. The audit log says so before.
    /// `@VERSION` prints that version, `:base64` prints it in base64.
    #[command(after_long_help = REVEAL)]
    Reveal {
        /// The secret's name
        #[arg(value_name = "NAME[@VERSION][:base64]")]
        name: String,
        /// Do not ask, and print it also where standard output is no terminal
        #[arg(long, short)]
        yes: bool,
    },
    /// Delete a secret: no app can bind it any more
    ///
    /// It can be restored for 30 days, or as long as --recover-for says; the name stays taken until
    /// then. An app that runs now keeps what it was given.
    #[command(after_long_help = DELETE)]
    Delete(Delete),
    /// Restore a deleted secret, with its versions and grants
    Restore {
        /// The secret's name
        name: String,
        #[command(flatten)]
        report: Report,
    },
    /// Create many secrets at once, from a file of another tool's: all or none
    ///
    /// Names are put into lower case, with dashes for underscores. What cannot be taken over exactly
    /// is refused: values that are no text, those in quotes in an .env file and a # after a blank there,
    /// names that stand there twice. Lines of an .env file that begin with # are comments; all else in it is
    /// taken as it stands, and told where some tools would not: $, another #, other quotes, a
    /// backslash, blanks around a value. Of a folder, files whose name begins with a dot are skipped, and told of; a link is followed,
    /// wherever it leads, and one that leads to no file is refused, as is a folder in it.
    #[command(after_long_help = IMPORT)]
    Import(Import),
    /// Let an app bind a secret without being told to each time
    #[command(after_long_help = GRANT)]
    Grant(Grant),
    /// Take back a grant: no later run gets the secret by it
    ///
    /// An app that runs now keeps what it was given. A deleted secret's are taken back, too, so that it
    /// is restored without them.
    #[command(after_long_help = REVOKE)]
    Revoke(Revoke),
    /// Let only apps bind a secret that it is granted to by their digest
    ///
    /// Not even --secret on the command line binds it to another one, nor a grant to a folder.
    Restrict {
        /// The secret's name
        name: String,
        /// Lift the restriction
        #[arg(long)]
        lift: bool,
        #[command(flatten)]
        report: Report,
    },
}

/// Where secrets come from.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// An .env, .json, .yaml or .yml file, a folder with a file for each secret, or - for standard
    /// input
    pub(crate) from: PathBuf,
    /// What it is written in, where its name does not say
    #[arg(long, value_enum, value_name = "FORMAT")]
    pub(crate) format: Option<ImportAs>,
    /// What each name is to begin with
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// Give those that there are a new version; of one that keeps no more, the oldest is destroyed
    #[arg(long)]
    pub(crate) set_existing: bool,
    /// Show what it would do, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// What a file of secrets is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ImportAs {
    /// NAME=VALUE on each line
    Env,
    /// An object of texts
    Json,
    /// A map of texts
    Yaml,
}

/// Which version expires, and when.
#[derive(Debug, Args)]
#[group(id = "end", required = true, multiple = false, args = ["expires", "never"])]
pub(crate) struct Expire {
    /// The secret's name, and the version where it is not the newest
    #[arg(value_name = "NAME[@VERSION]")]
    pub(crate) name: String,
    /// Then: a time from now, such as 30d, a date and time such as 2030-01-31T00:00:00Z, or now
    #[arg(long, value_parser = ending, value_name = "WHEN")]
    pub(crate) expires: Option<Expiry>,
    /// Not at all
    #[arg(long)]
    pub(crate) never: bool,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// Which secret to delete, and how.
#[derive(Debug, Args)]
pub(crate) struct Delete {
    /// The secret's name
    pub(crate) name: String,
    /// Destroy it now: its values are overwritten, and the name is free again
    ///
    /// Copies and backups of the store still hold them.
    #[arg(long, conflicts_with = "recover_for")]
    pub(crate) now: bool,
    /// How long it can be restored, such as 7d
    #[arg(long, value_parser = window, value_name = "DURATION", default_value = "30d")]
    pub(crate) recover_for: Duration,
    /// Do not ask
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// What is granted to whom.
#[derive(Debug, Args)]
pub(crate) struct Grant {
    /// The secret's name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) to: To,
    /// Under this environment name only
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    /// Until then: a time from now, such as 30d, or a date and time such as 2030-01-31T00:00:00Z
    #[arg(long, value_parser = future, value_name = "WHEN")]
    pub(crate) expires: Option<Timestamp>,
    /// Do not ask, which happens where a folder is no app's own: the home folder, or one without an app in it
    #[arg(long, short)]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// Which grants are taken back.
#[derive(Debug, Args)]
pub(crate) struct Revoke {
    /// The secret's name
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) to: To,
    /// The one under this environment name only
    #[arg(long, value_name = "NAME")]
    pub(crate) env: Option<String>,
    #[command(flatten)]
    pub(crate) report: Report,
}

/// An app, by its digest or its folder.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct To {
    /// An app as it is now, or its digest (sha256:…)
    #[arg(long, value_name = "APP|DIGEST")]
    pub(crate) app: Option<PathBuf>,
    /// Whatever app is in this folder: while developing
    #[arg(long, value_name = "FOLDER")]
    pub(crate) folder: Option<PathBuf>,
}

/// A time from now, or a date and time: one that is to come, as the store will ask for, too.
pub(crate) fn future(typed: &str) -> Result<Timestamp, String> {
    let now = Timestamp::now();
    let expiry = match humantime::parse_duration(typed) {
        Ok(span) => {
            let far = |_| "that is too far away".to_owned();
            now.checked_add(span).map_err(far)?
        }
        Err(_) => typed.parse().map_err(|_| {
            "say a time from now, such as 30d, or a date and time, such as 2030-01-31T00:00:00Z"
                .to_owned()
        })?,
    };
    if expiry <= now {
        return Err("that is not in the future".to_owned());
    }
    // To the second, as it is shown, and no shorter than it was said.
    let second = expiry.as_second() + i64::from(expiry.subsec_nanosecond() > 0);
    Timestamp::from_second(second).map_err(|error| error.to_string())
}

/// The same, or that it is now: `now`, or no time from now.
pub(crate) fn ending(typed: &str) -> Result<Expiry, String> {
    match typed == "now" || humantime::parse_duration(typed) == Ok(Duration::ZERO) {
        true => Ok(Expiry::Now),
        false => future(typed).map(Expiry::At),
    }
}

/// A time in which something can be restored.
fn window(typed: &str) -> Result<Duration, String> {
    match humantime::parse_duration(typed) {
        Ok(Duration::ZERO) => {
            Err("that leaves no time to restore it; --now destroys it at once".into())
        }
        window => window.map_err(|error| error.to_string()),
    }
}

#[derive(Debug, Args)]
pub(crate) struct NewValue {
    /// The secret's name: letters, digits, dashes and periods
    pub(crate) name: String,
    /// Read the value from a file instead
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// Drop one line end from the end of the value
    #[arg(long)]
    pub(crate) trim_newline: bool,
    /// When the version expires, and is released no more: 90d, or 2030-01-31T00:00:00Z
    #[arg(long, value_parser = future, value_name = "WHEN")]
    pub(crate) expires: Option<Timestamp>,
    /// How many versions are kept from now on, the newest; 0 keeps all
    ///
    /// Older ones are destroyed with each new version.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) keep: Option<u32>,
    #[command(flatten)]
    pub(crate) report: Report,
    /// Refused with a message that says where values go.
    #[arg(hide = true)]
    pub(crate) extra: Vec<OsString>,
}

const CREATE: &str = "\
Examples:
  leyden secret create my-secret                          asks for the value, twice
  pass show api | leyden secret create api-token --trim-newline
  leyden secret create tls-key --from-file server.key
What is asked for on the terminal is one line of UTF-8 text; anything else comes from a file or a pipe.
Ctrl-C ends the question; Ctrl-Z and Ctrl-\\ do not stop or end it, and no text may have them.";

const SET: &str = "\
Examples:
  leyden secret set my-secret
  openssl rand -base64 32 | leyden secret set session-key --trim-newline
  leyden secret set api-token --expires 90d --keep 3";

const EXPIRE: &str = "\
Examples:
  leyden secret expire api-token --expires 30d
  leyden secret expire api-token@2 --expires now    no run gets version 2 from now on
  leyden secret expire api-token@2 --never
A bind without a version takes the newest, and is refused where that has expired.";

const REVEAL: &str = "\
Examples:
  leyden secret reveal api-token                    asks first
  leyden secret reveal api-token@2 --yes | pbcopy
  leyden secret reveal my-cert:base64 --yes > cert.b64";

const DELETE: &str = "\
Examples:
  leyden secret delete api-token
  leyden secret delete api-token --recover-for 7d --yes
  leyden secret delete api-token --now              nothing brings it back
Deleted secrets whose time is over are destroyed by the next delete.";

const IMPORT: &str = "\
Examples:
  leyden secret import .env --dry-run
  leyden secret import secrets.json --prefix staging-
  sops decrypt secrets.yaml | leyden secret import - --format yaml --set-existing
  leyden secret import /run/secrets                 a file for each secret, taken byte by byte";

const GRANT: &str = "\
Examples:
  leyden secret grant staging-db --app ./report --env DB_PASSWORD
  leyden secret grant staging-db --app sha256:784fc0… --expires 30d
  leyden secret grant staging-db --folder ~/src/report
A grant covers what the app's leyden.toml asks for; leyden trust APP grants all of it at once. One
to a digest ends when the app changes; one to a folder goes on.";

const REVOKE: &str = "\
Examples:
  leyden secret revoke staging-db --app ./report
  leyden secret revoke staging-db --folder ~/src/report --env DB_PASSWORD
leyden secret show NAME lists a secret's grants.";
