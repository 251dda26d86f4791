//! One transaction's view of the store: verified when it is loaded, MACed again when it is changed.
//!
//! The header's MAC is HMAC-SHA-256 over `frame("leyden/1/header", format, store id, created,
//! generation, audit sequence, audit MAC, tree root, slots, KEKs)`: numbers big endian, of 4 and 8
//! bytes; `slots` and `KEKs` are SHA-256 over all their rows. Through it, every row of every table
//! is covered.

use std::cell::RefCell;
use std::rc::Rc;

use serde::Serialize;

use crate::app::{SecretName, nearest};

use super::actor::{Actor, now};
use super::chain::{self, Link};
use super::head::{self, Body, Head};
use super::keys::{Hash, KeyBox, KeyBytes, StoreId, StoreKeys, hash, same};
use super::seal::{self, Subject};
use super::sql::{FORMAT, HeaderRow, KekRow, SlotRow, Tables};
use super::state::{Mark, Seen};
use super::trust::AppHead;
use super::{AuditEvent, AuditRecord, Grantee, StoreError, tree};

pub(super) struct Snapshot<'t> {
    pub(super) tables: Tables<'t>,
    pub(super) keys: &'t StoreKeys,
    pub(super) actor: &'t Actor,
    pub(super) slots: Vec<SlotRow>,
    pub(super) keks: Vec<KekRow>,
    /// The audit records that were added, as they are written.
    pub(super) recorded: Vec<String>,
    /// Whether all that is written is that something was refused.
    pub(super) refuses: bool,
    header: HeaderRow,
    known: tree::Known,
    /// The KEK that was opened last: what is bound at once is mostly under one.
    opened: RefCell<Option<(u32, Rc<KeyBox>)>>,
}

/// Heads that are what was written, each with its place; and what is wrong with the others.
pub(super) type Looked<T> = (Vec<(Hash, T)>, Vec<StoreError>);

/// What is told where the header's MAC does not fit.
pub(super) const HEADER_CHANGED: &str = "its header is not what was written";

impl<'t> Snapshot<'t> {
    /// Reads the header, the slots and the KEKs, and verifies them.
    pub(super) fn load(
        tables: Tables<'t>,
        keys: &'t StoreKeys,
        actor: &'t Actor,
    ) -> Result<Self, StoreError> {
        let (header, slots, keks) = (tables.header()?, tables.slots()?, tables.keks()?);
        if !same(&header.mac, &header_mac(&keys.header, &header)) {
            return Err(tables.tampered(HEADER_CHANGED));
        }
        if !same(&header.slots, &slots_hash(&slots)) {
            return Err(tables.tampered("its key slots are not what was written"));
        }
        if !same(&header.keks, &keks_hash(&keks)) {
            return Err(tables.tampered("its KEKs are not what was written"));
        }
        Ok(Self {
            tables,
            keys,
            actor,
            slots,
            keks,
            recorded: Vec::new(),
            refuses: false,
            known: tree::Known::default(),
            opened: RefCell::default(),
            header,
        })
    }

    /// The last link of the audit chain.
    pub(super) fn last_link(&self) -> Link {
        Link {
            sequence: self.header.audit_sequence,
            mac: self.header.audit_mac,
        }
    }

    /// How far the store has come.
    pub(super) fn mark(&self) -> Mark {
        Mark {
            generation: self.header.generation,
            link: self.last_link(),
        }
    }

    /// Refuses a store that is older than what was seen of it, or has parted from it.
    pub(super) fn check_seen(&self, seen: Option<Seen>) -> Result<(), StoreError> {
        let Some(Seen { latest, restoring }) = seen else {
            return Ok(());
        };
        match (self.check_mark(latest), restoring) {
            (Err(StoreError::RolledBack { .. }), Some(restored)) => self.check_mark(restored),
            (checked, _) => checked,
        }
    }

