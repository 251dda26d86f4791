//! `leyden secret expire`: when a version ends, or that it does not.

use leyden::app::{BindingError, Encoding, SecretRef};
use leyden::secrets::Expiry;
use serde_json::json;

use crate::cli::Expire;
use crate::exit::usage;
use crate::paths::Paths;
use crate::report::{self, Format};
use crate::unlock;

/// Sets it.
pub(super) fn run(arguments: &Expire, paths: &Paths) -> anyhow::Result<()> {
    let wanted: SecretRef = arguments
        .name
        .parse()
        .map_err(|error: BindingError| usage(error.to_string()))?;
    if wanted.encoding != Encoding::Text {
        return Err(usage(
            "a version expires whole, in whatever form it is bound: leave out `:base64`",
        ));
    }
    let (name, expiry) = (&wanted.name, arguments.expires.unwrap_or(Expiry::Never));
    let told = unlock::open(paths)?.expire(name, wanted.version, expiry)?;
    let (version, expires) = (told.version, told.expires);
    match arguments.report.output {
        Format::Json => report::json(&json!({
            "name": name.as_str(),
            "version": version,
            "expires": expires,
        })),
        Format::Text => report::line(&match expires {
            Some(at) => format!(
                "version {version} of {name} expires at {}",
                report::time(at)
            ),
            None => format!("version {version} of {name} does not expire"),
        }),
    }
}
