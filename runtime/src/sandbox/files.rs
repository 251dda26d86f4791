//! Folders that a guest may see, and those that no guest may.

use std::collections::HashSet;
use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::app::{DirRule, shown_path};

/// A folder as a guest sees it, checked and open.
#[derive(Debug, Clone)]
pub struct Preopen {
    /// The folder that was checked: whatever its path leads to later, this is what a guest gets.
    folder: Arc<File>,
    pub(super) path: PathBuf,
    pub(super) guest: String,
    pub(super) read_only: bool,
}

/// Why a folder is not given to a guest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FilesError {
    /// It is not there, is no folder, or may not be opened.
    #[error("the folder {} cannot be given to the app: {source}", shown_path(path))]
    Unusable {
        /// The folder as it was named.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It would show Leyden's own files.
    #[error(
        "the folder {} is refused: it would show {} to the app; name a folder beside it",
        shown_path(path),
        shown_path(protected)
    )]
    ShowsSecrets {
        /// The folder as it was named.
        path: PathBuf,
        /// What it would show.
        protected: PathBuf,
    },
    /// A file of Leyden's own has other names (hard links), which may lie in the folder.
    #[error(
        "the folder {} is refused: {} has {names} names (hard links), and one of them may lie in \
         it; remove the others",
        shown_path(path),
        shown_path(protected)
    )]
    OtherNames {
        /// The folder as it was named.
        path: PathBuf,
        /// The file.
        protected: PathBuf,
        /// How many names it has.
        names: u64,
    },
    /// It is, or contains, procfs, sysfs or devtmpfs, through which processes and devices can be
    /// read and changed.
    #[error(
        "the folder {} is refused: it would show {} to the app, through which it could read and \
         change running processes or devices",
        shown_path(path),
        shown_path(mount)
    )]
    ShowsKernel {
        /// The folder as it was named.
        path: PathBuf,
        /// The mount that it would show.
        mount: PathBuf,
    },
}

impl Preopen {
    /// Opens and checks a folder: it must not be, contain or lie inside any of the `protected`
    /// paths, by whatever links and mounts, nor show procfs or sysfs.
    ///
    /// # Errors
    ///
    /// [`FilesError`], saying which of these it would show.
    pub fn check(wanted: &DirRule, protected: &[PathBuf]) -> Result<Self, FilesError> {
        let unusable = |source| FilesError::Unusable {
            path: wanted.host.clone(),
            source,
        };
        let folder = open_folder(&wanted.host).map_err(unusable)?;
        let real = through_descriptor(&folder)
            .canonicalize()
            .map_err(unusable)?;
        let mounts = Mounts::read();
        let seen = Seen::of(&real, &mounts);
        for protected in protected {
            if seen.shows(protected) {
                return Err(FilesError::ShowsSecrets {
                    path: wanted.host.clone(),
                    protected: protected.clone(),
                });
            }
            let names = names_of_file(protected);
            if names > 1 {
                return Err(FilesError::OtherNames {
                    path: wanted.host.clone(),
                    protected: protected.clone(),
                    names,
                });
            }
        }
        for mount in mounts.kernel {
            if mount.starts_with(&real) || real.starts_with(&mount) {
                return Err(FilesError::ShowsKernel {
                    path: wanted.host.clone(),
                    mount,
                });
            }
        }
        Ok(Self {
            folder: Arc::new(folder),
            path: real,
            guest: wanted.guest.clone(),
            read_only: wanted.read_only,
        })
    }

    /// A path that leads to the open folder itself.
    pub(super) fn opened_path(&self) -> PathBuf {
        through_descriptor(&self.folder)
    }
}

fn open_folder(path: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags};
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, flags, Mode::empty())?.into())
}

fn through_descriptor(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

/// A file or folder, whatever path leads to it.
type Id = (u64, u64);

fn id(metadata: &Metadata) -> Id {
    (metadata.dev(), metadata.ino())
}

fn id_of(path: &Path) -> Option<Id> {
    path.metadata().ok().map(|metadata| id(&metadata))
}

/// How many names a file has; 0 where there is none.
fn names_of_file(path: &Path) -> u64 {
    let metadata = path.metadata().ok();
    metadata
        .filter(Metadata::is_file)
        .map_or(0, |file| file.nlink())
}

/// What a folder shows, by paths and, because a bind mount has another path, by identity.
struct Seen<'a> {
    path: &'a Path,
    /// The folder, and what is mounted below it.
    roots: HashSet<Id>,
    /// The folder, and the folders that it lies in.
    above: HashSet<Id>,
}

