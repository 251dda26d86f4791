//! What opens a store: a random key, which a file or something else holds, a passphrase, or a
//! recovery code.
//!
//! A key file is one line of text: `leyden-key-1-` and then 58 characters of base32 (RFC 4648,
//! section 6, without padding; case does not matter) for 36 bytes: the 32 random bytes of the key,
//! and the first 4 bytes of SHA-256 over the framed fields `leyden/1/key-file` and the key. They
//! catch a typing error when it is copied from paper. White space around the line is ignored.

use std::fmt;
use std::io::Write;
use std::path::Path;

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::keys::{KeyBox, KeyBytes, hash, same};
use super::{KeyFileProblem, StoreError, files, recovery};

const PREFIX: &str = "leyden-key-1-";
const ANY_PREFIX: &str = "leyden-key-";
const CHECKSUM: usize = 4;
/// A key file is 71 bytes and a line end.
const MAX_KEY_FILE_BYTES: usize = 1024;
const MAX_PASSPHRASE_BYTES: usize = 64 * 1024;

/// What opens a slot of a store: 32 random bytes, a passphrase, or a recovery code.
///
/// It is wiped when dropped, and its `Debug` tells its kind alone.
pub struct Key(pub(super) Credential);

pub(super) enum Credential {
    Random(KeyBox, Holder),
    Passphrase(Zeroizing<String>),
    /// What the code stands for.
    Recovery(KeyBox),
}

/// What holds a random key: a slot says it, so that people know what opens it. Whoever has the key
/// opens the slot, wherever it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// A key file.
    File,
    /// A command that prints it: of a key management service, of a hardware token.
    Command,
    /// The operating system's keyring.
    Keyring,
}

impl Key {
    /// Reads a key file, or a key from an inherited descriptor: `/dev/fd/N`, `/proc/self/fd/N` or
    /// `/dev/stdin`, which may be pipes. The file may hold a recovery code instead.
    ///
    /// # Errors
    /// [`StoreError::MissingKey`] if there is no file; [`StoreError::KeyFile`] if it holds no key;
    /// [`StoreError::Permission`] if it is a symbolic link or no regular file, or others may read
    /// it, or it belongs to somebody else (who opened a descriptor answers for it: none of this is
    /// asked of one).
    pub fn from_file(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let text = files::read_opener(path, MAX_KEY_FILE_BYTES)?.ok_or_else(|| {
            StoreError::MissingKey {
                path: path.to_owned(),
            }
        })?;
        Self::from_text(&text).map_err(|problem| StoreError::KeyFile {
            path: path.to_owned(),
            problem,
        })
    }

