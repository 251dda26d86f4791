//! The hash tree over the heads, stored node by node, so that one secret is checked by one path.
//!
//! A 16-ary radix tree. A secret's *place* is 32 bytes, read as 64 digits of 4 bits: HMAC-SHA-256
//! of its canonical name, so that places spread evenly and nobody can choose them. A leaf stands
//! at the shallowest node where no other leaf's place begins alike; so the set of leaves alone
//! decides the tree's shape. A node's path is the digits that lead to it, in lower-case hex; the
//! root's is empty. Its body is 16 entries, one a digit:
//!
//! ```text
//! nothing   0
//! a leaf    1 ‖ place (32) ‖ MAC of the head (32)
//! a node    2 ‖ hash of the node below (32)
//! ```
//!
//! A node's hash is SHA-256 over `frame("leyden/1/node", path, body)`; the root's stands, MACed, in
//! the store's header. An entry with nothing, or with another leaf, proves that there is no secret
//! at a place.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;

use super::StoreError;
use super::keys::{Hash, hash, same};
use super::sql::Tables;

const WIDTH: usize = 16;
const DIGITS: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Nothing,
    Leaf { place: Hash, mac: Hash },
    Node { hash: Hash },
}

#[derive(Debug, Clone)]
struct Node([Entry; WIDTH]);

impl Node {
    const EMPTY: Self = Self([Entry::Nothing; WIDTH]);

    fn body(&self) -> Vec<u8> {
        let mut body = Vec::new();
        for entry in &self.0 {
            match entry {
                Entry::Nothing => body.push(0),
                Entry::Leaf { place, mac } => {
                    body.push(1);
                    body.extend_from_slice(place);
                    body.extend_from_slice(mac);
                }
                Entry::Node { hash } => {
                    body.push(2);
                    body.extend_from_slice(hash);
                }
            }
        }
        body
    }

    fn parse(mut body: &[u8]) -> Option<Self> {
        let mut node = Self::EMPTY;
        for entry in &mut node.0 {
            let (kind, rest) = body.split_first()?;
            body = rest;
            let mut next = || {
                let (bytes, rest) = body.split_first_chunk::<32>()?;
                body = rest;
                Some(*bytes)
            };
            *entry = match kind {
                0 => Entry::Nothing,
                1 => Entry::Leaf {
                    place: next()?,
                    mac: next()?,
                },
                2 => Entry::Node { hash: next()? },
                _ => return None,
            };
        }
        body.is_empty().then_some(node)
    }

    /// Reads a node and checks it against the hash that leads to it.
    fn load(tables: &Tables<'_>, path: &str, expected: &Hash) -> Result<Self, StoreError> {
        let body = tables.node(path)?.unwrap_or_default();
        match Self::parse(&body) {
            Some(node) if same(&node_hash(path, &body), expected) => Ok(node),
            _ => {
                Err(tables.tampered("a node of the tree over the secrets is not what was written"))
            }
        }
    }

    /// Writes a node; returns its hash.
    fn store(&self, tables: &Tables<'_>, path: &str) -> Result<Hash, StoreError> {
        let body = self.body();
        tables.put_node(path, &body)?;
        Ok(node_hash(path, &body))
    }

    fn entry(&self, digit: usize) -> Entry {
        self.0.get(digit).copied().unwrap_or(Entry::Nothing)
    }

    fn set(&mut self, digit: usize, entry: Entry) {
        if let Some(slot) = self.0.get_mut(digit) {
            *slot = entry;
        }
    }
}

/// Nodes that were read and checked in one transaction, by the hash that leads to them: those near
/// the root are on the path of every secret.
#[derive(Default)]
pub(super) struct Known(RefCell<HashMap<Hash, Rc<Node>>>);

impl Known {
    fn load(&self, tables: &Tables<'_>, path: &str, hash: &Hash) -> Result<Rc<Node>, StoreError> {
        if let Some(node) = self.0.borrow().get(hash) {
            return Ok(Rc::clone(node));
        }
        let node = Rc::new(Node::load(tables, path, hash)?);
        self.0.borrow_mut().insert(*hash, Rc::clone(&node));
        Ok(node)
    }
}

fn node_hash(path: &str, body: &[u8]) -> Hash {
    hash(&[b"leyden/1/node", path.as_bytes(), body])
}

/// The digit of the place at this depth.
fn digit(place: &Hash, depth: usize) -> usize {
    let byte = place.get(depth / 2).copied().unwrap_or_default();
    usize::from(if depth.is_multiple_of(2) {
        byte >> 4
    } else {
        byte & 15
    })
}

fn below(path: &str, digit: usize) -> String {
    format!("{path}{digit:x}")
}

/// Makes the tree of no secrets; returns its root's hash.
pub(super) fn make(tables: &Tables<'_>) -> Result<Hash, StoreError> {
    Node::EMPTY.store(tables, "")
}

/// The MAC of the head at this place, or `None` if the tree proves that there is none.
pub(super) fn find(
    tables: &Tables<'_>,
    known: &Known,
    root: &Hash,
    place: &Hash,
) -> Result<Option<Hash>, StoreError> {
    let (mut path, mut expected) = (String::new(), *root);
    for depth in 0..DIGITS {
        let node = known.load(tables, &path, &expected)?;
        match node.entry(digit(place, depth)) {
            Entry::Leaf { place: found, mac } if found == *place => return Ok(Some(mac)),
            Entry::Nothing | Entry::Leaf { .. } => return Ok(None),
            Entry::Node { hash } => {
                path = below(&path, digit(place, depth));
                expected = hash;
            }
        }
    }
    Err(too_deep(tables))
}

