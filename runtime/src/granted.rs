//! What an app may have: what its operator bound, and what the store grants it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::Error;
use crate::app::{App, AppError, Plan, Request};
use crate::secrets::{AppIdentity, Coverage, Grantee, NewTrust, SecretStore};

/// What the Flow is called in the audit log.
pub(crate) const FLOW: &str = "flow";

impl App {
    /// Who sees what, where requests of the manifest count as covered, too, that this store grants
    /// the app's digest or folder. The store is asked for nothing where the operator covers all.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan), and the store's.
    pub fn plan_granted(&self, store: Option<&SecretStore>) -> Result<Plan, Error> {
        match (self.plan(), store) {
            (Err(AppError::Uncovered { .. }), Some(store)) => {
                let coverage = self.coverage(store)?;
                let granted = coverage.into_iter().filter(|(_, found)| found.is_granted());
                let granted: BTreeSet<Request> = granted.map(|(request, _)| request).collect();
                Ok(self.plan_with(|request| granted.contains(request))?)
            }
            (plan, _) => Ok(plan?),
        }
    }

    /// All that the app's manifest asks for, and whether this store grants it.
    ///
    /// # Errors
    ///
    /// Where a component cannot be read, and the store's.
    pub fn coverage(&self, store: &SecretStore) -> Result<Vec<(Request, Coverage)>, Error> {
        let requests = self.manifest().requests();
        let app = AppIdentity {
            digest: self.digest()?,
            folder: self.folder(),
        };
        let coverage = store.coverage(&app, &requests)?;
        Ok(requests.into_iter().zip(coverage).collect())
    }

    /// Grants all that the app's manifest asks for, to its digest or its folder: all of it or
    /// nothing.
    ///
    /// # Errors
    ///
    /// Where a component cannot be read, and those of [`SecretStore::trust`].
    pub fn trust(
        &self,
        store: &SecretStore,
        to: &Grantee,
        expires: Option<Timestamp>,
    ) -> Result<(), Error> {
        let app = AppIdentity {
            digest: self.digest()?,
            folder: self.folder(),
        };
        Ok(store.trust(&NewTrust {
            app,
            to,
            name: self.display_name(),
            components: self.component_digests()?,
            requests: &self.manifest().requests(),
            expires,
        })?)
    }

    /// The digest of each component: of the Flow as `flow`, of a Work by its name.
    ///
    /// # Errors
    ///
    /// Where a component cannot be read.
    pub fn component_digests(&self) -> Result<BTreeMap<String, String>, Error> {
        let components = self.components();
        let digest = |(name, source): (Option<_>, &crate::app::ComponentSource)| {
            let name = name.map_or_else(|| FLOW.to_owned(), ToString::to_string);
            Ok((name, source.digest()?.to_string()))
        };
        components.map(digest).collect()
    }
}
