//! The one way in which anything is sealed: slots, KEKs, DEKs and values.
//!
//! ```text
//! aad           = frame("leyden", format, "HKDF-SHA256+AES-256-GCM", kind, store id, name, version, bound)
//! key ‖ commit  = HKDF-SHA256(ikm = parent key, no salt,
//!                             info = "leyden/1/seal/" ‖ kind ‖ salt ‖ SHA-256(aad))       32 + 32 bytes
//! ciphertext ‖ tag = AES-256-GCM(key, nonce, aad, plaintext)
//! sealed        = algorithm (1 byte, 1) ‖ salt (32) ‖ commit (32) ‖ nonce (12) ‖ ciphertext ‖ tag (16)
//! ```
//!
//! `frame` writes each field as its length in 8 bytes, big endian, and then the field; format and
//! version are 4 bytes, big endian. HKDF is RFC 5869, AES-GCM is NIST SP 800-38D with a random
//! 96-bit nonce; since the salt makes a key for every seal, no nonce is ever used twice with one.
//!
//! GCM commits to no key: one ciphertext can be made that opens under several, which would let
//! somebody who writes a slot test many passphrases at one try. `commit` comes from the same
//! derivation as the key, and is compared in constant time before anything is opened.

use aes_gcm::aead::AeadInOut;
use aes_gcm::{Aes256Gcm, KeyInit, Nonce, Tag};
use zeroize::Zeroizing;

use super::StoreError;
use super::keys::{KeyBox, KeyBytes, StoreId, frame, hash_of, random, same};
use super::sql::FORMAT;

const ALGORITHM: u8 = 1;
const ALGORITHM_NAME: &[u8] = b"HKDF-SHA256+AES-256-GCM";
const SALT: usize = 32;
const COMMIT: usize = 32;
const NONCE: usize = 12;
const TAG: usize = 16;

/// How many bytes longer than its content a seal is.
pub(super) const OVERHEAD: usize = 1 + SALT + COMMIT + NONCE + TAG;

/// What is sealed, and where it belongs: it opens nowhere else.
pub(super) struct Subject<'a> {
    kind: &'static str,
    store: &'a StoreId,
    name: &'a str,
    version: u32,
    bound: Vec<u8>,
}

impl<'a> Subject<'a> {
    /// The root key in the slot of this label; `public` is the slot's public part.
    pub(super) fn slot(store: &'a StoreId, label: &'a str, public: &str) -> Self {
        Self {
            kind: "slot",
            store,
            name: label,
            version: 0,
            bound: public.into(),
        }
    }

    /// A KEK.
    pub(super) fn kek(store: &'a StoreId, version: u32) -> Self {
        Self {
            kind: "kek",
            store,
            name: "",
            version,
            bound: Vec::new(),
        }
    }

    /// The DEK of a secret's version, under this KEK.
    pub(super) fn dek(store: &'a StoreId, secret: &'a str, version: u32, kek: u32) -> Self {
        Self {
            kind: "dek",
            store,
            name: secret,
            version,
            bound: kek.to_be_bytes().to_vec(),
        }
    }

    /// The value of a secret's version. It does not know the KEK, so that a rotation of KEKs never
    /// touches values.
    pub(super) fn value(store: &'a StoreId, secret: &'a str, version: u32) -> Self {
        Self {
            kind: "value",
            store,
            name: secret,
            version,
            bound: Vec::new(),
        }
    }

    /// The key of a run.
    pub(super) fn run(store: &'a StoreId, run: &'a str) -> Self {
        Self {
            kind: "run",
            store,
            name: run,
            version: 0,
            bound: Vec::new(),
        }
    }

    /// Something that belongs to a run: `what` it is, and which one of these.
    pub(super) fn payload(store: &'a StoreId, run: &'a str, what: &str, number: u64) -> Self {
        let mut bound = number.to_be_bytes().to_vec();
        bound.extend_from_slice(what.as_bytes());
        Self {
            kind: "payload",
            store,
            name: run,
            version: 0,
            bound,
        }
    }

    fn aad(&self) -> Vec<u8> {
        // Room for most names at once.
        let mut aad = Vec::with_capacity(256);
        let fields: [&[u8]; 8] = [
            b"leyden",
            &FORMAT.to_be_bytes(),
            ALGORITHM_NAME,
            self.kind.as_bytes(),
            self.store,
            self.name.as_bytes(),
            &self.version.to_be_bytes(),
            &self.bound,
        ];
        frame(&fields, |bytes| aad.extend_from_slice(bytes));
        aad
    }