    fn check_mark(&self, seen: Mark) -> Result<(), StoreError> {
        let refuse = |what| {
            Err(StoreError::RolledBack {
                path: self.tables.path.to_owned(),
                what,
            })
        };
        let mark = self.mark();
        if mark.generation < seen.generation || mark.link.sequence < seen.link.sequence {
            let (is, was) = (mark.generation, seen.generation);
            return refuse(format!(
                "its generation is {is}, and generation {was} was seen"
            ));
        }
        if mark.link == seen.link {
            return Ok(());
        }
        // Of what was pruned after it was seen, the generation alone tells.
        let start = chain::start(&self.tables, &self.keys.audit)?;
        let from = match seen.link.sequence < start.sequence {
            true => start,
            false => seen.link,
        };
        match chain::verify(&self.tables, &self.keys.audit, from, mark.link) {
            Err(StoreError::AuditBroken { sequence, .. }) => refuse(format!(
                "from record {sequence}, its audit log does not follow from what was seen"
            )),
            result => result,
        }
    }

    /// Makes sure that the audit log's last record is what was written: nothing is appended to,
    /// and nothing released on, one that was changed.
    pub(super) fn check_end(&self) -> Result<(), StoreError> {
        chain::verify_end(&self.tables, &self.keys.audit, self.last_link())
    }

    /// The secret's place, and its head if there is such a secret: verified by its path in the tree.
    pub(super) fn find(&self, name: &SecretName) -> Result<(Hash, Option<Head>), StoreError> {
        let (place, head) = self.find_any(name)?;
        Ok((place, head.filter(|head| !head.is_destroyed())))
    }

    /// As [`find`](Self::find), also if the secret is destroyed.
    pub(super) fn find_any(&self, name: &SecretName) -> Result<(Hash, Option<Head>), StoreError> {
        let place = head::place(&self.keys.place, name.canonical());
        match self.body_at(&place)? {
            None => Ok((place, None)),
            Some(Body::Secret(head)) => Ok((place, Some(head))),
            Some(Body::App(_)) => Err(self.misplaced()),
        }
    }

    /// The app's place, and its head if anything was granted to it.
    pub(super) fn find_app(&self, app: &Grantee) -> Result<(Hash, Option<AppHead>), StoreError> {
        let place = head::app_place(&self.keys.place, app);
        match self.body_at(&place)? {
            None => Ok((place, None)),
            Some(Body::App(head)) => Ok((place, Some(head))),
            Some(Body::Secret(_)) => Err(self.misplaced()),
        }
    }

    /// The head at this place, if there is one: verified by its path in the tree.
    pub(super) fn body_at(&self, place: &Hash) -> Result<Option<Body>, StoreError> {
        let expected = tree::find(&self.tables, &self.known, &self.header.tree, place)?;
        match (expected, self.tables.head(place)?) {
            (None, None) => Ok(None),
            (Some(mac), Some(body)) => self.parse_body(place, &body, &mac).map(Some),
            (Some(_), None) => Err(self.tables.tampered("a secret was removed")),
            (None, Some(_)) => Err(self.tables.tampered("a secret was inserted")),
        }
    }

    /// Every secret's place and head, also of destroyed ones, by name. Fails unless they are exactly
    /// the tree's.
    pub(super) fn heads(&self) -> Result<Vec<(Hash, Head)>, StoreError> {
        self.look().and_then(all_whole)
    }

    /// As [`heads`](Self::heads), past what is not as it was written; and what is wrong with that.
    pub(super) fn look(&self) -> Result<Looked<Head>, StoreError> {
        let secret = |(place, body)| match body {
            Body::Secret(head) => Some((place, head)),
            Body::App(_) => None,
        };
        let (bodies, damaged) = self.look_at_bodies()?;
        let mut heads: Vec<_> = bodies.into_iter().filter_map(secret).collect();
        heads.sort_by(|(_, a), (_, b)| a.canonical.cmp(&b.canonical));
        Ok((heads, damaged))
    }

