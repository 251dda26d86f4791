//! The store against a model of it: any sequence of calls gives what the model says, nothing that is
//! not bound or granted is ever released, and every release has its record.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;

use super::bed::{Bed, name, until_over, wanted};
use crate::app::{Authority, Digest};
use crate::secrets::*;

#[derive(Debug, Clone)]
enum Call {
    Create(usize, Vec<u8>),
    Set(usize, Vec<u8>, Ends, Option<u32>),
    Delete(usize, bool),
    Restore(usize),
    Destroy(usize),
    Grant(usize, u8, Ends),
    Revoke(usize, u8),
    Restrict(usize, bool),
    Expire(usize, Option<u32>, Ends),
    /// By whose leave: the operator's, or a grant's to the app of this number.
    Bind(usize, Option<u32>, bool, u8),
    RotateKek,
    RotateRoot,
    Prune,
    Purge,
    Reopen,
}

/// When something expires: never, before anybody looks, or much later.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Ends {
    Never,
    Past,
    Future,
}

impl Ends {
    fn expiry(self) -> Expiry {
        match self {
            Self::Never => Expiry::Never,
            Self::Past => Expiry::Now,
            Self::Future => Expiry::At(Timestamp::now() + SignedDuration::from_hours(1)),
        }
    }

    /// Does what takes an expiry.
    fn with<T>(
        self,
        mut with: impl FnMut(Option<Timestamp>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match self {
            Self::Never => with(None),
            Self::Past => until_over(|at| with(Some(at))),
            Self::Future => with(Some(Timestamp::now() + SignedDuration::from_hours(1))),
        }
    }
}

/// Names that differ by case are one; the others fall into different places of the tree.
const NAMES: [&str; 5] = ["token", "TOKEN", "db.password", "a", "a.b"];

#[derive(Default)]
struct Modelled {
    name: String,
    /// Whether it can be restored, if it was deleted.
    deleted: Option<bool>,
    /// The number, value and expiry of each version.
    versions: Vec<(u32, Vec<u8>, Ends)>,
    last: u32,
    keep: usize,
    grants: BTreeMap<u8, Ends>,
    restricted: bool,
}

impl Modelled {
    fn add(&mut self, value: Vec<u8>, expiry: Ends, keep: Option<u32>) {
        if let Some(keep) = keep {
            self.keep = keep as usize;
        }
        self.last += 1;
        self.versions.push((self.last, value, expiry));
        if self.keep > 0 {
            let over = self.versions.len().saturating_sub(self.keep);
            self.versions.drain(..over);
        }
    }

    fn destroy(&mut self) {
        *self = Self {
            last: self.last,
            ..Self::default()
        };
    }