impl<'a> Seen<'a> {
    fn of(path: &'a Path, mounts: &Mounts) -> Self {
        let below = mounts.all.iter().filter(|mount| mount.starts_with(path));
        Self {
            path,
            roots: below
                .map(PathBuf::as_path)
                .chain([path])
                .filter_map(id_of)
                .collect(),
            above: path.ancestors().filter_map(id_of).collect(),
        }
    }

    fn shows(&self, protected: &Path) -> bool {
        let real = canonical_as_far_as_there(protected);
        let leads_to = |path: &Path| id_of(path).is_some_and(|id| self.roots.contains(&id));
        real.starts_with(self.path)
            || self.path.starts_with(&real)
            || real.ancestors().any(leads_to)
            || id_of(&real).is_some_and(|id| self.above.contains(&id))
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

/// Mount points (proc_pid_mountinfo(5)).
struct Mounts {
    all: Vec<PathBuf>,
    /// Those of procfs, sysfs and devtmpfs; their usual places where the list cannot be read.
    kernel: Vec<PathBuf>,
}

impl Mounts {
    fn read() -> Self {
        let list = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut mounts = Self {
            all: Vec::new(),
            kernel: vec!["/proc".into(), "/sys".into(), "/dev".into()],
        };
        for (point, kind) in list.lines().filter_map(mount) {
            if matches!(kind, "proc" | "sysfs" | "devtmpfs") {
                mounts.kernel.push(point.clone());
            }
            mounts.all.push(point);
        }
        mounts
    }
}

/// The mount point and the kind of file system in a line of mountinfo.
fn mount(line: &str) -> Option<(PathBuf, &str)> {
    let (mount, kind) = line.split_once(" - ")?;
    let point = mount.split(' ').nth(4)?;
    Some((unescape(point).into(), kind.split(' ').next()?))
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
        let key = folder.path().join("key");
        std::fs::write(&key, "").unwrap();
        assert!(check(&key, &[]).is_err(), "not a folder");
    }

    #[test]
    fn a_key_with_a_second_name_refuses_any_folder() {
        let folder = tempfile::tempdir().unwrap();
        let (data, key) = (folder.path().join("data"), folder.path().join("key"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(&key, "").unwrap();
        assert!(check(&data, &[&key]).is_ok());
        std::fs::hard_link(&key, data.join("linked")).unwrap();
        assert!(matches!(
            check(&data, &[&key]),
            Err(FilesError::OtherNames { names: 2, .. })
        ));
    }

    #[test]
    fn what_was_checked_is_what_is_shown() {
        let folder = tempfile::tempdir().unwrap();
        let (data, keys) = (folder.path().join("data"), folder.path().join("keys"));
        std::fs::create_dir(&data).unwrap();
        std::fs::write(data.join("a"), "").unwrap();
        std::fs::create_dir(&keys).unwrap();
        std::fs::write(keys.join("key"), "").unwrap();
        let checked = check(&data, &[&keys]).unwrap();
        std::fs::rename(&data, folder.path().join("moved")).unwrap();
        std::os::unix::fs::symlink("keys", &data).unwrap();
        assert!(checked.opened_path().join("a").exists());
        assert!(!checked.opened_path().join("key").exists());
    }

    #[test]
    fn another_path_to_the_same_folder_shows_as_much() {
        let folder = tempfile::tempdir().unwrap();
        let keys = folder.path().join("keys");
        std::fs::create_dir(&keys).unwrap();
        std::fs::create_dir(keys.join("inner")).unwrap();
        std::fs::write(keys.join("key"), "").unwrap();
        // As a bind mount elsewhere would: another path, the same identity.
        let seen = |roots: &[&Path], above: &[&Path]| Seen {
            path: Path::new("/mnt"),
            roots: roots.iter().filter_map(|path| id_of(path)).collect(),
            above: above.iter().filter_map(|path| id_of(path)).collect(),
        };
        let key = keys.join("key");
        assert!(!seen(&[], &[]).shows(&key));
        assert!(seen(&[&keys], &[]).shows(&key), "mounted there or below");
        assert!(seen(&[folder.path()], &[]).shows(&key));
        assert!(seen(&[&key], &[]).shows(&key), "a file that is mounted");
        assert!(seen(&[&keys.join("inner")], &[&keys]).shows(&keys));
        assert!(!seen(&[&keys.join("inner")], &[&keys]).shows(&key));
    }

    #[test]
    fn kernel_file_systems_are_refused() {
        for path in ["/proc", "/proc/self", "/sys", "/dev", "/"] {
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
    fn lines_of_mountinfo() {
        let line = "22 1 0:5 / /x\\040y rw,nosuid shared:12 - proc proc rw";
        assert_eq!(mount(line), Some((PathBuf::from("/x y"), "proc")));
        assert_eq!(mount("garbage"), None);
    }
}