    /// Every head and its place. Fails unless they are exactly the tree's.
    pub(super) fn bodies(&self) -> Result<Vec<(Hash, Body)>, StoreError> {
        self.look_at_bodies().and_then(all_whole)
    }

    fn look_at_bodies(&self) -> Result<Looked<Body>, StoreError> {
        let mut expected = tree::leaves(&self.tables, &self.header.tree)?;
        let (mut bodies, mut damaged) = (Vec::new(), Vec::new());
        self.tables.each_head(|place, body| {
            let read = match expected.remove(&place) {
                Some(mac) => self.parse_body(&place, &body, &mac),
                None => Err(self.tables.tampered("a secret was inserted")),
            };
            match read {
                Ok(body) => bodies.push((place, body)),
                Err(error) => damaged.push(error),
            }
            Ok(())
        })?;
        if !expected.is_empty() {
            damaged.push(self.tables.tampered("a secret was removed"));
        }
        Ok((bodies, damaged))
    }

    fn parse_body(&self, place: &Hash, body: &str, expected: &Hash) -> Result<Body, StoreError> {
        if !same(expected, &head::mac(&self.keys.head, place, body)) {
            // Which one, only the head says.
            let name = match Body::parse(body) {
                Some(Body::Secret(head)) => head.canonical.parse::<SecretName>().ok(),
                Some(Body::App(_)) => {
                    let what = "what was granted to an app is not what was written";
                    return Err(self.tables.tampered(what));
                }
                None => None,
            };
            return Err(self.tables.tampered(match name {
                Some(name) => {
                    format!(
                        "the head of a secret, `{name}` by its own words, is not what was written"
                    )
                }
                None => "the head of a secret is not what was written".to_owned(),
            }));
        }
        Body::parse(body).ok_or_else(|| StoreError::NewerFeature {
            path: self.tables.path.to_owned(),
        })
    }

    fn misplaced(&self) -> StoreError {
        let what = "a head stands where another belongs";
        self.tables.tampered(what)
    }

    /// Writes a secret's head.
    pub(super) fn put_head(&mut self, place: &Hash, head: &Head) -> Result<(), StoreError> {
        self.put_body(place, head)
    }

    /// Writes an app's head.
    pub(super) fn put_app(&mut self, place: &Hash, head: &AppHead) -> Result<(), StoreError> {
        self.put_body(place, head)
    }

    fn put_body(&mut self, place: &Hash, body: &impl Serialize) -> Result<(), StoreError> {
        let body = serde_json::to_string(body).map_err(|error| StoreError::Database {
            path: self.tables.path.to_owned(),
            source: Box::new(error),
        })?;
        let mac = head::mac(&self.keys.head, place, &body);
        self.tables.put_head(place, &body)?;
        self.header.tree = tree::put(&self.tables, &self.header.tree, place, &mac)?;
        // Many writes in one transaction would fill it with nodes that were.
        self.known = tree::Known::default();
        Ok(())
    }

    /// The KEK that new versions are sealed under.
    pub(super) fn newest_kek(&self) -> Result<(u32, Rc<KeyBox>), StoreError> {
        let version = self.newest_kek_version();
        let kek = self.kek(version).map(|kek| (version, kek));
        kek.ok_or_else(|| self.tables.tampered("it has no KEK that opens"))
    }

    pub(super) fn newest_kek_version(&self) -> u32 {
        self.keks.iter().map(|row| row.version).max().unwrap_or(0)
    }

    /// The KEK of this version, if there is one and it opens.
    pub(super) fn kek(&self, version: u32) -> Option<Rc<KeyBox>> {
        if let Some((opened, kek)) = &*self.opened.borrow()
            && *opened == version
        {
            return Some(Rc::clone(kek));
        }
        let row = self.keks.iter().find(|row| row.version == version)?;
        let subject = Subject::kek(&self.header.store, version);
        let kek = Rc::new(seal::open_key(&self.keys.root, &subject, &row.sealed)?);
        self.opened.replace(Some((version, Rc::clone(&kek))));
        Some(kek)
    }

