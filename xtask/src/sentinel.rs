//! The search, in all that a run of the tests leaves, for what the values of their secrets hold.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::{BASE64, BASE64URL, HEXLOWER, HEXUPPER};
use rustix::fs::{SeekFrom, seek};
use rustix::io::Errno;

/// As in `tests/support/home.rs` and `runtime/src/secrets/tests/bed.rs`: what most values begin with,
/// and what stands in a line of one that has several, and is not ASCII.
const SENTINELS: [&str; 2] = ["some-value", "other välue"];

/// Fewer stores than this are not what all tests leave.
const FEWEST_STORES: usize = 50;

/// How much of a file is looked at at once, in bytes, and how much of that twice: more than the
/// longest form of a sentinel.
const PIECE: usize = 1 << 20;
const OVERLAP: usize = 64;

/// Fails where any file in a folder, or below it, holds a sentinel, in whatever form.
pub(crate) fn search(folder: &Path) -> Result<()> {
    let forms = forms();
    let (mut files, mut stores, mut found) = (0, 0, Vec::new());
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| shown("list", &folder))? {
            let path = entry?.path();
            let kind = path.symlink_metadata()?.file_type();
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let is_found = is_in(&path, &forms).with_context(|| shown("read", &path))?;
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

/// The forms in which a value might be written: as it is, in hex, in base64 wherever it begins, in
/// JSON's escapes and in those of addresses and forms.
fn forms() -> Vec<Vec<u8>> {
    let mut forms = Vec::new();
    for sentinel in SENTINELS {
        let bytes = sentinel.as_bytes();
        forms.extend([HEXLOWER.encode(bytes), HEXUPPER.encode(bytes)]);
        for before in 0..3 {
            let mut padded = vec![0; before];
            padded.extend(bytes);
            // All characters that depend on the sentinel alone: within the text, which is ASCII.
            let whole = (before * 8).div_ceil(6)..padded.len() * 8 / 6;
            let encoded = [BASE64, BASE64URL].map(|base64| base64.encode(&padded));
            forms.extend(encoded.map(|text| text[whole.clone()].to_owned()));
        }
        let escaped = |is_plain: fn(char) -> bool, escape: fn(char) -> String| {
            let parts = sentinel.chars().map(|c| match is_plain(c) {
                true => c.to_string(),
                false => escape(c),
            });
            parts.collect::<String>()
        };
        let percent = |c: char| {
            let mut buffer = [0; 4];
            let bytes = c.encode_utf8(&mut buffer).bytes();
            bytes.map(|byte| format!("%{byte:02X}")).collect()
        };
        let json = escaped(|c| c.is_ascii(), |c| format!("\\u{:04x}", u32::from(c)));
        let address = escaped(|c| c.is_ascii() && c != ' ', percent);
        let form = address.replace("%20", "+");
        forms.extend([sentinel.to_owned(), json, address, form]);
    }
    forms.into_iter().map(String::into_bytes).collect()
}

/// Whether a file holds any of them. Looks in pieces, each with the end of the one before, and only where
/// there is something: tests make files of many GiB in which nothing is.
fn is_in(path: &Path, forms: &[Vec<u8>]) -> io::Result<bool> {
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
        if holds(&bytes, forms) {
            return Ok(true);
        }
        if read <= OVERLAP {
            return Ok(false);
        }
        at += (read - OVERLAP) as u64;
    }
}

fn holds(bytes: &[u8], forms: &[Vec<u8>]) -> bool {
    let mut forms = forms.iter();
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
            // Of `x-some-value` and `ab some-value`.
            "eC1zb21lLXZhbHVl",
            "YWIgc29tZS12YWx1ZQ==",
            "first\nother välue\n",
            "other v\\u00e4lue",
            "other%20v%C3%A4lue",
            "other+v%C3%A4lue",
            "6f746865722076c3a46c7565",
            "Zmlyc3QKb3RoZXIgdsOkbHVlCg==",
        ] {
            let text = format!("before {form} after");
            assert!(holds(text.as_bytes(), &forms()), "{form}");
        }
        assert!(!holds(
            b"some value, c29tZS12, 736f6d652d, other value",
            &forms()
        ));
        let longest = forms().iter().map(Vec::len).max();
        assert!(longest < Some(OVERLAP));
    }

    #[test]
    fn it_is_found_across_pieces_and_behind_a_hole_and_nothing_else_is() {
        let folder = std::env::temp_dir().join(format!("xtask-sentinel-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("file");
        for at in [0, PIECE - 4, 2 * PIECE - OVERLAP - 4, 3 * PIECE, 1 << 40] {
            let file = File::create(&path).unwrap();
            file.write_all_at(SENTINELS[0].as_bytes(), at as u64)
                .unwrap();
            assert!(is_in(&path, &forms()).unwrap(), "{at}");
            file.write_all_at(b"x", at as u64 + 2).unwrap();
            file.set_len(1 << 42).unwrap();
            assert!(!is_in(&path, &forms()).unwrap(), "{at}");
        }
        fs::remove_dir_all(folder).unwrap();
    }
}
