//! A store of each format that was ever written opens, whatever comes later.

use std::os::unix::fs::PermissionsExt;

use super::bed::{get, name, options, passphrase};
use crate::secrets::*;

/// A copy of the store, because opening one makes files beside it.
fn copy(folder: &std::path::Path) -> std::path::PathBuf {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/secrets/tests/golden");
    for (from, to) in [("format-1.db", "store.db"), ("format-1.key", "root.key")] {
        let to = folder.join(to);
        std::fs::copy(golden.join(from), &to).unwrap();
        std::fs::set_permissions(&to, PermissionsExt::from_mode(0o600)).unwrap();
    }
    folder.join("store.db")
}

#[test]
fn a_store_of_format_1_opens_and_is_whole() {
    let folder = tempfile::TempDir::new().unwrap();
    let path = copy(folder.path());
    let key = Key::from_file(folder.path().join("root.key")).unwrap();
    for key in [key, passphrase("correct horse")] {
        let mut store = options(folder.path()).open(&path, &key).unwrap();
        assert_eq!(get(&store, "my-secret", Some(1)).unwrap(), b"first");
        assert_eq!(get(&store, "MY-SECRET", None).unwrap(), b"second");
        assert_eq!(get(&store, "db.password", None).unwrap(), [0, 255, 10]);
        let gone = store.show(&name("gone")).unwrap();
        assert!(matches!(gone.state, SecretState::Deleted { .. }));
        let verified = store.verify().unwrap();
        assert_eq!((verified.secrets, verified.versions), (3, 4));
        store.rotate_kek(|_, _| {}).unwrap();
        let slots = store.slots().unwrap();
        assert_eq!(slots.len(), 2);
        let words = passphrase("correct horse");
        let file = Key::from_file(folder.path().join("root.key")).unwrap();
        store.rotate_root(&[words, file]).unwrap();
        assert_eq!(get(&store, "my-secret", None).unwrap(), b"second");
    }
}
