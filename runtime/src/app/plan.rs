//! Who sees what: an app resolved against what its operator gave it.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::path::Path;
use std::time::Duration;

use super::app::{App, Given};
use super::binding::{EnvValue, SecretBinding, SecretRef};
use super::dir_rule::DirRule;
use super::error::AppError;
use super::host_rule::HostRule;
use super::manifest::{
    ComponentSpec, Manifest, RetryOn, check_app_name, check_memory, check_timeout,
};
use super::names::{EnvName, WorkName};
use super::request::{Ask, Request, Uncovered};
use super::scoped::Scoped;
use super::source::ComponentSource;
use super::suggest::nearest;

/// How much memory a component may have if nothing is said, in bytes: 1 GiB. A manifest can ask
/// for less; more takes the operator's word.
pub const DEFAULT_MEMORY: u64 = 1 << 30;

/// How long a Work may run if its manifest does not say.
pub const DEFAULT_WORK_TIMEOUT: Duration = Duration::from_secs(10 * 60);

/// Who sees what, in all.
#[derive(Debug, Clone)]
pub struct Plan {
    /// What the app is called.
    pub name: String,
    /// The Flow.
    pub flow: ComponentPlan,
    /// The Works.
    pub works: BTreeMap<WorkName, WorkPlan>,
}

/// What one component is given.
#[derive(Debug, Clone)]
pub struct ComponentPlan {
    /// Its bytes.
    pub source: ComponentSource,
    /// Its plain environment entries.
    pub env: BTreeMap<EnvName, EnvValue>,
    /// Its secrets. No name is in both.
    pub secrets: BTreeMap<EnvName, PlannedSecret>,
    /// The folders it may use, as given.
    pub dirs: Vec<DirRule>,
    /// The hosts it may reach.
    pub hosts: BTreeSet<HostRule>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How much memory it may have, in bytes.
    pub memory: u64,
}

/// What a Work is given.
#[derive(Debug, Clone)]
pub struct WorkPlan {
    /// What any component is given.
    pub component: ComponentPlan,
    /// How many may run at once; as many as the machine has cores if none.
    pub parallel: Option<NonZeroU32>,
    /// How often it is started again after it failed.
    pub retries: u32,
    /// After which failures.
    pub retry_on: RetryOn,
    /// Whether the same input in the same run answers from the journal.
    pub cache: bool,
}

/// A secret that a component is to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedSecret {
    /// The secret.
    pub secret: SecretRef,
    /// By whose leave.
    pub by: Authority,
}

/// By whose leave a component sees a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Authority {
    /// The operator bound it for this run.
    Operator,
    /// The app asks for it, and a standing grant covers that.
    Grant,
}

impl App {
    /// The most memory that each of its components can have, in bytes: what the operator gave, else
    /// 1 GiB.
    pub fn most_memory(&self) -> u64 {
        self.given.most_memory()
    }

    /// Resolves who sees what, where nothing but the operator's own bindings counts.
    ///
    /// Plain entries of one name override each other in this order: the manifest's `[env]`, the
    /// component's own `env`, environment files, entries given to everybody, entries given to the
    /// Work by name. What the operator gives a Work by name, it sees even where its manifest's
    /// `secrets` list leaves the name out: that list is about the names of the app as a whole.
    ///
    /// # Errors
    /// [`AppError::PlainAndSecret`], [`AppError::Unprovided`], [`AppError::Value`], and [`AppError::Uncovered`] for requests
    /// of the manifest that the operator has not covered. A secret is covered when the operator
    /// bound anything to that name for the component that asks; a host, when one of the
    /// operator's rules for that component includes it.
    pub fn plan(&self) -> Result<Plan, AppError> {
        self.plan_with(|_| false)
    }

    /// As [`plan`](Self::plan), where requests count as covered, too, if `granted` says so: it is
    /// asked once for each component's request that the operator has not covered.
    ///
    /// # Errors
    /// As for [`plan`](Self::plan).
    pub fn plan_with(&self, mut granted: impl FnMut(&Request) -> bool) -> Result<Plan, AppError> {
        let Given {
            timeout, memory, ..
        } = self.given;
        check("name", self.given_name().map_or(Ok(()), check_app_name))?;
        check("time limit", timeout.map_or(Ok(()), check_timeout))?;
        check("memory limit", memory.map_or(Ok(()), check_memory))?;

        let mut uncovered = Vec::new();
        let mut component = |work, source, spec| {
            let resolver = Resolver {
                manifest: &self.manifest,
                given: &self.given,
                work,
                spec,
            };
            resolver.resolve(source, &mut granted, &mut uncovered)
        };
        let mut flow = component(None, &self.flow, &self.manifest.flow)?;
        flow.timeout = timeout.or(flow.timeout);
        flow.memory = memory.unwrap_or(flow.memory);
        let mut works = BTreeMap::new();
        for ((name, source), spec) in self.works.iter().zip(self.manifest.works.values()) {
            let mut component = component(Some(name), source, &spec.component)?;
            component.timeout.get_or_insert(DEFAULT_WORK_TIMEOUT);
            let (parallel, retries) = (spec.parallel, spec.retries);
            let (retry_on, cache) = (spec.retry_on, spec.cache);
            works.insert(
                name.clone(),
                WorkPlan {
                    component,
                    parallel,
                    retries,
                    retry_on,
                    cache,
                },
            );
        }
        let name = self.display_name().to_owned();
        if !uncovered.is_empty() {
            let requests = Uncovered::gather(uncovered, &self.manifest.requests());
            return Err(AppError::Uncovered {
                app: name,
                requests,
                grantable: true,
                folder: self.folder().map(Path::to_owned).unwrap_or_default(),
            });
        }
        Ok(Plan { name, flow, works })
    }
}

