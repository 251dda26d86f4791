//! `leyden secret reveal`: prints a value, to who asked for it knowingly.

use std::io::{self, IsTerminal as _};

use jiff::Timestamp;
use leyden::app::{BindingError, Encoding, SecretRef};
use leyden::secrets::VersionInfo;
use zeroize::Zeroizing;

use crate::exit::{say, usage};
use crate::paths::Paths;
use crate::{prompt, report, unlock};

/// Prints a secret's value: to a terminal as one line, otherwise exactly as it is.
pub(super) fn run(typed: &str, yes: bool, paths: &Paths) -> anyhow::Result<()> {
    let wanted: SecretRef = typed
        .parse()
        .map_err(|error: BindingError| usage(error.to_string()))?;
    let terminal = io::stdout().is_terminal();
    if !terminal && !yes {
        return Err(usage(
            "standard output is no terminal, and whoever reads it gets the value: say --yes if that \
             is meant",
        ));
    }
    let store = unlock::open(paths)?;
    // What is not there is told without asking.
    let secret = store.show(&wanted.name)?;
    if terminal {
        let question = format!("Show {} on this terminal?", wanted.name);
        prompt::confirm_or_refuse(&question, yes, "nothing was shown")?;
    }
    let value = store.reveal(&wanted.name, wanted.version)?;
    let is_it = |one: &&VersionInfo| wanted.version.is_none_or(|version| one.version == version);
    if let Some(shown) = secret.versions.iter().rev().find(is_it)
        && let Some(at) = shown.expires.filter(|at| *at <= Timestamp::now())
    {
        say(&format!(
            "warning: version {} of {} has expired at {}, and is released to no app",
            shown.version,
            secret.name,
            report::time(at)
        ));
    }
    if wanted.encoding == Encoding::Base64 {
        return report::print(value.to_base64().as_bytes());
    }
    if !terminal {
        return report::print(value.expose());
    }
    // A value is anybody's text, and must not drive the terminal.
    let text = value
        .into_text()
        .map_err(|problem| usage(problem.to_string()))?;
    let shown = Zeroizing::new(report::printable(&text) + "\n");
    report::print(shown.as_bytes())
}
