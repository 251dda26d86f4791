//! Why a manifest was refused, and where.

use std::fmt;
use std::path::PathBuf;

use crate::app::binding::BindingError;
use crate::app::host_rule::HostRuleError;
use crate::app::names::{EnvName, NameError};
use crate::app::suggest::{did_you_mean, shown, shown_path};

/// A manifest was refused. Never contains the value of an environment entry.
#[derive(Debug, thiserror::Error)]
#[error("{}{}: {problem}", shown_path(path), At(*place))]
pub struct ManifestError {
    /// The file.
    pub path: PathBuf,
    /// Line and column (in characters), both from 1, if it is about a place.
    pub place: Option<(usize, usize)>,
    /// Why.
    pub problem: Box<ManifestProblem>,
}

struct At(Option<(usize, usize)>);

impl fmt::Display for At {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .map_or(Ok(()), |(line, column)| write!(f, ":{line}:{column}"))
    }
}

/// What is wrong in a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ManifestProblem {
    /// It cannot be read.
    #[error("it cannot be read: {0}")]
    Io(std::io::Error),
    /// It is a folder, a pipe, a device or a socket.
    #[error("it is {0}: a manifest is an ordinary file")]
    NotAFile(&'static str),
    /// It is too large.
    #[error("it is larger than 1 MiB")]
    TooLarge,
    /// It is not UTF-8.
    #[error("it is not UTF-8, which TOML must be")]
    NotUtf8,
    /// It is not TOML.
    #[error("{0}")]
    Syntax(String),
    /// A key that means nothing there.
    #[error(
        "{} is not a key of {table}{}; its keys are {}",
        shown(key), did_you_mean(*nearest), known.join(", ")
    )]
    UnknownKey {
        /// The key.
        key: String,
        /// The table it stands in.
        table: String,
        /// The nearest known key.
        nearest: Option<&'static str>,
        /// All known keys.
        known: &'static [&'static str],
    },
    /// A value of a wrong type.
    #[error("`{key}` must be {wanted}, but is {found}")]
    WrongType {
        /// The key.
        key: String,
        /// What it must be.
        wanted: &'static str,
        /// What it is.
        found: &'static str,
    },
    /// A key that must be there.
    #[error("{table} has no `{key}`")]
    Missing {
        /// The table.
        table: String,
        /// The key.
        key: &'static str,
    },
    /// A value that cannot be.
    #[error("`{key}` {reason}")]
    Value {
        /// The key.
        key: String,
        /// What it must be.
        reason: String,
    },
    /// A bad name.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A bad secret, or a bad environment value.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// A bad host.
    #[error(transparent)]
    Host(#[from] HostRuleError),
    /// A name that is both a plain entry and a secret.
    #[error("`{env}` is both a plain entry and a secret: rename or remove one of them")]
    PlainAndSecret {
        /// The name.
        env: EnvName,
    },
}
