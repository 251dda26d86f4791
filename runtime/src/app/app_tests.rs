//! Where apps come from, their identity, and what they can be given.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::symlink;

use super::*;
use crate::app::ErrorKind;

const MODULE: &[u8] = b"\0asm\x01\0\0\0";
const MANIFEST: &str =
    "[flow]\ncomponent = 'bin/flow.wasm'\n[works.train]\ncomponent = 'train.wasm'\n";

/// A folder with this manifest and two components.
fn folder(manifest: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(MANIFEST_FILE), manifest).unwrap();
    std::fs::create_dir(folder.path().join("bin")).unwrap();
    std::fs::write(folder.path().join("bin/flow.wasm"), MODULE).unwrap();
    std::fs::write(folder.path().join("train.wasm"), MODULE).unwrap();
    folder
}

fn bare() -> App {
    App::from_bytes("bare", MODULE).unwrap()
}

fn error(path: impl AsRef<Path>) -> (ErrorKind, String) {
    let error = App::from_path(path).unwrap_err();
    (error.kind(), error.to_string())
}

#[test]
fn a_folder_and_its_manifest_are_the_same_app() {
    let folder = folder(MANIFEST);
    let app = App::from_path(folder.path()).unwrap();
    let same = App::from_path(folder.path().join(MANIFEST_FILE)).unwrap();
    assert_eq!(app.digest().unwrap(), same.digest().unwrap());
    assert_eq!(app.folder(), Some(&*folder.path().canonicalize().unwrap()));
    assert_eq!(
        app.display_name(),
        folder.path().file_name().unwrap().to_str().unwrap()
    );
    assert_eq!(app.works.len(), 1);

    let named = format!("name = 'mine'\n{MANIFEST}");
    std::fs::write(folder.path().join(MANIFEST_FILE), named).unwrap();
    let app = App::from_path(folder.path()).unwrap();
    assert_eq!(app.display_name(), "mine");
    assert_eq!(app.name("yours").display_name(), "yours");
}

#[test]
fn a_bare_component_is_an_app_with_only_a_flow() {
    let folder = folder("[flow]\ncomponent = 'bin/flow.wasm'");
    let path = folder.path().join("bin/flow.wasm");
    let app = App::from_path(&path).unwrap();
    assert_eq!((app.display_name(), app.folder()), ("flow", None));
    let digest = app.digest().unwrap();
    assert_eq!(digest, bare().digest().unwrap());
    assert_eq!(
        digest,
        App::from_path(folder.path()).unwrap().digest().unwrap()
    );
    // A name or a binding is no part of the identity; a byte of the component is.
    let given = app
        .name("other")
        .env("A", "b")
        .unwrap()
        .secret("C", "d")
        .unwrap();
    assert_eq!(digest, given.digest().unwrap());
    let other = App::from_bytes("bare", [MODULE, b"x"].concat()).unwrap();
    assert_ne!(digest, other.digest().unwrap());
}

#[test]
fn a_works_bytes_are_part_of_the_identity() {
    let folder = folder(MANIFEST);
    let digest = || App::from_path(folder.path()).unwrap().digest().unwrap();
    let before = digest();
    std::fs::write(folder.path().join("train.wasm"), [MODULE, b"x"].concat()).unwrap();
    assert_ne!(digest(), before);
}

#[test]
fn what_is_not_there_and_what_cannot_run() {
    use ErrorKind::{NotFound, NotRunnable};
    let folder = folder(MANIFEST);
    let at = |name: &str| folder.path().join(name);
    assert_eq!(error(at("none.wasm")).0, NotFound);
    assert_eq!(error(at("train.wasm/none")).0, NotFound);
    assert_eq!(error(at("none/leyden.toml")).0, NotFound);
    let (kind, shown) = error(at("bin"));
    assert!(
        kind == NotRunnable && shown.contains("holds no leyden.toml"),
        "{shown}"
    );
    std::fs::write(at("app.py"), "import os").unwrap();
    let (kind, shown) = error(at("app.py"));
    assert!(
        kind == NotRunnable && shown.contains("componentize-py"),
        "{shown}"
    );

    std::fs::remove_file(at("train.wasm")).unwrap();
    let (kind, shown) = error(folder.path());
    assert!(
        kind == NotRunnable && shown.contains("the Work `train`'s component"),
        "{shown}"
    );
    assert!(shown.contains("was it built?"), "{shown}");
    std::fs::write(at("leyden.toml"), "[flow").unwrap();
    let (kind, shown) = error(folder.path());
    assert!(
        kind == NotRunnable && shown.contains("leyden.toml:1:"),
        "{shown}"
    );
}

