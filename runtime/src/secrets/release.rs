//! Release: resolving all of an app's bindings at once, checked, audited and committed first.

use std::num::NonZeroU32;
use std::path::Path;

use crate::app::{Authority, Digest, Encoding, EnvName, SecretRef};

use super::actor::{clip, now};
use super::grant::standing;
use super::head::{self, Head};
use super::keys::Hash;
use super::seal::{self, Subject};
use super::snapshot::Snapshot;
use super::{
    AppIdentity, AuditEvent, AuditOutcome, AuditRecord, Grant, Grantee, Refusal, RefusalReason,
    SecretStore, SecretValue, StoreError,
};

/// What an app needs, all of which is released or none of it.
#[derive(Debug, Clone)]
pub struct ReleaseRequest<'a> {
    /// The app's name: a label for the audit log, from a manifest; cut there to a bound.
    pub app_name: &'a str,
    /// The app's digest: its identity.
    pub app_digest: Digest,
    /// The app's absolute folder, without symbolic links, if it has one: grants may be to it.
    pub app_folder: Option<&'a Path>,
    /// Every binding of every component.
    pub wanted: &'a [Wanted],
}

/// One component's binding of one secret.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The component's name: a label for the audit log.
    pub component: String,
    /// The digest of the component's bytes.
    pub component_digest: Digest,
    /// The environment name that the component sees.
    pub env: EnvName,
    /// Which secret, which version of it, and how it is to be encoded.
    pub secret: SecretRef,
    /// By whose leave. What is bound by a grant is released only if there is one now; a restricted
    /// secret only if one is to the app's digest.
    pub by: Authority,
}

/// A released secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct Released {
    /// The version that was resolved: the one asked for, or the newest.
    pub version: NonZeroU32,
    /// The value, not yet encoded.
    pub value: SecretValue,
}

impl SecretStore {
    /// Releases all that is wanted, in that order, or nothing.
    ///
    /// All of it is checked and opened in one transaction, which writes one audit record for each;
    /// the values leave once that is committed. With nothing wanted, nothing is written.
    ///
    /// # Errors
    /// [`StoreError::Refused`] with every binding that cannot be had, and why; the audit log then
    /// says so (if that can be written: the refusal stands in any case). Any other error means that
    /// nothing was released, but where it [may be committed](StoreError::may_be_committed) the audit
    /// log may say it was.
    pub fn release(&self, request: &ReleaseRequest<'_>) -> Result<Vec<Released>, StoreError> {
        if request.wanted.is_empty() {
            return Ok(Vec::new());
        }
        let mut refusals = Vec::new();
        let written = self.write(|snapshot| {
            let mut record = request.record(snapshot);
            let mut released = Vec::with_capacity(request.wanted.len());
            for wanted in request.wanted {
                match request.resolve(snapshot, wanted) {
                    Ok(Ok((one, by))) => released.push((wanted, one, by)),
                    Ok(Err(reason)) => refusals.push((wanted, reason)),
                    // Worse than any refusal: it is what is told.
                    Err(error) => {
                        refusals.clear();
                        return Err(error);
                    }
                }
            }
            for (wanted, reason) in &refusals {
                fill_denied(&mut record, wanted, reason);
                snapshot.record_one_of(&mut record)?;
            }
            if !refusals.is_empty() {
                snapshot.refuses = true;
                return Ok(Vec::new());
            }
            for (wanted, one, by) in &released {
                fill(&mut record, wanted);
                record.version = Some(one.version.get());
                record.grantee.clone_from(by);
                snapshot.record_one_of(&mut record)?;
            }
            Ok(released.into_iter().map(|(_, one, _)| one).collect())
        });
        if refusals.is_empty() {
            return written;
        }
        let refusal = |(wanted, reason): (&Wanted, RefusalReason)| Refusal {
            component: wanted.component.clone(),
            env: wanted.env.clone(),
            secret: wanted.secret.clone(),
            reason,
        };
        Err(StoreError::Refused {
            refusals: refusals.into_iter().map(refusal).collect(),
        })
    }
}

impl SecretStore {
    /// Writes to the audit log what was wanted, and refused before it came to a release.
    pub(crate) fn record_refusal(
        &self,
        request: &ReleaseRequest<'_>,
        refused: &[(Wanted, RefusalReason)],
    ) -> Result<(), StoreError> {
        if refused.is_empty() {
            return Ok(());
        }
        self.write(|snapshot| {
            snapshot.refuses = true;
            let mut record = request.record(snapshot);
            refused.iter().try_for_each(|(wanted, reason)| {
                fill_denied(&mut record, wanted, reason);
                snapshot.record_one_of(&mut record)
            })
        })
    }
}

impl ReleaseRequest<'_> {
    /// What its records have in common.
    fn record(&self, snapshot: &Snapshot<'_>) -> AuditRecord {
        let mut record = snapshot.actor.record(AuditEvent::Release);
        record.app = Some(clip(self.app_name));
        record.app_digest = Some(self.app_digest.to_string());
        record
    }

    /// One binding's value, and to whom it was granted if that was needed; or why it cannot be had.
    /// An error is one of the store as a whole.
    fn resolve(
        &self,
        snapshot: &Snapshot<'_>,
        wanted: &Wanted,
    ) -> Result<Result<(Released, Option<String>), RefusalReason>, StoreError> {
        let app = AppIdentity {
            digest: self.app_digest,
            folder: self.app_folder,
        };
        let Wanted { env, secret, .. } = wanted;
        let leave = match app.leave(snapshot, env, secret, wanted.by)? {
            Ok(leave) => leave,
            Err(reason) => return Ok(Err(reason)),
        };
        let version = leave.version;
        let Some(value) = open_value(snapshot, &leave.place, &leave.head, version)? else {
            return Ok(Err(RefusalReason::Undecryptable { version }));
        };
        match (secret.encoding, value.check_text()) {
            (Encoding::Text, Err(problem)) => Ok(Err(RefusalReason::NotText(problem))),
            _ => {
                let to = leave.grant.map(|grant| grant.to.to_string());
                Ok(Ok((Released { version, value }, to)))
            }
        }
    }
}