    pub(super) fn store_id(&self) -> &StoreId {
        &self.header.store
    }

    /// There is no such secret.
    pub(super) fn not_found(&self, name: &SecretName) -> StoreError {
        StoreError::NotFound {
            name: name.as_str().to_owned(),
            suggestion: self.suggest(name),
        }
    }

    /// The name of a secret that is nearest to this one.
    pub(super) fn suggest(&self, name: &SecretName) -> Option<String> {
        // A hint only: whatever is wrong with the others is told by what reads them.
        let (heads, _) = self.look().unwrap_or_default();
        let active = heads.iter().filter(|(_, head)| head.deleted.is_none());
        nearest(name.as_str(), active.map(|(_, head)| head.name.as_str())).map(str::to_owned)
    }

    /// Adds a slot; [`seal`](Self::seal) covers it.
    pub(super) fn add_slot(&mut self, slot: SlotRow) -> Result<(), StoreError> {
        self.tables.add_slot(&slot)?;
        self.slots.push(slot);
        self.slots.sort_by(|a, b| a.label.cmp(&b.label));
        Ok(())
    }

    /// Removes a slot; [`seal`](Self::seal) covers it.
    pub(super) fn remove_slot(&mut self, label: &str) -> Result<(), StoreError> {
        self.tables.remove_slot(label)?;
        self.slots.retain(|slot| slot.label != label);
        Ok(())
    }

    /// Seals a KEK as the one of this version; [`seal`](Self::seal) covers it.
    pub(super) fn put_kek(
        &mut self,
        version: u32,
        created: i64,
        kek: &KeyBytes,
    ) -> Result<(), StoreError> {
        let subject = Subject::kek(&self.header.store, version);
        let sealed = seal::seal(&self.keys.root, &subject, kek.expose())?;
        let row = KekRow {
            version,
            created,
            sealed,
        };
        self.tables.add_kek(&row)?;
        self.opened.take();
        self.keks.retain(|kek| kek.version != version);
        self.keks.push(row);
        self.keks.sort_by_key(|kek| kek.version);
        Ok(())
    }

    /// Removes a KEK; [`seal`](Self::seal) covers it.
    pub(super) fn remove_kek(&mut self, version: u32) -> Result<(), StoreError> {
        self.tables.remove_kek(version)?;
        self.opened.take();
        self.keks.retain(|kek| kek.version != version);
        Ok(())
    }

    /// Adds an audit record; [`seal`](Self::seal) covers it.
    pub(super) fn record(&mut self, mut record: AuditRecord) -> Result<(), StoreError> {
        self.record_one_of(&mut record)
    }

    /// The same of one of many that are much alike, each made of the one before.
    pub(super) fn record_one_of(&mut self, record: &mut AuditRecord) -> Result<(), StoreError> {
        let (link, body) = chain::append(&self.tables, &self.keys.audit, self.last_link(), record)?;
        self.continue_audit(link);
        self.recorded.push(body);
        Ok(())
    }

    /// Comes after this generation, too.
    pub(super) fn rebase(&mut self, generation: u64) {
        self.header.generation = self.header.generation.max(generation);
    }

    /// Makes the next generation of what was changed: the last thing before a commit.
    pub(super) fn seal(&mut self) -> Result<Mark, StoreError> {
        self.header.generation += 1;
        self.header.slots = slots_hash(&self.slots);
        self.header.keks = keks_hash(&self.keks);
        self.header.mac = header_mac(&self.keys.header, &self.header);
        self.tables.put_header(&self.header)?;
        Ok(self.mark())
    }

