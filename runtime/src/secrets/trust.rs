//! What an app asks for, and whether it is granted: secrets in their own heads, hosts in the app's.
//!
//! An app's head stands in the tree beside those of the secrets, at HMAC-SHA-256 over
//! `frame("leyden/1/place-app", grantee)`: one for a digest, one for a folder. It holds the hosts
//! that were granted, and for a folder to which app in it was last granted, to show what changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{Ask, Authority, Request, SecretBinding, SecretName};

use super::actor::{clip, now};
use super::edit::checked_expiry;
use super::grant::{self, NewGrant, check_grantee, standing};
use super::keys::Hash;
use super::snapshot::Snapshot;
use super::{AppIdentity, AuditEvent, Grantee, RefusalReason, SecretStore, StoreError};

/// What the store keeps of an app.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AppHead {
    pub(super) app: Grantee,
    pub(super) hosts: Vec<HostGrant>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last: Option<Trusted>,
}

impl AppHead {
    fn new(app: &Grantee) -> Self {
        Self {
            app: app.clone(),
            hosts: Vec::new(),
            last: None,
        }
    }
}

/// A standing permission of a component to reach a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HostGrant {
    /// The Work; the Flow if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<String>,
    /// The host, as the manifest has it.
    pub host: String,
    /// Until when; for ever if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Since when.
    pub created: Timestamp,
    /// By whom, as `user@host`.
    pub created_by: String,
}

/// To which app in a folder something was last granted, or to the folder while it was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Trusted {
    /// Its digest.
    pub digest: String,
    /// When.
    pub time: Timestamp,
    /// By whom, as `user@host`.
    pub by: String,
    /// The digest of each component: of the Flow as `flow`, of a Work by its name.
    pub components: BTreeMap<String, String>,
    /// What it asked for, as it was shown.
    pub asks: Vec<String>,
}

/// Whether a request of an app is granted, as a run would find it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Coverage {
    /// It is. A value that cannot stand in the environment as text is found when it is released.
    Granted {
        /// To whom: the app's digest, or its folder.
        to: Grantee,
        /// Until when.
        expires: Option<Timestamp>,
    },
    /// It is not, or what is granted cannot be had.
    Refused(RefusalReason),
}

impl Coverage {
    fn of(found: Result<(Grantee, Option<Timestamp>), RefusalReason>) -> Self {
        match found {
            Ok((to, expires)) => Self::Granted { to, expires },
            Err(reason) => Self::Refused(reason),
        }
    }

    /// Whether the request is granted.
    pub fn is_granted(&self) -> bool {
        matches!(self, Self::Granted { .. })
    }
}

/// An app as whoever grants something to it sees it.
#[derive(Debug, Clone)]
pub struct SeenApp<'a> {
    /// Its identity.
    pub app: AppIdentity<'a>,
    /// The digest of each component: of the Flow as `flow`, of a Work by its name.
    pub components: BTreeMap<String, String>,
    /// All that it asks for.
    pub requests: Vec<Request>,
}

/// What was taken back of an app, or of a folder.
#[derive(Debug)]
#[non_exhaustive]
pub struct TakenBack {
    /// How many grants.
    pub revoked: usize,
    /// What is wrong with secrets, and with what was granted to apps, that are not what was written:
    /// nobody can use them, and a backup that has them may have such grants, too.
    pub damaged: Vec<StoreError>,
}

/// An app that is to be trusted: all that it asks for is granted.
#[derive(Debug, Clone)]
pub struct NewTrust<'a> {
    /// The app.
    pub seen: SeenApp<'a>,
    /// To whom it is granted: its digest or its folder.
    pub to: &'a Grantee,
    /// What it is called: a label.
    pub name: &'a str,
    /// Until when, which is to come; for ever if none.
    pub expires: Option<Timestamp>,
}

impl SecretStore {
    /// Whether each of an app's requests is granted, in their order.
    ///
    /// # Errors
    /// [`StoreError::Tampered`].
    pub fn coverage(
        &self,
        app: &AppIdentity<'_>,
        requests: &[Request],
    ) -> Result<Vec<Coverage>, StoreError> {
        self.read(|snapshot| {
            let mut hosts = Vec::new();
            let folder = app.folder.and_then(Grantee::folder);
            for grantee in [Grantee::App(app.digest)].into_iter().chain(folder) {
                if let (_, Some(head)) = snapshot.find_app(&grantee)? {
                    hosts.extend(head.hosts.into_iter().map(|host| (grantee.clone(), host)));
                }
            }
            let cover = |request: &Request| match &request.ask {
                Ask::Host(host) => Ok(host_coverage(app, &hosts, request, &host.to_string())),
                Ask::Secret(SecretBinding { env, secret }) => {
                    let leave = app.leave(snapshot, env, secret, Authority::Grant)?;
                    let grant =
                        leave.and_then(|leave| leave.grant.ok_or(RefusalReason::NotGranted));
                    Ok(Coverage::of(grant.map(|grant| (grant.to, grant.expires))))
                }
            };
            requests.iter().map(cover).collect()
        })
    }

    /// To which app in this folder something was last granted.
    ///
    /// # Errors
    /// [`StoreError::Tampered`].
    pub fn last_granted(&self, folder: &Grantee) -> Result<Option<Trusted>, StoreError> {
        self.read(|snapshot| Ok(snapshot.find_app(folder)?.1.and_then(|head| head.last)))
    }