    /// The value that a bind gets.
    fn bound(&self, version: Option<u32>, granted: bool, app: u8) -> Option<&Vec<u8>> {
        let grant = self
            .grants
            .get(&app)
            .is_some_and(|grant| *grant != Ends::Past);
        let allowed = (!granted && !self.restricted) || grant;
        let found = match version {
            Some(version) => self.versions.iter().find(|(number, ..)| *number == version),
            None => self.versions.last(),
        };
        found
            .filter(|(_, _, expiry)| allowed && self.deleted.is_none() && *expiry != Ends::Past)
            .map(|(_, value, _)| value)
    }
}

fn call() -> impl Strategy<Value = Call> {
    let secret = || 0..NAMES.len();
    let value = || proptest::collection::vec(any::<u8>(), 0..20);
    let expiry =
        || prop_oneof![4 => Just(Ends::Never), 1 => Just(Ends::Past), 1 => Just(Ends::Future)];
    let keep = || prop_oneof![4 => Just(None), 1 => (0..4_u32).prop_map(Some)];
    let app = || 0..3_u8;
    prop_oneof![
        6 => (secret(), value()).prop_map(|(s, v)| Call::Create(s, v)),
        5 => (secret(), value(), expiry(), keep()).prop_map(|(s, v, e, k)| Call::Set(s, v, e, k)),
        2 => (secret(), any::<bool>()).prop_map(|(s, over)| Call::Delete(s, over)),
        2 => secret().prop_map(Call::Restore),
        1 => secret().prop_map(Call::Destroy),
        4 => (secret(), app(), expiry()).prop_map(|(s, a, e)| Call::Grant(s, a, e)),
        2 => (secret(), app()).prop_map(|(s, a)| Call::Revoke(s, a)),
        2 => (secret(), any::<bool>()).prop_map(|(s, r)| Call::Restrict(s, r)),
        2 => (secret(), proptest::option::of(1..4_u32), expiry())
            .prop_map(|(s, v, e)| Call::Expire(s, v, e)),
        10 => (secret(), proptest::option::of(1..4_u32), any::<bool>(), app())
            .prop_map(|(s, v, g, a)| Call::Bind(s, v, g, a)),
        1 => Just(Call::RotateKek),
        1 => Just(Call::RotateRoot),
        1 => Just(Call::Prune),
        1 => Just(Call::Purge),
        1 => Just(Call::Reopen),
    ]
}

fn digest(app: u8) -> Digest {
    Digest::of(&[app])
}

/// Binds one secret, and checks that the log says what became of it.
fn bind(
    store: &SecretStore,
    secret: &str,
    version: Option<u32>,
    granted: bool,
    app: u8,
) -> Option<Vec<u8>> {
    let mut wanted = wanted(secret, version);
    if granted {
        wanted.by = Authority::Grant;
    }
    let newest = || {
        let newest = store.audit_list(&AuditFilter::default().limit(1));
        newest.unwrap().remove(0)
    };
    let before = newest().sequence;
    let released = store.release(&ReleaseRequest {
        app_name: "app",
        app_digest: digest(app),
        app_folder: None,
        wanted: &[wanted],
    });
    let record = newest();
    assert_eq!(record.sequence, before + 1, "one record each");
    assert_eq!(record.event, AuditEvent::Release);
    // A name of which there is no secret may be anything: it is not kept.
    let named = record.reason.as_deref() != Some("not-found");
    assert_eq!(record.secret, named.then(|| secret.to_lowercase()));
    assert_eq!(record.app_digest, Some(digest(app).to_string()));
    let done = record.outcome == AuditOutcome::Done;
    assert_eq!(done, released.is_ok());
    let mut released = released.ok()?;
    let released = released.remove(0);
    assert_eq!(record.version, Some(released.version.get()));
    Some(released.value.expose().to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_calls_gives_what_the_model_says(
        calls in proptest::collection::vec(call(), 1..60)
    ) {
        let bed = Bed::new();
        let mut store = bed.make();
        let mut model: BTreeMap<String, Modelled> = BTreeMap::new();
        for call in calls {
            match call {
                Call::Create(index, bytes) => {
                    let typed = NAMES[index];
                    let result = store.create_secret(&name(typed), SecretValue::new(bytes.clone())?);
                    let secret = model.entry(typed.to_lowercase()).or_default();
                    prop_assert_eq!(result.is_ok(), secret.versions.is_empty(), "{:?}", result);
                    if let Ok(version) = result {
                        secret.name = typed.to_owned();
                        secret.add(bytes, Ends::Never, None);
                        prop_assert_eq!(version.get(), secret.last);
                    }
                }
                Call::Set(index, bytes, expiry, keep) => {
                    let result = expiry.with(|expires| {
                        let options = VersionOptions { expires, keep };
                        let value = SecretValue::new(bytes.clone())?;
                        store.set_secret_with(&name(NAMES[index]), value, &options)
                    });
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    let there = !secret.versions.is_empty() && secret.deleted.is_none();
                    prop_assert_eq!(result.is_ok(), there, "{:?}", result);
                    if there {
                        secret.add(bytes, expiry, keep);
                        prop_assert_eq!(result?.get(), secret.last);
                    }
                }
                Call::Delete(index, over) => {
                    let window = Duration::from_secs(if over { 0 } else { 3600 });
                    let result = store.delete_for(&name(NAMES[index]), window);
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    let there = !secret.versions.is_empty() && secret.deleted.is_none();
                    prop_assert_eq!(result.is_ok(), there);
                    if there {
                        secret.deleted = Some(!over);
                    }
                }
                Call::Restore(index) => {
                    let result = store.restore(&name(NAMES[index]));
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    prop_assert_eq!(result.is_ok(), secret.deleted == Some(true));
                    if result.is_ok() {
                        secret.deleted = None;
                    }
                }
                Call::Destroy(index) => {
                    let result = store.destroy(&name(NAMES[index]));
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    prop_assert_eq!(result.is_ok(), !secret.versions.is_empty());
                    secret.destroy();
                }
                Call::Grant(index, app, expiry) => {
                    let result = expiry.with(|expires| {
                        let to = Grantee::App(digest(app));
                        let grant = NewGrant { to, env: None, app: None, expires };
                        store.grant(&name(NAMES[index]), &grant)
                    });
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    let there = !secret.versions.is_empty() && secret.deleted.is_none();
                    prop_assert_eq!(result.is_ok(), there);
                    if there {
                        secret.grants.insert(app, expiry);
                    }
                }
                Call::Revoke(index, app) => {
                    let to = Grantee::App(digest(app));
                    let result = store.revoke(&name(NAMES[index]), &to, None);
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    let there = secret.grants.contains_key(&app);
                    prop_assert_eq!(result.is_ok(), there);
                    if there {
                        secret.grants.remove(&app);
                    }
                }
                Call::Restrict(index, restricted) => {
                    let result = store.restrict(&name(NAMES[index]), restricted);
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    let there = !secret.versions.is_empty() && secret.deleted.is_none();
                    prop_assert_eq!(result.is_ok(), there);
                    if there {
                        secret.restricted = restricted;
                    }
                }
                Call::Expire(index, version, ends) => {
                    let number = version.and_then(NonZeroU32::new);
                    let result = store.expire(&name(NAMES[index]), number, ends.expiry());
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    let there = secret.deleted.is_none();
                    let found = match version {
                        Some(version) => secret.versions.iter_mut().find(|(n, ..)| *n == version),
                        None => secret.versions.last_mut(),
                    };
                    let found = found.filter(|_| there);
                    prop_assert_eq!(result.is_ok(), found.is_some());
                    if let Some((_, _, expiry)) = found {
                        *expiry = ends;
                    }
                }
                Call::Bind(index, version, granted, app) => {
                    let found = bind(&store, NAMES[index], version, granted, app);
                    let secret = model.entry(NAMES[index].to_lowercase()).or_default();
                    prop_assert_eq!(found.as_ref(), secret.bound(version, granted, app));
                }
                Call::RotateKek => {
                    store.rotate_kek(|_, _| {})?;
                }
                Call::RotateRoot => {
                    store.rotate_root(&[bed.key()])?;
                }
                Call::Prune => {
                    store.audit_prune(Timestamp::now())?;
                }
                Call::Purge => {
                    let purged: BTreeSet<_> = store.purge()?.into_iter().collect();
                    let over = model.values_mut().filter(|secret| secret.deleted == Some(false));
                    let over = over.map(|secret| {
                        let name = secret.name.clone();
                        secret.destroy();
                        name
                    });
                    prop_assert_eq!(purged, over.collect::<BTreeSet<_>>());
                }
                Call::Reopen => {
                    drop(store);
                    store = bed.open()?;
                }
            }
        }
        let listed: Vec<_> = store
            .list()?
            .into_iter()
            .map(|info| {
                let deleted = info.state != SecretState::Active;
                let versions: Vec<_> = info
                    .versions
                    .iter()
                    .map(|version| (version.version.get(), version.size as usize))
                    .collect();
                (info.name, deleted, info.restricted, info.grants.len(), versions)
            })
            .collect();
        let there = model.into_values().filter(|secret| !secret.versions.is_empty());
        let expected: Vec<_> = there
            .map(|secret| {
                let versions = secret.versions.iter();
                let versions = versions.map(|(number, value, _)| (*number, value.len())).collect();
                let grants = secret.grants.len();
                (secret.name, secret.deleted.is_some(), secret.restricted, grants, versions)
            })
            .collect();
        prop_assert_eq!(listed, expected);
        store.verify()?;
    }
}
