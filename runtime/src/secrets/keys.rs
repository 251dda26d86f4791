//! Keys in memory, what is derived from the root key, and the keyed and unkeyed hashes.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::OnceLock;

use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;
use zeroize::Zeroize;

use super::StoreError;

/// What SHA-256 and HMAC-SHA-256 give.
pub(super) type Hash = [u8; 32];

/// A store's random identity, which every seal and hash of it is bound to.
pub(super) type StoreId = [u8; 16];

/// 32 bytes of key, wiped when dropped; lives on the heap only, so that moving its owner leaves no
/// copy.
#[derive(Default)]
pub(super) struct KeyBytes {
    bytes: [u8; 32],
    /// What is computed of the key alone, when it is first used: keys that stay are used often.
    mac: OnceLock<Hmac<Sha256>>,
    expand: OnceLock<Hkdf<Sha256>>,
}

impl KeyBytes {
    pub(super) fn expose(&self) -> &[u8; 32] {
        &self.bytes
    }

    pub(super) fn expose_mut(&mut self) -> &mut [u8; 32] {
        // Not taken, which would leave a copy: dropped, and so wiped, in place.
        (self.mac, self.expand) = (OnceLock::new(), OnceLock::new());
        &mut self.bytes
    }

    /// HKDF-SHA-256 (RFC 5869) without salt; `info` is the parts, one after the other. Returns
    /// whether it could: `out` must not be longer than 255 hashes.
    pub(super) fn expand(&self, info: &[&[u8]], out: &mut [u8]) -> bool {
        let extracted = self.expand.get_or_init(|| extract(&self.bytes));
        extracted.expand_multi_info(info, out).is_ok()
    }

    /// The key of one purpose in one store.
    fn derive(&self, purpose: &str, store: &StoreId, derived: &mut Self) {
        // Cannot fail: 32 bytes is one hash.
        self.expand(
            &[b"leyden/1/derive/", purpose.as_bytes(), store],
            derived.expose_mut(),
        );
    }

    /// HMAC-SHA-256 (RFC 2104) over the fields, framed.
    pub(super) fn mac(&self, fields: &[&[u8]]) -> Hash {
        let mut mac = self.mac.get_or_init(|| keyed(&self.bytes)).clone();
        frame(fields, |bytes| mac.update(bytes));
        mac.finalize().into_bytes().into()
    }
}

impl Drop for KeyBytes {
    fn drop(&mut self) {
        self.expose_mut().zeroize();
    }
}

/// Pages of their own for one or more keys, locked in memory where the operating system allows it
/// (`RLIMIT_MEMLOCK`), so that they are not swapped out: locks do not nest, and on a page that is
/// shared the first to go would unlock the others.
struct Locked<T: Default> {
    // Before the page: it is unlocked while it is still ours.
    _locked: Option<region::LockGuard>,
    page: Box<Page<T>>,
}

/// A page of x86-64 and most others; where pages are larger, locking is of a larger neighbourhood.
#[repr(align(4096))]
#[derive(Default)]
struct Page<T>(T);

impl<T: Default> Locked<T> {
    fn new() -> Self {
        let page = Box::<Page<T>>::default();
        Self {
            // Best effort: the limit may be low.
            _locked: region::lock(&raw const *page, size_of::<Page<T>>()).ok(),
            page,
        }
    }
}

impl<T: Default> Drop for Locked<T> {
    fn drop(&mut self) {
        // What is dropped, and so wiped, is still locked.
        self.page.0 = T::default();
    }
}

/// One key by itself.
pub(super) struct KeyBox(Place);

/// Where a key is.
enum Place {
    Locked(Locked<KeyBytes>),
    /// Any place: for microseconds, in which locking takes longer than what is done with the key.
    Brief(Box<KeyBytes>),
}

impl KeyBox {
    /// All zeros, to be filled in place.
    pub(super) fn zeroed() -> Self {
        Self(Place::Locked(Locked::new()))
    }

    /// All zeros, to be filled in place, used at once and dropped: not locked in memory.
    pub(super) fn brief() -> Self {
        Self(Place::Brief(Box::default()))
    }

    /// 32 bytes from the operating system.
    pub(super) fn random() -> Result<Self, StoreError> {
        let mut key = Self::zeroed();
        random(key.expose_mut())?;
        Ok(key)
    }
}

impl Deref for KeyBox {
    type Target = KeyBytes;

    fn deref(&self) -> &KeyBytes {
        match &self.0 {
            Place::Locked(locked) => &locked.page.0,
            Place::Brief(key) => key,
        }
    }
}

impl DerefMut for KeyBox {
    fn deref_mut(&mut self) -> &mut KeyBytes {
        match &mut self.0 {
            Place::Locked(locked) => &mut locked.page.0,
            Place::Brief(key) => key,
        }
    }
}