    /// Reads the text of a key file, or a recovery code, that came from somewhere else: a key
    /// management service, a hardware token, another program.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn from_text(text: &[u8]) -> Result<Self, KeyFileProblem> {
        match recovery::is_one(text) {
            true => recovery::parse(text).map(|key| Self(Credential::Recovery(key))),
            false => parse(text).map(|key| Self(Credential::Random(key, Holder::File))),
        }
    }

    /// What somebody typed: a recovery code if it begins like one, otherwise a passphrase.
    ///
    /// # Errors
    /// [`StoreError::RecoveryCode`] if it is a recovery code with a typing error.
    pub fn from_typed(typed: Zeroizing<String>) -> Result<Self, StoreError> {
        match recovery::is_one(typed.as_bytes()) {
            true => recovery::parse(typed.as_bytes())
                .map(|key| Self(Credential::Recovery(key)))
                .map_err(|problem| StoreError::RecoveryCode { problem }),
            false => Ok(Self::from_passphrase(typed)),
        }
    }

    /// Reads a passphrase, in UTF-8 and at most 64 KiB, from a file or an inherited descriptor, as
    /// [`from_file`](Self::from_file) does. One line end at its end is dropped: editors and `echo`
    /// add it, and nobody can type it into a prompt.
    ///
    /// # Errors
    /// [`StoreError::PassphraseFile`] if there is no file or no passphrase in it;
    /// [`StoreError::Permission`] as for a key file.
    pub fn from_passphrase_file(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        let path = path.as_ref();
        let refuse = |problem| StoreError::PassphraseFile {
            path: path.to_owned(),
            problem,
        };
        let bytes = files::read_opener(path, MAX_PASSPHRASE_BYTES)?
            .ok_or_else(|| refuse("is not there"))?;
        if bytes.len() > MAX_PASSPHRASE_BYTES {
            return Err(refuse("is longer than 64 KiB"));
        }
        let text = std::str::from_utf8(&bytes).map_err(|_| refuse("is not UTF-8"))?;
        let text = text
            .strip_suffix('\n')
            .map_or(text, |text| text.strip_suffix('\r').unwrap_or(text));
        if text.is_empty() {
            return Err(refuse("is empty"));
        }
        Ok(Self::from_passphrase(Zeroizing::new(text.to_owned())))
    }

    /// A passphrase, taken as it is: no character is changed or removed.
    pub fn from_passphrase(passphrase: Zeroizing<String>) -> Self {
        Self(Credential::Passphrase(passphrase))
    }

    /// Whether it is a passphrase that whoever has a copy of the store may guess: of less than 12
    /// characters.
    pub fn is_short_passphrase(&self) -> bool {
        const LEAST: usize = 12;
        match &self.0 {
            Credential::Passphrase(text) => text.chars().nth(LEAST - 1).is_none(),
            _ => false,
        }
    }

    /// A new random key, for a key file until [`held_by`](Self::held_by) says something else.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn generate() -> Result<Self, StoreError> {
        Ok(Self(Credential::Random(KeyBox::random()?, Holder::File)))
    }

    /// Says what holds this key, for a slot that is made with it. A passphrase or a recovery code
    /// stays what it is.
    #[must_use]
    pub fn held_by(mut self, holder: Holder) -> Self {
        if let Credential::Random(_, held) = &mut self.0 {
            *held = holder;
        }
        self
    }

    /// A new random recovery code, and its text, to be written on paper: it is kept nowhere else.
    ///
    /// # Errors
    /// [`StoreError::Random`].
    pub fn generate_recovery() -> Result<(Self, Zeroizing<String>), StoreError> {
        let (key, code) = recovery::generate()?;
        Ok((Self(Credential::Recovery(key)), code))
    }

    /// Writes the key to a new file of mode 0600; it is on disk when this returns. The file
    /// appears whole or not at all, and never replaces another. The folder is made, for the user
    /// alone, if there is none.
    ///
    /// # Errors
    /// [`StoreError::Io`], also if there is a file; [`StoreError::Slot`] for a passphrase or a
    /// recovery code.
    pub fn write_new(&self, path: impl AsRef<Path>) -> Result<(), StoreError> {
        let path = path.as_ref();
        let text = self.to_text().ok_or_else(no_key_file)?;
        let folder = files::parent(path);
        files::make_folder(folder)?;
        let failed = |source| files::io("write the key file", path)(source);
        let file = files::private_temp(folder).map_err(failed)?;
        // Not by the temporary file's own `Write`, whose errors name it.
        let written = file.as_file().write_all(text.as_bytes());
        written.map_err(failed)?;
        file.as_file().sync_all().map_err(failed)?;
        files::give_new_name(file, path, "write the key file")?;
        files::sync_folder(folder)
    }

    /// The key file's line, with its line end; `None` for anything else.
    pub fn to_text(&self) -> Option<Zeroizing<String>> {
        let Credential::Random(key, _) = &self.0 else {
            return None;
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 + CHECKSUM));
        bytes.extend_from_slice(key.expose());
        bytes.extend_from_slice(&checksum(key));
        let length = PREFIX.len() + BASE32_NOPAD.encode_len(bytes.len()) + 1;
        let mut text = Zeroizing::new(String::with_capacity(length));
        text.push_str(PREFIX);
        BASE32_NOPAD.encode_append(&bytes, &mut text);
        text.push('\n');
        text.make_ascii_lowercase();
        Some(text)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Credential::Random(..) => "Key::Random",
            Credential::Passphrase(_) => "Key::Passphrase",
            Credential::Recovery(_) => "Key::Recovery",
        })
    }
}

pub(super) fn no_key_file() -> StoreError {
    StoreError::Slot {
        label: "passphrase".to_owned(),
        problem: "a passphrase or a recovery code has no key file",
    }
}