    /// Grants a secret to an app, or to its folder, and remembers it as the one that was granted to
    /// last in its folder.
    ///
    /// # Errors
    /// Those of [`grant`](Self::grant).
    pub fn grant_to(
        &self,
        seen: &SeenApp<'_>,
        name: &SecretName,
        new: &NewGrant,
    ) -> Result<(), StoreError> {
        check_grantee(&new.to)?;
        self.write(|snapshot| {
            grant::add(snapshot, name, new)?;
            remember(snapshot, seen)
        })
    }

    /// Grants an app all that it asks for, and remembers it as the one that was granted to last in
    /// its folder: all of it or nothing.
    ///
    /// # Errors
    /// [`StoreError::NotFound`] and [`StoreError::Deleted`] for the first secret that cannot be
    /// granted; those of [`grant`](Self::grant).
    pub fn trust(&self, new: &NewTrust<'_>) -> Result<(), StoreError> {
        check_grantee(new.to)?;
        self.write(|snapshot| {
            let mut hosts = Vec::new();
            for request in &new.seen.requests {
                match &request.ask {
                    Ask::Secret(SecretBinding { env, secret }) => {
                        let grant = NewGrant {
                            to: new.to.clone(),
                            env: Some(env.clone()),
                            app: Some(new.name.to_owned()),
                            expires: new.expires,
                        };
                        grant::add(snapshot, &secret.name, &grant)?;
                    }
                    Ask::Host(host) => hosts.push(HostGrant {
                        work: request.work.as_ref().map(ToString::to_string),
                        host: host.to_string(),
                        expires: checked_expiry(new.expires)?,
                        created: now(),
                        created_by: snapshot.actor.to_string(),
                    }),
                }
            }
            for host in &hosts {
                let mut record = snapshot.actor.record(AuditEvent::HostGranted);
                record.app = Some(clip(new.name));
                record.grantee = Some(new.to.to_string());
                record.host_rule = Some(clip(&host.host));
                record.component = host.work.as_deref().map(clip);
                snapshot.record(record)?;
            }
            let (place, head) = snapshot.find_app(new.to)?;
            let mut head = head.unwrap_or_else(|| AppHead::new(new.to));
            head.hosts = hosts;
            snapshot.put_app(&place, &head)?;
            remember(snapshot, &new.seen)
        })
    }

    /// Takes back all that was granted to this grantee, of every secret, deleted or not, and every
    /// host; but for what is not what was written.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] if it cannot be told which of them are what was written.
    pub fn distrust(&self, to: &Grantee) -> Result<TakenBack, StoreError> {
        self.write(|snapshot| {
            let (heads, damaged) = snapshot.look()?;
            let mut revoked = 0;
            for (_, head) in heads {
                if head.grants.iter().any(|grant| grant.to == *to) {
                    let name = super::edit::name_of(&head)?;
                    revoked += grant::remove(snapshot, &name, to, None)?;
                }
            }
            if let Some((place, mut head)) = whole_app(snapshot, to, &damaged)? {
                revoked += head.hosts.len();
                for host in std::mem::take(&mut head.hosts) {
                    let mut record = snapshot.actor.record(AuditEvent::HostRevoked);
                    record.grantee = Some(to.to_string());
                    record.host_rule = Some(clip(&host.host));
                    record.component = host.work.as_deref().map(clip);
                    snapshot.record(record)?;
                }
                snapshot.put_app(&place, &head)?;
            }
            Ok(TakenBack { revoked, damaged })
        })
    }
}

/// The app's place and head, if anything was granted to it. Where it is damaged, that is among what
/// was found so.
pub(super) fn whole_app(
    snapshot: &Snapshot<'_>,
    app: &Grantee,
    damaged: &[StoreError],
) -> Result<Option<(Hash, AppHead)>, StoreError> {
    match snapshot.find_app(app) {
        Ok((place, head)) => Ok(head.map(|head| (place, head))),
        Err(StoreError::Tampered { .. } | StoreError::NewerFeature { .. })
            if !damaged.is_empty() =>
        {
            Ok(None)
        }
        Err(error) => Err(error),
    }
}

/// Remembers an app as the one that was granted to last in its folder, if it has one.
fn remember(snapshot: &mut Snapshot<'_>, seen: &SeenApp<'_>) -> Result<(), StoreError> {
    let Some(folder) = seen.app.folder.and_then(Grantee::folder) else {
        return Ok(());
    };
    let (place, head) = snapshot.find_app(&folder)?;
    let mut head = head.unwrap_or_else(|| AppHead::new(&folder));
    head.last = Some(Trusted {
        digest: seen.app.digest.to_string(),
        time: now(),
        by: snapshot.actor.to_string(),
        components: seen.components.clone(),
        asks: seen.requests.iter().map(ToString::to_string).collect(),
    });
    snapshot.put_app(&place, &head)
}

fn host_coverage(
    app: &AppIdentity<'_>,
    hosts: &[(Grantee, HostGrant)],
    request: &Request,
    host: &str,
) -> Coverage {
    let work = request.work.as_ref().map(ToString::to_string);
    let found = app.granted(false, |to| {
        let to_it = hosts.iter().filter(|(granted, _)| granted == to);
        let matching = to_it.filter(|(_, grant)| grant.host == host && grant.work == work);
        standing(matching, |(_, grant)| grant.expires)
    });
    Coverage::of(found.map(|(to, grant)| (to.clone(), grant.expires)))
}
