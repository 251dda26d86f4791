//! The `leyden` command: runs apps, keeps their secrets, tells what was released to whom.

#[cfg(feature = "admin")]
mod admin;
mod audit;
mod cli;
mod completions;
mod doctor;
mod events;
mod exit;
mod harden;
mod hidden;
mod inspect;
mod key;
mod key_command;
mod keyring;
mod man;
mod outlet;
mod paths;
mod progress;
mod prompt;
mod report;
mod run;
mod runs;
mod secret;
mod signals;
mod store;
mod timeline;
mod trust;
mod unlock;
mod watchdog;
mod wide;
mod works;

use cli::{Cli, Command, RunCommand};
use paths::Paths;

fn main() {
    harden::process();
    let status = match cli::parse() {
        Ok(cli) => dispatch(cli).unwrap_or_else(|error| {
            exit::tell(&error);
            exit::status_of(&error)
        }),
        Err(refused) => refused.tell(),
    };
    // Not by returning: a thread that waits for standard input must not hold the command.
    std::process::exit(status.into());
}

fn dispatch(cli: Cli) -> anyhow::Result<u8> {
    let store = &cli.store;
    // A run sets its handlers itself, all at once. Where this one cannot be had, nothing is lost: a
    // process that is ended so leaves a store that opens.
    if !matches!(cli.command, Command::Run(_)) {
        let _ = signals::outlive_file_limits();
    }
    match cli.command {
        Command::Run(RunCommand::App(arguments)) => {
            return run::app(*arguments, || Paths::find(store), None);
        }
        Command::Runs(command) => return runs::run(command, store),
        Command::Inspect(arguments) => with_paths(store, |paths| inspect::run(&arguments, paths))?,
        Command::Trust(arguments) => with_paths(store, |paths| trust::run(&arguments, paths))?,
        Command::Secret(command) => with_paths(store, |paths| secret::run(command, paths))?,
        Command::Key(command) => with_paths(store, |paths| key::run(command, paths))?,
        Command::Audit(command) => with_paths(store, |paths| audit::run(command, paths))?,
        Command::Store(command) => with_paths(store, |paths| store::run(command, paths))?,
        #[cfg(feature = "admin")]
        Command::Admin(arguments) => return admin::run(&arguments, Paths::find(store)?),
        Command::Doctor(arguments) => {
            return with_paths(store, |paths| doctor::run(&arguments, paths));
        }
        Command::KeyringEntry { action, label } => keyring::serve(action, &label)?,
        Command::Completions { shell } => completions::print(shell)?,
        Command::Man { command } => man::print(&command)?,
    }
    Ok(exit::DONE)
}

/// Runs a command that uses the store, and says what it could not record elsewhere.
fn with_paths<T>(
    options: &cli::StoreOptions,
    command: impl FnOnce(&Paths) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let paths = Paths::find(options)?;
    let done = command(&paths);
    paths.tell_of_audit_sink();
    done
}
