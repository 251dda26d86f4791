//! What an app may have: what its operator bound, and what the store grants it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::Error;
use crate::app::{
    App, AppError, Ask, Authority, Digest, Plan, Request, SecretBinding, SecretName, SecretRef,
    Uncovered, WorkName, shell_word,
};
use crate::secrets::{
    AppIdentity, Coverage, Grantee, NewGrant, NewTrust, RefusalReason, ReleaseRequest, SecretStore,
    SeenApp, Wanted,
};

/// What the Flow is called in the audit log.
pub(crate) const FLOW: &str = "flow";

impl App {
    /// Who sees what, where requests of the manifest count as covered, too, that this store grants
    /// the app's digest or folder. The store is asked for nothing where the operator covers all; of
    /// what it does not grant, its audit log says that it was asked for.
    ///
    /// # Errors
    ///
    /// Those of [`plan`](Self::plan), and the store's.
    pub fn plan_granted(&self, store: Option<&SecretStore>) -> Result<Plan, Error> {
        match (self.plan(), store) {
            (Err(AppError::Uncovered { .. }), Some(store)) => {
                let coverage = self.coverage(store)?;
                let granted = coverage.iter().filter(|(_, found)| found.is_granted());
                let granted: BTreeSet<&Request> = granted.map(|(request, _)| request).collect();
                let mut plan = self.plan_with(|request| granted.contains(request));
                if let Err(AppError::Uncovered {
                    app,
                    requests,
                    grantable,
                    ..
                }) = &mut plan
                {
                    *grantable = self.explain(requests, &coverage);
                    // The refusal stands, whether or not that can be written.
                    let _ = self.record_refusal(store, app, requests, &coverage);
                }
                Ok(plan?)
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

    /// Says of requests why the store does not grant them, and what would help; whether grants would.
    fn explain(&self, requests: &mut [Uncovered], coverage: &[(Request, Coverage)]) -> bool {
        let mut grantable = true;
        let path = self.folder().map(|folder| folder.display().to_string());
        let path = path.map_or_else(|| "APP".into(), |path| shell_word(&path));
        for request in requests {
            let Some(Coverage::Refused(reason)) = found(coverage, &request.ask, request.by.first())
            else {
                continue;
            };
            grantable &= reason.is_mended_by_a_grant();
            if *reason != RefusalReason::NotGranted {
                request.why = Some(reason.to_string());
            }
            let Ask::Secret(SecretBinding { env, secret }) = &request.ask else {
                continue;
            };
            let name = &secret.name;
            let command = match reason {
                RefusalReason::Restricted { .. } => {
                    format!("leyden secret grant {name} --app {path} --env {env}")
                }
                RefusalReason::Deleted => format!("leyden secret restore {name}"),
                RefusalReason::NotFound { .. } => format!("leyden secret create {name}"),
                RefusalReason::Expired { version, .. } if secret.version.is_some() => {
                    format!("leyden secret expire {name}@{version} --never")
                }
                RefusalReason::Expired { .. } => format!("leyden secret set {name}"),
                RefusalReason::NoSuchVersion { .. } => {
                    let newest = SecretRef {
                        version: None,
                        ..secret.clone()
                    };
                    format!("--secret {env}={newest}")
                }
                _ => continue,
            };
            request.options = vec![command];
        }
        grantable
    }

    /// Writes to the audit log which secrets were asked for in vain.
    fn record_refusal(
        &self,
        store: &SecretStore,
        name: &str,
        requests: &[Uncovered],
        coverage: &[(Request, Coverage)],
    ) -> Result<(), Error> {
        let app_digest = self.digest()?;
        let mut denied = Vec::new();
        for request in requests {
            let Ask::Secret(SecretBinding { env, secret }) = &request.ask else {
                continue;
            };
            for by in &request.by {
                let reason = match found(coverage, &request.ask, Some(by)) {
                    Some(Coverage::Refused(reason)) => reason.clone(),
                    _ => RefusalReason::NotGranted,
                };
                let component = self.components().find(|(work, _)| *work == by.as_ref());
                let Some((work, source)) = component else {
                    continue;
                };
                let wanted = Wanted {
                    component: work.map_or_else(|| FLOW.to_owned(), ToString::to_string),
                    component_digest: source.digest()?,
                    env: env.clone(),
                    secret: secret.clone(),
                    by: Authority::Grant,
                };
                denied.push((wanted, reason));
            }
        }
        let request = ReleaseRequest {
            app_name: name,
            app_digest,
            app_folder: self.folder(),
            wanted: &[],
        };
        Ok(store.record_refusal(&request, &denied)?)
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
        Ok(store.trust(&NewTrust {
            seen: self.seen()?,
            to,
            name: self.display_name(),
            expires,
        })?)
    }

    /// Grants a secret to the app, or to its folder, so that what changes in it from then on can be
    /// told.
    ///
    /// # Errors
    ///
    /// Where a component cannot be read, and those of [`SecretStore::grant_to`].
    pub fn grant(
        &self,
        store: &SecretStore,
        name: &SecretName,
        new: &NewGrant,
    ) -> Result<(), Error> {
        Ok(store.grant_to(&self.seen()?, name, new)?)
    }

    fn seen(&self) -> Result<SeenApp<'_>, Error> {
        Ok(SeenApp {
            app: AppIdentity {
                digest: self.digest()?,
                folder: self.folder(),
            },
            components: self.component_digests()?,
            requests: self.manifest().requests(),
        })
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

    /// What its digest would be with components of these digests, named as by
    /// [`component_digests`](Self::component_digests); `None` where they are not those of its
    /// components.
    pub fn digest_with(&self, components: &BTreeMap<String, String>) -> Option<Digest> {
        let digest = |name: &str| components.get(name)?.parse().ok();
        let works = self.components().filter_map(|(name, _)| name);
        let works: Vec<_> = works
            .map(|name| digest(name.as_str()))
            .collect::<Option<_>>()?;
        let flow = digest(FLOW)?;
        (works.len() + 1 == components.len()).then(|| self.digest_of(flow, works.into_iter()))
    }
}

/// Whether what a component asks for is granted.
fn found<'c>(
    coverage: &'c [(Request, Coverage)],
    ask: &Ask,
    by: Option<&Option<WorkName>>,
) -> Option<&'c Coverage> {
    let same = |request: &Request| request.ask == *ask && Some(&request.work) == by;
    coverage
        .iter()
        .find_map(|(request, coverage)| same(request).then_some(coverage))
}
