//! `leyden completions`: a script that teaches a shell this command line.

use clap_complete::Shell;

use crate::{cli, report};

pub(crate) fn print(shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut cli::command(), "leyden", &mut script);
    report::print(script)
}
