//! Recovery codes: a key to be written on paper and typed in when every other is lost.
//!
//! `leyden-recovery-1-` and then 8 groups of 5 characters of base32 (RFC 4648, section 6) for 25
//! bytes: 20 random ones (160 bits), and the first 5 of SHA-256 over the framed fields
//! `leyden/1/recovery-check` and those 20. Case, white space and dashes do not matter, and one
//! mistyped character is always noticed. The slot's key is SHA-256 over the framed fields
//! `leyden/1/recovery` and the 20 bytes; they are random, so that nothing need be stretched.

use data_encoding::BASE32_NOPAD;
use zeroize::Zeroizing;

use super::keys::{KeyBox, hash, random, same};
use super::{KeyFileProblem, StoreError};

const PREFIX: &str = "leyden-recovery-1-";
/// The prefix of any version as it is compared: without dashes, in upper case.
const ANY_BARE_PREFIX: &[u8] = b"LEYDENRECOVERY";
const VERSION: u8 = b'1';
const RANDOM: usize = 20;
const CHECKSUM: usize = 5;
const GROUP: usize = 5;
/// Nobody types more than this by mistake.
const MAX_TYPED: usize = 1024;

/// A new code, and the key of its slot.
pub(super) fn generate() -> Result<(KeyBox, Zeroizing<String>), StoreError> {
    let mut bytes = Zeroizing::new([0; RANDOM]);
    random(&mut *bytes)?;
    Ok((key(&bytes), text(&bytes)))
}

/// Whether the text is meant to be a recovery code.
pub(super) fn is_one(text: &[u8]) -> bool {
    bare(text).starts_with(ANY_BARE_PREFIX)
}

/// The key of the slot that this code opens.
pub(super) fn parse(text: &[u8]) -> Result<KeyBox, KeyFileProblem> {
    let bare = bare(text);
    let rest = bare
        .strip_prefix(ANY_BARE_PREFIX)
        .ok_or(KeyFileProblem::NotAKey)?;
    let encoded = match rest.split_first() {
        Some((&VERSION, encoded)) => encoded,
        _ => return Err(KeyFileProblem::Version),
    };
    let mut bytes = Zeroizing::new([0; RANDOM + CHECKSUM]);
    let fits = BASE32_NOPAD.decode_len(encoded.len()) == Ok(bytes.len());
    if !fits || BASE32_NOPAD.decode_mut(encoded, &mut *bytes).is_err() {
        return Err(KeyFileProblem::Checksum);
    }
    match bytes.split_first_chunk::<RANDOM>() {
        Some((code, sum)) if same(sum, &checksum(code)) => Ok(key(code)),
        _ => Err(KeyFileProblem::Checksum),
    }
}

/// Without white space and dashes, in upper case.
fn bare(text: &[u8]) -> Zeroizing<Vec<u8>> {
    // The whole capacity at once: a vector that grows leaves copies behind.
    let mut bare = Zeroizing::new(Vec::with_capacity(MAX_TYPED));
    let kept = text
        .iter()
        .filter(|byte| !byte.is_ascii_whitespace() && **byte != b'-');
    bare.extend(kept.take(MAX_TYPED).map(u8::to_ascii_uppercase));
    bare
}

fn text(code: &[u8; RANDOM]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0; RANDOM + CHECKSUM]);
    let (start, end) = bytes.split_at_mut(RANDOM);
    start.copy_from_slice(code);
    end.copy_from_slice(&checksum(code));
    let mut encoded = Zeroizing::new([0; (RANDOM + CHECKSUM) * 8 / 5]);
    BASE32_NOPAD.encode_mut(&*bytes, &mut *encoded);
    let mut text = Zeroizing::new(String::with_capacity(PREFIX.len() + encoded.len() * 2));
    text.push_str(PREFIX);
    for (at, character) in encoded.iter().enumerate() {
        if at > 0 && at % GROUP == 0 {
            text.push('-');
        }
        text.push(char::from(character.to_ascii_lowercase()));
    }
    text
}

fn checksum(code: &[u8; RANDOM]) -> [u8; CHECKSUM] {
    let [a, b, c, d, e, ..] = hash(&[b"leyden/1/recovery-check", code]);
    [a, b, c, d, e]
}

fn key(code: &[u8; RANDOM]) -> KeyBox {
    let mut key = KeyBox::zeroed();
    let mut hashed = Zeroizing::new(hash(&[b"leyden/1/recovery", code]));
    key.expose_mut().swap_with_slice(&mut *hashed);
    key
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn codes_have_the_documented_form() {
        let (key, code) = generate().unwrap();
        assert_eq!(code.len(), PREFIX.len() + 40 + 7);
        assert!(is_one(code.as_bytes()));
        assert_eq!(parse(code.as_bytes()).unwrap().expose(), key.expose());
        for typed in [
            code.to_uppercase(),
            code.replace('-', " "),
            code.replace('-', ""),
            format!("  {}\r\n", *code),
        ] {
            assert_eq!(parse(typed.as_bytes()).unwrap().expose(), key.expose());
        }
        // As another implementation (Python's `hashlib` and `base64`) wrote the bytes 0 to 19.
        let mut bytes = [0; RANDOM];
        (0..20).zip(&mut bytes).for_each(|(at, byte)| *byte = at);
        assert_eq!(*text(&bytes), CODE);
        assert_eq!(
            data_encoding::HEXLOWER.encode(parse(CODE.as_bytes()).unwrap().expose()),
            KEY
        );
    }

    const CODE: &str = "leyden-recovery-1-aaaqe-ayeau-daoca-jbifq-ydiob-4ibce-qt76y-dns5v";
    const KEY: &str = "c7bcea37a4a464c46fc7c8621db97b5cf3adc58e73a1d45e736e2ddd1958a540";

    #[test]
    fn any_wrong_or_missing_character_is_noticed() {
        let problem = |text: &str| parse(text.as_bytes()).err().unwrap();
        for at in (PREFIX.len()..CODE.len()).filter(|at| &CODE[*at..=*at] != "-") {
            for other in "abcdefghijklmnopqrstuvwxyz234567018".chars() {
                let wrong = format!("{}{other}{}", &CODE[..at], &CODE[at + 1..]);
                if wrong != CODE {
                    assert_eq!(problem(&wrong), KeyFileProblem::Checksum, "{wrong}");
                }
            }
            let missing = format!("{}{}", &CODE[..at], &CODE[at + 1..]);
            assert_eq!(problem(&missing), KeyFileProblem::Checksum, "{missing}");
        }
        assert_eq!(problem("correct horse"), KeyFileProblem::NotAKey);
        assert_eq!(problem("leyden-recovery-2-abc"), KeyFileProblem::Version);
        assert!(!is_one(b"leyden-key-1-abc"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, tail in "[a-zA-Z2-7= \u{e4}-]{0,80}") {
            let _ = parse(&bytes);
            let _ = parse(format!("{PREFIX}{tail}").as_bytes());
        }
    }
}
