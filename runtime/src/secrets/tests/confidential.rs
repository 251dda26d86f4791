//! Values stand nowhere in the clear: not in the files, not in errors, not in `Debug`.

use data_encoding::{BASE64, HEXLOWER};

use super::bed::{Bed, name, passphrase, release, value, wanted};
use crate::secrets::*;

const VALUE: &str = "hunter2-Zq8vLw3nXc";
const PHRASE: &str = "pass-Yt5mKd9rBb";

#[test]
fn g4_no_value_and_no_passphrase_is_in_any_file() {
    let bed = Bed::new();
    let store = bed.make();
    store.add_slot("phrase", &passphrase(PHRASE)).unwrap();
    store.create_secret(&name("token"), value(VALUE)).unwrap();
    store.set_secret(&name("token"), value(VALUE)).unwrap();
    release(&store, &[wanted("token", None)]).unwrap();
    store.delete(&name("token")).unwrap();
    let search = |open: bool| {
        for file in bed.files() {
            let bytes = std::fs::read(&file).unwrap();
            for secret in [VALUE, PHRASE] {
                let hash = crate::app::Digest::of(secret.as_bytes());
                let forms = [
                    secret.as_bytes().to_vec(),
                    HEXLOWER.encode(secret.as_bytes()).into_bytes(),
                    BASE64
                        .encode(secret.as_bytes())
                        .trim_end_matches('=')
                        .as_bytes()
                        .to_vec(),
                    hash.as_bytes().to_vec(),
                    HEXLOWER.encode(hash.as_bytes()).into_bytes(),
                ];
                for form in forms {
                    let found = bytes.windows(form.len()).any(|window| window == form);
                    assert!(!found, "{} (open: {open})", file.display());
                }
            }
        }
    };
    search(true);
    drop(store);
    bed.bytes();
    search(false);
}

#[test]
fn g4_no_debug_or_error_holds_a_value() {
    let bed = Bed::new();
    let opened = bed
        .options()
        .open_or_create(bed.path(), bed.key_path())
        .unwrap();
    let store = &opened.store;
    store.create_secret(&name("token"), value(VALUE)).unwrap();
    let mut missing = wanted("missing", None);
    missing.component = "flow".into();
    let all = [wanted("token", None)];
    let app_digest = crate::app::Digest::of(b"app");
    let released = release(store, &all).unwrap();
    let bytes = SecretValue::new([VALUE.as_bytes(), &[0, 0xff]].concat()).unwrap();
    let refused = release(store, &[missing]).unwrap_err();
    let texts = [
        format!("{opened:?}"),
        format!("{:?}", bed.options()),
        format!("{released:?}"),
        format!(
            "{:?}",
            ReleaseRequest {
                app_name: "app",
                app_digest,
                app_folder: None,
                wanted: &all
            }
        ),
        format!("{:?} {:?}", passphrase(PHRASE), bed.key()),
        format!("{bytes:?}"),
        format!("{:?}", bytes.into_text().unwrap_err()),
        format!("{refused:?} {refused}"),
        format!("{:?}", store.list().unwrap()),
        serde_json::to_string(&store.list().unwrap()).unwrap(),
        format!("{:?}", store.slots().unwrap()),
        format!("{:?}", store.audit_list(&AuditFilter::default()).unwrap()),
        format!(
            "{:?}",
            store
                .create_secret(&name("token"), value(VALUE))
                .unwrap_err()
        ),
        format!(
            "{:?}",
            SecretValue::new(VALUE.repeat(1 << 17).into_bytes()).unwrap_err()
        ),
    ];
    let key = std::fs::read_to_string(bed.key_path()).unwrap();
    for text in texts {
        for secret in [VALUE, PHRASE, key.trim_end()] {
            assert!(!text.contains(secret), "{text}");
        }
        // A list of bytes, as `Debug` of a vector has it.
        assert!(!text.contains("104, 117, 110, 116"), "{text}");
    }
}

#[test]
fn a_value_has_no_clone_no_comparison_and_no_serialization() {
    trait Lacks<A> {
        fn it() {}
    }
    macro_rules! lacks {
        ($($bound:path),*) => {$({
            struct Has;
            impl<T> Lacks<()> for T {}
            impl<T: $bound> Lacks<Has> for T {}
            trait Lacks<A> {
                fn it() {}
            }
            // Does not compile if both hold.
            let _ = <SecretValue as Lacks<_>>::it;
            let _ = <Key as Lacks<_>>::it;
        })*};
    }
    lacks!(
        Clone,
        PartialEq,
        serde::Serialize,
        std::fmt::Display,
        std::hash::Hash
    );
    // The trick works: something that is `Clone` has both.
    struct Has;
    impl<T> Lacks<()> for T {}
    impl<T: Clone> Lacks<Has> for T {}
    <String as Lacks<()>>::it();
    <String as Lacks<Has>>::it();
}

#[test]
fn g4_a_value_typed_in_the_place_of_a_name_is_not_kept() {
    let bed = Bed::new();
    let store = bed.make();
    store.create_secret(&name("token"), value("x")).unwrap();
    let typed = "ghp-Abc123SecretTyped";
    assert!(release(&store, &[wanted(typed, None)]).is_err());
    let denied = store.audit_list(&AuditFilter::default().limit(1)).unwrap();
    assert_eq!(denied[0].outcome, AuditOutcome::Denied);
    assert_eq!(denied[0].secret, None);
    drop(store);
    for entry in std::fs::read_dir(bed.path().parent().unwrap()).unwrap() {
        let bytes = std::fs::read(entry.unwrap().path()).unwrap();
        let found = |text: &str| memchr::memmem::find(&bytes, text.as_bytes()).is_some();
        assert!(!found(typed) && !found(&typed.to_lowercase()));
    }
}
