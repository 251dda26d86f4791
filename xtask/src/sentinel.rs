//! The search, in all that a run of the tests leaves, for what the values of their secrets begin
//! with.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// As in `tests/support/home.rs` and `runtime/src/secrets/tests/bed.rs`.
const SENTINEL: &str = "some-value";

/// Fewer stores than this are not what all tests leave.
const FEWEST_STORES: usize = 50;

/// How much of a file is looked at at once, in bytes, and how much of that twice: more than the
/// longest form of the sentinel.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 64;

/// Fails where any file in a folder, or below it, holds the sentinel: as it is, or in base64 or hex.
pub(crate) fn search(folder: &Path) -> Result<()> {
    let (mut files, mut stores, mut found) = (0, 0, Vec::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| shown("list", &folder))? {
            let path = entry?.path();
            let kind = path.symlink_metadata()?.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let is_found = is_in(&path).with_context(|| shown("read", &path))?;
                files += 1;
                stores += usize::from(path.file_name().is_some_and(|name| name == "store.db"));
                found.extend(is_found.then_some(path));
            }
        }
    }
    if !found.is_empty() {
        let paths: Vec<String> = found.iter().map(|it| it.display().to_string()).collect();
        bail!("a secret's value is in the clear in:\n{}", paths.join("\n"));
    }
    ensure!(
        stores >= FEWEST_STORES,
        "only {stores} stores were left to be searched in {}",
        folder.display()
    );
    eprintln!("no secret's value is in the {files} files that the tests left");
    Ok(())
}

fn shown(action: &str, path: &Path) -> String {
    format!("cannot {action} {}", path.display())
}

/// Whether a file holds it. Looks in pieces, each with the end of the one before, and only where
/// there is something: tests make files of many GiB in which nothing is.
fn is_in(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let (mut at, mut bytes) = (0, Vec::with_capacity(PIECE));
    loop {
        at = match seek(&file, SeekFrom::Data(at)) {
            Ok(data) => data,
            Err(Errno::NXIO) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        bytes.clear();
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut bytes)?;
        if holds(&bytes) {
            return Ok(true);
        }
        if read <= OVERLAP {
            return Ok(false);
        }
        at += (read - OVERLAP) as u64;
    }
}

fn holds(bytes: &[u8]) -> bool {
    let hex: String = SENTINEL.bytes().map(|byte| format!("{byte:02x}")).collect();
    // In base64 a value's beginning looks alike whatever follows, but for the last character.
    let base64 = "c29tZS12YWx1Z";
    let forms = [SENTINEL, &hex, &hex.to_uppercase(), base64];
    let mut forms = forms.iter().map(|form| form.as_bytes());
    forms.any(|form| memchr::memmem::find(bytes, form).is_some())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::FileExt;

    use super::*;

    #[test]
    fn each_form_of_a_value_is_found_wherever_it_stands() {
        for form in [
            "some-value-that",
            "736f6d652d76616c75652d74686174",
            "736F6D652D76616C75652D74686174",
            "c29tZS12YWx1ZS10aGF0",
            "c29tZS12YWx1ZQ==",
        ] {
            assert!(holds(format!("before {form} after").as_bytes()), "{form}");
        }
        assert!(!holds(b"some value, c29tZS12, 736f6d652d"));
    }

    #[test]
    fn it_is_found_across_pieces_and_behind_a_hole_and_nothing_else_is() {
        let folder = std::env::temp_dir().join(format!("xtask-sentinel-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        for at in [0, PIECE - 4, 2 * PIECE - OVERLAP - 4, 3 * PIECE, 1 << 40] {
            let file = File::create(&path).unwrap();
            file.write_all_at(SENTINEL.as_bytes(), at as u64).unwrap();
            assert!(is_in(&path).unwrap(), "{at}");
            file.write_all_at(b"x", at as u64 + 2).unwrap();
            file.set_len(1 << 42).unwrap();
            assert!(!is_in(&path).unwrap(), "{at}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
