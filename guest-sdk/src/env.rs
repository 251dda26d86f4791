//! Plain values of the environment.

use std::any::type_name;
use std::str::FromStr;

use zeroize::{Zeroize, Zeroizing};

use crate::Error;

/// The value of the variable `name`.
///
/// # Errors
///
/// [`Error::Unset`] where there is none, [`Error::NotText`] where it is not UTF-8.
///
/// ```
/// # // SAFETY: a doctest is a process with one thread.
/// # unsafe { std::env::set_var("FOO", "bar") }
/// assert_eq!(leyden_guest::env("FOO")?, "bar");
/// # Ok::<(), leyden_guest::Error>(())
/// ```
pub fn env(name: &str) -> Result<String, Error> {
    find(name)?.ok_or_else(|| Error::Unset { name: name.into() })
}

/// The value of the variable `name` as a `T`: a number, a `bool`, an `IpAddr`, a type of your own.
///
/// # Errors
///
/// Those of [`env()`], and [`Error::Invalid`] where the value is not a `T`. `T`'s own error is left
/// out, as many of them repeat the value.
///
/// ```
/// # // SAFETY: a doctest is a process with one thread.
/// # unsafe { std::env::set_var("PORT", "eighty") }
/// let error = leyden_guest::env_as::<u16>("PORT").unwrap_err();
/// assert_eq!(error.to_string(), "PORT cannot be read as u16");
/// ```
pub fn env_as<T: FromStr>(name: &str) -> Result<T, Error> {
    let text = Zeroizing::new(env(name)?);
    text.parse().map_err(|_| Error::Invalid {
        name: name.into(),
        expected: type_name::<T>().into(),
    })
}

/// The variable `name`, if it is there. What is not text is wiped, since it may be a secret.
pub(crate) fn find(name: &str) -> Result<Option<String>, Error> {
    match std::env::var_os(name).map(std::ffi::OsString::into_string) {
        None => Ok(None),
        Some(Ok(text)) => Ok(Some(text)),
        Some(Err(other)) => {
            other.into_encoded_bytes().zeroize();
            Err(Error::NotText { name: name.into() })
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    // Cargo sets `CARGO_PKG_*` for the tests it runs; changing a process's environment is unsafe.

    #[test]
    fn reads_a_value() {
        assert_eq!(env("CARGO_PKG_NAME").unwrap(), "leyden-guest");
    }

    #[test]
    fn names_what_is_not_set() {
        let error = env("NO_SUCH").unwrap_err();
        assert_eq!(
            error.to_string(),
            "NO_SUCH is not set: give it with `--env NO_SUCH=VALUE` or `--secret NO_SUCH=SECRET`"
        );
    }

    #[test]
    fn names_no_variable_has_are_unset_too() {
        for name in ["", "A=B", "A\0B"] {
            assert_eq!(env(name), Err(Error::Unset { name: name.into() }));
        }
    }

    #[test]
    fn parses_a_value() {
        let minor: u64 = env_as("CARGO_PKG_VERSION_MINOR").unwrap();
        assert_eq!(minor.to_string(), env("CARGO_PKG_VERSION_MINOR").unwrap());
    }

    #[test]
    fn an_unfit_value_is_not_repeated() {
        let error = env_as::<bool>("CARGO_PKG_NAME").unwrap_err();
        assert_eq!(error.to_string(), "CARGO_PKG_NAME cannot be read as bool");
        assert!(!format!("{error:?}").contains("leyden-guest"));
    }
}
