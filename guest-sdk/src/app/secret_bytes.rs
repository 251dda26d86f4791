//! Secrets as bytes, from the host itself.

use std::fmt;

use zeroize::Zeroizing;

use super::host;
use crate::Error;

/// A secret bound to this component, as bytes: any at all, also those that were bound as `:base64`.
///
/// Like a [`Secret`](crate::Secret), it is not given away by accident, and is wiped when dropped.
pub struct SecretBytes {
    value: Zeroizing<Vec<u8>>,
    version: u32,
}

impl SecretBytes {
    /// The value itself. Let it go no further than where it is needed.
    pub fn expose(&self) -> &[u8] {
        &self.value
    }

    /// Which version of the secret was bound, counted from 1. Outside a sandbox always 1.
    pub fn version(&self) -> u32 {
        self.version
    }
}

impl fmt::Debug for SecretBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretBytes(redacted, version {})", self.version)
    }
}

/// The secret bound to the environment name `name`, as bytes.
///
/// It comes not out of the environment, which holds text only, but from the host
/// (`leyden:app/secrets`), which WASI 0.1 cannot ask. Outside a sandbox it is a variable of the
/// process.
///
/// # Errors
///
/// [`Error::Unbound`] where there is none.
///
/// ```
/// # // SAFETY: a doctest is a process with one thread.
/// # unsafe { std::env::set_var("SIGNING_KEY", "s3cret") }
/// let key = leyden_guest::secret_bytes("SIGNING_KEY")?;
/// assert_eq!(key.expose(), b"s3cret");
/// assert_eq!(format!("{key:?}"), "SecretBytes(redacted, version 1)");
/// # Ok::<(), leyden_guest::Error>(())
/// ```
pub fn secret_bytes(name: &str) -> Result<SecretBytes, Error> {
    match host::secret(name) {
        Some((value, version)) => Ok(SecretBytes { value, version }),
        None => Err(Error::Unbound { name: name.into() }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_given_only_when_asked() {
        let secret = secret_bytes("CARGO_PKG_NAME").unwrap();
        assert_eq!(secret.expose(), b"leyden-guest");
        assert_eq!(format!("{secret:?}"), "SecretBytes(redacted, version 1)");
        let error = secret_bytes("MY_APP_SECRET").unwrap_err();
        assert!(matches!(error, Error::Unbound { name } if name == "MY_APP_SECRET"));
    }
}