#[test]
fn no_symbolic_link_leaves_the_folder() {
    let outside = folder(MANIFEST);
    let folder = folder(MANIFEST);
    let train = folder.path().join("train.wasm");
    std::fs::remove_file(&train).unwrap();
    symlink("bin/flow.wasm", &train).unwrap();
    assert!(App::from_path(folder.path()).is_ok());

    std::fs::remove_file(&train).unwrap();
    symlink(outside.path().join("train.wasm"), &train).unwrap();
    let (kind, shown) = error(folder.path());
    assert!(
        kind == ErrorKind::NotRunnable && shown.contains("leaves the app's folder"),
        "{shown}"
    );

    // The same for a folder on the way.
    std::fs::remove_file(&train).unwrap();
    std::fs::write(&train, MODULE).unwrap();
    std::fs::remove_dir_all(folder.path().join("bin")).unwrap();
    symlink(outside.path().join("bin"), folder.path().join("bin")).unwrap();
    let (_, shown) = error(folder.path());
    assert!(
        shown.starts_with("the Flow's component") && shown.contains("leaves"),
        "{shown}"
    );
}

#[test]
fn an_app_reached_through_a_symbolic_link_is_where_it_is() {
    let real = folder(MANIFEST);
    let elsewhere = tempfile::tempdir().unwrap();
    let link = elsewhere.path().join("link");
    symlink(real.path(), &link).unwrap();
    let app = App::from_path(&link).unwrap();
    assert_eq!(app.folder(), Some(&*real.path().canonicalize().unwrap()));
}

#[test]
fn what_was_opened_is_what_runs() {
    let folder = folder(MANIFEST);
    let app = App::from_path(folder.path()).unwrap();
    let before = App::from_path(folder.path()).unwrap().digest().unwrap();
    let replacement = folder.path().join("new");
    std::fs::write(&replacement, [MODULE, b"x"].concat()).unwrap();
    std::fs::rename(&replacement, folder.path().join("train.wasm")).unwrap();
    assert_eq!(app.digest().unwrap(), before);
}

#[test]
fn one_error_type_from_path_to_secret() {
    fn build(path: &Path) -> Result<App, AppError> {
        App::from_path(path)?
            .env("FOO", "bar")?
            .secret("MY_APP_SECRET", "my-secret")?
            .dir("data::/data:ro")?
            .allow_host("example.com")?
            .with("train:LEVEL=info".parse::<Scoped<EnvEntry>>()?)?
            .with("train:db.example.com:5432".parse::<Scoped<HostRule>>()?)?
            .with("train:T=token@2:base64".parse::<Scoped<SecretBinding>>()?)
            .map(|app| app.timeout(Duration::from_secs(30)).memory(1 << 28))
    }
    assert!(build(folder(MANIFEST).path()).is_ok());
}

#[test]
fn what_cannot_be_given() {
    let usage = |result: Result<App, AppError>| {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Usage, "{error}");
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
        error.to_string()
    };
    assert!(usage(bare().env("A-B", "hunter2")).contains("did you mean `A_B`?"));
    assert!(usage(bare().env("A", "hunter2\0")).contains("NUL"));
    assert!(usage(bare().secret("A", "my_secret")).contains("did you mean `my-secret`?"));
    assert!(usage(bare().secret("A", "s@x")).contains("no version"));
    assert!(usage(bare().dir("")).contains("no folder"));
    assert!(usage(bare().allow_host("*")).contains("wildcards"));
    assert!(usage(bare().env_file("/none")).contains("/none: it cannot be read"));
    let twice = bare().env("A", "hunter2").unwrap().env("A", "hunter2");
    assert_eq!(usage(twice), "`A` is given twice: keep one of them");
    let twice = bare().secret("A", "s").unwrap().secret("A", "t");
    assert!(usage(twice).contains("`A` is given twice"));
    let twice = bare().dir("a::/in").unwrap().dir("b::/in/");
    assert!(usage(twice).contains("`/in/` is given twice"));
    assert!(bare().dir("a::/in").unwrap().dir("a::/other").is_ok());
}

#[test]
fn a_work_that_is_not_there() {
    let folder = folder(MANIFEST);
    let app = || App::from_path(folder.path()).unwrap();
    let scoped = |typed: &str| typed.parse::<Scoped<EnvEntry>>().unwrap();
    let error = app().with(scoped("trian:A=b")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Usage);
    let shown = "the app has no Work `trian` (did you mean `train`?); it has train";
    assert_eq!(error.to_string(), shown);
    assert!(
        app()
            .with("trian:A=b".parse::<Scoped<SecretBinding>>().unwrap())
            .is_err()
    );
    assert!(
        app()
            .with("trian:a".parse::<Scoped<DirRule>>().unwrap())
            .is_err()
    );
    assert!(
        app()
            .with("trian:a".parse::<Scoped<HostRule>>().unwrap())
            .is_err()
    );
    let shown = bare().with(scoped("train:A=b")).unwrap_err().to_string();
    assert_eq!(shown, "the app has no Work `train`: it has none");
    // The same name for everybody and for a Work is not twice.
    let both = app().env("A", "1").unwrap().with(scoped("train:A=2"));
    let twice = both.unwrap().with(scoped("train:A=3")).unwrap_err();
    assert_eq!(
        twice.to_string(),
        "`A` is given twice for the Work `train`: keep one of them"
    );
}

#[test]
fn an_app_can_be_shared_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<App>();
    check::<crate::app::Plan>();
    check::<AppError>();
}