fn parse(text: &[u8]) -> Result<KeyBox, KeyFileProblem> {
    let text = text.trim_ascii();
    if text.is_empty() {
        return Err(KeyFileProblem::Empty);
    }
    let prefixed = |prefix: &str| {
        let (start, rest) = text.split_at_checked(prefix.len())?;
        start
            .eq_ignore_ascii_case(prefix.as_bytes())
            .then_some(rest)
    };
    let encoded = match (prefixed(PREFIX), prefixed(ANY_PREFIX)) {
        (Some(rest), _) => rest,
        (None, Some(_)) => return Err(KeyFileProblem::Version),
        (None, None) => return Err(KeyFileProblem::NotAKey),
    };
    let mut upper = Zeroizing::new(encoded.to_vec());
    upper.make_ascii_uppercase();
    let mut bytes = Zeroizing::new([0; 32 + CHECKSUM]);
    let fits = BASE32_NOPAD.decode_len(upper.len()) == Ok(bytes.len());
    if !fits || BASE32_NOPAD.decode_mut(&upper, &mut *bytes).is_err() {
        return Err(KeyFileProblem::Checksum);
    }
    let (key_part, sum) = bytes.split_at(32);
    let mut key = KeyBox::zeroed();
    key.expose_mut().copy_from_slice(key_part);
    match same(sum, &checksum(&key)) {
        true => Ok(key),
        false => Err(KeyFileProblem::Checksum),
    }
}

fn checksum(key: &KeyBytes) -> [u8; CHECKSUM] {
    let [a, b, c, d, ..] = hash(&[b"leyden/1/key-file", key.expose()]);
    [a, b, c, d]
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The bytes 0 to 31, as another implementation wrote them from the description above.
    const LINE: &str = "leyden-key-1-aaaqeayeaudaocajbifqydiob4ibceqtcqkrmfyydenbwha5dyp2ylg2te";

    #[test]
    fn key_files_are_as_documented() {
        let key = parse(LINE.as_bytes()).unwrap();
        assert!(key.expose().iter().copied().eq(0..32));
        assert_eq!(
            *Key(Credential::Random(key, Holder::File))
                .to_text()
                .unwrap(),
            format!("{LINE}\n")
        );
    }

    #[test]
    fn white_space_around_and_case_do_not_matter() {
        for text in [
            format!("{LINE}\r\n"),
            format!("\n  {LINE}\n\n"),
            LINE.to_uppercase(),
        ] {
            assert!(parse(text.as_bytes()).is_ok(), "{text}");
        }
    }

    #[test]
    fn any_wrong_or_missing_character_is_noticed() {
        let problem = |text: &str| parse(text.as_bytes()).err().unwrap();
        for at in PREFIX.len()..LINE.len() {
            let other = if &LINE[at..=at] == "b" { "c" } else { "b" };
            let wrong = format!("{}{other}{}", &LINE[..at], &LINE[at + 1..]);
            assert_eq!(problem(&wrong), KeyFileProblem::Checksum, "{wrong}");
            let missing = format!("{}{}", &LINE[..at], &LINE[at + 1..]);
            assert_eq!(problem(&missing), KeyFileProblem::Checksum, "{missing}");
        }
        assert_eq!(problem(""), KeyFileProblem::Empty);
        assert_eq!(problem(" \n"), KeyFileProblem::Empty);
        assert_eq!(problem("-----BEGIN"), KeyFileProblem::NotAKey);
        assert_eq!(problem("leyden-key-2-abc"), KeyFileProblem::Version);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, tail in "[a-zA-Z2-7=\u{e4} ]{0,80}") {
            let _ = parse(&bytes);
            let _ = parse(format!("{PREFIX}{tail}").as_bytes());
        }

        #[test]
        fn what_is_written_is_read(bytes: [u8; 32]) {
            let mut key = KeyBox::zeroed();
            key.expose_mut().copy_from_slice(&bytes);
            let key = Key(Credential::Random(key, Holder::File));
            let text = key.to_text().unwrap();
            let read = parse(text.as_bytes()).unwrap();
            prop_assert_eq!(read.expose(), &bytes);
        }
    }
}
