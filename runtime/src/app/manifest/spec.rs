//! What a manifest says, once read.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use crate::app::binding::{EnvValue, SecretRef};
use crate::app::host_rule::HostRule;
use crate::app::names::{EnvName, WorkName};

/// An app's manifest.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Manifest {
    /// The app's name: a label.
    pub name: Option<String>,
    /// Its Flow.
    pub flow: ComponentSpec,
    /// Its Works.
    pub works: BTreeMap<WorkName, WorkSpec>,
    /// Environment entries of the Flow and every Work.
    pub env: BTreeMap<EnvName, EnvValue>,
    /// The secrets that the app asks for.
    pub secrets: BTreeMap<EnvName, SecretRef>,
}

/// What a manifest says of a Flow, and of a Work like it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ComponentSpec {
    /// Its file, relative to the manifest's folder and inside it. Empty for a bare component.
    pub component: PathBuf,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How much memory it may have, in bytes.
    pub memory: Option<u64>,
    /// Environment entries of its own.
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Which of the app's bound names it sees; all if not said.
    pub secrets: Option<BTreeSet<EnvName>>,
    /// The hosts that it asks to reach.
    pub hosts: BTreeSet<HostRule>,
}

/// What a manifest says of a Work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WorkSpec {
    /// What it says of any component.
    pub component: ComponentSpec,
    /// How many may run at once; as many as the machine has cores if not said.
    pub parallel: Option<NonZeroU32>,
    /// How often it is started again after it failed.
    pub retries: u32,
    /// After which failures it is started again.
    pub retry_on: RetryOn,
    /// Whether the same input in the same run answers from the journal.
    pub cache: bool,
}

/// After which failures a Work is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RetryOn {
    /// A trap, a time-out, or out of memory.
    #[default]
    Fault,
    /// Those, and an error that the Work itself returned (`retry = "error"`).
    Error,
}

impl ComponentSpec {
    /// Whether it sees what is bound under this name for the app as a whole.
    pub fn sees(&self, env: &EnvName) -> bool {
        self.secrets.as_ref().is_none_or(|seen| seen.contains(env))
    }
}
