//! The command line: what may be typed, and the help that teaches it.
//!
//! Options that can hold a value which is nobody's business are kept as typed and read later: clap
//! shows what it refuses.

#[cfg(feature = "admin")]
mod admin;
mod app;
mod audit;
mod key;
mod runs;
mod secret;
mod store;

#[cfg(feature = "admin")]
pub(crate) use admin::Admin;
pub(crate) use app::{Inspect, Trust};
pub(crate) use audit::AuditCommand;
#[cfg(feature = "admin")]
pub(crate) use audit::moment;
pub(crate) use key::{KeyCommand, NewKey, Rotate};
pub(crate) use runs::RunsCommand;
pub(crate) use secret::{
    Delete, Expire, Grant, Import, ImportAs, NewValue, Revoke, SecretCommand, To,
};
#[cfg(feature = "admin")]
pub(crate) use secret::{ending, future};
pub(crate) use store::StoreCommand;

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

/// The part of the command line that runs apps: making the whole of it takes longer than a short
/// app runs. Whatever this does not understand is read as the whole.
#[derive(Parser)]
struct RunAlone {
    #[command(flatten)]
    store: StoreOptions,
    #[command(subcommand)]
    command: RunAloneCommand,
}

#[derive(Subcommand)]
enum RunAloneCommand {
    #[command(subcommand)]
    Run(RunCommand),
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
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        conflicts_with_all = ["key_command", "keyring", "ask_key"]
    )]
    pub(crate) key_file: Option<PathBuf>,
    /// A shell command that prints what a key file holds: from a key management service, a hardware
    /// token [env: LEYDEN_KEY_COMMAND]
    #[arg(
        long,
        global = true,
        value_name = "COMMAND",
        conflicts_with_all = ["keyring", "ask_key"]
    )]
    pub(crate) key_command: Option<OsString>,
    /// The key slot whose key the operating system's keyring holds [env: LEYDEN_KEYRING]
    #[arg(long, global = true, value_name = "LABEL", conflicts_with = "ask_key")]
    pub(crate) keyring: Option<String>,
    /// Ask for a passphrase or recovery code, though there is a key file
    #[arg(long, global = true)]
    pub(crate) ask_key: bool,
    /// The key slot to open: with several passphrases, naming it saves time
    #[arg(long, global = true, value_name = "LABEL")]
    pub(crate) slot: Option<String>,
    /// A second place for audit records: a file, to which a line of JSON is added for each, or
    /// `syslog`, or `syslog:SOCKET` where that is not at /dev/log. Where they cannot be written
    /// there, that is said, and the store has them [env: LEYDEN_AUDIT_TO]
    #[arg(long, global = true, value_name = "FILE|syslog[:SOCKET]")]
    pub(crate) audit_to: Option<PathBuf>,
    /// Do nothing that cannot be recorded at the place that --audit-to names, too [env:
    /// LEYDEN_AUDIT_REQUIRED, if not empty]
    #[arg(long, global = true)]
    pub(crate) audit_required: bool,
    /// Take the store as it is, though this machine has seen a newer state of it
    #[arg(long, global = true)]
    pub(crate) accept_rollback: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an app
    #[command(subcommand)]
    Run(RunCommand),
    /// Show what an app is and asks for, and what it is granted, without running it
    #[command(after_long_help = app::INSPECT)]
    Inspect(Inspect),
    /// Grant an app all that it asks for, after showing it
    ///
    /// The grant is to the app's digest: a version that differs by a byte asks again. With --folder
    /// it is to the folder, whatever app is in there.
    #[command(after_long_help = app::TRUST)]
    Trust(Trust),
    /// Make, change and list secrets
    #[command(subcommand)]
    Secret(SecretCommand),
    /// Manage what opens the store: key files, passphrases, a keyring, key commands, a recovery code
    #[command(subcommand)]
    Key(KeyCommand),
    /// See and verify who was given what
    #[command(subcommand)]
    Audit(AuditCommand),
    /// See what ran, and stop or resume it
    #[command(subcommand)]
    Runs(RunsCommand),
    /// Back up, restore and upgrade the store as a whole
    #[command(subcommand)]
    Store(StoreCommand),
    /// Serve the store's page to a browser on this machine
    ///
    /// Secrets are made, bound, granted and watched there, and never shown. It is served on the
    /// loopback address alone, and opened by the link that this prints.
    #[cfg(feature = "admin")]
    #[command(after_long_help = admin::ADMIN)]
    Admin(Admin),
    /// Look over the store, key, permissions, cache and platform
    ///
    /// Says for each what is wrong and what to do, and changes nothing. The exit status is 1 if
    /// something must be mended.
    Doctor(Report),
    /// Read or change an entry of the operating system's keyring: what other commands start, so
    /// that nothing of it stays in their memory
    #[command(hide = true)]
    KeyringEntry {
        /// What to do with it
        action: crate::keyring::Action,
        /// The entry's name
        label: String,
    },
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
    /// How much memory each of the app's components may have, such as 256MiB; 1GiB if not given
    #[arg(long, value_parser = size, value_name = "SIZE")]
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

const RUN_APP: &str = "\
Examples:
  leyden run app app.wasm
  leyden run app app.wasm --env FOO=bar --secret MY_APP_SECRET=my-secret
  leyden run app app.wasm --secret TOKEN=api-token@3 --allow-host api.example.com
  leyden run app app.wasm --dir data::/data:ro --timeout 30s --memory 256MiB -- --verbose input
  leyden run app pipeline/ --env train:LEVEL=debug      only for the Work `train`
  leyden run app pipeline/ --secret train:TOKEN=hf      a secret that only `train` sees
  leyden run app app.wasm --output json | jq -j 'select(.event == \"stdout\").text'
A secret that is not text is bound with :base64, as in --secret CERT=my-cert:base64.
--allow-host opens HTTPS to a host; HOST:PORT opens HTTPS and TCP to that port; http://HOST plain
HTTP.";

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
    if arguments.get(1).is_some_and(|first| first == "run")
        && let Ok(RunAlone { store, command }) = RunAlone::try_parse_from(&arguments)
    {
        let RunAloneCommand::Run(command) = command;
        let command = Command::Run(command);
        return Ok(Cli { store, command });
    }
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

/// A size with its unit: who forgets that means another one than bytes.
pub(crate) fn size(text: &str) -> Result<ByteSize, String> {
    match text
        .trim_end()
        .ends_with(|last: char| last.is_ascii_digit())
    {
        true => Err("say a unit, such as MiB or GiB (B for bytes)".into()),
        false => text.parse(),
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