    /// The cipher of one seal, and the commitment to its key.
    fn cipher(
        &self,
        parent: &KeyBytes,
        salt: &[u8],
        aad: &[u8],
    ) -> Option<(Aes256Gcm, Zeroizing<[u8; COMMIT]>)> {
        let mut derived = Zeroizing::new([0; 32 + COMMIT]);
        let info = [b"leyden/1/seal/", self.kind.as_bytes(), salt, &hash_of(aad)];
        let derived_it = parent.expand(&info, &mut *derived);
        let (key, commit) = derived.split_at(32);
        let cipher = Aes256Gcm::new_from_slice(key).ok().filter(|_| derived_it)?;
        Some((cipher, Zeroizing::new(commit.try_into().ok()?)))
    }
}

/// Seals the content under the parent key.
pub(super) fn seal(
    parent: &KeyBytes,
    subject: &Subject<'_>,
    content: &[u8],
) -> Result<Vec<u8>, StoreError> {
    let mut drawn = [0; SALT + NONCE];
    random(&mut drawn)?;
    let (mut salt, mut nonce) = ([0; SALT], [0; NONCE]);
    let (to_salt, to_nonce) = drawn.split_at(SALT);
    salt.copy_from_slice(to_salt);
    nonce.copy_from_slice(to_nonce);
    Ok(seal_with(parent, subject, content, &salt, &nonce))
}

/// [`seal`] with a salt and nonce that are given: for it, and for test vectors.
fn seal_with(
    parent: &KeyBytes,
    subject: &Subject<'_>,
    content: &[u8],
    salt: &[u8; SALT],
    nonce: &[u8; NONCE],
) -> Vec<u8> {
    let aad = subject.aad();
    // The whole capacity at once: a vector that grows would leave copies of the content behind.
    let mut sealed = Zeroizing::new(Vec::with_capacity(OVERHEAD + content.len()));
    if let Some((cipher, commit)) = subject.cipher(parent, salt, &aad) {
        sealed.push(ALGORITHM);
        sealed.extend_from_slice(salt);
        sealed.extend_from_slice(&*commit);
        sealed.extend_from_slice(nonce);
        let head = sealed.len();
        sealed.extend_from_slice(content);
        let body = sealed.get_mut(head..).unwrap_or_default();
        if let Ok(tag) = cipher.encrypt_inout_detached(&Nonce::from(*nonce), &aad, body.into()) {
            sealed.extend_from_slice(&tag);
            return std::mem::take(&mut *sealed);
        }
    }
    // Not reached: HKDF gives 64 bytes, and GCM takes 64 GiB.
    Vec::new()
}

/// Opens a sealed value. Nothing tells a wrong key from a damaged seal.
pub(super) fn open(parent: &KeyBytes, subject: &Subject<'_>, sealed: &[u8]) -> Option<Vec<u8>> {
    let mut content = Zeroizing::new(vec![0; sealed.len().checked_sub(OVERHEAD)?]);
    open_into(parent, subject, sealed, &mut content)?;
    Some(std::mem::take(&mut *content))
}

/// Opens a sealed key.
pub(super) fn open_key(parent: &KeyBytes, subject: &Subject<'_>, sealed: &[u8]) -> Option<KeyBox> {
    open_in(KeyBox::zeroed(), parent, subject, sealed)
}

/// Opens a sealed key that is dropped at once: a DEK, or a root key on its way to its place.
pub(super) fn open_brief_key(
    parent: &KeyBytes,
    subject: &Subject<'_>,
    sealed: &[u8],
) -> Option<KeyBox> {
    open_in(KeyBox::brief(), parent, subject, sealed)
}

fn open_in(
    mut key: KeyBox,
    parent: &KeyBytes,
    subject: &Subject<'_>,
    sealed: &[u8],
) -> Option<KeyBox> {
    open_into(parent, subject, sealed, key.expose_mut())?;
    Some(key)
}

