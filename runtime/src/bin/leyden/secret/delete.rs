//! `leyden secret delete` and `restore`.

use leyden::app::SecretName;
use leyden::secrets::{SecretState, StoreError};
use serde_json::json;

use super::read_name;
use crate::cli::{Delete, Report};
use crate::exit::say;
use crate::paths::Paths;
use crate::report::{self, Format};
use crate::{prompt, unlock};

/// Deletes a secret, or destroys it.
pub(super) fn run(arguments: &Delete, paths: &Paths) -> anyhow::Result<()> {
    let name = read_name(&arguments.name)?;
    let store = unlock::open(paths)?;
    let secret = store.show(&name)?;
    if !arguments.now && matches!(secret.state, SecretState::Deleted { .. }) {
        return Err(StoreError::Deleted { name: secret.name }.into());
    }
    let question = match arguments.now {
        true => format!(
            "Destroy {} and all its versions? Nothing brings them back.",
            secret.name
        ),
        false => format!(
            "Delete {}? No app can bind it any more; it can be restored for {}.",
            secret.name,
            report::span(arguments.recover_for)
        ),
    };
    prompt::confirm_or_refuse(&question, arguments.yes, "nothing was deleted")?;
    let done = match arguments.now {
        true => store.destroy(&name).map(|()| "destroyed")?,
        false => store
            .delete_for(&name, arguments.recover_for)
            .map(|()| "deleted")?,
    };
    for name in store.purge()? {
        say(&format!(
            "destroyed {name}, which was deleted before: its time is over"
        ));
    }
    match arguments.report.output {
        Format::Json => report::json(&json!({ "name": secret.name, "state": done })),
        Format::Text => report::line(&format!("{done} {}", secret.name)),
    }
}

/// Restores a deleted secret.
pub(super) fn restore(name: &SecretName, report: &Report, paths: &Paths) -> anyhow::Result<()> {
    unlock::open(paths)?.restore(name)?;
    match report.output {
        Format::Json => report::json(&json!({ "name": name.as_str(), "state": "active" })),
        Format::Text => report::line(&format!("restored {name}")),
    }
}