fn extract(key: &[u8; 32]) -> Hkdf<Sha256> {
    let (mut pseudo_random_key, hkdf) = Hkdf::<Sha256>::extract(None, key);
    pseudo_random_key.as_mut_slice().zeroize();
    hkdf
}

fn keyed(key: &[u8; 32]) -> Hmac<Sha256> {
    // Not `new_from_slice`, which is fallible: a key of exactly one hash always fits.
    let mut padded = hmac::digest::array::Array::default();
    if let Some(start) = padded.get_mut(..32) {
        start.copy_from_slice(key);
    }
    let mac = Hmac::<Sha256>::new(&padded);
    padded.as_mut_slice().zeroize();
    mac
}

impl fmt::Debug for KeyBox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyBox")
    }
}

/// The root key and what is derived from it, on pages of their own.
pub(super) struct StoreKeys(Locked<Keys>);

#[derive(Default)]
pub(super) struct Keys {
    /// Seals KEKs; is sealed in every slot.
    pub(super) root: KeyBytes,
    /// MACs the header row.
    pub(super) header: KeyBytes,
    /// MACs the heads.
    pub(super) head: KeyBytes,
    /// Turns a secret's canonical name into its place in the tree.
    pub(super) place: KeyBytes,
    /// Chains the audit records.
    pub(super) audit: KeyBytes,
    /// MACs the rollback record.
    pub(super) state: KeyBytes,
    /// Seals the keys of runs.
    pub(super) journal: KeyBytes,
}

impl StoreKeys {
    pub(super) fn new(from: KeyBox, store: &StoreId) -> Self {
        let mut keys = Locked::<Keys>::new();
        let Keys {
            root,
            header,
            head,
            place,
            audit,
            state,
            journal,
        } = &mut keys.page.0;
        root.expose_mut().copy_from_slice(from.expose());
        drop(from);
        for (purpose, key) in [
            ("header", header),
            ("head", head),
            ("place", place),
            ("audit", audit),
            ("state", state),
            ("journal", journal),
        ] {
            root.derive(purpose, store, key);
        }
        Self(keys)
    }
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StoreKeys")
    }
}

impl Deref for StoreKeys {
    type Target = Keys;

    fn deref(&self) -> &Keys {
        &self.0.page.0
    }
}

/// Feeds the fields so that no two different lists give the same bytes: each is its length in 8
/// bytes, big endian, and then itself.
pub(super) fn frame(fields: &[&[u8]], mut feed: impl FnMut(&[u8])) {
    for field in fields {
        feed(&(field.len() as u64).to_be_bytes());
        feed(field);
    }
}

/// SHA-256 over the fields, framed.
pub(super) fn hash(fields: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    frame(fields, |bytes| hash.update(bytes));
    hash.finalize().into()
}

/// SHA-256 of exactly these bytes.
pub(super) fn hash_of(bytes: &[u8]) -> Hash {
    Sha256::digest(bytes).into()
}

/// Compares in constant time.
pub(super) fn same(a: &[u8], b: &[u8]) -> bool {
    a.ct_eq(b).into()
}

/// Fills the buffer from the operating system's generator.
pub(super) fn random(buffer: &mut [u8]) -> Result<(), StoreError> {
    getrandom::fill(buffer).map_err(|error| StoreError::Random {
        reason: error.to_string(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn derived_keys_and_macs_are_as_documented() {
        // As another implementation (Python's `cryptography` and `hmac`) computed them.
        let mut root = KeyBox::zeroed();
        (0..32)
            .zip(root.expose_mut())
            .for_each(|(at, byte)| *byte = at);
        let keys = StoreKeys::new(root, b"@ABCDEFGHIJKLMNO");
        let hex = |bytes: &[u8]| data_encoding::HEXLOWER.encode(bytes);
        assert_eq!(
            hex(keys.audit.expose()),
            "378b9df32c1113f52cf75806ef322d3581ead5ea8ce8283b6a3e6cc6bfa478e8"
        );
        assert_eq!(
            hex(&keys.audit.mac(&[b"a", b"bc"])),
            "a0fab39eea37d4274cff26fa733bee937d1c5019594b37697b27d82f493d0530"
        );
    }

    #[test]
    fn framing_tells_lists_apart() {
        assert_ne!(hash(&[b"ab", b"c"]), hash(&[b"a", b"bc"]));
        assert_ne!(hash(&[b"ab"]), hash(&[b"ab", b""]));
    }

    #[test]
    fn each_purpose_and_each_store_has_its_own_keys() {
        let root = KeyBox::zeroed();
        let keys = StoreKeys::new(KeyBox::zeroed(), &[1; 16]);
        let other = StoreKeys::new(KeyBox::zeroed(), &[2; 16]);
        let mut all = vec![*root.expose()];
        for keys in [&keys, &other] {
            for key in [
                &keys.header,
                &keys.head,
                &keys.place,
                &keys.audit,
                &keys.state,
            ] {
                all.push(*key.expose());
            }
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
