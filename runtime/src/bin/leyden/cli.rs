//! The command line: what may be typed, and the help that teaches it.
//!
//! Options that can hold a value which is nobody's business are kept as typed and read later: clap
//! shows what it refuses.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, CommandFactory as _, Parser, Subcommand};
use leyden::app::nearest;

use crate::exit;
use crate::report::{Format, print, styled};

const EXAMPLES: &str = "\
Examples:
  leyden secret create my-secret                      asks for the value; the first one makes the store
  leyden run app app.wasm --env FOO=bar --secret MY_APP_SECRET=my-secret
  leyden audit list                                   who was given what, and when";

/// Runs WebAssembly apps and gives each component exactly the secrets bound to it.
///
/// An app sees the environment entries and secrets that you name, and nothing else: not the
/// host's environment, no file and no network that you did not open to it. Secrets are kept
/// encrypted in a store of your own, and each release is in its audit log first.
#[derive(Debug, Parser)]
#[command(
    name = "leyden",
    version,
    propagate_version = true,
    max_term_width = 100
)]
#[command(after_help = exit::HELP, after_long_help = format!("{EXAMPLES}\n\n{}", exit::HELP))]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) store: StoreOptions,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which store, and what opens it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Store and key")]
pub(crate) struct StoreOptions {
    /// The store [env: LEYDEN_STORE; default: leyden/store.db in the XDG data folder]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) store: Option<PathBuf>,
    /// The key file, or /dev/fd/N [env: LEYDEN_KEY_FILE; default: leyden/root.key in the XDG
    /// config folder]
    ///
    /// Without a key file, the passphrase is read from the file that LEYDEN_PASSPHRASE_FILE names,
    /// or asked for on the terminal.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// The key slot to open: with several passphrases, naming it saves time
    #[arg(long, global = true, value_name = "LABEL")]
    pub(crate) slot: Option<String>,
    /// Take the store as it is, though this machine has seen a newer state of it
    #[arg(long, global = true)]
    pub(crate) accept_rollback: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an app
    #[command(subcommand)]
    Run(RunCommand),
    /// Make, change and list secrets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Manage what opens the store: key files and passphrases
    #[command(subcommand)]
    Key(KeyCommand),
    /// See and verify who was given what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// See what ran, and stop or resume it
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Look over the store, key, permissions, cache and platform
    ///
    /// Says for each what is wrong and what to do, and changes nothing. The exit status is 1 if
    /// something must be mended.
    Doctor(Report),
    /// Print a completion script for a shell
    #[command(after_long_help = COMPLETIONS)]
    Completions {
        /// Which shell
        shell: clap_complete::Shell,
    },
    /// Print a manual page
    #[command(after_long_help = MAN)]
    Man {
        /// Of this command
        #[arg(value_name = "COMMAND")]
        command: Vec<String>,
    },
}

/// How to report.
#[derive(Debug, Args)]
pub(crate) struct Report {
    /// How to report
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunCommand {
    /// Run an app with the environment and secrets that you bind to it
    ///
    /// APP is a WebAssembly component or module (.wasm, or its text form), or a folder with a
    /// leyden.toml. All bindings are checked, and each release of a secret is in the audit log,
    /// before anything of the app runs; one bad binding refuses the whole. The guest sees what you
    /// name here and nothing else.
    #[command(
        after_long_help = format!("{RUN_APP}\n\n{}", exit::HELP),
        after_help = exit::HELP,
        override_usage = "leyden run app APP [OPTIONS] [-- ARGS...]"
    )]
    App(Box<RunApp>),
}

