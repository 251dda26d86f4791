//! One secret's value: bytes that cannot be printed, cloned, serialized or compared, and are wiped.

use std::fmt;
use std::io::Read;

use data_encoding::BASE64;
use zeroize::{Zeroize, Zeroizing};

use super::StoreError;

/// The most bytes a value may have: 1 MiB.
pub const MAX_VALUE_BYTES: usize = 1024 * 1024;

/// A secret's value: any bytes, the empty value too, at most [`MAX_VALUE_BYTES`].
///
/// It has no `Clone`, no `PartialEq` and no `Serialize`, its `Debug` shows the length alone, and
/// the memory is wiped when it is dropped. A value becomes a string in two places only:
/// [`into_text`](Self::into_text) and [`to_base64`](Self::to_base64).
pub struct SecretValue(Zeroizing<Vec<u8>>);

impl SecretValue {
    /// Takes over these bytes without copying them.
    ///
    /// A vector that grew has left copies of its beginning behind: fill one of the final capacity,
    /// or use [`read_from`](Self::read_from).
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]; the bytes are wiped.
    pub fn new(bytes: Vec<u8>) -> Result<Self, StoreError> {
        let bytes = Zeroizing::new(bytes);
        if bytes.len() > MAX_VALUE_BYTES {
            return Err(StoreError::TooLarge {
                limit: MAX_VALUE_BYTES,
            });
        }
        Ok(Self(bytes))
    }

    /// Takes over the text's bytes without copying them.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`]; the text is wiped.
    pub fn from_text(mut text: Zeroizing<String>) -> Result<Self, StoreError> {
        Self::new(std::mem::take(&mut *text).into_bytes())
    }

    /// Reads to the end, through one buffer that is wiped, and keeps an exact copy.
    ///
    /// A reader with a buffer of its own (`BufReader`, `std::io::stdin()`) keeps what passed
    /// through it: hand over the file or descriptor itself.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] once there is more than [`MAX_VALUE_BYTES`];
    /// [`StoreError::ReadValue`] if reading fails.
    pub fn read_from(mut source: impl Read) -> Result<Self, StoreError> {
        let mut buffer = Zeroizing::new(vec![0; MAX_VALUE_BYTES + 1]);
        let mut length = 0;
        while let Some(rest) = buffer.get_mut(length..).filter(|rest| !rest.is_empty()) {
            match source.read(rest) {
                Ok(0) => break,
                Ok(count) => length += count,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(StoreError::ReadValue { source }),
            }
        }
        match buffer.get(..length) {
            Some(read) if length <= MAX_VALUE_BYTES => Self::new(read.to_vec()),
            _ => Err(StoreError::TooLarge {
                limit: MAX_VALUE_BYTES,
            }),
        }
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it is the empty value.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes. Whoever copies them answers for wiping the copy.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The value as text that an environment entry can carry, without copying it.
    ///
    /// # Errors
    /// [`NotText`] if it is not UTF-8 or holds a NUL, at which C programs would cut it.
    pub fn into_text(mut self) -> Result<Zeroizing<String>, NotText> {
        self.check_text()?;
        match String::from_utf8(std::mem::take(&mut *self.0)) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) => {
                error.into_bytes().zeroize();
                Err(NotText::Utf8)
            }
        }
    }

    /// The value in base64 (RFC 4648, section 4, with padding).
    pub fn to_base64(&self) -> Zeroizing<String> {
        // The whole capacity at once: a string that grows leaves copies behind.
        let mut text = Zeroizing::new(String::with_capacity(BASE64.encode_len(self.len())));
        BASE64.encode_append(&self.0, &mut text);
        text
    }

    /// Whether [`into_text`](Self::into_text) will succeed.
    pub(super) fn check_text(&self) -> Result<(), NotText> {
        match std::str::from_utf8(&self.0) {
            Err(_) => Err(NotText::Utf8),
            Ok(_) if self.0.contains(&0) => Err(NotText::Nul),
            Ok(_) => Ok(()),
        }
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretValue({} bytes)", self.len())
    }
}

/// Why a value cannot stand in the environment as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotText {
    /// It is not UTF-8, as WASI's environment strings must be.
    #[error("the value is not UTF-8; bind it with `:base64`")]
    Utf8,
    /// It holds a NUL, at which C programs would cut it.
    #[error("the value holds a NUL byte; bind it with `:base64`")]
    Nul,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(bytes: &[u8]) -> SecretValue {
        SecretValue::new(bytes.to_vec()).unwrap()
    }

    #[test]
    fn text_is_utf8_without_nul() {
        assert_eq!(
            &**of("schlüssel".as_bytes()).into_text().unwrap(),
            "schlüssel"
        );
        assert_eq!(&**of(b"").into_text().unwrap(), "");
        assert_eq!(of(b"\xff").into_text().unwrap_err(), NotText::Utf8);
        assert_eq!(of(b"a\0").into_text().unwrap_err(), NotText::Nul);
    }

    #[test]
    fn base64_is_the_standards_and_is_not_copied_while_it_grows() {
        let text = of(b"\x00\xff\x10").to_base64();
        assert_eq!(&**text, "AP8Q");
        assert_eq!(text.capacity(), 4);
        assert_eq!(&**of(b"a").to_base64(), "YQ==");
    }

    #[test]
    fn a_value_may_have_a_mebibyte_and_no_more() {
        let most = vec![7; MAX_VALUE_BYTES];
        assert_eq!(
            SecretValue::new(most.clone()).unwrap().len(),
            MAX_VALUE_BYTES
        );
        assert_eq!(
            SecretValue::read_from(&most[..]).unwrap().len(),
            MAX_VALUE_BYTES
        );
        let more = vec![7; MAX_VALUE_BYTES + 1];
        let limit = |result| {
            matches!(
                result,
                Err(StoreError::TooLarge {
                    limit: MAX_VALUE_BYTES
                })
            )
        };
        assert!(limit(SecretValue::read_from(&more[..])));
        assert!(limit(SecretValue::new(more)));
        assert!(limit(SecretValue::read_from(std::io::repeat(1))));
    }

    #[test]
    fn reading_keeps_every_byte_and_no_spare_capacity() {
        // A reader that gives one byte at a time, and is interrupted.
        struct Drip(Vec<u8>, bool);
        impl Read for Drip {
            fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                self.1 = !self.1;
                if self.1 {
                    return Err(std::io::ErrorKind::Interrupted.into());
                }
                let Some(byte) = self.0.pop() else {
                    return Ok(0);
                };
                buffer.iter_mut().take(1).for_each(|first| *first = byte);
                Ok(1)
            }
        }
        let value = SecretValue::read_from(Drip(b"\ncba".to_vec(), false)).unwrap();
        assert_eq!(value.expose(), b"abc\n");
        assert_eq!(value.0.capacity(), 4);
        assert!(SecretValue::read_from(std::io::empty()).unwrap().is_empty());
    }

    #[test]
    fn text_and_bytes_are_taken_over_and_not_copied() {
        let text = Zeroizing::new(String::from("a text"));
        let at = text.as_ptr();
        let value = SecretValue::from_text(text).unwrap();
        assert_eq!(value.expose().as_ptr(), at);
        assert_eq!(value.into_text().unwrap().as_ptr(), at);
    }
}
