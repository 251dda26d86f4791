//! What a manifest asks for, and what is said when nobody has allowed it.

use std::collections::BTreeMap;
use std::fmt;

use super::binding::SecretBinding;
use super::host_rule::HostRule;
use super::manifest::{ComponentSpec, Manifest};
use super::names::WorkName;

/// Something that a manifest can only ask for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ask {
    /// A secret under an environment name.
    Secret(SecretBinding),
    /// To reach a host.
    Host(HostRule),
}

/// One component's request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Request {
    /// The Work that asks; the Flow if none.
    pub work: Option<WorkName>,
    /// What it asks for.
    pub ask: Ask,
}

/// A request that nobody has allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uncovered {
    /// What is asked for.
    pub ask: Ask,
    /// Who asks and may not have it: Works, and the Flow as none.
    pub by: Vec<Option<WorkName>>,
    /// Why the store does not grant it, where that says more.
    pub why: Option<String>,
    /// What would allow it, all of it needed: options, or a command to be given first.
    pub options: Vec<String>,
}

impl Manifest {
    /// All that the app asks for: the Flow's requests, then each Work's.
    pub fn requests(&self) -> Vec<Request> {
        let works = self
            .works
            .iter()
            .map(|(name, work)| (Some(name), &work.component));
        let components = std::iter::once((None, &self.flow)).chain(works);
        components
            .flat_map(|(work, spec)| self.requests_of(work, spec))
            .collect()
    }

    /// What one component asks for.
    pub(super) fn requests_of(
        &self,
        work: Option<&WorkName>,
        spec: &ComponentSpec,
    ) -> impl Iterator<Item = Request> {
        let secrets = self.secrets.iter().filter(|(env, _)| spec.sees(env));
        let secrets = secrets.map(|(env, secret)| {
            Ask::Secret(SecretBinding {
                env: env.clone(),
                secret: secret.clone(),
            })
        });
        let asks = secrets.chain(spec.hosts.iter().cloned().map(Ask::Host));
        asks.map(move |ask| Request {
            work: work.cloned(),
            ask,
        })
    }
}

impl Uncovered {
    /// Gathers the requests that nobody covers, one entry for each thing asked for; `all` is what
    /// the app asks for in all.
    pub(super) fn gather(uncovered: Vec<Request>, all: &[Request]) -> Vec<Self> {
        let mut askers = BTreeMap::new();
        for request in all {
            *askers.entry(&request.ask).or_insert(0) += 1;
        }
        let mut by = BTreeMap::<_, Vec<_>>::new();
        for Request { work, ask } in uncovered {
            by.entry(ask).or_default().push(work);
        }
        by.into_iter()
            .map(|(ask, by)| {
                let all_of_them = askers.get(&ask) == Some(&by.len());
                let options = options(&ask, &by, all_of_them);
                Self {
                    ask,
                    by,
                    why: None,
                    options,
                }
            })
            .collect()
    }
}

/// What would allow this to those that ask.
fn options(ask: &Ask, by: &[Option<WorkName>], all_of_them: bool) -> Vec<String> {
    let option = |option, item: &dyn fmt::Display| {
        let scope = |work: &Option<WorkName>| match work {
            Some(work) => format!("--{option} {work}:{item}"),
            None => format!("--{option} {item}"),
        };
        by.iter().map(scope).collect()
    };
    match ask {
        // Without a Work's name it holds for everybody, and only so for the Flow.
        Ask::Secret(secret) if all_of_them || by.contains(&None) => {
            vec![format!("--secret {secret}")]
        }
        Ask::Secret(secret) => option("secret", secret),
        Ask::Host(host) => option("allow-host", host),
    }
}

impl fmt::Display for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Secret(SecretBinding { env, secret }) => {
                write!(f, "the secret `{secret}` as {env}")
            }
            Self::Host(host) => write!(f, "to reach {host}"),
        }
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, for {}",
            self.ask,
            shown_component(self.work.as_ref())
        )
    }
}

impl fmt::Display for Uncovered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let by: Vec<_> = self
            .by
            .iter()
            .map(|work| shown_component(work.as_ref()))
            .collect();
        let (by, options) = (by.join(", "), self.options.join(" "));
        write!(f, "{}, for {by}; ", self.ask)?;
        if let Some(why) = &self.why {
            write!(f, "{why}; ")?;
        }
        write!(f, "to allow it: {options}")
    }
}

/// A component as messages name it.
pub(super) fn shown_component(work: Option<&WorkName>) -> String {
    work.map_or_else(|| "the Flow".into(), |work| format!("the Work `{work}`"))
}
