//! The door for embedders: binds apps to secrets and runs them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

use crate::app::{App, ComponentPlan, DEFAULT_MEMORY, Encoding, EnvName, Plan};
use crate::granted::FLOW;
use crate::sandbox::{
    Allocation, Cache, Egress, Ending, Environment, Limits, Output, Preopen, Program, Sandbox,
    Setup, World,
};
use crate::secrets::{ReleaseRequest, Released, SecretStore, Wanted};
use crate::{Error, sandbox};

/// Instances that a host keeps memory ready for where nothing else is asked for.
const DEFAULT_POOL: u32 = 256;

/// Binds and runs apps. Clones share the engine and the store.
#[derive(Clone)]
pub struct Host {
    sandbox: Sandbox,
    store: Option<Arc<SecretStore>>,
    protected: Arc<[PathBuf]>,
}

/// Makes a [`Host`].
#[derive(Default)]
pub struct HostBuilder {
    store: Option<SecretStore>,
    cache: Option<PathBuf>,
    protected: Vec<PathBuf>,
    allocation: Option<Allocation>,
}

impl HostBuilder {
    /// The store that apps' secrets come from.
    pub fn secrets(mut self, store: SecretStore) -> Self {
        self.store = Some(store);
        self
    }

    /// A folder for compiled components; without one, each bind compiles.
    pub fn cache(mut self, folder: impl Into<PathBuf>) -> Self {
        self.cache = Some(folder.into());
        self
    }

    /// A path that no app may see through a folder given to it. The store's own files are always
    /// protected; name the key file here.
    pub fn protect(mut self, path: impl Into<PathBuf>) -> Self {
        self.protected.push(path.into());
        self
    }

    /// Keeps memory ready for this many instances at once (256 where this is not called); more
    /// are refused.
    pub fn instances(mut self, most: u32) -> Self {
        self.allocation = Some(Allocation::Pool(most));
        self
    }

    /// Maps memory for each instance: starts faster, runs many instances slower.
    pub fn on_demand(mut self) -> Self {
        self.allocation = Some(Allocation::OnDemand);
        self
    }

    /// Makes the host.
    ///
    /// # Errors
    ///
    /// Where the engine cannot start or the cache folder cannot be used.
    pub fn build(self) -> Result<Host, Error> {
        let cache = self.cache.as_deref().map(Cache::open).transpose()?;
        let mut protected = self.protected;
        protected.extend(self.cache);
        if let Some(store) = &self.store {
            protected.extend([store.path(), store.state_dir()].map(PathBuf::from));
        }
        let allocation = self.allocation.unwrap_or(Allocation::Pool(DEFAULT_POOL));
        Ok(Host {
            sandbox: Sandbox::new(allocation, cache)?,
            store: self.store.map(Arc::new),
            protected: protected.into(),
        })
    }
}

impl Host {
    /// Starts to make a host.
    pub fn builder() -> HostBuilder {
        HostBuilder::default()
    }

    /// Resolves all of an app's bindings at once. The release of its secrets is in the audit log,
    /// committed, before this returns; nothing of the app has run.
    ///
    /// # Errors
    ///
    /// The first thing that stands against running the app: it is not there or no program, a
    /// request that nobody covered, a folder that may not be shown, or a secret that may not be
    /// had. Then nothing was released.
    pub async fn bind(&self, app: &App) -> Result<Bound, Error> {
        let host = self.clone();
        // Compiling, Argon2 and the database would block the executor.
        let app = app.clone();
        let bind = move || host.bind_plan(&app, &app.plan_granted(host.store.as_deref())?);
        tokio::task::spawn_blocking(bind)
            .await
            .map_err(|error| Error::Task(error.to_string()))?
    }

    fn bind_plan(&self, app: &App, plan: &Plan) -> Result<Bound, Error> {
        let flow = &plan.flow;
        // What is audited is the digest of what runs.
        let exact = binds_secrets(plan);
        let program = self
            .sandbox
            .load(&flow.source, exact)
            .map_err(|error| match error {
                Error::Engine(source) => Error::Sandbox {
                    component: flow.source.name().to_owned(),
                    source,
                },
                other => other,
            })?;
        let folders = self.folders(flow)?;
        for work in plan.works.values() {
            self.folders(&work.component)?;
        }
        let egress = self.sandbox.egress(flow.hosts.iter().cloned().collect())?;
        // The Flow's come first; the Works' are checked and audited with them, and wiped here.
        let mut values = self.release(app, plan)?;
        values.truncate(flow.secrets.len());
        Ok(Bound(Arc::new(BoundApp {
            name: plan.name.clone(),
            program,
            environment: environment(flow, values)?,
            folders,
            egress: Arc::new(egress),
            limits: Limits {
                memory: flow.memory.unwrap_or(DEFAULT_MEMORY),
                timeout: flow.timeout,
            },
        })))
    }

