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
    let what = kind(folder, home.as_ref())?;
    Some(format!(
        "{} is {what}, and not a folder of one app: a grant to it permits whatever app is put \
         there, also one that is unpacked or saved there by a program of yours, to have what is \
         granted, and nobody is asked again",
        folder.display()
    ))
}

fn kind(folder: &Path, home: Option<&PathBuf>) -> Option<&'static str> {
    if folder.parent().is_none() {
        return Some("the folder of all folders");
    }
    match home {
        Some(home) if home == folder => Some("your home folder"),
        Some(home) if home.starts_with(folder) => Some("a folder that your home folder is in"),
        _ => None,
    }
}

#[cfg(test)]
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
            ("/home/ada", None, false),
            ("/home/ada/src", Some(&home), false),
            ("/home/adam", Some(&home), false),
            ("/srv/app", Some(&home), false),
        ] {
            assert_eq!(kind(Path::new(folder), home).is_some(), is_wide, "{folder}");
        }
    }
}
