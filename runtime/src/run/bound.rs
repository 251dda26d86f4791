//! A bound app: its components compiled, their environments filled, ready to run many times.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::app::{Digest, RetryOn};
use crate::sandbox::{Egress, Environment, Input, Limits, Mask, Output, Preopen, Program, Setup};

/// An app that is bound to its secrets.
pub(crate) struct BoundApp {
    pub(crate) name: String,
    /// Its identity.
    pub(crate) digest: Digest,
    pub(crate) flow: BoundComponent,
    pub(crate) works: BTreeMap<Arc<str>, Arc<BoundWork>>,
    /// All its secrets, to be taken out of what people see.
    pub(crate) mask: Arc<Mask>,
    /// Places for Works, which all runs of a host share.
    pub(crate) places: Arc<Semaphore>,
    /// Places for Flows, where the host keeps memory ready for so many: more are refused.
    pub(crate) flows: Option<Arc<Semaphore>>,
}

/// A component, and all that its instances are given.
pub(crate) struct BoundComponent {
    pub(crate) program: Program,
    pub(crate) environment: Environment,
    pub(crate) folders: Vec<Preopen>,
    pub(crate) egress: Arc<Egress>,
    pub(crate) limits: Limits,
}

/// A Work, and how it is to be run.
pub(crate) struct BoundWork {
    pub(crate) component: BoundComponent,
    /// How many may run at once.
    pub(crate) parallel: usize,
    pub(crate) retries: u32,
    pub(crate) retry_on: RetryOn,
    pub(crate) cache: bool,
}

impl BoundComponent {
    /// What an instance is given, but for its streams.
    pub(super) fn setup(&self, arguments: Vec<String>, mask: &Arc<Mask>) -> Setup {
        Setup {
            environment: self.environment.clone(),
            arguments,
            stdin: Input::Empty,
            stdout: Output::null(),
            stderr: Output::null(),
            mask: Arc::clone(mask),
            mask_stdout: false,
            folders: self.folders.clone(),
            egress: Arc::clone(&self.egress),
            limits: self.limits,
            works: None,
        }
    }
}
