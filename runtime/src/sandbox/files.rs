//! Folders that a guest may see, and those that no guest may.

use std::io;
use std::path::{Path, PathBuf};

use crate::app::DirRule;

/// A folder as a guest sees it, checked.
#[derive(Debug, Clone)]
pub struct Preopen {
    pub(super) host: PathBuf,
    pub(super) guest: String,
    pub(super) read_only: bool,
}

/// Why a folder is not given to a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// It is not there, is no folder, or may not be opened.
    #[error("the folder {} cannot be given to the app: {source}", path.display())]
    Unusable {
        /// The folder as it was named.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It would show Leyden's own files.
    #[error(
        "the folder {} is refused: it would show {} to the app; name a folder beside it",
        path.display(), protected.display()
    )]
    ShowsSecrets {
        /// The folder as it was named.
        path: PathBuf,
        /// What it would show.
        protected: PathBuf,
    },
    /// It is, or contains, procfs or sysfs, through which a process can be read and changed.
    #[error(
        "the folder {} is refused: it would show {} to the app, through which it could read and \
         change running processes", path.display(), mount.display()
    )]
    ShowsKernel {
        /// The folder as it was named.
        path: PathBuf,
        /// The mount that it would show.
        mount: PathBuf,
    },
}

impl Preopen {
    /// Checks a folder: it must not be, contain or lie inside any of the `protected` paths, nor
    /// show procfs or sysfs. Symbolic links are followed first, in `protected` as well.
    ///
    /// # Errors
    ///
    /// [`FilesError`], saying which of these it would show.
    pub fn check(wanted: &DirRule, protected: &[PathBuf]) -> Result<Self, FilesError> {
        let path = || wanted.host.clone();
        let unusable = |source| FilesError::Unusable {
            path: path(),
            source,
        };
        let host = wanted.host.canonicalize().map_err(unusable)?;
        if !host.is_dir() {
            return Err(unusable(io::ErrorKind::NotADirectory.into()));
        }
        for protected in protected {
            let real = canonical_as_far_as_there(protected);
            if real.starts_with(&host) || host.starts_with(&real) {
                return Err(FilesError::ShowsSecrets {
                    path: path(),
                    protected: protected.clone(),
                });
            }
        }
        for mount in kernel_mounts() {
            if mount.starts_with(&host) || host.starts_with(&mount) {
                return Err(FilesError::ShowsKernel {
                    path: path(),
                    mount,
                });
            }
        }
        Ok(Self {
            host,
            guest: wanted.guest.clone(),
            read_only: wanted.read_only,
        })
    }
}

/// A path with links resolved in that part of it which exists: a store that is yet to be made is
/// protected where it will stand.
fn canonical_as_far_as_there(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for there in absolute.ancestors() {
        if let Ok(real) = there.canonicalize() {
            let rest = absolute.strip_prefix(there).unwrap_or(Path::new(""));
            // Joining an empty path would add a slash, and a file with one is no prefix.
            return if rest.as_os_str().is_empty() {
                real
            } else {
                real.join(rest)
            };
        }
    }
    absolute
}

/// Where procfs and sysfs are mounted (proc_pid_mountinfo(5)); the usual places where the list
/// cannot be read.
fn kernel_mounts() -> Vec<PathBuf> {
    let mut mounts = vec![PathBuf::from("/proc"), PathBuf::from("/sys")];
    let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    mounts.extend(list.lines().filter_map(kernel_mount));
    mounts
}

fn kernel_mount(line: &str) -> Option<PathBuf> {
    let (mount, kind) = line.split_once(" - ")?;
    let kind = kind.split(' ').next()?;
    if !matches!(kind, "proc" | "sysfs") {
        return None;
    }
    let point = mount.split(' ').nth(4)?;
    Some(PathBuf::from(unescape(point)))
}

/// Undoes mountinfo's octal escapes of space, tab, newline and backslash.
fn unescape(text: &str) -> String {
    text.replace("\\040", " ")
        .replace("\\011", "\t")
        .replace("\\012", "\n")
        .replace("\\134", "\\")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(host: &Path, protected: &[&Path]) -> Result<Preopen, FilesError> {
        let wanted = DirRule {
            host: host.to_owned(),
            guest: "/data".into(),
            read_only: true,
        };
        let protected: Vec<_> = protected.iter().map(|path| path.to_path_buf()).collect();
        Preopen::check(&wanted, &protected)
    }

    #[test]
    fn a_folder_that_shows_a_protected_path_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = folder.path().join("leyden/store.db");
        std::fs::create_dir(&data).unwrap();
        assert!(check(&data, &[&store]).is_ok());
        // The store need not be there yet.
        assert!(matches!(
            check(folder.path(), &[&store]),
            Err(FilesError::ShowsSecrets { .. })
        ));
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(folder.path(), &link).unwrap();
        assert!(check(&link, &[&store]).is_err());
        assert!(check(&data, &[folder.path()]).is_err(), "inside");
        assert!(
            check(&data, &[&link.join("data/key")]).is_err(),
            "by a link"
        );
    }

    #[test]
    fn procfs_and_sysfs_are_refused() {
        for path in ["/proc", "/proc/self", "/sys", "/"] {
            assert!(
                matches!(
                    check(Path::new(path), &[]),
                    Err(FilesError::ShowsKernel { .. })
                ),
                "{path}"
            );
        }
    }

    #[test]
    fn only_kernel_mounts_count() {
        let line = "22 1 0:5 / /x\\040y rw,nosuid shared:12 - proc proc rw";
        assert_eq!(kernel_mount(line), Some(PathBuf::from("/x y")));
        assert_eq!(kernel_mount("22 1 0:5 / /x rw - ext4 /dev/a rw"), None);
        assert_eq!(kernel_mount("garbage"), None);
    }
}
