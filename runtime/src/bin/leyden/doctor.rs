//! `leyden doctor`: looks over everything that Leyden stands on, and mends nothing.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use bytesize::ByteSize;
use comfy_table::{Cell, Color};
use leyden::sandbox::Cache;
use serde::Serialize;

use crate::cli::Report;
use crate::exit::{DONE, Failure, NO, explain};
use crate::paths::{Folders, KeyFrom, Paths};
use crate::report::{self, Format, cell};
use crate::{harden, keyring, unlock};

/// The line of wasmtime that this is built with.
const WASMTIME: &str = "48.0";

/// One thing that was looked at.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Check {
    what: &'static str,
    state: State,
    /// What is there, or what is wrong with it.
    found: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

impl Check {
    fn ok(what: &'static str, found: impl Into<String>) -> Self {
        Self {
            what,
            state: State::Ok,
            found: found.into(),
            remedy: None,
        }
    }

    fn not(
        state: State,
        what: &'static str,
        found: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self {
            what,
            state,
            found: found.into(),
            remedy: Some(remedy.into()),
        }
    }
}

/// Reports; the exit status.
pub(crate) fn run(report: &Report, paths: &Paths) -> anyhow::Result<u8> {
    let mut checks = vec![versions(), platform(), core_dumps(), locked_memory()];
    let Folders {
        data,
        config,
        state,
        cache,
    } = &paths.folders;
    let folders = [
        ("data folder", data),
        ("config folder", config),
        ("state folder", state),
    ];
    checks.extend(folders.map(|(what, path)| folder(what, path)));
    checks.extend(files(paths));
    checks.push(key(paths));
    checks.push(rollback_record(paths));
    checks.push(store(paths));
    checks.push(compiled(cache));
    let healthy = !checks.iter().any(|check| check.state == State::Fail);
    match report.output {
        Format::Json => report::json(&serde_json::json!({ "healthy": healthy, "checks": checks }))?,
        Format::Text => report::table(["", "WHAT", "FOUND"], checks.iter().map(row))?,
    }
    Ok(if healthy { DONE } else { NO })
}

fn row(check: &Check) -> [Cell; 3] {
    let state = match check.state {
        State::Ok => cell("ok").fg(Color::Green),
        State::Warn => cell("warn").fg(Color::Yellow),
        State::Fail => cell("FAIL").fg(Color::Red),
    };
    let found = match &check.remedy {
        Some(remedy) => format!("{}\n-> {remedy}", check.found),
        None => check.found.clone(),
    };
    [state, cell(check.what), cell(found)]
}

fn versions() -> Check {
    let (leyden, sqlite) = (env!("CARGO_PKG_VERSION"), rusqlite::version());
    Check::ok(
        "versions",
        format!("leyden {leyden}, wasmtime {WASMTIME} (LTS), SQLite {sqlite}"),
    )
}

fn platform() -> Check {
    let uname = rustix::system::uname();
    let found = format!(
        "{} {} on {}",
        uname.sysname().to_string_lossy(),
        uname.release().to_string_lossy(),
        std::env::consts::ARCH
    );
    let known =
        cfg!(target_os = "linux") && cfg!(any(target_arch = "x86_64", target_arch = "aarch64"));
    if known {
        Check::ok("platform", found)
    } else {
        Check::not(
            State::Warn,
            "platform",
            found,
            "Leyden is tried on Linux, x86_64 and aarch64",
        )
    }
}

fn core_dumps() -> Check {
    if harden::leaves_no_core_dump() {
        Check::ok(
            "core dumps",
            "off for this command: no secret can get into one",
        )
    } else {
        Check::not(
            State::Warn,
            "core dumps",
            "this system did not let them be turned off: a crash may write secrets to disk",
            "ulimit -c 0",
        )
    }
}

/// Whether a page can be kept from being swapped out, as the pages of keys are where that works.
fn locked_memory() -> Check {
    let page = [0_u8; 1];
    match region::lock(page.as_ptr(), page.len()) {
        Ok(_) => Check::ok("locked memory", "keys are not swapped out"),
        Err(error) => Check::not(
            State::Warn,
            "locked memory",
            format!("this system does not let keys be kept from being swapped out: {error}"),
            "raise the limit (ulimit -l), or encrypt what is swapped",
        ),
    }
}

