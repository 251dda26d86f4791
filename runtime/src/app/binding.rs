//! What an operator gives an app: environment entries, secrets, folders, hosts.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use super::dir_rule::{DirRule, DirRuleError};
use super::host_rule::{HostRule, HostRuleError};
use super::names::{EnvName, NameError, SecretName};
use super::scoped::Scoped;
use super::suggest::shown;

/// How a secret's bytes stand in an environment entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Encoding {
    /// As they are: they must be UTF-8 without NUL.
    #[default]
    Text,
    /// As base64 (RFC 4648, section 4, with padding).
    Base64,
}

/// A secret as a binding names it: `SECRET[@VERSION][:base64]`. No version means the newest.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// Which secret.
    pub name: SecretName,
    /// Which version of it; the newest if not given.
    pub version: Option<NonZeroU32>,
    /// How its bytes stand in the environment.
    pub encoding: Encoding,
}

/// A secret under an environment name: `NAME=SECRET[@VERSION][:base64]`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretBinding {
    /// The name the guest knows it by.
    pub env: EnvName,
    /// The secret.
    pub secret: SecretRef,
}

/// The value of a plain environment entry: any text without NUL.
///
/// It is no secret, but somebody may have typed one: `Debug` shows its length only.
#[derive(Clone, PartialEq, Eq)]
pub struct EnvValue(String);

/// A plain environment entry: `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnvEntry {
    /// Its name.
    pub name: EnvName,
    /// Its value.
    pub value: EnvValue,
}

/// Anything an operator can give an app, as [`App::with`](super::App::with) takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Binding {
    /// A plain environment entry.
    Env(Scoped<EnvEntry>),
    /// A secret.
    Secret(Scoped<SecretBinding>),
    /// A folder.
    Dir(Scoped<DirRule>),
    /// A host that may be reached.
    Host(Scoped<HostRule>),
}

/// A binding could not be read. Never contains the value of an environment entry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BindingError {
    /// A name in it is not one.
    #[error(transparent)]
    Name(#[from] NameError),
    /// There is nothing before the `=`.
    #[error("there is no name before the `=`: write NAME={form}")]
    NoName {
        /// What stands after the `=`.
        form: &'static str,
    },
    /// A plain entry without a value.
    #[error(
        "`{name}` has no value: the host's environment is never inherited; \
         write {name}=VALUE (or {name}= for an empty one)"
    )]
    NoValue {
        /// The entry's name.
        name: EnvName,
    },
    /// A secret binding that names no secret.
    #[error("`{env}` is bound to no secret: write {env}=SECRET, with the secret's name")]
    NoSecret {
        /// The environment name.
        env: EnvName,
    },
    /// Neither a name alone nor `NAME=…`.
    #[error("there is no `=` in it: write [WORK:]NAME={form}")]
    NoEquals {
        /// What stands after the `=`.
        form: &'static str,
    },
    /// A value with NUL, at which many guests would cut it.
    #[error("the value of `{name}` contains a NUL byte, which an environment cannot hold")]
    Nul {
        /// The entry's name.
        name: EnvName,
    },
    /// What follows `@` is no version.
    #[error(
        "{} is no version of `{secret}`: after `@` stands a number from 1; \
         leave `@…` out for the newest",
        shown(typed)
    )]
    Version {
        /// The secret.
        secret: String,
        /// What was typed.
        typed: String,
    },
    /// What follows `:` is no encoding.
    #[error(
        "{} is no encoding: after a secret only `:base64` may stand",
        shown(typed)
    )]
    Encoding {
        /// What was typed.
        typed: String,
    },
    /// A folder or a host with the Flow in place of a Work.
    #[error("{0}; a folder or a host that names no Work is for the Flow")]
    ForTheFlow(NameError),
    /// A folder could not be read.
    #[error(transparent)]
    Dir(#[from] DirRuleError),
    /// A host could not be read.
    #[error(transparent)]
    Host(#[from] HostRuleError),
}

impl FromStr for SecretRef {
    type Err = BindingError;

    fn from_str(typed: &str) -> Result<Self, BindingError> {
        let (rest, encoding) = match typed.split_once(':') {
            None => (typed, Encoding::Text),
            Some((rest, "base64")) => (rest, Encoding::Base64),
            Some((_, other)) => {
                return Err(BindingError::Encoding {
                    typed: other.to_owned(),
                });
            }
        };
        let (name, version) = match rest.split_once('@') {
            None => (rest, None),
            Some((name, version)) => (name, Some(version)),
        };
        let name: SecretName = name.parse()?;
        let version = version
            .map(|typed| parse_version(&name, typed))
            .transpose()?;
        Ok(Self {
            name,
            version,
            encoding,
        })
    }
}

/// Digits only, without a leading zero: a version has one spelling.
fn parse_version(name: &SecretName, typed: &str) -> Result<NonZeroU32, BindingError> {
    typed
        .parse()
        .ok()
        .filter(|_| typed.starts_with(|c: char| matches!(c, '1'..='9')))
        .ok_or_else(|| BindingError::Version {
            secret: name.to_string(),
            typed: typed.to_owned(),
        })
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if let Some(version) = self.version {
            write!(f, "@{version}")?;
        }
        match self.encoding {
            Encoding::Text => Ok(()),
            Encoding::Base64 => f.write_str(":base64"),
        }
    }
}

impl fmt::Display for SecretBinding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.env, self.secret)
    }
}

impl EnvValue {
    /// The value as the guest sees it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for EnvValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} bytes]", self.0.len())
    }
}

impl EnvEntry {
    /// An entry of this name and value.
    ///
    /// # Errors
    /// [`BindingError::Nul`] if the value contains NUL.
    pub fn new(name: EnvName, value: impl Into<String>) -> Result<Self, BindingError> {
        let value = value.into();
        if value.contains('\0') {
            return Err(BindingError::Nul { name });
        }
        Ok(Self {
            name,
            value: EnvValue(value),
        })
    }
}

macro_rules! into_binding {
    ($($variant:ident($item:ty)),*) => {$(
        impl From<Scoped<$item>> for Binding {
            fn from(item: Scoped<$item>) -> Self {
                Self::$variant(item)
            }
        }

        impl From<$item> for Binding {
            fn from(item: $item) -> Self {
                Self::$variant(item.into())
            }
        }
    )*};
}

into_binding!(
    Env(EnvEntry),
    Secret(SecretBinding),
    Dir(DirRule),
    Host(HostRule)
);
