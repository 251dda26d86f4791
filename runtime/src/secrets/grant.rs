//! Standing grants of a secret: given, revoked, and looked for when an app is bound.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::app::{EnvName, SecretName};

use super::actor::{clip, now};
use super::edit::{checked_expiry, existing};
use super::snapshot::Snapshot;
use super::{AuditEvent, Grantee, RefusalReason, SecretStore, StoreError};

/// The most grants that a secret may have: they are in the head, which is read at every release.
const MAX_GRANTS: usize = 1024;

/// A standing permission to bind a secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Grant {
    /// To whom.
    pub to: Grantee,
    /// Under this environment name alone; under any if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<String>,
    /// What the app was called then: a label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// Until when; for ever if none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Since when.
    pub created: Timestamp,
    /// By whom, as `user@host`.
    pub created_by: String,
}

/// A grant that is to be given.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// To whom.
    pub to: Grantee,
    /// Under this environment name alone; under any if none.
    pub env: Option<EnvName>,
    /// What the app is called: a label.
    pub app: Option<String>,
    /// Until when, which is to come; for ever if none.
    pub expires: Option<Timestamp>,
}

/// The first of these grants that has not expired.
pub(super) fn standing<G>(
    grants: impl Iterator<Item = G>,
    expires: impl Fn(&G) -> Option<Timestamp>,
) -> Result<G, RefusalReason> {
    let now = now();
    let mut why = RefusalReason::NotGranted;
    for grant in grants {
        match expires(&grant) {
            Some(at) if at <= now => why = RefusalReason::GrantExpired { at },
            _ => return Ok(grant),
        }
    }
    Err(why)
}

impl SecretStore {
    /// Grants a secret. A grant of it to the same grantee under the same name is replaced.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Deleted`], [`StoreError::TooManyGrants`],
    /// [`StoreError::RestrictedToApps`], [`StoreError::PastExpiry`];
    /// [`StoreError::Permission`] if it is to a folder in which others can put files.
    pub fn grant(&self, name: &SecretName, new: &NewGrant) -> Result<(), StoreError> {
        check_grantee(&new.to)?;
        self.write(|snapshot| add(snapshot, name, new))
    }

    /// Takes back a secret's grants to this grantee: those under this name, or all of them; returns
    /// how many. Those of a deleted secret, too, which would come back with it. What apps were lent
    /// before stays lent.
    ///
    /// # Errors
    /// [`StoreError::NotFound`]; [`StoreError::NoGrant`] if there are none.
    pub fn revoke(
        &self,
        name: &SecretName,
        to: &Grantee,
        env: Option<&EnvName>,
    ) -> Result<usize, StoreError> {
        self.write(|snapshot| match remove(snapshot, name, to, env)? {
            0 => Err(StoreError::NoGrant {
                name: name.as_str().to_owned(),
                to: to.clone(),
            }),
            removed => Ok(removed),
        })
    }

    /// Restricts a secret, so that nothing but a grant to an app's digest binds it (not even
    /// `--secret` by itself, nor a grant to a folder), or lifts that.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Deleted`].
    pub fn restrict(&self, name: &SecretName, restricted: bool) -> Result<(), StoreError> {
        self.write(|snapshot| {
            let (place, mut head) = existing(snapshot, name)?;
            head.restricted = restricted;
            snapshot.put_head(&place, &head)?;
            let mut record = snapshot.actor.record(match restricted {
                true => AuditEvent::SecretRestricted,
                false => AuditEvent::SecretUnrestricted,
            });
            record.secret = Some(head.canonical);
            snapshot.record(record)
        })
    }
}

/// Refuses a folder in which others can put files: they could put an app there.
pub(super) fn check_grantee(to: &Grantee) -> Result<(), StoreError> {
    match to {
        Grantee::App(_) => Ok(()),
        Grantee::Folder(folder) => super::files::check_folder(folder.as_ref()),
    }
}

/// Adds a grant, in the caller's transaction.
pub(super) fn add(
    snapshot: &mut Snapshot<'_>,
    name: &SecretName,
    new: &NewGrant,
) -> Result<(), StoreError> {
    let (place, mut head) = existing(snapshot, name)?;
    if head.restricted && matches!(new.to, Grantee::Folder(_)) {
        return Err(StoreError::RestrictedToApps { name: head.name });
    }
    let env = new.env.as_ref().map(ToString::to_string);
    head.grants
        .retain(|grant| grant.to != new.to || grant.env != env);
    if head.grants.len() >= MAX_GRANTS {
        return Err(StoreError::TooManyGrants {
            name: head.name,
            limit: MAX_GRANTS,
        });
    }
    head.grants.push(Grant {
        to: new.to.clone(),
        env: env.clone(),
        app: new.app.as_deref().map(clip),
        expires: checked_expiry(new.expires)?,
        created: now(),
        created_by: snapshot.actor.to_string(),
    });
    snapshot.put_head(&place, &head)?;
    let mut record = snapshot.actor.record(AuditEvent::GrantAdded);
    record.secret = Some(head.canonical);
    record.app = new.app.as_deref().map(clip);
    (record.env, record.grantee) = (env, Some(new.to.to_string()));
    snapshot.record(record)
}

/// Removes grants, also of a deleted secret, in the caller's transaction; returns how many.
pub(super) fn remove(
    snapshot: &mut Snapshot<'_>,
    name: &SecretName,
    to: &Grantee,
    env: Option<&EnvName>,
) -> Result<usize, StoreError> {
    let (place, Some(mut head)) = snapshot.find(name)? else {
        return Err(snapshot.not_found(name));
    };
    let env = env.map(ToString::to_string);
    let before = head.grants.len();
    head.grants
        .retain(|grant| grant.to != *to || (env.is_some() && grant.env != env));
    let removed = before - head.grants.len();
    if removed > 0 {
        snapshot.put_head(&place, &head)?;
        let mut record = snapshot.actor.record(AuditEvent::GrantRevoked);
        record.secret = Some(head.canonical);
        (record.env, record.grantee) = (env, Some(to.to_string()));
        snapshot.record(record)?;
    }
    Ok(removed)
}
