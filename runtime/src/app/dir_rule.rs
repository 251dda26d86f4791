//! A folder of the host that a guest may use: `HOST[::GUEST][:ro]`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A folder of the host, where the guest sees it, and whether it may be written.
///
/// Typed as `HOST[::GUEST][:ro]`; without `::GUEST` the guest sees it under the path as typed.
/// Because `:` separates, neither path may contain one when typed; in code, any path will do.
/// Whether the folder is there, and may be given away at all, is checked where it is opened.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DirRule {
    /// The folder on the host.
    pub host: PathBuf,
    /// Where the guest sees it.
    pub guest: String,
    /// Whether the guest may only read.
    pub read_only: bool,
}

/// A folder could not be read from what was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DirRuleError {
    /// No folder of the host is named.
    #[error("no folder is named: write HOST[::GUEST][:ro]")]
    NoHost,
    /// `::` is not followed by a path.
    #[error("no path for the guest follows `::`: write HOST::GUEST[:ro]")]
    NoGuest,
    /// A path contains `:`.
    #[error(
        "a folder's path cannot contain `:` here: write HOST[::GUEST][:ro] \
         (folders can be written to unless `:ro` is there)"
    )]
    Colon,
    /// A path contains NUL.
    #[error("a folder's path cannot contain NUL")]
    Nul,
}

impl FromStr for DirRule {
    type Err = DirRuleError;

    fn from_str(typed: &str) -> Result<Self, DirRuleError> {
        let (paths, read_only) = match typed.strip_suffix(":ro") {
            // `a::ro` is the guest path `ro`.
            Some(paths) if !paths.ends_with(':') || paths.ends_with("::") => (paths, true),
            _ => (typed, false),
        };
        let (host, guest) = paths.split_once("::").unwrap_or((paths, paths));
        if host.is_empty() {
            return Err(DirRuleError::NoHost);
        }
        if guest.is_empty() {
            return Err(DirRuleError::NoGuest);
        }
        if host.contains(':') || guest.contains(':') {
            return Err(DirRuleError::Colon);
        }
        if typed.contains('\0') {
            return Err(DirRuleError::Nul);
        }
        Ok(Self {
            host: host.into(),
            guest: guest.to_owned(),
            read_only,
        })
    }
}

impl fmt::Display for DirRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.host.display())?;
        if self.host.as_os_str() != self.guest.as_str() {
            write!(f, "::{}", self.guest)?;
        }
        if self.read_only {
            f.write_str(":ro")
        } else {
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_folders_are_refused_with_their_reason() {
        for (typed, error) in [
            ("", DirRuleError::NoHost),
            (":ro", DirRuleError::NoHost),
            ("::/in", DirRuleError::NoHost),
            ("a::", DirRuleError::NoGuest),
            ("a:::ro", DirRuleError::NoGuest),
            ("a:rw", DirRuleError::Colon),
            ("a::b::c", DirRuleError::Colon),
            ("a\0", DirRuleError::Nul),
        ] {
            assert_eq!(typed.parse::<DirRule>(), Err(error), "{typed:?}");
        }
    }
}
