//! Grants to a folder that holds more than an app: what they permit is said before they are given.

use std::path::{Path, PathBuf};

use leyden::secrets::Grantee;

/// What a grant to a folder permits that is no app's own; nothing to say of any other.
pub(crate) fn warning(to: &Grantee) -> Option<String> {
    let Grantee::Folder(folder) = to else {
        return None;
    };
    let home = etcetera::home_dir().ok();
    let home = home.and_then(|home| home.canonicalize().ok());
    let what = kind(folder.as_ref(), home.as_ref())?;
    Some(format!(
        "{folder} is {what}, and not a folder of one app: a grant to it permits whatever app is put \
         there, also one that is unpacked or saved there by a program of yours, to have what is \
         granted, and nobody is asked again"
    ))
}

fn kind(folder: &Path, home: Option<&PathBuf>) -> Option<&'static str> {
    if folder.parent().is_none() {
        return Some("the folder of all folders");
    }
    match home {
        Some(home) if home == folder => Some("your home folder"),
        Some(home) if home.starts_with(folder) => Some("a folder that your home folder is in"),
        _ if !has_app(folder) => Some("a folder without an app in it"),
        _ => None,
    }
}

/// Whether an app lies there itself, as far as its names tell. What cannot be looked into has none.
fn has_app(folder: &Path) -> bool {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names = entries.map(|entry| PathBuf::from(entry.file_name()));
    names.any(|name| {
        name.as_os_str() == "leyden.toml" || name.extension().is_some_and(|of| of == "wasm")
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn folders_that_hold_more_than_an_app_are_told_from_others() {
        let home = PathBuf::from("/home/ada");
        for (folder, home, is_wide) in [
            ("/", Some(&home), true),
            ("/", None, true),
            ("/home", Some(&home), true),
            ("/home/ada", Some(&home), true),
            ("/etc", Some(&home), true),
            ("/not/there", None, true),
        ] {
            assert_eq!(kind(Path::new(folder), home).is_some(), is_wide, "{folder}");
        }
        for (file, is_wide) in [
            ("leyden.toml", false),
            ("app.wasm", false),
            ("notes.txt", true),
        ] {
            let folder = tempfile::tempdir().unwrap();
            assert!(kind(folder.path(), None).is_some());
            std::fs::write(folder.path().join(file), "").unwrap();
            assert_eq!(kind(folder.path(), None).is_some(), is_wide, "{file}");
        }
    }
}