#[derive(Debug, Args)]
pub(crate) struct RunApp {
    /// A component or module, or a folder with a leyden.toml
    pub(crate) app: PathBuf,
    /// What to call the app in messages and the audit log: a label, without authority
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// An environment entry for the Flow and every Work, or for one Work
    #[arg(long, value_name = "[WORK:]NAME=VALUE")]
    pub(crate) env: Vec<OsString>,
    /// Environment entries, a NAME=VALUE on each line, taken literally; --env overrides them
    #[arg(long, value_name = "FILE")]
    pub(crate) env_file: Vec<PathBuf>,
    /// A secret under an environment name; without @VERSION the newest one
    #[arg(long, value_name = "[WORK:]NAME=SECRET[@VERSION][:base64]")]
    pub(crate) secret: Vec<OsString>,
    /// A folder for the Flow, or for one Work; `:ro` makes it read-only
    #[arg(long, value_name = "[WORK:]HOST[::GUEST][:ro]")]
    pub(crate) dir: Vec<OsString>,
    /// A host that the Flow, or one Work, may reach: HTTPS, and with a port TCP as well
    #[arg(long, value_name = "[WORK:]HOST[:PORT]")]
    pub(crate) allow_host: Vec<OsString>,
    /// How long the app may run, such as 30s or 5min; no limit if not given
    #[arg(long, value_parser = humantime::parse_duration, value_name = "DURATION")]
    pub(crate) timeout: Option<Duration>,
    /// How much memory the app may have, such as 256MiB; 1GiB if not given
    #[arg(long, value_name = "SIZE")]
    pub(crate) memory: Option<ByteSize>,
    /// Take the app's secrets out of its standard output, too
    ///
    /// They are always taken out of its standard error, of what its Works print, and of logs. That
    /// hides exact values of 4 bytes or more, and their lines of 8 or more, where a program shows
    /// one by mistake; one that wants to can always write it in another form.
    #[arg(long)]
    pub(crate) mask: bool,
    /// Run in a cluster; none can be configured yet, so that this only says so
    #[arg(long)]
    pub(crate) cloud: bool,
    /// text: the app's own output; json: its output as events, one on each line
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub(crate) output: Format,
    /// Refused with a message that says where arguments go.
    #[arg(hide = true)]
    pub(crate) extra: Vec<OsString>,
    /// Arguments for the app
    #[arg(last = true)]
    pub(crate) args: Vec<OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum RunsCommand {
    /// List the newest runs
    #[command(after_long_help = RUNS_LIST)]
    List {
        /// So many of them
        #[arg(long, value_name = "NUMBER", default_value_t = 20)]
        limit: usize,
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
        #[arg(long, value_name = "SIZE")]
        down_to: Option<ByteSize>,
    },
}

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

#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// List the key slots: what opens the store
    List(Report),
    /// Add a key file or a passphrase that opens the store, too
    #[command(after_long_help = KEY_ADD)]
    Add {
        /// What to call it: `laptop`, `recovery`
        label: String,
        #[command(flatten)]
        new: NewKey,
        #[command(flatten)]
        report: Report,
    },
    /// Write out a copy of the key file, to keep elsewhere
    ///
    /// Whoever has it and the store can read every secret; without any key nobody can. The export
    /// is written to the audit log first.
    #[command(after_long_help = KEY_EXPORT)]
    Export {
        /// Write it to this new file, closed to others; otherwise to standard output
        #[arg(long, value_name = "FILE")]
        to: Option<PathBuf>,
        /// Show it even on a terminal
        #[arg(long, short)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct NewKey {
    /// A new random key, written to this new file, closed to others
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file_to: Option<PathBuf>,
    /// A passphrase, from the file that LEYDEN_NEW_PASSPHRASE_FILE names or asked for twice
    #[arg(long)]
    pub(crate) passphrase: bool,
}

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

const RUN_APP: &str = "\
Examples:
  leyden run app app.wasm
  leyden run app app.wasm --env FOO=bar --secret MY_APP_SECRET=my-secret
  leyden run app app.wasm --secret TOKEN=api-token@3 --allow-host api.example.com
  leyden run app app.wasm --dir data::/data:ro --timeout 30s --memory 256MiB -- --verbose input
  leyden run app pipeline/ --env train:LEVEL=debug      only for the Work `train`
  leyden run app pipeline/ --secret train:TOKEN=hf      a secret that only `train` sees
  leyden run app app.wasm --output json | jq -r 'select(.event == \"stdout\").text'
A secret that is not text is bound with :base64, as in --secret CERT=my-cert:base64.
--allow-host opens HTTPS to a host; HOST:PORT opens HTTPS and TCP to that port; http://HOST plain
HTTP.";

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

const RUNS_RESUME: &str = "\
Examples:
  leyden runs resume last
  leyden runs resume 20261124-110809-123k3fq";

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

const KEY_ADD: &str = "\
Examples:
  leyden key add recovery --key-file-to /media/usb/leyden-recovery.key
  leyden key add me --passphrase";

const KEY_EXPORT: &str = "\
Examples:
  leyden key export --to /media/usb/leyden-root.key
  leyden key export | gpg --encrypt --recipient me > root.key.gpg";

const AUDIT_LIST: &str = "\
Examples:
  leyden audit list --limit 20
  leyden audit list --secret my-secret
  leyden audit list --app pipeline --output json";

const COMPLETIONS: &str = "\
Examples:
  leyden completions bash > ~/.local/share/bash-completion/completions/leyden
  leyden completions zsh > ~/.zfunc/_leyden
  leyden completions fish > ~/.config/fish/completions/leyden.fish";

const MAN: &str = "\
Examples:
  leyden man | man -l -
  leyden man run app | man -l -";

/// Reads the command line.
pub(crate) fn parse() -> Result<Cli, Refused> {
    parse_from(std::env::args_os().collect())
}

pub(crate) fn parse_from(arguments: Vec<OsString>) -> Result<Cli, Refused> {
    Cli::try_parse_from(&arguments).map_err(|error| Refused {
        error: Box::new(error),
        arguments,
    })
}

/// A command line that is not run: a wrong one, or one that asks for help.
pub(crate) struct Refused {
    error: Box<clap::Error>,
    arguments: Vec<OsString>,
}

impl Refused {
    /// Prints what there is to say; the exit status.
    pub(crate) fn tell(&self) -> u8 {
        match self.error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => match print(self.help()) {
                Ok(()) => exit::DONE,
                Err(error) => {
                    exit::tell(&error);
                    exit::status_of(&error)
                }
            },
            ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                // Nothing more can be done where standard error is closed.
                let _ = self.error.print();
                exit::USAGE
            }
            _ => {
                exit::say(&self.explain());
                exit::USAGE
            }
        }
    }

    fn help(&self) -> String {
        let help = self.error.render();
        if styled() {
            help.ansi().to_string()
        } else {
            help.to_string()
        }
    }

    /// What is wrong with it.
    fn explain(&self) -> String {
        match self.error.kind() {
            ErrorKind::UnknownArgument => return self.unknown(),
            ErrorKind::TooManyValues => return self.takes_no_value(),
            ErrorKind::InvalidValue | ErrorKind::ValueValidation => return self.bad_value(),
            ErrorKind::InvalidSubcommand => return self.unknown_command(),
            _ => {}
        }
        let text = self.error.render().to_string();
        text.strip_prefix("error: ")
            .unwrap_or(&text)
            .trim_end()
            .to_owned()
    }

    /// What to say of an argument that is not known. It may be a value at the wrong place, so it
    /// is shown only where it looks like an option.
    fn unknown(&self) -> String {
        let found = match self.error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(found)) => found.as_str(),
            _ => "",
        };
        let command = self.command();
        let help = format!("see {} --help", command.get_bin_name().unwrap_or("leyden"));
        if !looks_like_an_option(found) {
            return format!(
                "there is an argument too many (not shown, because it may be a secret); {help}"
            );
        }
        let known = command.get_arguments().filter_map(clap::Arg::get_long);
        match nearest(found.trim_start_matches('-'), known) {
            Some(near) => format!("there is no option `{found}`; did you mean `--{near}`? {help}"),
            None => format!("there is no option `{found}` here; {help}"),
        }
    }

    /// The option that something is wrong with.
    fn option(&self) -> &str {
        match self.error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(option)) => option,
            _ => "an option",
        }
    }

    fn takes_no_value(&self) -> String {
        format!(
            "{} takes no value (what stood there is not shown, because it may be a secret)",
            self.option()
        )
    }

    fn bad_value(&self) -> String {
        let option = self.option();
        let value = match self.error.get(ContextKind::InvalidValue) {
            Some(ContextValue::String(value)) if is_a_word(value) => format!(" `{value}`"),
            _ => String::new(),
        };
        match self.error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(valid)) if !valid.is_empty() => {
                let valid = valid.join(", ");
                format!("the value{value} of {option} is none of: {valid}")
            }
            _ => {
                use std::error::Error as _;
                let reason = self.error.source().map(ToString::to_string);
                let reason = reason.map(|reason| format!(": {reason}"));
                format!(
                    "the value{value} of {option} cannot be used{}",
                    reason.unwrap_or_default()
                )
            }
        }
    }

    /// What to say of a word where a command should be; it is shown only where it may be one.
    fn unknown_command(&self) -> String {
        let found = match self.error.get(ContextKind::InvalidSubcommand) {
            Some(ContextValue::String(found)) => found.as_str(),
            _ => "",
        };
        let command = self.command();
        let help = format!("see {} --help", command.get_bin_name().unwrap_or("leyden"));
        let known = command.get_subcommands().map(clap::Command::get_name);
        match nearest(found, known) {
            Some(near) => format!("there is no command `{found}`; did you mean `{near}`? {help}"),
            None if is_a_word(found) => format!("there is no command `{found}` here; {help}"),
            None => {
                format!("there is no such command (not shown, because it may be a secret); {help}")
            }
        }
    }

    /// The subcommand that was meant, as far as its words are known.
    fn command(&self) -> clap::Command {
        let mut command = command();
        command.build();
        for word in self.arguments.iter().skip(1) {
            if let Some(found) = command.find_subcommand(word) {
                command = found.clone();
            }
        }
        command
    }
}