    /// One of generation 0, with nothing in it but the root of a tree.
    fn empty(
        tables: Tables<'t>,
        keys: &'t StoreKeys,
        actor: &'t Actor,
        store: StoreId,
        created: i64,
    ) -> Result<Self, StoreError> {
        let header = HeaderRow {
            store,
            created,
            generation: 0,
            audit_sequence: Link::START.sequence,
            audit_mac: Link::START.mac,
            tree: tree::make(&tables)?,
            slots: slots_hash(&[]),
            keks: keks_hash(&[]),
            mac: [0; 32],
        };
        Ok(Self {
            tables,
            keys,
            actor,
            slots: Vec::new(),
            keks: Vec::new(),
            recorded: Vec::new(),
            refuses: false,
            known: tree::Known::default(),
            opened: RefCell::default(),
            header,
        })
    }

    /// One under other keys, of this store and its generation, that has nothing in it yet: neither
    /// slots nor KEKs nor heads, and no audit log.
    pub(super) fn emptied(&self, keys: &'t StoreKeys) -> Result<Self, StoreError> {
        let tables = self.tables;
        tables.remove_nodes()?;
        for slot in &self.slots {
            tables.remove_slot(&slot.label)?;
        }
        for kek in &self.keks {
            tables.remove_kek(kek.version)?;
        }
        let header = &self.header;
        let mut emptied = Self::empty(tables, keys, self.actor, header.store, header.created)?;
        emptied.header.generation = header.generation;
        Ok(emptied)
    }

    /// Goes on after this link of the audit chain.
    pub(super) fn continue_audit(&mut self, link: Link) {
        (self.header.audit_sequence, self.header.audit_mac) = (link.sequence, link.mac);
    }

    /// Fills the tables of a new store, which has one KEK and one slot; what that recorded.
    pub(super) fn make(
        tables: Tables<'t>,
        keys: &'t StoreKeys,
        actor: &'t Actor,
        store: StoreId,
        slot: SlotRow,
    ) -> Result<Vec<String>, StoreError> {
        let created = now().as_microsecond();
        let mut snapshot = Self::empty(tables, keys, actor, store, created)?;
        let kek = KeyBox::random()?;
        snapshot.put_kek(1, created, &kek)?;
        snapshot.record(actor.record(AuditEvent::StoreCreated))?;
        let mut added = actor.record(AuditEvent::KeyAdded);
        added.slot = Some(slot.label.clone());
        snapshot.add_slot(slot)?;
        snapshot.record(added)?;
        snapshot.seal()?;
        Ok(snapshot.recorded)
    }
}

/// What was read, if nothing is wrong with the rest.
fn all_whole<T>((read, damaged): Looked<T>) -> Result<Vec<(Hash, T)>, StoreError> {
    damaged.into_iter().next().map_or(Ok(read), Err)
}

fn header_mac(key: &KeyBytes, header: &HeaderRow) -> Hash {
    key.mac(&[
        b"leyden/1/header",
        &FORMAT.to_be_bytes(),
        &header.store,
        &header.created.to_be_bytes(),
        &header.generation.to_be_bytes(),
        &header.audit_sequence.to_be_bytes(),
        &header.audit_mac,
        &header.tree,
        &header.slots,
        &header.keks,
    ])
}

pub(super) fn slots_hash(slots: &[SlotRow]) -> Hash {
    let mut fields: Vec<&[u8]> = vec![b"leyden/1/slots"];
    for slot in slots {
        fields.extend([
            slot.label.as_bytes(),
            slot.public.as_bytes(),
            &slot.sealed[..],
        ]);
    }
    hash(&fields)
}

fn keks_hash(keks: &[KekRow]) -> Hash {
    let rows: Vec<_> = keks
        .iter()
        .map(|kek| {
            hash(&[
                &kek.version.to_be_bytes(),
                &kek.created.to_be_bytes(),
                &kek.sealed,
            ])
        })
        .collect();
    let mut fields: Vec<&[u8]> = vec![b"leyden/1/keks"];
    fields.extend(rows.iter().map(|row| &row[..]));
    hash(&fields)
}
