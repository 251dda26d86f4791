//! `leyden secret …` as it may be typed.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Subcommand};

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
    /// Delete a secret: no app can bind it any more
    ///
    /// The name stays taken and the values stay encrypted in the store. An app that runs now keeps
    /// what it was given.
    Delete {
        /// The secret's name
        name: String,
        /// Do not ask
        #[arg(long, short)]
        yes: bool,
        #[command(flatten)]
        report: Report,
    },
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
What is asked for on the terminal is one line; anything else comes from a file or a pipe.";

const SET: &str = "\
Examples:
  leyden secret set my-secret
  openssl rand -base64 32 | leyden secret set session-key --trim-newline";
