//! What is to run: names, bindings, manifest, component sources and the plan that follows from them.
//!
//! Pure data: nothing here runs a component or opens a secret. [`App`] is the door; [`Plan`] is
//! what comes out: who sees what.

#[allow(clippy::module_inception)]
mod app;
mod binding;
mod digest;
mod dir_rule;
mod env_file;
mod error;
mod file;
mod host_rule;
mod imports;
mod kind;
mod manifest;
mod names;
mod plan;
mod request;
mod scoped;
mod source;
mod suggest;

pub use app::{App, MANIFEST_FILE};
pub use binding::{Binding, BindingError, Encoding, EnvEntry, EnvValue, SecretBinding, SecretRef};
pub use digest::{Digest, NoDigest};
pub use dir_rule::{DirRule, DirRuleError};
pub use env_file::{EnvFileError, EnvFileProblem, MAX_ENV_FILE_BYTES, parse_env_file};
pub use error::{AppError, ErrorKind};
pub use host_rule::{Host, HostRule, HostRuleError, Scheme};
pub use imports::imports;
pub use kind::Kind;
pub use manifest::{
    ComponentSpec, MAX_MANIFEST_BYTES, Manifest, ManifestError, ManifestProblem, RetryOn, WorkSpec,
    check_app_name,
};
pub use names::{EnvName, NameError, NameProblem, SecretName, WorkName};
pub use plan::{
    Authority, ComponentPlan, DEFAULT_MEMORY, DEFAULT_WORK_TIMEOUT, Plan, PlannedSecret, WorkPlan,
};
pub use request::{Ask, Request, Uncovered};
pub use scoped::Scoped;
pub use source::{ComponentSource, FileId, MAX_COMPONENT_BYTES, SourceError};
pub(crate) use suggest::shown_path;
pub use suggest::{nearest, shell_word};
