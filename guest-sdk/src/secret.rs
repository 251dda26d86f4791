//! Secrets of the environment, in a type that does not give them away by accident.

use std::fmt;

use serde::de::{Deserialize, Deserializer};
use zeroize::Zeroizing;

use crate::{Error, env::find};

/// A secret bound to this component.
///
/// It can be neither printed, copied nor serialized by accident, and is wiped when dropped. (The
/// environment that WASI gave the component stays in its memory for as long as the component
/// lives; the host wipes that memory afterwards.)
///
/// It is also a field of a struct that [`from_env`](crate::from_env) reads.
///
/// ```compile_fail
/// # let secret = leyden_guest::secret("MY_APP_SECRET").unwrap();
/// println!("{secret}"); // a `Secret` has no `Display`
/// ```
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The value itself. Let it go no further than where it is needed.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

/// The secret bound to the environment name `name`.
///
/// # Errors
///
/// [`Error::Unbound`] where there is none, [`Error::NotText`] where it is not UTF-8.
///
/// ```
/// # // SAFETY: a doctest is a process with one thread.
/// # unsafe { std::env::set_var("MY_APP_SECRET", "s3cret") }
/// let secret = leyden_guest::secret("MY_APP_SECRET")?;
/// assert_eq!(secret.expose(), "s3cret");
/// assert_eq!(format!("{secret:?}"), "Secret(redacted)");
/// # Ok::<(), leyden_guest::Error>(())
/// ```
pub fn secret(name: &str) -> Result<Secret, Error> {
    match find(name)? {
        Some(text) => Ok(Secret(text.into())),
        None => Err(Error::Unbound { name: name.into() }),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn gives_its_value_only_when_asked() {
        let secret = secret("CARGO_PKG_NAME").unwrap();
        assert_eq!(secret.expose(), "leyden-guest");
        assert_eq!(
            format!("{secret:?} {secret:#?}"),
            "Secret(redacted) Secret(redacted)"
        );
    }

    #[test]
    fn says_how_to_bind_what_is_not_bound() {
        let error = secret("MY_APP_SECRET").unwrap_err();
        assert_eq!(
            error.to_string(),
            "the secret MY_APP_SECRET is not bound: bind one with `--secret MY_APP_SECRET=SECRET`"
        );
    }
}