/// A folder of Leyden's own.
fn folder(what: &'static str, path: &Path) -> Check {
    let shown = path.display();
    let metadata = match fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Check::ok(
                what,
                format!("{shown} is not there yet; it is made when needed"),
            );
        }
        Err(error) => {
            let remedy = "look at the permissions of the folders above it";
            return Check::not(State::Fail, what, format!("{shown}: {error}"), remedy);
        }
    };
    if !metadata.is_dir() {
        return Check::not(
            State::Fail,
            what,
            format!("{shown} is not a folder"),
            "move it away",
        );
    }
    let mode = metadata.mode() & 0o777;
    let chmod = format!("chmod 700 {shown}");
    if !is_mine(&metadata) {
        let found = format!("{shown} belongs to user {}", metadata.uid());
        Check::not(State::Fail, what, found, "use a folder of your own")
    } else if mode & 0o022 != 0 {
        let found = format!("{shown} can be written to by others (mode {mode:03o})");
        Check::not(State::Fail, what, found, chmod)
    } else if mode & 0o077 != 0 {
        let found = format!("{shown} can be looked into by others (mode {mode:03o})");
        Check::not(State::Warn, what, found, chmod)
    } else if mode & 0o200 == 0 {
        let found = format!("{shown} cannot be written to (mode {mode:03o})");
        Check::not(State::Fail, what, found, chmod)
    } else if let Err(error) = tempfile::tempfile_in(path) {
        let found = format!("nothing can be written to {shown}: {error}");
        let remedy = "make room on its disk, or mount it so that it can be written to";
        Check::not(State::Fail, what, found, remedy)
    } else {
        Check::ok(what, shown.to_string())
    }
}

/// The store's and the key's files that are there and that others can open.
fn files(paths: &Paths) -> Vec<Check> {
    let beside = |suffix: &str| {
        let mut path = paths.store.clone().into_os_string();
        path.push(suffix);
        PathBuf::from(path)
    };
    let all = [
        beside(""),
        beside("-wal"),
        beside("-shm"),
        paths.key_file.clone(),
    ];
    all.iter().filter_map(|path| private_file(path)).collect()
}

fn private_file(path: &Path) -> Option<Check> {
    let (what, shown) = ("permissions", path.display());
    let metadata = fs::symlink_metadata(path).ok()?;
    if metadata.is_symlink() {
        let remedy = "give the path of the file itself";
        return Some(Check::not(
            State::Fail,
            what,
            format!("{shown} is a symbolic link"),
            remedy,
        ));
    }
    let mode = metadata.mode() & 0o777;
    if !is_mine(&metadata) {
        let found = format!("{shown} belongs to user {}", metadata.uid());
        let remedy = format!("chown {} {shown}", rustix::process::geteuid().as_raw());
        return Some(Check::not(State::Fail, what, found, remedy));
    }
    if metadata.is_file() && mode & 0o077 != 0 {
        let found = format!("{shown} can be opened by others (mode {mode:03o})");
        return Some(Check::not(
            State::Fail,
            what,
            found,
            format!("chmod 600 {shown}"),
        ));
    }
    None
}

/// Root's will do: that is how systemd hands over keys.
fn is_mine(metadata: &fs::Metadata) -> bool {
    [rustix::process::geteuid().as_raw(), 0].contains(&metadata.uid())
}

fn key(paths: &Paths) -> Check {
    let file = paths.key_file.display();
    if let KeyFrom::Passphrase(passphrase) = &paths.key_from {
        return Check::ok(
            "key",
            format!("a passphrase, from {}", passphrase.display()),
        );
    }
    if let KeyFrom::Command(_) = &paths.key_from {
        return Check::ok("key", "what the key command prints; it was not run");
    }
    if let KeyFrom::Keyring(label) = &paths.key_from {
        return match keyring::read(label) {
            Ok(_) => Check::ok("key", format!("`{label}`, in the keyring")),
            Err(error) => {
                let remedy = "unlock the keyring, or open the store with another key";
                Check::not(State::Fail, "key", explain(&error), remedy)
            }
        };
    }
    if unlock::is_there(&paths.key_file) {
        return match leyden::Key::from_file(&paths.key_file) {
            Ok(_) => Check::ok("key", format!("{file}; keep a copy of it elsewhere")),
            Err(error) => {
                let remedy = "mend that, or put a copy of the key there";
                Check::not(State::Fail, "key", explain(&error.into()), remedy)
            }
        };
    }
    if !unlock::is_there(&paths.store) {
        return Check::ok(
            "key",
            format!("{file} is not there yet; the first secret makes it"),
        );
    }
    Check::not(
        State::Warn,
        "key",
        format!("there is no key file at {file}: only a passphrase opens the store"),
        "give one with --key-file, or set LEYDEN_PASSPHRASE_FILE",
    )
}

