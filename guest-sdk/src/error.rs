//! What can be wrong with an environment: always the variable's name, never its value.

/// Why a value or a secret could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A variable is not in the environment.
    #[error("{name} is not set: give it with `--env {name}=VALUE` or `--secret {name}=SECRET`")]
    Unset {
        /// The variable.
        name: String,
    },
    /// A secret is not in the environment.
    #[error("the secret {name} is not bound: bind one with `--secret {name}=SECRET`")]
    Unbound {
        /// The variable.
        name: String,
    },
    /// A value is there, but is not text.
    #[error("{name} is not UTF-8 text")]
    NotText {
        /// The variable.
        name: String,
    },
    /// A value is there, but is not of the type asked for.
    #[error("{name} cannot be read as {expected}")]
    Invalid {
        /// The variable.
        name: String,
        /// What it should have been.
        expected: String,
    },
    /// [`from_env`](crate::from_env) was asked for something else than a struct with named fields, or
    /// the struct as a whole refused values that were each right.
    #[error("the environment cannot be read as {expected}")]
    Shape {
        /// What was asked for.
        expected: String,
    },
}