/// Opens into a buffer of exactly the content's length.
fn open_into(
    parent: &KeyBytes,
    subject: &Subject<'_>,
    sealed: &[u8],
    content: &mut [u8],
) -> Option<()> {
    let (algorithm, rest) = sealed.split_first()?;
    let (salt, rest) = rest.split_at_checked(SALT)?;
    let (commit, rest) = rest.split_at_checked(COMMIT)?;
    let (nonce, rest) = rest.split_first_chunk::<NONCE>()?;
    let (ciphertext, tag) = rest.split_last_chunk::<TAG>()?;
    if *algorithm != ALGORITHM || ciphertext.len() != content.len() {
        return None;
    }
    let aad = subject.aad();
    let (cipher, expected) = subject.cipher(parent, salt, &aad)?;
    if !same(commit, &*expected) {
        return None;
    }
    content.copy_from_slice(ciphertext);
    let (nonce, tag) = (Nonce::from(*nonce), Tag::from(*tag));
    cipher
        .decrypt_inout_detached(&nonce, &aad, content.into(), &tag)
        .ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use data_encoding::HEXLOWER;

    const STORE: StoreId = *b"@ABCDEFGHIJKLMNO";

    fn parent() -> KeyBox {
        let mut parent = KeyBox::zeroed();
        for (at, byte) in parent.expose_mut().iter_mut().enumerate() {
            *byte = at as u8;
        }
        parent
    }

    /// Each subject with the commitment, ciphertext and tag of `hello`, as another implementation
    /// (Python's `cryptography`) computed them from the description above.
    fn vectors() -> [(Subject<'static>, &'static str, &'static str); 4] {
        [
            (
                Subject::value(&STORE, "my-secret", 7),
                "97239b6902c91a0935ae8763992baf5ab61df652f0fcd69bb96a3298d7e0f1ab",
                "17f771ecdbb6083e1fcbb72be0fc3f81c601037bc6",
            ),
            (
                Subject::dek(&STORE, "my-secret", 7, 3),
                "b44a743e0fe37a3af82f9a9b6812caf48dce014318041898f5d11912f1e256ca",
                "886f72b985fdfc84bb339165423ee80834892cf629",
            ),
            (
                Subject::kek(&STORE, 3),
                "66b660729bd0b17bdbfe73a11c09cfe7b5a58d8b43858700f37f83786c7e2e2e",
                "63a3f10013849feaab0d1054df8062105c30b0e0ed",
            ),
            (
                Subject::slot(&STORE, "key-file", "{}"),
                "4b9ff5ea7ead5b8d7a5eca814382c6229b3b79ff3b901e1dfd6c8f344cc562a4",
                "22214221413f10e8c875443f9f2f4155913bd09a12",
            ),
        ]
    }

    #[test]
    fn seals_are_as_documented() {
        for (subject, commit, ciphertext) in vectors() {
            let sealed = seal_with(&parent(), &subject, b"hello", &[0xa5; 32], &[0x5a; 12]);
            let expected = format!(
                "01{}{commit}{}{ciphertext}",
                "a5".repeat(32),
                "5a".repeat(12)
            );
            assert_eq!(HEXLOWER.encode(&sealed), expected, "{}", subject.kind);
            assert_eq!(sealed.len(), OVERHEAD + 5);
            assert_eq!(open(&parent(), &subject, &sealed).unwrap(), b"hello");
        }
    }

    #[test]
    fn a_seal_opens_only_whole_under_its_key_and_for_its_subject() {
        let subject = Subject::dek(&STORE, "my-secret", 7, 3);
        let sealed = seal(&parent(), &subject, &[1; 32]).unwrap();
        assert_eq!(
            open_key(&parent(), &subject, &sealed).unwrap().expose(),
            &[1; 32]
        );
        for at in 0..sealed.len() {
            for bit in 0..8 {
                let mut bad = sealed.clone();
                bad[at] ^= 1 << bit;
                assert!(open(&parent(), &subject, &bad).is_none());
            }
            assert!(open(&parent(), &subject, &sealed[..at]).is_none());
        }
        assert!(open(&parent(), &subject, &[&sealed[..], &[0]].concat()).is_none());
        assert!(open(&KeyBox::zeroed(), &subject, &sealed).is_none());
        for other in [
            Subject::dek(&STORE, "my-secret", 7, 4),
            Subject::dek(&STORE, "my-secret", 8, 3),
            Subject::dek(&STORE, "my-secres", 7, 3),
            Subject::dek(&[0; 16], "my-secret", 7, 3),
            Subject::value(&STORE, "my-secret", 7),
            Subject::kek(&STORE, 7),
        ] {
            assert!(open(&parent(), &other, &sealed).is_none());
        }
    }

    #[test]
    fn the_commitment_is_checked_and_not_the_tag_alone() {
        // Another commitment, with the ciphertext and tag as they were.
        let subject = Subject::kek(&STORE, 1);
        let mut sealed = seal(&parent(), &subject, &[1; 32]).unwrap();
        sealed[1 + SALT] ^= 1;
        assert!(open_key(&parent(), &subject, &sealed).is_none());
    }

    #[test]
    fn no_two_seals_are_alike() {
        let subject = Subject::kek(&STORE, 1);
        let one = seal(&parent(), &subject, &[1; 32]).unwrap();
        let two = seal(&parent(), &subject, &[1; 32]).unwrap();
        assert_ne!(one[1..33], two[1..33]);
        assert_ne!(one[33..], two[33..]);
    }
}