fn looks_like_an_option(argument: &str) -> bool {
    let Some(name) = argument.strip_prefix("--") else {
        return argument.len() == 2 && argument.starts_with('-');
    };
    is_a_word(name)
}

fn is_a_word(text: &str) -> bool {
    (1..=24).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
}

/// The whole command, for completions and manual pages.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Cli, Refused> {
        parse_from(line.split(' ').map(OsString::from).collect())
    }

    fn refusal(line: &str) -> String {
        parse(line).err().unwrap().explain()
    }

    fn run(line: &str) -> RunApp {
        match parse(line).ok().unwrap().command {
            Command::Run(RunCommand::App(arguments)) => *arguments,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn options_stand_anywhere_before_the_dashes() {
        for line in [
            "leyden run app app.wasm --env A=1 --secret B=b --cloud -- --env x",
            "leyden run app --env A=1 app.wasm --cloud --secret B=b -- --env x",
            "leyden run app --cloud --secret=B=b --env=A=1 app.wasm -- --env x",
        ] {
            let run = run(line);
            assert_eq!(run.app, PathBuf::from("app.wasm"));
            assert_eq!(
                (run.env, run.secret),
                (vec!["A=1".into()], vec!["B=b".into()])
            );
            assert!(run.cloud);
            assert_eq!(run.args, ["--env", "x"]);
            assert!(run.extra.is_empty());
        }
    }

    #[test]
    fn store_options_stand_anywhere() {
        for line in [
            "leyden --store s secret list",
            "leyden secret list --store s",
        ] {
            assert_eq!(parse(line).ok().unwrap().store.store, Some("s".into()));
        }
    }

    #[test]
    fn each_env_option_takes_one_value() {
        let run = run("leyden run app app.wasm --env A=1 --env B=2 other");
        assert_eq!(run.env.len(), 2);
        assert_eq!(run.extra, ["other"]);
    }

    #[test]
    fn refusals_never_show_a_value() {
        for line in [
            "leyden run app app.wasm --emv TOKEN=hunter2",
            "leyden run app app.wasm --emv=TOKEN=hunter2",
            "leyden run app app.wasm -eTOKEN=hunter2",
            "leyden run app app.wasm --env -hunter2",
            "leyden secret create name --hunter2",
            "leyden secret create name --value=hunter2",
            "leyden secret list hunter2",
            "leyden secret show name hunter2",
            "leyden secret delete name TOKEN=hunter2",
            "leyden key add label hunter2 --passphrase",
            "leyden key add label --passphrase=hunter2",
            "leyden secret delete name --yes=hunter2",
            "leyden run app app.wasm --cloud=hunter2",
            "leyden run app app.wasm --timeout hunter2",
            "leyden run app app.wasm --output hunter2",
            "leyden secret hunter2",
            "leyden hunter2",
        ] {
            let text = refusal(line);
            assert!(!text.contains("hunter2"), "{line}: {text}");
        }
    }

    #[test]
    fn refusals_name_options_and_their_neighbours() {
        for (line, words) in [
            (
                "leyden run app app.wasm --evn A=1",
                "no option `--evn`; did you mean `--env`?",
            ),
            (
                "leyden run app app.wasm --evn A=1",
                "see leyden run app --help",
            ),
            (
                "leyden secret list --jsno",
                "no option `--jsno` here; see leyden secret list --help",
            ),
            ("leyden key add label", "--passphrase"),
        ] {
            let text = refusal(line);
            assert!(text.contains(words), "{line}: {text}");
        }
    }
}