/// What this machine remembers of stores, so that an older copy is noticed.
fn rollback_record(paths: &Paths) -> Check {
    let folder = &paths.folders.state;
    let is_record = |path: PathBuf| path.extension().is_some_and(|found| found == "state");
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let records = entries.filter(|entry| is_record(entry.path())).count();
    if records > 0 || !unlock::is_there(&paths.store) {
        return Check::ok(
            "rollback record",
            format!("{records} in {}", folder.display()),
        );
    }
    Check::not(
        State::Warn,
        "rollback record",
        "this machine has not seen the store before: an older copy of it would not be noticed",
        "nothing, on a new machine; otherwise compare `leyden audit list` with what you know",
    )
}

fn store(paths: &Paths) -> Check {
    let path = paths.store.display();
    if !unlock::is_there(&paths.store) {
        let found = format!("{path} is not there yet; leyden secret create NAME makes it");
        return Check::ok("store", found);
    }
    match unlock::look(paths).and_then(|store| Ok(store.verify()?)) {
        Ok(verified) => Check::ok(
            "store",
            format!("{path} opens and is whole: {}", report::verified(&verified)),
        ),
        Err(error) if matches!(error.downcast_ref(), Some(Failure::Denied(_))) => {
            let remedy = "look again with a key, to have the store verified";
            Check::not(State::Warn, "store", explain(&error), remedy)
        }
        Err(error) => {
            let remedy = "do what it says; a damaged store is put right from a backup";
            Check::not(State::Fail, "store", explain(&error), remedy)
        }
    }
}

fn compiled(folder: &Path) -> Check {
    let (what, shown) = ("compile cache", folder.display());
    // Opening a cache makes its folder.
    if !unlock::is_there(folder) {
        return Check::ok(
            what,
            format!("{shown} is not there yet; it is made when needed"),
        );
    }
    match Cache::open(folder) {
        Ok(cache) => {
            let report = cache.report();
            let size = ByteSize::b(report.bytes);
            Check::ok(
                what,
                format!("{shown}: {} components, {size}", report.entries),
            )
        }
        Err(error) => {
            let remedy = format!("mend that, or remove {shown}, which is made anew");
            Check::not(State::Fail, what, explain(&error.into()), remedy)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn folders_are_judged_by_their_mode() {
        let folder = tempfile::tempdir().unwrap();
        let judged = |mode| {
            chmod(folder.path(), mode);
            super::folder("data folder", folder.path()).state
        };
        assert_eq!(judged(0o700), State::Ok);
        assert_eq!(judged(0o755), State::Warn);
        assert_eq!(judged(0o770), State::Fail);
        assert_eq!(judged(0o500), State::Fail);
        chmod(folder.path(), 0o700);
        assert_eq!(
            super::folder("x", &folder.path().join("none")).state,
            State::Ok
        );
        let file = folder.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(super::folder("x", &file).state, State::Fail);
    }

    #[test]
    fn files_that_others_can_open_are_told_with_what_mends_them() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.db");
        assert_eq!(private_file(&file), None);
        fs::write(&file, "").unwrap();
        chmod(&file, 0o600);
        assert_eq!(private_file(&file), None);
        chmod(&file, 0o640);
        let check = private_file(&file).unwrap();
        assert_eq!(check.state, State::Fail);
        assert_eq!(
            check.remedy.unwrap(),
            format!("chmod 600 {}", file.display())
        );
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert!(private_file(&link).unwrap().found.contains("symbolic link"));
    }

    #[test]
    fn the_line_of_wasmtime_is_the_one_in_the_lock_file() {
        let lock = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.lock");
        let lock = fs::read_to_string(lock).unwrap();
        assert!(lock.contains(&format!("name = \"wasmtime\"\nversion = \"{WASMTIME}.")));
    }
}
