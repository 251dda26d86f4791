//! The door for embedders: binds apps to secrets and runs them.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use crate::Error;
use crate::app::{App, ComponentPlan, Encoding, Plan, WorkPlan};
use crate::granted::FLOW;
use crate::run::journal::{Beginning, Claim, Journal, JournalError, Runs};
use crate::run::{
    self, BoundApp, BoundComponent, BoundWork, Input, Outcome, Running, Start, Stopper,
};
use crate::sandbox::{
    Allocation, Cache, Egress, Environment, Limits, Mask, Preopen, Program, Role, Sandbox,
    SecretEntry, World,
};
use crate::secrets::{ReleaseRequest, Released, SecretStore, Wanted};

/// Instances that a host keeps memory ready for where nothing else is asked for.
const DEFAULT_POOL: u32 = 256;
/// Works that a host runs at once where nothing else is asked for.
const DEFAULT_WORKS: u32 = 256;

/// Binds and runs apps. Clones share the engine and the store.
#[derive(Clone)]
pub struct Host {
    sandbox: Sandbox,
    store: Option<Arc<SecretStore>>,
    protected: Arc<[PathBuf]>,
    /// One for each Work that may run at once.
    places: Arc<Semaphore>,
    /// One for each Flow, where memory is kept ready.
    flows: Option<Arc<Semaphore>>,
}

/// Makes a [`Host`].
#[derive(Default)]
pub struct HostBuilder {
    store: Option<SecretStore>,
    cache: Option<PathBuf>,
    protected: Vec<PathBuf>,
    allocation: Option<Allocation>,
    works: Option<u32>,
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

