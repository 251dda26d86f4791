//! Looking at the store: secrets, versions, audit log, and verifying all of it.

use jiff::Timestamp;

use crate::app::SecretName;

use super::chain::{self, Link};
use super::head::{self, Head};
use super::keys::Hash;
use super::snapshot::Snapshot;
use super::sql::{self, KekRow};
use super::{
    AuditFilter, AuditFound, AuditRecord, KekInfo, SecretInfo, SecretStore, SecretsFound,
    StoreError, Verified, VersionInfo,
};

impl SecretStore {
    /// All secrets, by name; deleted ones too, until they are destroyed.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] if any was changed, added or removed behind the store's back.
    pub fn list(&self) -> Result<Vec<SecretInfo>, StoreError> {
        self.read(|snapshot| Ok(infos(snapshot.heads()?)))
    }

    /// As [`list`](Self::list), but where secrets are damaged, the others are handed out all the
    /// same, beside the errors.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] if it cannot be told which of them are what was written.
    pub fn look(&self) -> Result<SecretsFound, StoreError> {
        self.read(|snapshot| {
            let (heads, damaged) = snapshot.look()?;
            let secrets = infos(heads);
            Ok(SecretsFound { secrets, damaged })
        })
    }

    /// One secret, if it is there; also if it was deleted. No other name is looked for.
    ///
    /// # Errors
    /// [`StoreError::Tampered`].
    pub fn find(&self, name: &SecretName) -> Result<Option<SecretInfo>, StoreError> {
        self.read(|snapshot| Ok(snapshot.find(name)?.1.map(Head::info)))
    }

    /// One secret; also if it was deleted.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], with the nearest name that there is.
    pub fn show(&self, name: &SecretName) -> Result<SecretInfo, StoreError> {
        self.read(|snapshot| match snapshot.find(name)? {
            (_, Some(head)) => Ok(head.info()),
            (_, None) => Err(snapshot.not_found(name)),
        })
    }

    /// One secret's versions, oldest first.
    ///
    /// # Errors
    /// As [`show`](Self::show).
    pub fn versions(&self, name: &SecretName) -> Result<Vec<VersionInfo>, StoreError> {
        Ok(self.show(name)?.versions)
    }

    /// The KEKs, oldest first.
    ///
    /// # Errors
    /// [`StoreError::Tampered`].
    pub fn keks(&self) -> Result<Vec<KekInfo>, StoreError> {
        self.read(|snapshot| {
            let newest = snapshot.newest_kek_version();
            let info = |kek: &KekRow| {
                Ok(KekInfo {
                    version: kek.version,
                    created: Timestamp::from_microsecond(kek.created).unwrap_or_default(),
                    uses: snapshot.tables.versions_under(kek.version)?,
                    current: kek.version == newest,
                })
            };
            snapshot.keks.iter().map(info).collect()
        })
    }

    /// The audit records that the filter wants, oldest first, each verified.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`].
    pub fn audit_list(&self, filter: &AuditFilter) -> Result<Vec<AuditRecord>, StoreError> {
        self.read_beside(|snapshot| {
            let end = snapshot.last_link();
            chain::list(&snapshot.tables, &snapshot.keys.audit, end, filter)
        })
    }

    /// As [`audit_list`](Self::audit_list), but where records are damaged, the others are handed out
    /// all the same, beside the error.
    ///
    /// # Errors
    /// [`StoreError::Tampered`].
    pub fn audit_look(&self, filter: &AuditFilter) -> Result<AuditFound, StoreError> {
        self.read_beside(|snapshot| {
            let end = snapshot.last_link();
            chain::look(&snapshot.tables, &snapshot.keys.audit, end, filter)
        })
    }

    /// Verifies the whole audit log, as far as it was not pruned, and begins to read it:
    /// [`audit_next`](Self::audit_next) goes on.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`] with the first record that is not what was written.
    pub fn audit_begin(&self) -> Result<AuditPlace, StoreError> {
        self.read_beside(|snapshot| {
            let (at, end) = verify_log(snapshot)?;
            Ok(AuditPlace { at, end })
        })
    }

    /// The records that the filter wants among the next thousand, oldest first, each verified to
    /// follow the one before; `None` where the log ended when its reading began. Nothing is held
    /// meanwhile.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`]: also where records that were not read yet have been pruned.
    pub fn audit_next(
        &self,
        place: &mut AuditPlace,
        filter: &AuditFilter,
    ) -> Result<Option<Vec<AuditRecord>>, StoreError> {
        if place.at == place.end {
            return Ok(None);
        }
        let (at, records) = self.read(|snapshot| {
            let (tables, key) = (&snapshot.tables, &snapshot.keys.audit);
            chain::read_on(tables, key, place.at, place.end, filter)
        })?;
        place.at = at;
        Ok(Some(records))
    }

    /// Verifies the whole audit log, as far as it was not pruned; returns how many records it has.
    ///
    /// # Errors
    /// [`StoreError::AuditBroken`] with the first record that is not what was written.
    pub fn audit_verify(&self) -> Result<u64, StoreError> {
        self.read_beside(|snapshot| {
            let (start, end) = verify_log(snapshot)?;
            Ok(end.sequence - start.sequence)
        })
    }

    /// Verifies every row of the store: key slots, KEKs, secrets, versions and audit log.
    ///
    /// # Errors
    /// [`StoreError::Tampered`] or [`StoreError::AuditBroken`].
    pub fn verify(&self) -> Result<Verified, StoreError> {
        // What keeps it from being written to is only seen where it may be.
        drop(sql::connect(&self.path, self.busy_timeout, false)?);
        self.read_beside(verify_all)
    }
}

/// How far the audit log was read, and where it ended when that began.
#[derive(Debug, Clone)]
pub struct AuditPlace {
    at: Link,
    end: Link,
}

/// What may be told of the secrets that are not destroyed.
fn infos(heads: Vec<(Hash, Head)>) -> Vec<SecretInfo> {
    let heads = heads.into_iter().map(|(_, head)| head);
    let there = heads.filter(|head| !head.is_destroyed());
    there.map(Head::info).collect()
}

/// Verifies every row.
pub(super) fn verify_all(snapshot: &Snapshot<'_>) -> Result<Verified, StoreError> {
    let tables = &snapshot.tables;
    let (start, end) = verify_log(snapshot)?;
    let heads = snapshot.heads()?;
    let mut versions = 0;
    for (place, head) in &heads {
        for version in &head.versions {
            let row = tables.version(place, version.version.get())?;
            let hash = row.map(|row| head::row_hash(place, version.version, &row));
            if hash != Some(version.hash) {
                let (version, name) = (version.version, &head.name);
                return Err(tables.tampered(format!(
                    "version {version} of the secret `{name}` is not what was written"
                )));
            }
            versions += 1;
        }
    }
    if tables.version_count()? != versions {
        return Err(tables.tampered("a version of a secret was inserted"));
    }
    let there = heads.iter().filter(|(_, head)| !head.is_destroyed());
    Ok(Verified {
        secrets: there.count() as u64,
        versions,
        audit_records: end.sequence - start.sequence,
        pruned_records: start.sequence,
    })
}

/// Verifies the whole audit log; returns where it begins and ends.
pub(super) fn verify_log(snapshot: &Snapshot<'_>) -> Result<(Link, Link), StoreError> {
    let end = snapshot.last_link();
    let start = chain::verify_whole(&snapshot.tables, &snapshot.keys.audit, end)?;
    Ok((start, end))
}