impl Given {
    fn most_memory(&self) -> u64 {
        self.memory.unwrap_or(DEFAULT_MEMORY)
    }
}

/// Resolves what one component is given.
struct Resolver<'a> {
    manifest: &'a Manifest,
    given: &'a Given,
    /// The Work that it is; the Flow if none.
    work: Option<&'a WorkName>,
    spec: &'a ComponentSpec,
}

impl Resolver<'_> {
    fn resolve(
        &self,
        source: &ComponentSource,
        mut granted: impl FnMut(&Request) -> bool,
        uncovered: &mut Vec<Request>,
    ) -> Result<ComponentPlan, AppError> {
        let env = self.env();
        let mut secrets = self.bound_secrets();
        let rules: BTreeSet<_> = self.alone(&self.given.hosts).collect();
        let mut hosts = rules.clone();
        self.all_provided(&env)?;
        let not_plain = |name: &EnvName| match env.contains_key(name) {
            true => Err(AppError::PlainAndSecret {
                env: name.clone(),
                work: self.work.cloned(),
            }),
            false => Ok(()),
        };
        secrets.keys().try_for_each(not_plain)?;
        for request in self.manifest.requests_of(self.work, self.spec) {
            let covered = match &request.ask {
                Ask::Secret(SecretBinding { env, .. }) => {
                    not_plain(env)?;
                    secrets.contains_key(env)
                }
                Ask::Host(host) => rules.iter().any(|rule| rule.includes(host)),
            };
            if covered {
                continue;
            }
            if !granted(&request) {
                uncovered.push(request);
                continue;
            }
            match request.ask {
                Ask::Secret(SecretBinding { env, secret }) => {
                    secrets.insert(
                        env,
                        PlannedSecret {
                            secret,
                            by: Authority::Grant,
                        },
                    );
                }
                Ask::Host(host) => {
                    hosts.insert(host);
                }
            }
        }
        let asked = self.spec.memory.unwrap_or(DEFAULT_MEMORY);
        Ok(ComponentPlan {
            source: source.clone(),
            env,
            secrets,
            dirs: self.alone(&self.given.dirs).collect(),
            hosts,
            timeout: self.spec.timeout,
            memory: asked.min(self.given.most_memory()),
        })
    }

    /// Each name in the component's `secrets` list stands for something: a secret, or a plain entry.
    fn all_provided(&self, env: &BTreeMap<EnvName, EnvValue>) -> Result<(), AppError> {
        let bound = self.given.secrets.keys();
        let bound = bound.filter(|(work, _)| work.is_none() || work.as_ref() == self.work);
        let provided: BTreeSet<&EnvName> = bound
            .map(|(_, name)| name)
            .chain(self.manifest.secrets.keys())
            .chain(env.keys())
            .collect();
        let listed = self.spec.secrets.iter().flatten();
        match listed.into_iter().find(|name| !provided.contains(name)) {
            None => Ok(()),
            Some(name) => Err(AppError::Unprovided {
                work: self.work.cloned(),
                env: name.clone(),
                nearest: nearest(name.as_str(), provided.iter().map(|name| name.as_str()))
                    .map(str::to_owned),
            }),
        }
    }

    /// Plain entries: each source overrides those before it.
    fn env(&self) -> BTreeMap<EnvName, EnvValue> {
        let manifest = [&self.manifest.env, &self.spec.env];
        let sources = manifest.into_iter().chain(&self.given.env_files).flatten();
        let sources = sources.chain(named(&self.given.env, None));
        // For the Flow, which nobody names, the last source is the one before it once more.
        let sources = sources.chain(named(&self.given.env, self.work));
        sources
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    }

    /// What the operator bound: for everybody, where it is seen; then for this Work by name.
    fn bound_secrets(&self) -> BTreeMap<EnvName, PlannedSecret> {
        let for_all = named(&self.given.secrets, None).filter(|(env, _)| self.spec.sees(env));
        let for_this = self.work.map(|work| named(&self.given.secrets, Some(work)));
        let planned = |(env, secret): (&EnvName, &SecretRef)| {
            (
                env.clone(),
                PlannedSecret {
                    secret: secret.clone(),
                    by: Authority::Operator,
                },
            )
        };
        for_all
            .chain(for_this.into_iter().flatten())
            .map(planned)
            .collect()
    }

    /// What is for this component alone: the Flow has what names no Work.
    fn alone<T: Clone>(&self, given: &[Scoped<T>]) -> impl Iterator<Item = T> {
        given
            .iter()
            .filter(|item| item.work.as_ref() == self.work)
            .map(|item| item.item.clone())
    }
}

/// What was given in this scope: to one Work by name, or to everybody.
fn named<'g, V>(
    given: &'g BTreeMap<(Option<WorkName>, EnvName), V>,
    scope: Option<&WorkName>,
) -> impl Iterator<Item = (&'g EnvName, &'g V)> {
    given
        .iter()
        .filter(move |((work, _), _)| work.as_ref() == scope)
        .map(|((_, name), value)| (name, value))
}

fn check(what: &'static str, checked: Result<(), &'static str>) -> Result<(), AppError> {
    checked.map_err(|reason| AppError::Value { what, reason })
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
