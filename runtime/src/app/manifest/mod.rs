//! `leyden.toml`: what an app consists of, and what it asks for.

mod canonical;
mod error;
mod parse;
mod spec;
mod table;

pub use error::{ManifestError, ManifestProblem};
pub use parse::{MAX_MANIFEST_BYTES, check_app_name};
pub(in crate::app) use parse::{MAX_NAME, check_memory, check_timeout};
pub use spec::{ComponentSpec, Manifest, RetryOn, WorkSpec};
