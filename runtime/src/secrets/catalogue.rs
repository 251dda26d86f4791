//! Pages of the list of secrets: searched, sorted and cut without reading all heads each time.
//!
//! The names are kept in memory, as verified heads had them, up to a link of the audit chain. What
//! was changed since, by any process, stands behind that link: those records are verified, and the
//! heads that they name are read again. The secrets of a page are read from the store each time,
//! each verified by its path in the tree; whether one that should be there was left out is what
//! [`SecretStore::list`] and [`SecretStore::verify`] tell. Where any of it is damaged, nothing is
//! kept: all heads are read each time, and what is wrong is told beside the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use memchr::memmem::Finder;

use crate::app::SecretName;

use super::actor::now;
use super::chain::{self, Link};
use super::head::Head;
use super::snapshot::Snapshot;
use super::trust::whole_app;
use super::{AuditRecord, Grant, Grantee, HostGrant, SecretInfo, SecretStore, StoreError};

/// Beyond so many records since the last look, all heads are read again.
const MOST_CHANGES: u64 = 10_000;

/// Which secrets are wanted, in which order.
#[derive(Debug, Clone, Default)]
pub struct SecretQuery {
    /// Whose name has this in it; without regard to case.
    pub search: String,
    /// In which state; in any if none.
    pub show: Option<Shown>,
    /// In which order.
    pub order: SecretOrder,
    /// In the opposite order.
    pub descending: bool,
    /// How many are left out at the beginning.
    pub offset: usize,
    /// How many are wanted at most.
    pub limit: usize,
}

/// What a secret is, for whoever looks for one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    /// It can be bound: neither deleted, nor its newest version expired.
    Active,
    /// Its newest version has expired.
    Expired,
    /// It was deleted.
    Deleted,
}

/// What secrets are sorted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SecretOrder {
    /// The name, in lower case.
    #[default]
    Name,
    /// The last change.
    Updated,
}

/// A part of the list of secrets.
#[derive(Debug)]
#[non_exhaustive]
pub struct SecretPage {
    /// The secrets.
    pub secrets: Vec<SecretInfo>,
    /// How many there are that were wanted, on all pages.
    pub matching: usize,
    /// How many there are in the store.
    pub total: usize,
    /// What is wrong with secrets that are none of these: they are not what was written.
    pub damaged: Vec<StoreError>,
}

/// The standing grants to somebody.
#[derive(Debug)]
#[non_exhaustive]
pub struct GrantsFound {
    /// Each with the name of its secret.
    pub grants: Vec<(String, Grant)>,
    /// The same of secrets that were deleted: they count again once those are restored.
    pub of_deleted: Vec<(String, Grant)>,
    /// Those of hosts.
    pub hosts: Vec<HostGrant>,
    /// What is wrong with secrets that are not what was written: what they grant is not known, and
    /// nobody can bind them.
    pub damaged: Vec<StoreError>,
}

impl GrantsFound {
    /// Whether nothing was found, as far as everything is whole.
    pub fn is_empty(&self) -> bool {
        self.grants.is_empty() && self.of_deleted.is_empty() && self.hosts.is_empty()
    }
}

/// All names, up to a link of the audit chain.
pub(super) struct Catalogue {
    link: Link,
    entries: BTreeMap<Arc<str>, Entry>,
    by_change: BTreeMap<(Timestamp, Arc<str>), Entry>,
}

/// What can be searched and sorted.
#[derive(Clone)]
struct Entry {
    name: Arc<str>,
    updated: Timestamp,
    deleted: bool,
    expires: Option<Timestamp>,
    grantees: Arc<[Grantee]>,
}

impl SecretStore {
    /// A part of the list of secrets. The first call reads all heads, as [`look`](Self::look) does;
    /// later ones read those that were changed since, as the audit log tells, and those that are
    /// returned; all of them again where the log or any of these is damaged.
    ///
    /// # Errors
    /// As [`look`](Self::look).
    pub fn page(&self, query: &SecretQuery) -> Result<SecretPage, StoreError> {
        let found = self.with_catalogue(|snapshot, catalogue, _| {
            let (names, matching) = catalogue.find(query, now());
            let secrets = names.into_iter().map(|name| read(snapshot, name));
            let secrets = secrets.collect::<Result<_, _>>()?;
            Ok((secrets, matching, catalogue.entries.len()))
        });
        found.map(|((secrets, matching, total), damaged)| SecretPage {
            secrets,
            matching,
            total,
            damaged,
        })
    }

    /// The standing grants to this grantee.
    ///
    /// # Errors
    /// As [`page`](Self::page).
    pub fn grants_to(&self, to: &Grantee) -> Result<GrantsFound, StoreError> {
        let found = self.with_catalogue(|snapshot, catalogue, damaged| {
            let (mut grants, mut of_deleted) = (Vec::new(), Vec::new());
            let with = catalogue.entries.iter();
            for (name, entry) in with.filter(|(_, entry)| entry.grantees.contains(to)) {
                let secret = read(snapshot, name)?;
                let theirs = secret.grants.into_iter().filter(|grant| grant.to == *to);
                let theirs = theirs.map(|grant| (secret.name.clone(), grant));
                match entry.deleted {
                    false => grants.extend(theirs),
                    true => of_deleted.extend(theirs),
                }
            }
            let hosts = whole_app(snapshot, to, damaged)?.map(|(_, head)| head.hosts);
            Ok((grants, of_deleted, hosts.unwrap_or_default()))
        });
        found.map(|((grants, of_deleted, hosts), damaged)| GrantsFound {
            grants,
            of_deleted,
            hosts,
            damaged,
        })
    }

