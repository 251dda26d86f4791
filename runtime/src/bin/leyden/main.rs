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
    // Where that cannot be had, nothing is lost: a process that is ended so leaves a store that opens.
    let _ = signals::outlive_file_limits();
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
    let paths = || Paths::find(&cli.store);
    match cli.command {
        Command::Run(RunCommand::App(arguments)) => return run::app(*arguments, paths, None),
        Command::Runs(command) => return runs::run(command, &cli.store),
        Command::Inspect(arguments) => inspect::run(&arguments, &paths()?)?,
        Command::Trust(arguments) => trust::run(&arguments, &paths()?)?,
        Command::Secret(command) => secret::run(command, &paths()?)?,
        Command::Key(command) => key::run(command, &paths()?)?,
        Command::Audit(command) => audit::run(command, &paths()?)?,
        Command::Store(command) => store::run(command, &paths()?)?,
        #[cfg(feature = "admin")]
        Command::Admin(arguments) => return admin::run(&arguments, &paths()?),
        Command::Doctor(arguments) => return doctor::run(&arguments, &paths()?),
        Command::KeyringEntry { action, label } => keyring::serve(action, &label)?,
        Command::Completions { shell } => completions::print(shell)?,
        Command::Man { command } => man::print(&command)?,
    }
    Ok(exit::DONE)
}
