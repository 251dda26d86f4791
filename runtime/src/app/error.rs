//! What can be wrong with an app and what it was given.

use std::path::{Path, PathBuf};

use super::binding::BindingError;
use super::dir_rule::DirRuleError;
use super::env_file::EnvFileError;
use super::host_rule::HostRuleError;
use super::manifest::ManifestError;
use super::names::{EnvName, NameError, WorkName};
use super::request::{Uncovered, shown_component};
use super::source::SourceError;
use super::suggest::{did_you_mean, shell_word, shown_path};

/// What a caller does about an [`AppError`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The app is not there (a command ends with 127).
    NotFound,
    /// It is there, but cannot be run: no manifest, a bad one, no component (126).
    NotRunnable,
    /// What it was given is wrong: a name, a binding, the same thing twice (2).
    Usage,
    /// It asks for what nobody has allowed (77).
    Uncovered,
}

/// An app, or what it was given, is wrong. Never contains the value of an environment entry.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AppError {
    /// A bare component could not be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A component that the manifest names could not be had.
    #[error("{}'s component: {problem}{}", shown_component(work.as_ref()), hint(problem))]
    Component {
        /// The Work that it is of; the Flow's if none.
        work: Option<WorkName>,
        /// Why.
        problem: SourceError,
    },
    /// A component that the manifest names is, by a symbolic link, outside of the app's folder.
    #[error(
        "{}'s component: {} is a symbolic link that leaves the app's folder: put the file there",
        shown_component(work.as_ref()), shown_path(path)
    )]
    OutsideFolder {
        /// The Work that it is of; the Flow's if none.
        work: Option<WorkName>,
        /// The file, as the manifest has it.
        path: PathBuf,
    },
    /// A folder without a manifest.
    #[error(
        "{} holds no leyden.toml: give a component (app.wasm) or a folder with one",
        shown_path(folder)
    )]
    NoManifest {
        /// The folder.
        folder: PathBuf,
    },
    /// The manifest is wrong.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// A binding could not be read.
    #[error(transparent)]
    Binding(#[from] BindingError),
    /// A folder could not be read.
    #[error(transparent)]
    Dir(#[from] DirRuleError),
    /// A host could not be read.
    #[error(transparent)]
    Host(#[from] HostRuleError),
    /// An environment file is wrong.
    #[error(transparent)]
    EnvFile(#[from] EnvFileError),
    /// The app's name, a time limit or a memory limit cannot be.
    #[error("the app's {what} {reason}")]
    Value {
        /// What cannot be.
        what: &'static str,
        /// Why.
        reason: &'static str,
    },
    /// A Work that the app does not have.
    #[error("the app has no Work `{work}`{}{}", did_you_mean(nearest.as_deref()), shown_works(known))]
    UnknownWork {
        /// The Work.
        work: WorkName,
        /// The nearest Work that it has.
        nearest: Option<String>,
        /// All Works that it has.
        known: Vec<WorkName>,
    },
    /// The same name, or the same guest path, twice.
    #[error("`{name}` is given twice{}: keep one of them", shown_scope(work.as_ref()))]
    Duplicate {
        /// What is given twice.
        name: String,
        /// The Work that it was given to, if one was named.
        work: Option<WorkName>,
    },
    /// A name that one component would see both as a plain entry and as a secret.
    #[error(
        "`{env}` is both a plain entry and a secret for {}: remove or rename one of them",
        shown_component(work.as_ref())
    )]
    PlainAndSecret {
        /// The name.
        env: EnvName,
        /// The Work that would see both; the Flow if none.
        work: Option<WorkName>,
    },
    /// A component's `secrets` list has a name under which the app has nothing.
    #[error(
        "{} lists `{env}` in its `secrets`, and nothing is given to it under that name{}: bind it, as in \
         --secret {env}=SECRET, or take it out of the list",
        shown_component(work.as_ref()), did_you_mean(nearest.as_deref())
    )]
    Unprovided {
        /// The Work whose list it is; the Flow's if none.
        work: Option<WorkName>,
        /// The name.
        env: EnvName,
        /// The nearest name under which there is something.
        nearest: Option<String>,
    },
    /// The app asks for what nobody has allowed.
    #[error(
        "`{app}` asks for more than it is allowed:{}{}",
        shown_requests(requests), shown_trust(*grantable, folder)
    )]
    Uncovered {
        /// The app's name.
        app: String,
        /// What it asks for, and what would allow it.
        requests: Vec<Uncovered>,
        /// Whether grants would allow all of it.
        grantable: bool,
        /// The app's folder.
        folder: PathBuf,
    },
}

impl AppError {
    /// What a caller does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Source(SourceError::NotFound { .. }) => ErrorKind::NotFound,
            Self::Source(_)
            | Self::Component { .. }
            | Self::OutsideFolder { .. }
            | Self::NoManifest { .. }
            | Self::Unprovided { .. }
            | Self::Manifest(_) => ErrorKind::NotRunnable,
            Self::Name(_)
            | Self::Binding(_)
            | Self::Dir(_)
            | Self::Host(_)
            | Self::EnvFile(_)
            | Self::Value { .. }
            | Self::UnknownWork { .. }
            | Self::Duplicate { .. }
            | Self::PlainAndSecret { .. } => ErrorKind::Usage,
            Self::Uncovered { .. } => ErrorKind::Uncovered,
        }
    }
}

fn hint(problem: &SourceError) -> &'static str {
    match problem {
        SourceError::NotFound { .. } => "; was it built?",
        _ => "",
    }
}

fn shown_works(known: &[WorkName]) -> String {
    if known.is_empty() {
        return ": it has none".into();
    }
    let names: Vec<_> = known.iter().map(WorkName::as_str).collect();
    format!("; it has {}", names.join(", "))
}

fn shown_scope(work: Option<&WorkName>) -> String {
    work.map_or_else(String::new, |work| format!(" for the Work `{work}`"))
}

fn shown_trust(grantable: bool, folder: &Path) -> String {
    let folder = shell_word(&folder.to_string_lossy());
    match grantable {
        true => format!("\nor, for all of it and from now on: leyden trust {folder}"),
        false => String::new(),
    }
}

fn shown_requests(requests: &[Uncovered]) -> String {
    requests
        .iter()
        .map(|request| format!("\n  {request}"))
        .collect()
}
