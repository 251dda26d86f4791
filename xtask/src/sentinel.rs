//! The search, in all that a run of the tests leaves, for what the values of their secrets begin
//! with.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

/// As in `tests/support/home.rs` and `runtime/src/secrets/tests/bed.rs`.
const SENTINEL: &str = "some-value";

/// Fewer stores than this are not what all tests leave.
const FEWEST_STORES: usize = 50;

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
                let bytes = fs::read(&path).with_context(|| shown("read", &path))?;
                files += 1;
                stores += usize::from(path.file_name().is_some_and(|name| name == "store.db"));
                found.extend(holds(&bytes).then_some(path));
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

fn holds(bytes: &[u8]) -> bool {
    let hex: String = SENTINEL.bytes().map(|byte| format!("{byte:02x}")).collect();
    // In base64 a value's beginning looks alike whatever follows, but for the last character.
    let base64 = "c29tZS12YWx1Z";
    let forms = [SENTINEL, &hex, &hex.to_uppercase(), base64];
    let mut forms = forms.iter().map(|form| form.as_bytes());
    forms.any(|form| memchr::memmem::find(bytes, form).is_some())
}

#[cfg(test)]
mod tests {
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
}