    /// Runs at most this many Works at once, of all apps and runs (256 where this is not called);
    /// more wait for their turn. Their memory is kept ready beside that of
    /// [`instances`](Self::instances).
    pub fn works(mut self, most: u32) -> Self {
        self.works = Some(most);
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
        let works = self.works.unwrap_or(DEFAULT_WORKS);
        let places = |count| Arc::new(Semaphore::new(usize::try_from(count).unwrap_or(usize::MAX)));
        let (allocation, flows) = match self.allocation.unwrap_or(Allocation::Pool(DEFAULT_POOL)) {
            // Each has memory of its own, so that Flows and Works do not wait for each other's.
            Allocation::Pool(flows) => {
                let all = Allocation::Pool(flows.saturating_add(works));
                (all, Some(places(flows)))
            }
            Allocation::OnDemand => (Allocation::OnDemand, None),
        };
        Ok(Host {
            sandbox: Sandbox::new(allocation, cache)?,
            store: self.store.map(Arc::new),
            protected: protected.into(),
            places: places(works),
            flows,
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
        let (host, app) = (self.clone(), app.clone());
        // Compiling, Argon2 and the database would block the executor.
        tokio::task::spawn_blocking(move || host.bind_here(&app))
            .await
            .map_err(|error| Error::Task(error.to_string()))?
    }

    /// As [`bind`](Self::bind), on this thread, which it may hold for seconds: for a program that
    /// has nothing else to do meanwhile.
    ///
    /// # Errors
    ///
    /// As [`bind`](Self::bind).
    pub fn bind_here(&self, app: &App) -> Result<Bound, Error> {
        self.bind_plan(app, &app.plan_granted(self.store.as_deref())?)
    }

    fn bind_plan(&self, app: &App, plan: &Plan) -> Result<Bound, Error> {
        // What is audited is the digest of what runs.
        let exact = binds_secrets(plan);
        let flow = self.prepare(&plan.flow, Role::Flow, exact)?;
        let prepare = |work: &WorkPlan| self.prepare(&work.component, Role::Work, exact);
        let prepared: Vec<_> = plan.works.values().map(prepare).collect::<Result<_, _>>()?;
        let digests = prepared.iter().map(|work| work.program.digest());
        let digest = app.digest_of(flow.program.digest(), digests);
        let mut values = self.release(app, plan)?.into_iter();
        let mut bind = |prepared: Prepared, plan: &ComponentPlan| {
            let values = values.by_ref().take(plan.secrets.len()).collect();
            Ok::<_, Error>(prepared.bind(environment(plan, values)?))
        };
        let flow = bind(flow, &plan.flow)?;
        // Asked once, and only if somebody wants to know: the answer is read out of files.
        let cores = std::cell::LazyCell::new(|| {
            std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
        });
        let mut works = BTreeMap::new();
        for ((name, work), prepared) in plan.works.iter().zip(prepared) {
            let bound = BoundWork {
                component: bind(prepared, &work.component)?,
                parallel: work.parallel.map_or_else(
                    || *cores,
                    |parallel| usize::try_from(parallel.get()).unwrap_or(usize::MAX),
                ),
                retries: work.retries,
                retry_on: work.retry_on,
                cache: work.cache,
            };
            works.insert(Arc::from(name.as_str()), Arc::new(bound));
        }
        let environments = works.values().map(|work| &work.component).chain([&flow]);
        let mask = Mask::new(environments.map(|one| one.environment.clone()));
        Ok(Bound(Arc::new(BoundApp {
            name: plan.name.clone(),
            digest,
            flow,
            works,
            mask: Arc::new(mask),
            places: Arc::clone(&self.places),
            flows: self.flows.clone(),
        })))
    }

    /// All of a component but its secrets: what is wrong with it is found before any is released.
    fn prepare(
        &self,
        component: &ComponentPlan,
        role: Role,
        exact: bool,
    ) -> Result<Prepared, Error> {
        let source = &component.source;
        let program = self
            .sandbox
            .load(source, role, exact)
            .map_err(|error| match error {
                Error::Engine(error) => Error::Sandbox {
                    component: source.name().to_owned(),
                    source: error,
                },
                other => other,
            })?;
        let egress = self
            .sandbox
            .egress(component.hosts.iter().cloned().collect())?;
        Ok(Prepared {
            program,
            folders: self.folders(component)?,
            egress: Arc::new(egress),
            limits: Limits {
                memory: component.memory,
                timeout: component.timeout,
            },
        })
    }

    fn folders(&self, component: &ComponentPlan) -> Result<Vec<Preopen>, Error> {
        let check = |dir| Preopen::check(dir, &self.protected);
        Ok(component.dirs.iter().map(check).collect::<Result<_, _>>()?)
    }

    /// Begins the journal of a run of a bound app, in the folder of all runs. With a store, inputs
    /// and outputs are kept, sealed, and `invocation` with them: whatever is needed to start the
    /// run again. Writes files, and each hour removes runs that are too old ([`Runs::prune`]): call
    /// it where blocking is allowed.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; the app can run without a journal.
    pub fn begin(
        &self,
        runs: &Runs,
        bound: &Bound,
        invocation: &[u8],
    ) -> Result<Journal, JournalError> {
        runs.begin(&Beginning {
            app: &bound.0.name,
            digest: bound.0.digest,
            store: self.store.as_deref(),
            invocation,
        })
    }

    /// Goes on with a run that was interrupted, stopped or failed. The Flow runs anew; a Work that
    /// it starts again, with the same input, is answered as it ended then. Those that were under
    /// way run again.
    ///
    /// # Errors
    ///
    /// [`JournalError`], where the run has ended well or is under way, keeps too little, or was
    /// of another app or store.
    pub fn resume(
        &self,
        runs: &Runs,
        bound: &Bound,
        claim: Claim,
    ) -> Result<Journal, JournalError> {
        runs.resume(claim, bound.0.digest, self.store.as_deref())
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

/// A component that only wants its environment.
struct Prepared {
    program: Program,
    folders: Vec<Preopen>,
    egress: Arc<Egress>,
    limits: Limits,
}

impl Prepared {
    fn bind(self, environment: Environment) -> BoundComponent {
        let Self {
            program,
            folders,
            egress,
            limits,
        } = self;
        BoundComponent {
            program,
            environment,
            folders,
            egress,
            limits,
        }
    }
}

/// The environment of a component: its plain entries and its secrets.
fn environment(component: &ComponentPlan, values: Vec<Released>) -> Result<Environment, Error> {
    let mut secrets = Vec::with_capacity(values.len());
    for ((name, planned), released) in component.secrets.iter().zip(values) {
        let version = released.version;
        let (text, bytes) = match planned.secret.encoding {
            Encoding::Text => {
                let text = released
                    .value
                    .into_text()
                    .map_err(|problem| Error::NotText {
                        name: name.clone(),
                        problem,
                    })?;
                (text, None)
            }
            Encoding::Base64 => {
                let text = released.value.to_base64();
                (text, Some(released.value))
            }
        };
        secrets.push((name, version, text, bytes));
    }
    let plain = component.env.iter();
    Ok(Environment::new(
        plain.map(|(name, value)| (name.as_str(), value.as_str())),
        secrets
            .iter()
            .map(|(name, version, text, bytes)| SecretEntry {
                name: name.as_str(),
                text,
                bytes: bytes
                    .as_ref()
                    .map_or(text.as_bytes(), |bytes| bytes.expose()),
                version: *version,
            }),
    ))
}

/// An app whose secrets are released: run it as often as you like.
///
/// The values live in memory that is wiped when the last clone and the last run are gone.
/// Revoking or deleting a secret stops later binds, not what is already lent here.
#[derive(Clone)]
pub struct Bound(Arc<BoundApp>);

impl Bound {
    /// Runs the app: its Flow in an instance of its own, and so each Work that it starts. Must be
    /// called within a tokio runtime with time and I/O enabled (`Builder::enable_all`, which
    /// `#[tokio::main]` calls), where Works then run; dropping the future stops them all. Without
    /// time, whatever first waits for a time panics, with tokio's words.
    ///
    /// # Errors
    ///
    /// Where the host fails; what the guest does is the [`Outcome`].
    pub async fn run(&self, input: Input) -> Result<Outcome, Error> {
        self.run_with(input, Stopper::default(), None).await
    }

    /// As [`run`](Self::run), and can be stopped from elsewhere, which lets Works come to an end;
    /// with a journal ([`Host::begin`]), starts and ends are written to it.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    pub async fn run_with(
        &self,
        input: Input,
        stopper: Stopper,
        journal: Option<Journal>,
    ) -> Result<Outcome, Error> {
        let start = Start {
            input,
            stopper,
            journal,
        };
        run::run(&self.0, start).await
    }

    /// Starts the app on a task of its own, to be watched and stopped while it runs. Must be called
    /// within a tokio runtime as [`run`](Self::run) must.
    pub fn start(&self, input: Input, journal: Option<Journal>) -> Running {
        let start = Start {
            input,
            stopper: Stopper::default(),
            journal,
        };
        Running::start(Arc::clone(&self.0), start)
    }

    /// The app's name: a label.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// The names of its Works.
    pub fn works(&self) -> impl Iterator<Item = &str> {
        self.0.works.keys().map(|name| &**name)
    }

    /// How long its Flow may run; no limit if none.
    pub fn timeout(&self) -> Option<Duration> {
        self.0.flow.limits.timeout
    }

    /// Which version of WASI its Flow is written to.
    pub fn world(&self) -> World {
        self.0.flow.program.world()
    }
}