    fn folders(&self, component: &ComponentPlan) -> Result<Vec<Preopen>, Error> {
        let check = |dir| Preopen::check(dir, &self.protected);
        Ok(component.dirs.iter().map(check).collect::<Result<_, _>>()?)
    }

    /// The values of all components' secrets, the Flow's first, each in the order of its plan;
    /// audited and committed, all or none.
    fn release(&self, app: &App, plan: &Plan) -> Result<Vec<Released>, Error> {
        let works = plan.works.iter();
        let works = works.map(|(name, work)| (name.as_str(), &work.component));
        let mut wanted = Vec::new();
        for (name, component) in [(FLOW, &plan.flow)].into_iter().chain(works) {
            for (env, planned) in &component.secrets {
                wanted.push(Wanted {
                    component: name.to_owned(),
                    // Of the very bytes that were compiled.
                    component_digest: component.source.digest()?,
                    env: env.clone(),
                    secret: planned.secret.clone(),
                    by: planned.by,
                });
            }
        }
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let store = self.store.as_ref().ok_or(Error::NoStore(wanted.len()))?;
        Ok(store.release(&ReleaseRequest {
            app_name: &plan.name,
            app_digest: app.digest()?,
            app_folder: app.folder(),
            wanted: &wanted,
        })?)
    }
}

fn binds_secrets(plan: &Plan) -> bool {
    let works = plan.works.values().map(|work| &work.component);
    let mut components = works.chain([&plan.flow]);
    components.any(|component| !component.secrets.is_empty())
}

/// The environment of a component: its plain entries and its secrets, by name.
fn environment(component: &ComponentPlan, values: Vec<Released>) -> Result<Environment, Error> {
    let texts = component
        .secrets
        .iter()
        .zip(values)
        .map(|((name, planned), released)| {
            let text = match planned.secret.encoding {
                Encoding::Text => released
                    .value
                    .into_text()
                    .map_err(|problem| Error::NotText {
                        name: name.clone(),
                        problem,
                    })?,
                Encoding::Base64 => released.value.into_base64(),
            };
            Ok((name, text))
        })
        .collect::<Result<Vec<(&EnvName, Zeroizing<String>)>, Error>>()?;
    let plain = component.env.iter();
    let mut entries: Vec<(&str, &str)> = plain
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .chain(
            texts
                .iter()
                .map(|(name, text)| (name.as_str(), text.as_str())),
        )
        .collect();
    entries.sort_unstable_by_key(|(name, _)| *name);
    Ok(Environment::new(entries))
}

/// An app whose secrets are released: run it as often as you like.
///
/// The values live in memory that is wiped when the last clone and the last run are gone.
/// Revoking or deleting a secret stops later binds, not what is already lent here.
#[derive(Clone)]
pub struct Bound(Arc<BoundApp>);

struct BoundApp {
    name: String,
    program: Program,
    environment: Environment,
    folders: Vec<Preopen>,
    egress: Arc<Egress>,
    limits: Limits,
}

/// What one run is given beside its bindings.
#[derive(Clone, Default)]
pub struct Input {
    /// Arguments, without the program's name, which comes first by itself.
    pub arguments: Vec<String>,
    /// Standard input; empty where nothing is said.
    pub stdin: sandbox::Input,
    /// Standard output; thrown away where nothing is said.
    pub stdout: Output,
    /// Standard error; thrown away where nothing is said.
    pub stderr: Output,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Its ending.
    pub ending: Ending,
}

impl Bound {
    /// Runs the app in an instance of its own. Must be called within a tokio runtime with time
    /// and I/O enabled; dropping the future stops the guest.
    ///
    /// # Errors
    ///
    /// Where the host fails; what the guest does is the [`Outcome`].
    pub async fn run(&self, input: Input) -> Result<Outcome, Error> {
        let app = &*self.0;
        let mut arguments = input.arguments;
        arguments.insert(0, app.name.clone());
        let setup = Setup {
            environment: app.environment.clone(),
            arguments,
            stdin: input.stdin,
            stdout: input.stdout,
            stderr: input.stderr,
            folders: app.folders.clone(),
            egress: Arc::clone(&app.egress),
            limits: app.limits,
        };
        let ending = app
            .program
            .run(&setup)
            .await
            .map_err(|source| Error::Sandbox {
                component: app.name.clone(),
                source,
            })?;
        Ok(Outcome { ending })
    }

    /// The app's name: a label.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// How long a run may take; no limit if none.
    pub fn timeout(&self) -> Option<Duration> {
        self.0.limits.timeout
    }

    /// Which version of WASI its Flow is written to.
    pub fn world(&self) -> World {
        self.0.program.world()
    }
}
