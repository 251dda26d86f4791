//! Handing a value to the operator, who asked to see it.

use std::num::NonZeroU32;

use crate::app::SecretName;

use super::delete::record;
use super::edit::existing;
use super::release::open_value;
use super::{AuditEvent, SecretStore, SecretValue, StoreError};

impl SecretStore {
    /// A secret's value, of one version or the newest; handed out once the audit log says so.
    ///
    /// # Errors
    /// [`StoreError::NotFound`], [`StoreError::Deleted`], [`StoreError::NoSuchVersion`];
    /// [`StoreError::Tampered`] if what is stored is not what was written.
    pub fn reveal(
        &self,
        name: &SecretName,
        version: Option<NonZeroU32>,
    ) -> Result<SecretValue, StoreError> {
        self.write(|snapshot| {
            let (place, head) = existing(snapshot, name)?;
            let found = head.version(version).map(|version| version.version);
            let Some(found) = found else {
                return Err(StoreError::NoSuchVersion {
                    name: head.name.clone(),
                    version: version.unwrap_or(NonZeroU32::MIN),
                    available: head.numbers(),
                });
            };
            let value = open_value(snapshot, &place, &head, found)?.ok_or_else(|| {
                let name = &head.name;
                let what =
                    format!("version {found} of the secret `{name}` is not what was written");
                snapshot.tables.tampered(what)
            })?;
            record(snapshot, AuditEvent::Reveal, &head, Some(found))?;
            Ok(value)
        })
    }
}