    /// Reads by the catalogue, as far as the store is what was written; and what is not, of which
    /// `read` is told, too.
    fn with_catalogue<T>(
        &self,
        read: impl Fn(&Snapshot<'_>, &Catalogue, &[StoreError]) -> Result<T, StoreError>,
    ) -> Result<(T, Vec<StoreError>), StoreError> {
        self.read(|snapshot| {
            let kept = self.catalogue.lock();
            let mut kept = kept.unwrap_or_else(PoisonError::into_inner);
            // What failed half-way is not kept. Whatever it was, reading all heads tells.
            let followed = kept.take().and_then(|kept| kept.follow(snapshot).ok()?);
            if let Some(catalogue) = followed
                && let Ok(found) = read(snapshot, &catalogue, &[])
            {
                *kept = Some(catalogue);
                return Ok((found, Vec::new()));
            }
            let (catalogue, damaged) = Catalogue::read(snapshot)?;
            let found = read(snapshot, &catalogue, &damaged)?;
            *kept = Some(catalogue).filter(|_| damaged.is_empty());
            Ok((found, damaged))
        })
    }
}

/// The secret of a name that the catalogue has.
fn read(snapshot: &Snapshot<'_>, name: &str) -> Result<SecretInfo, StoreError> {
    let removed = || snapshot.tables.tampered("a secret was removed");
    let found = snapshot.find(&parsed(snapshot, name)?)?.1;
    found.map(Head::info).ok_or_else(removed)
}

fn parsed(snapshot: &Snapshot<'_>, name: &str) -> Result<SecretName, StoreError> {
    name.parse()
        .map_err(|_| snapshot.tables.tampered("a secret has a name that is none"))
}

impl Catalogue {
    /// Reads all heads that are what was written; and what is wrong with the others.
    fn read(snapshot: &Snapshot<'_>) -> Result<(Self, Vec<StoreError>), StoreError> {
        let mut catalogue = Self {
            link: snapshot.last_link(),
            entries: BTreeMap::new(),
            by_change: BTreeMap::new(),
        };
        let (heads, damaged) = snapshot.look()?;
        for (_, head) in heads {
            catalogue.put(Some(head));
        }
        Ok((catalogue, damaged))
    }

    /// Takes in what was changed since; `None` where all heads are to be read again.
    fn follow(mut self, snapshot: &Snapshot<'_>) -> Result<Option<Self>, StoreError> {
        let (tables, key) = (&snapshot.tables, &snapshot.keys.audit);
        let end = snapshot.last_link();
        if self.link == end {
            return Ok(Some(self));
        }
        let passed = end.sequence.saturating_sub(self.link.sequence);
        if passed > MOST_CHANGES || chain::start(tables, key)?.sequence > self.link.sequence {
            return Ok(None);
        }
        let mut changed = BTreeSet::new();
        chain::walk(tables, key, self.link, end, |row| {
            let record: Option<AuditRecord> = serde_json::from_str(&row.body).ok();
            changed.extend(record.and_then(|record| record.secret));
        })?;
        for name in changed {
            let (_, head) = snapshot.find(&parsed(snapshot, &name)?)?;
            if let Some(old) = self.entries.remove(&*name) {
                self.by_change.remove(&(old.updated, old.name));
            }
            self.put(head);
        }
        self.link = end;
        Ok(Some(self))
    }

    fn put(&mut self, head: Option<Head>) {
        let Some(head) = head.filter(|head| !head.is_destroyed()) else {
            return;
        };
        let entry = Entry {
            name: head.canonical.into(),
            updated: head.updated,
            deleted: head.deleted.is_some(),
            expires: head.versions.last().and_then(|version| version.expires),
            grantees: head.grants.into_iter().map(|grant| grant.to).collect(),
        };
        let name = || Arc::clone(&entry.name);
        self.by_change
            .insert((entry.updated, name()), entry.clone());
        self.entries.insert(name(), entry);
    }

    /// The names of a page, and how many there are on all pages.
    fn find(&self, query: &SecretQuery, now: Timestamp) -> (Vec<&str>, usize) {
        match (query.order, query.descending) {
            (SecretOrder::Name, false) => self.pick(query, now, self.entries.values()),
            (SecretOrder::Name, true) => self.pick(query, now, self.entries.values().rev()),
            (SecretOrder::Updated, false) => self.pick(query, now, self.by_change.values()),
            (SecretOrder::Updated, true) => self.pick(query, now, self.by_change.values().rev()),
        }
    }

    fn pick<'c>(
        &self,
        query: &SecretQuery,
        now: Timestamp,
        ordered: impl Iterator<Item = &'c Entry>,
    ) -> (Vec<&'c str>, usize) {
        let page = query.offset..query.offset.saturating_add(query.limit);
        let name = |entry: &'c Entry| &*entry.name;
        if query.search.is_empty() && query.show.is_none() {
            let page = ordered.skip(page.start).take(query.limit);
            return (page.map(name).collect(), self.entries.len());
        }
        let search = query.search.to_ascii_lowercase();
        // Made once: that takes longer than searching a name.
        let search = Finder::new(&search);
        let wanted = |entry: &&Entry| {
            let named = search.find(entry.name.as_bytes()).is_some();
            named && query.show.is_none_or(|show| show == entry.shown(now))
        };
        let (mut names, mut matching) = (Vec::new(), 0);
        for entry in ordered.filter(wanted) {
            if page.contains(&matching) {
                names.push(name(entry));
            }
            matching += 1;
        }
        (names, matching)
    }
}

impl Entry {
    fn shown(&self, now: Timestamp) -> Shown {
        match self.expires {
            _ if self.deleted => Shown::Deleted,
            Some(expires) if expires <= now => Shown::Expired,
            _ => Shown::Active,
        }
    }
}
