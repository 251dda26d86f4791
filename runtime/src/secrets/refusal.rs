//! Why bindings are refused: a word for the audit log, a line for people.

use std::fmt;
use std::num::NonZeroU32;

use jiff::Timestamp;

use crate::app::{Digest, EnvName, SecretRef};

use super::NotText;

/// One binding that was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// The component that it was for.
    pub component: String,
    /// The environment name that it was for.
    pub env: EnvName,
    /// The secret as the binding had it.
    pub secret: SecretRef,
    /// Why.
    pub reason: RefusalReason,
}

/// Why a binding was refused.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// There is no secret of this name.
    NotFound {
        /// The nearest name that there is.
        suggestion: Option<String>,
    },
    /// The secret was deleted.
    Deleted,
    /// The secret has no such version.
    NoSuchVersion {
        /// The version asked for.
        version: NonZeroU32,
        /// The versions there are, oldest first.
        available: Vec<NonZeroU32>,
    },
    /// The version has expired.
    Expired {
        /// The version.
        version: NonZeroU32,
        /// When.
        at: Timestamp,
    },
    /// The app asks for the secret, and no grant covers that any more.
    NotGranted,
    /// The grant that covered it has expired.
    GrantExpired {
        /// When.
        at: Timestamp,
    },
    /// It is granted to the app's folder, in which others can put files: they could put an app
    /// there.
    OpenFolder {
        /// What is wrong with the folder, and what mends it.
        problem: String,
    },
    /// The secret is restricted, and not granted to this app's digest.
    Restricted {
        /// The app's digest.
        app: Digest,
        /// When the grant to it expired, if there was one.
        expired: Option<Timestamp>,
    },
    /// What is stored for this version is not what was written there.
    Undecryptable {
        /// The version.
        version: NonZeroU32,
    },
    /// The value cannot stand in the environment as text.
    NotText(NotText),
}

impl RefusalReason {
    /// Whether granting the app what it asks for would allow it.
    pub fn is_mended_by_a_grant(&self) -> bool {
        matches!(
            self,
            Self::NotGranted
                | Self::GrantExpired { .. }
                | Self::OpenFolder { .. }
                | Self::Restricted { .. }
        )
    }

    /// A short word for it, as the audit log has it.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "not-found",
            Self::Deleted => "deleted",
            Self::NoSuchVersion { .. } => "no-such-version",
            Self::Expired { .. } => "expired",
            Self::NotGranted => "not-granted",
            Self::GrantExpired { .. }
            | Self::Restricted {
                expired: Some(_), ..
            } => "grant-expired",
            Self::OpenFolder { .. } => "open-folder",
            Self::Restricted { expired: None, .. } => "restricted",
            Self::Undecryptable { .. } => "undecryptable",
            Self::NotText(_) => "not-text",
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            component,
            env,
            secret,
            reason,
        } = self;
        write!(f, "{env}={secret} for `{}`: {reason}", shown(component))?;
        match reason {
            RefusalReason::Restricted { app, .. } => {
                let secret = &secret.name;
                write!(f, "; leyden secret grant {secret} --app {app} --env {env}")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { suggestion } => {
                f.write_str("there is no such secret")?;
                match suggestion {
                    Some(name) => write!(f, " (did you mean `{name}`?)"),
                    None => Ok(()),
                }
            }
            Self::Deleted => f.write_str("the secret was deleted"),
            Self::NoSuchVersion { version, available } => {
                write!(
                    f,
                    "there is no version {version}; there are {}",
                    ranges(available)
                )
            }
            Self::Expired { version, at } => {
                write!(
                    f,
                    "version {version} expired at {}; set a new one",
                    time(at)
                )
            }
            Self::NotGranted => f.write_str("no grant covers this"),
            Self::GrantExpired { at } => write!(f, "its grant expired at {}", time(at)),
            Self::OpenFolder { problem } => {
                write!(
                    f,
                    "its grant to the folder does not hold: {}",
                    shown(problem)
                )
            }
            Self::Restricted { expired, .. } => {
                f.write_str(
                    "the secret is restricted to apps that it is granted to by their digest",
                )?;
                match expired {
                    Some(at) => write!(f, ", and its grant expired at {}", time(at)),
                    None => Ok(()),
                }
            }
            Self::Undecryptable { version } => write!(
                f,
                "version {version} has been tampered with or is damaged; set a new version or restore a backup"
            ),
            Self::NotText(problem) => problem.fmt(f),
        }
    }
}

/// A moment, to the second.
fn time(at: &Timestamp) -> impl fmt::Display {
    at.strftime("%Y-%m-%dT%H:%M:%SZ")
}

pub(super) fn refused(refusals: &[Refusal]) -> String {
    let mut text = String::from("no secret was released:");
    for refusal in refusals {
        text.push_str("\n  ");
        text.push_str(&refusal.to_string());
    }
    text
}

pub(super) fn did_you_mean(suggestion: Option<&str>) -> String {
    suggestion
        .map(|name| format!("; did you mean `{name}`?"))
        .unwrap_or_default()
}

/// A component's name comes from a manifest, and a folder's from anybody: no control character of
/// them reaches a terminal.
fn shown(text: &str) -> String {
    text.chars()
        .flat_map(|c| {
            if c.is_control() {
                c.escape_default().collect()
            } else {
                vec![c]
            }
        })
        .collect()
}

/// `1, 2, 3, 7` as `1 to 3, 7`.
pub(super) fn ranges(numbers: &[NonZeroU32]) -> String {
    let mut runs: Vec<(u32, u32)> = Vec::new();
    for number in numbers.iter().map(|number| number.get()) {
        match runs.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => runs.push((number, number)),
        }
    }
    let shown = |(first, last)| match last == first {
        true => format!("{first}"),
        false => format!("{first} to {last}"),
    };
    runs.into_iter().map(shown).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_in_ranges() {
        let of = |numbers: &[u32]| {
            ranges(
                &numbers
                    .iter()
                    .filter_map(|n| NonZeroU32::new(*n))
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(of(&[1]), "1");
        assert_eq!(of(&[1, 2, 3, 7, 9, 10]), "1 to 3, 7, 9 to 10");
    }
}
