//! To whom something is granted: an app by its digest, or whatever app is in a folder.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::app::Digest;

use super::{RefusalReason, files};

/// To whom something is granted. Shown as `sha256:…` or `folder:/…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Grantee {
    /// The app with this digest, and no other version of it.
    App(Digest),
    /// Whatever app is in this absolute folder, without symbolic links: while developing. As text:
    /// a folder whose path is none is not granted to, because what stands for it could be another's.
    Folder(String),
}

impl Grantee {
    /// This absolute folder; `None` if its path is not UTF-8.
    pub fn folder(folder: &Path) -> Option<Self> {
        folder.to_str().map(|path| Self::Folder(path.to_owned()))
    }
}

/// What an app is known by.
#[derive(Debug, Clone, Copy)]
pub struct AppIdentity<'a> {
    /// Its digest.
    pub digest: Digest,
    /// Its absolute folder, without symbolic links, if it has one.
    pub folder: Option<&'a Path>,
}

impl AppIdentity<'_> {
    /// What `find` finds granted to the digest, else, unless `to_digest_alone`, to the folder: that
    /// holds only while nobody else may write there.
    pub(super) fn granted<T>(
        &self,
        to_digest_alone: bool,
        find: impl Fn(&Grantee) -> Result<T, RefusalReason>,
    ) -> Result<T, RefusalReason> {
        let to_digest = find(&Grantee::App(self.digest));
        let Some(folder) = self.folder.filter(|_| !to_digest_alone) else {
            return to_digest;
        };
        let Some(grantee) = Grantee::folder(folder) else {
            return to_digest;
        };
        to_digest.or_else(|why| match find(&grantee) {
            Ok(found) => match files::check_folder(folder) {
                Ok(()) => Ok(found),
                Err(problem) => Err(RefusalReason::OpenFolder {
                    problem: problem.to_string(),
                }),
            },
            Err(RefusalReason::NotGranted) => Err(why),
            Err(expired) => Err(expired),
        })
    }
}

const FOLDER: &str = "folder:";

impl fmt::Display for Grantee {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::App(digest) => digest.fmt(f),
            Self::Folder(folder) => write!(f, "{FOLDER}{folder}"),
        }
    }
}

/// It is no grantee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("neither a digest (sha256: and 64 hexadecimal digits) nor `folder:` and an absolute path")]
pub struct NoGrantee;

impl FromStr for Grantee {
    type Err = NoGrantee;

    fn from_str(text: &str) -> Result<Self, NoGrantee> {
        match text.strip_prefix(FOLDER) {
            Some(folder) if Path::new(folder).is_absolute() => Ok(Self::Folder(folder.to_owned())),
            Some(_) => Err(NoGrantee),
            None => text.parse().map(Self::App).map_err(|_| NoGrantee),
        }
    }
}

impl TryFrom<String> for Grantee {
    type Error = NoGrantee;

    fn try_from(text: String) -> Result<Self, NoGrantee> {
        text.parse()
    }
}

impl From<Grantee> for String {
    fn from(grantee: Grantee) -> Self {
        grantee.to_string()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn grantees_are_read_as_they_are_shown() {
        for grantee in [
            Grantee::App(Digest::of(b"x")),
            Grantee::Folder("/home/ada/my app".into()),
        ] {
            assert_eq!(grantee.to_string().parse(), Ok(grantee));
        }
        for bad in ["", "sha256:", "sha256:00", "folder:", "folder:a/b", "/a"] {
            assert!(bad.parse::<Grantee>().is_err(), "{bad}");
        }
    }
}
