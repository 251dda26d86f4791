//! What can go wrong, from the app's description to the end of its run.

use crate::app::{AppError, EnvName, SourceError};
use crate::sandbox::{FilesError, SandboxError};
use crate::secrets::{NotText, StoreError};

/// An error of this library. None ever holds a secret's value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The app is not there, is no app, or asks for what it was not given.
    #[error(transparent)]
    App(#[from] AppError),
    /// The store refused, or is damaged.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The app binds secrets, and the host was built without a store.
    #[error(
        "the app binds {0} secrets, but the host has no store; give it one with \
         `Host::builder().secrets(…)`"
    )]
    NoStore(usize),
    /// A secret cannot stand in the environment as text. The store refuses this already.
    #[error("the secret bound to {name} {problem}")]
    NotText {
        /// The environment name.
        name: EnvName,
        /// Why not.
        problem: NotText,
    },
    /// A folder may not be given to the app.
    #[error(transparent)]
    Files(#[from] FilesError),
    /// A component cannot be run, or the host cannot run it now.
    #[error("{component}: {source}")]
    Sandbox {
        /// The app's name, or a Work's.
        component: String,
        /// What is wrong.
        source: SandboxError,
    },
    /// A component could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The engine or its cache cannot be used.
    #[error(transparent)]
    Engine(#[from] SandboxError),
    /// A task of the host panicked, in an embedder's output for instance, or was cancelled with its
    /// runtime.
    #[error("a task of the host ended early: {0}")]
    Task(String),
}
