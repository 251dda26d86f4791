//! The command-line forms `[WORK:]…`: what an operator gives, and to which Work.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use super::binding::{BindingError, EnvEntry, SecretBinding};
use super::dir_rule::DirRule;
use super::host_rule::HostRule;
use super::names::{EnvName, WorkName};

/// Something for one Work, or for those that it holds for when no Work is named.
///
/// Unnamed, environment entries and secrets hold for the Flow and every Work, folders and hosts
/// for the Flow alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Scoped<T> {
    /// The Work it is for.
    pub work: Option<WorkName>,
    /// What it is.
    pub item: T,
}

impl<T: fmt::Display> fmt::Display for Scoped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.work {
            Some(work) => write!(f, "{work}:{}", self.item),
            None => write!(f, "{}", self.item),
        }
    }
}

impl<T> From<T> for Scoped<T> {
    fn from(item: T) -> Self {
        Self { work: None, item }
    }
}

/// `[WORK:]NAME=VALUE`. The value is all after the first `=`.
impl FromStr for Scoped<EnvEntry> {
    type Err = BindingError;

    fn from_str(typed: &str) -> Result<Self, BindingError> {
        let (work, name, value) =
            split_named(typed, "VALUE", |name| BindingError::NoValue { name })?;
        Ok(Self {
            work,
            item: EnvEntry::new(name, value)?,
        })
    }
}

/// `[WORK:]NAME=SECRET[@VERSION][:base64]`.
impl FromStr for Scoped<SecretBinding> {
    type Err = BindingError;

    fn from_str(typed: &str) -> Result<Self, BindingError> {
        let (work, env, secret) =
            split_named(typed, "SECRET", |env| BindingError::NoSecret { env })?;
        if secret.is_empty() {
            return Err(BindingError::NoSecret { env });
        }
        Ok(Self {
            work,
            item: SecretBinding {
                env,
                secret: secret.parse()?,
            },
        })
    }
}

/// `[WORK:]HOST[::GUEST][:ro]`; see [`DirRule`].
impl FromStr for Scoped<DirRule> {
    type Err = BindingError;

    fn from_str(typed: &str) -> Result<Self, BindingError> {
        // `a::b` is a folder and its guest path, `a:ro` a folder to be read only.
        let (work, rest) = split_work(typed, |rest| !rest.starts_with(':') && rest != "ro")?;
        Ok(Self {
            work,
            item: rest.parse()?,
        })
    }
}

/// `[WORK:]HOST[:PORT]`; see [`HostRule`].
///
/// Before the first `:` stands a Work if it can be a Work's name, and what follows is neither a
/// port (digits only) nor the `//` after a scheme. So `db:5432` is a host and its port,
/// `train:db` and `train:db:5432` are for the Work `train`. A text that is an IPv6 address as a
/// whole is that address; with a Work, write it in brackets: `train:[fe80::1]`.
impl FromStr for Scoped<HostRule> {
    type Err = BindingError;

    fn from_str(typed: &str) -> Result<Self, BindingError> {
        let (work, rest) = if typed.parse::<Ipv6Addr>().is_ok() {
            (None, typed)
        } else {
            split_work(typed, |rest| {
                !rest.starts_with("//") && !rest.bytes().all(|byte| byte.is_ascii_digit())
            })?
        };
        Ok(Self {
            work,
            item: rest.parse()?,
        })
    }
}

/// Splits `[WORK:]NAME=REST`; `alone` is the error for a good name without an `=`.
fn split_named<'t>(
    typed: &'t str,
    form: &'static str,
    alone: impl FnOnce(EnvName) -> BindingError,
) -> Result<(Option<WorkName>, EnvName, &'t str), BindingError> {
    let Some((left, rest)) = typed.split_once('=') else {
        // Only a good name is shown: anything else may be a value at the wrong place.
        let name = typed
            .split_once(':')
            .map_or(typed, |(_, name)| name)
            .parse();
        return Err(name.map_or(BindingError::NoEquals { form }, alone));
    };
    let (work, name) = match left.split_once(':') {
        Some((work, name)) => (Some(work.parse()?), name),
        None => (None, left),
    };
    if name.is_empty() {
        return Err(BindingError::NoName { form });
    }
    Ok((work, name.parse()?, rest))
}

/// Takes a Work's name off the front, if what follows its `:` is accepted as the rest.
fn split_work(
    typed: &str,
    rest_is_good: impl FnOnce(&str) -> bool,
) -> Result<(Option<WorkName>, &str), BindingError> {
    if let Some((work, rest)) = typed.split_once(':')
        && !rest.is_empty()
        && rest_is_good(rest)
    {
        match work.parse() {
            Ok(work) => return Ok((Some(work), rest)),
            Err(error) if error.is_the_flow() => return Err(BindingError::ForTheFlow(error)),
            // It may be part of a path, or of an address.
            Err(_) => {}
        }
    }
    Ok((None, typed))
}

#[cfg(test)]
#[path = "scoped_tests.rs"]
mod tests;