/// Puts the MAC of a head at this place; returns the new root's hash.
pub(super) fn put(
    tables: &Tables<'_>,
    root: &Hash,
    place: &Hash,
    mac: &Hash,
) -> Result<Hash, StoreError> {
    put_below(tables, "", Some(root), place, mac, None)
}

/// [`put`] in the node at `path`, which has the hash `expected`, or is new and begins with
/// `moved`, a leaf that stood higher.
fn put_below(
    tables: &Tables<'_>,
    path: &str,
    expected: Option<&Hash>,
    place: &Hash,
    mac: &Hash,
    moved: Option<(Hash, Hash)>,
) -> Result<Hash, StoreError> {
    let depth = path.len();
    if depth >= DIGITS {
        return Err(too_deep(tables));
    }
    let mut node = match expected {
        Some(expected) => Node::load(tables, path, expected)?,
        None => Node::EMPTY,
    };
    if let Some((place, mac)) = moved {
        node.set(digit(&place, depth), Entry::Leaf { place, mac });
    }
    let digit = digit(place, depth);
    let leaf = Entry::Leaf {
        place: *place,
        mac: *mac,
    };
    let child = below(path, digit);
    let entry = match node.entry(digit) {
        Entry::Nothing => leaf,
        Entry::Leaf { place: found, .. } if found == *place => leaf,
        Entry::Leaf {
            place: other,
            mac: others,
        } => {
            let moved = Some((other, others));
            Entry::Node {
                hash: put_below(tables, &child, None, place, mac, moved)?,
            }
        }
        Entry::Node { hash } => Entry::Node {
            hash: put_below(tables, &child, Some(&hash), place, mac, None)?,
        },
    };
    node.set(digit, entry);
    node.store(tables, path)
}

/// Every leaf's place and MAC. Fails unless the nodes stored are exactly the tree's.
pub(super) fn leaves(tables: &Tables<'_>, root: &Hash) -> Result<BTreeMap<Hash, Hash>, StoreError> {
    let mut leaves = BTreeMap::new();
    let mut visited = 0;
    let mut waiting = vec![(String::new(), *root)];
    while let Some((path, expected)) = waiting.pop() {
        visited += 1;
        for (digit, entry) in Node::load(tables, &path, &expected)?
            .0
            .into_iter()
            .enumerate()
        {
            match entry {
                Entry::Nothing => {}
                Entry::Leaf { place, mac } => {
                    leaves.insert(place, mac);
                }
                Entry::Node { hash } => waiting.push((below(&path, digit), hash)),
            }
        }
    }
    match tables.node_count()? == visited {
        true => Ok(leaves),
        false => Err(tables.tampered("the tree over the secrets has nodes that belong nowhere")),
    }
}

fn too_deep(tables: &Tables<'_>) -> StoreError {
    tables.tampered("the tree over the secrets is deeper than it can be")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::*;

    fn database() -> Connection {
        let database = Connection::open_in_memory().unwrap();
        database
            .execute_batch("CREATE TABLE node (path TEXT PRIMARY KEY, body BLOB)")
            .unwrap();
        database
    }

    /// Places that begin alike for long, so that the tree is deep.
    fn place() -> impl Strategy<Value = Hash> {
        (0..64_usize, 0..16_u8).prop_map(|(same, last)| {
            let mut place = [0xab; 32];
            if let Some(byte) = place.get_mut(same / 2) {
                *byte = if same.is_multiple_of(2) {
                    last << 4
                } else {
                    0xa0 | last
                };
            }
            place
        })
    }

    proptest! {
        #[test]
        fn the_tree_holds_what_was_put_in_whatever_the_order(
            leaves_in in proptest::collection::vec((place(), any::<[u8; 32]>()), 0..20),
            absent in place(),
        ) {
            let (one, two) = (database(), database());
            let path = Path::new("");
            let (one, two) = (Tables { connection: &one, path }, Tables { connection: &two, path });
            let model: BTreeMap<Hash, Hash> = leaves_in.iter().copied().collect();
            let (mut root, known) = (make(&one).unwrap(), Known::default());
            for (place, mac) in &leaves_in {
                root = put(&one, &root, place, mac).unwrap();
            }
            prop_assert_eq!(&leaves(&one, &root).unwrap(), &model);
            for (place, mac) in &model {
                prop_assert_eq!(find(&one, &known, &root, place).unwrap(), Some(*mac));
            }
            prop_assert_eq!(find(&one, &known, &root, &absent).unwrap(), model.get(&absent).copied());
            // The shape is that of the set: not of the order, nor of what was there between.
            let mut other = make(&two).unwrap();
            for (place, mac) in model.iter().rev() {
                other = put(&two, &other, place, mac).unwrap();
            }
            prop_assert_eq!(root, other);
        }
    }

    #[test]
    fn a_node_is_read_back_as_it_was_written_and_nothing_else_is() {
        let mut node = Node::EMPTY;
        node.set(
            3,
            Entry::Leaf {
                place: [1; 32],
                mac: [2; 32],
            },
        );
        node.set(15, Entry::Node { hash: [3; 32] });
        let body = node.body();
        assert_eq!(body.len(), 14 + 65 + 33);
        assert_eq!(Node::parse(&body).unwrap().body(), body);
        for end in 0..body.len() {
            assert!(Node::parse(body.get(..end).unwrap()).is_none());
        }
        assert!(Node::parse(&[&body[..], &[0]].concat()).is_none());
        assert!(Node::parse(&[3; 16]).is_none());
    }
}