/// Leave to have a version of a secret.
pub(super) struct Leave {
    place: Hash,
    head: Head,
    version: NonZeroU32,
    /// The grant that gives it, if one is needed.
    pub(super) grant: Option<Grant>,
}

impl AppIdentity<'_> {
    /// Whether the app may have a secret under this name, or why not, as far as that is known
    /// without opening the value. An error is one of the store as a whole.
    pub(super) fn leave(
        &self,
        snapshot: &Snapshot<'_>,
        env: &EnvName,
        secret: &SecretRef,
        by: Authority,
    ) -> Result<Result<Leave, RefusalReason>, StoreError> {
        let (place, Some(head)) = snapshot.find(&secret.name)? else {
            return Ok(Err(RefusalReason::NotFound {
                suggestion: snapshot.suggest(&secret.name),
            }));
        };
        Ok(self
            .judge(&head, env, secret, by)
            .map(|(version, grant)| Leave {
                place,
                head,
                version,
                grant,
            }))
    }

    /// Which version the app may have, and by which grant if one is needed.
    fn judge(
        &self,
        head: &Head,
        env: &EnvName,
        secret: &SecretRef,
        by: Authority,
    ) -> Result<(NonZeroU32, Option<Grant>), RefusalReason> {
        if head.deleted.is_some() {
            return Err(RefusalReason::Deleted);
        }
        let grant = match by {
            Authority::Operator if !head.restricted => None,
            _ => Some(self.grant_of(head, env)?.clone()),
        };
        let Some(found) = head.version(secret.version) else {
            return Err(RefusalReason::NoSuchVersion {
                version: secret.version.unwrap_or(NonZeroU32::MIN),
                available: head.numbers(),
            });
        };
        let version = found.version;
        match found.expires.filter(|at| *at <= now()) {
            Some(at) => Err(RefusalReason::Expired { version, at }),
            None => Ok((version, grant)),
        }
    }

    /// The grant that covers this binding now: of a restricted secret, one to the digest alone.
    fn grant_of<'h>(&self, head: &'h Head, env: &EnvName) -> Result<&'h Grant, RefusalReason> {
        let under = |grant: &Grant| grant.env.as_ref().is_none_or(|name| name == env.as_str());
        let find = |to: &Grantee| {
            let grants = head.grants.iter().filter(|grant| grant.to == *to);
            standing(grants.filter(|grant| under(grant)), |grant| grant.expires)
        };
        let restricted = |expired| RefusalReason::Restricted {
            app: self.digest,
            expired,
        };
        self.granted(head.restricted, find)
            .map_err(|why| match why {
                RefusalReason::NotGranted if head.restricted => restricted(None),
                RefusalReason::GrantExpired { at } if head.restricted => restricted(Some(at)),
                why => why,
            })
    }
}

/// Makes the record one of this binding.
fn fill(record: &mut AuditRecord, wanted: &Wanted) {
    record.component = Some(clip(&wanted.component));
    record.component_digest = Some(wanted.component_digest.to_string());
    record.env = Some(clip(wanted.env.as_str()));
    record.secret = Some(wanted.secret.name.canonical().to_owned());
}

/// Makes the record one of this binding, which was refused.
fn fill_denied(record: &mut AuditRecord, wanted: &Wanted, reason: &RefusalReason) {
    fill(record, wanted);
    record.outcome = AuditOutcome::Denied;
    record.version = wanted.secret.version.map(NonZeroU32::get);
    record.reason = Some(reason.code().to_owned());
    if matches!(reason, RefusalReason::NotFound { .. }) {
        // It may be a value, typed in the place of a name.
        record.secret = None;
    }
}

/// Opens a version's value; `None` if what is stored is not what was written.
pub(super) fn open_value(
    snapshot: &Snapshot<'_>,
    place: &Hash,
    head: &Head,
    version: NonZeroU32,
) -> Result<Option<SecretValue>, StoreError> {
    let (store, name, number) = (snapshot.store_id(), head.canonical.as_str(), version.get());
    let row = match snapshot.tables.version(place, number) {
        Ok(row) => row,
        // A cell of a type, or a length, that is never written.
        Err(StoreError::Tampered { .. }) => None,
        Err(other) => return Err(other),
    };
    let expected = head.version(Some(version)).map(|version| version.hash);
    let Some(row) = row.filter(|row| Some(head::row_hash(place, version, row)) == expected) else {
        return Ok(None);
    };
    let opened = snapshot
        .kek(row.kek)
        .and_then(|kek| {
            seal::open_brief_key(&kek, &Subject::dek(store, name, number, row.kek), &row.dek)
        })
        .and_then(|dek| seal::open(&dek, &Subject::value(store, name, number), &row.value));
    opened.map(SecretValue::new).transpose()
}
