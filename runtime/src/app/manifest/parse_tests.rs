//! What a manifest may say, and how it is told where it is wrong.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use proptest::prelude::*;

use super::*;

const WHOLE: &str = r#"
name = "pipeline"
[flow]
component = "./target/wasm32-wasip2/release/flow.wasm"
timeout = "1h 30m"
memory = "1GiB"
env = { ROLE = "flow" }
secrets = ["MY_APP_SECRET"]
hosts = ["Example.com", "db.example.com:5432"]
[works.train]
component = "train.wasm"
parallel = 8
timeout = "30s"
memory = "256MiB"
retries = 2
retry = "error"
cache = true
env = { LEVEL = "info" }
secrets = ["HF_TOKEN"]
hosts = ["http://[::1]:8080"]
[works.score]
component = "score.wasm"
[env]
FOO = "bar = baz"
[secrets]
MY_APP_SECRET = "my-secret"
HF_TOKEN = "hf.token@3:base64"
"#;

fn parse(text: &str) -> Result<Manifest, ManifestError> {
    Manifest::parse(Path::new("leyden.toml"), text.as_bytes())
}

/// The error of a manifest with a good Flow and this before or after it.
fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

fn in_flow(line: &str) -> String {
    error(&format!("[flow]\ncomponent = \"flow.wasm\"\n{line}"))
}

fn in_work(line: &str) -> String {
    error(&format!(
        "[flow]\ncomponent = \"f\"\n[works.train]\ncomponent = \"t\"\n{line}"
    ))
}

#[test]
fn the_whole_grammar() {
    let manifest = parse(WHOLE).unwrap();
    assert_eq!(manifest.name.as_deref(), Some("pipeline"));
    assert_eq!(
        manifest.flow.component,
        Path::new("target/wasm32-wasip2/release/flow.wasm")
    );
    assert_eq!(manifest.flow.timeout, Some(Duration::from_secs(5400)));
    assert_eq!(manifest.flow.memory, Some(1 << 30));
    assert_eq!(manifest.flow.hosts.len(), 2);
    let name = |name: &str| name.parse::<EnvName>().unwrap();
    assert!(manifest.flow.sees(&name("MY_APP_SECRET")) && !manifest.flow.sees(&name("HF_TOKEN")));
    assert_eq!(manifest.env[&name("FOO")].as_str(), "bar = baz");
    assert_eq!(
        manifest.secrets[&name("HF_TOKEN")].to_string(),
        "hf.token@3:base64"
    );

    let train = &manifest.works[&"train".parse().unwrap()];
    assert_eq!(train.parallel.map(NonZeroU32::get), Some(8));
    assert_eq!(
        (train.retries, train.retry_on, train.cache),
        (2, RetryOn::Error, true)
    );
    assert_eq!(train.component.env[&name("LEVEL")].as_str(), "info");
    assert_eq!(
        train.component.hosts.first().unwrap().to_string(),
        "http://[::1]:8080"
    );

    let score = &manifest.works[&"score".parse().unwrap()];
    let component = ComponentSpec {
        component: "score.wasm".into(),
        ..Default::default()
    };
    assert_eq!(
        *score,
        WorkSpec {
            component,
            ..Default::default()
        }
    );
    assert!(score.component.sees(&name("HF_TOKEN")));
}

#[test]
fn the_smallest_manifest() {
    let manifest = parse("[flow]\ncomponent = 'a.wasm'").unwrap();
    let flow = ComponentSpec {
        component: "a.wasm".into(),
        ..Default::default()
    };
    assert_eq!(
        manifest,
        Manifest {
            flow,
            ..Default::default()
        }
    );
}

#[test]
fn unknown_keys_have_a_place_and_the_nearest_known_key() {
    assert_eq!(
        in_flow("  secert = []"),
        "leyden.toml:3:3: `secert` is not a key of [flow] (did you mean `secrets`?); its keys are \
         component, timeout, memory, env, secrets, hosts"
    );
    assert!(in_flow("parallel = 1").contains(":3:1: `parallel` is not a key of [flow]; its"));
    assert!(in_work("retires = 1").contains("[works.train] (did you mean `retries`?)"));
    assert!(error("[flwo]").starts_with(
        "leyden.toml:1:2: `flwo` is not a key of the manifest (did you mean `flow`?)"
    ));
    // The first in the text.
    assert!(error("zz = 1\naa = 2").contains(":1:1: `zz`"));
}

#[test]
fn what_must_be_there() {
    assert!(error("").ends_with("the manifest has no `flow`"));
    assert!(error("name='a'\n[flow]").ends_with(":2:1: [flow] has no `component`"));
    assert!(
        error("[flow]\ncomponent='f'\n[works.a]").contains(":3:1: [works.a] has no `component`")
    );
}

#[test]
fn wrong_types_are_named() {
    for (line, wanted) in [
        (
            "timeout = 30",
            "`flow.timeout` must be a string, in quotes, but is a whole number",
        ),
        (
            "memory = 1.5",
            "must be a string, in quotes, but is a number",
        ),
        ("env = []", "`flow.env` must be a table, but is a list"),
        (
            "env = { A = 1 }",
            "`flow.env.A` must be a string, in quotes, but is a whole number",
        ),
        ("env = { A = true }", "but is true or false"),
        (
            "secrets = 'A'",
            "must be a list of strings, in brackets, but is a string",
        ),
        ("secrets = [1]", "must be a string"),
        (
            "hosts = { a = 1 }",
            "must be a list of strings, in brackets, but is a table",
        ),
    ] {
        assert!(in_flow(line).contains(wanted), "{line}: {}", in_flow(line));
        assert!(in_flow(line).starts_with("leyden.toml:3:"), "{line}");
    }
    assert!(in_work("cache = 'yes'").contains("must be true or false"));
    assert!(in_work("retries = '1'").contains("must be a whole number, without quotes"));
    assert!(in_work("retries = 1979-05-27").contains("but is a date or time"));
    assert!(error("flow = 1").contains("`flow` must be a table"));
    assert!(error("works = 1\n[flow]\ncomponent='f'").contains("`works` must be a table"));
    assert!(error("name = 1\n[flow]\ncomponent='f'").contains("`name` must be a string"));
}

#[test]
fn values_that_cannot_be() {
    for line in ["parallel = 0", "parallel = -1", "parallel = 4294967296"] {
        assert!(
            in_work(line).contains("`works.train.parallel` must be a number from 1"),
            "{line}"
        );
    }
    assert!(in_work("retries = -1").contains("must be a number from 0"));
    assert!(in_work("retry = 'always'").contains("can only be \"error\""));
    let alone = in_work("retry = 'error'");
    assert!(
        alone.contains(":5:9: `works.train.retry` does nothing without `retries`"),
        "{alone}"
    );
    for line in [
        "timeout = '30'",
        "timeout = ''",
        "timeout = 'soon'",
        "timeout = '-1s'",
    ] {
        assert!(
            in_flow(line).contains("must be a duration such as \"30s\""),
            "{line}"
        );
    }
    for line in [
        "timeout = '0s'",
        "timeout = '366days'",
        "timeout = '500000000000years'",
    ] {
        assert!(in_flow(line).contains("`flow.timeout` must be"), "{line}");
    }
    for line in ["memory = 'much'", "memory = ''", "memory = '-1MiB'"] {
        assert!(
            in_flow(line).contains("must be an amount such as \"256MiB\""),
            "{line}"
        );
    }
    assert!(in_flow("memory = '0MiB'").contains("more than nothing"));
    assert!(in_flow("memory = '99999999999EiB'").contains("more than can be counted"));
    for name in [
        "''",
        "' '",
        "\"a\\u001bb\"",
        &format!("'{}'", "x".repeat(129)),
    ] {
        let text = format!("name = {name}\n[flow]\ncomponent = 'f'");
        assert!(error(&text).contains(":1:8: `name` cannot"), "{name}");
    }
}

#[test]
fn components_stay_in_the_folder() {
    for (path, reason) in [
        ("/etc/passwd", "relative"),
        ("../a.wasm", "`..`"),
        ("a/../b.wasm", "`..`"),
        ("", "path of a file"),
        (".", "path of a file"),
        ("a\\u0000b", "path of a file"),
    ] {
        let shown = error(&format!("[flow]\ncomponent = \"{path}\""));
        assert!(
            shown.starts_with("leyden.toml:2:13: `flow.component`"),
            "{shown}"
        );
        assert!(shown.contains(reason), "{shown}");
    }
}

#[test]
fn bad_names_and_references_have_a_place() {
    let with = |table: &str| error(&format!("[flow]\ncomponent = 'f'\n{table}"));
    assert!(
        with("[env]\nA-B = '1'").starts_with("leyden.toml:4:1: `A-B` is not an environment name")
    );
    assert!(with("[env]\nLEYDEN_X = '1'").contains("Leyden's own"));
    assert!(with("[secrets]\n1A = 's'").contains(":4:1: `1A` is not an environment name"));
    assert!(
        with("[secrets]\nA = 'MY_secret'").contains(":4:5: `MY_secret` is not a secret's name")
    );
    assert!(with("[secrets]\nA = 's@0'").contains("no version of `s`"));
    assert!(with("[secrets]\nA = 's:hex'").contains("`:base64`"));
    assert!(with("[works.'a b']\ncomponent = 'w'").contains(":3:8: `a b` is not a Work's name"));
    assert!(in_flow("hosts = ['*.example.com']").contains(":3:10: there are no wildcards"));
    assert!(in_flow("secrets = ['A-B']").contains("is not an environment name"));
}

#[test]
fn a_components_list_may_name_what_only_the_operator_binds() {
    let text = "[flow]\ncomponent='f'\nsecrets = ['HF_TOKEN']\n[secrets]\nMY_SECRET = 's'";
    let manifest = parse(text).unwrap();
    assert!(manifest.flow.sees(&"HF_TOKEN".parse().unwrap()));
    assert!(!manifest.flow.sees(&"MY_SECRET".parse().unwrap()));
}

#[test]
fn no_name_is_both_plain_and_secret() {
    let both = "[flow]\ncomponent='f'\n[env]\nA = 'x'\n[secrets]\nA = 's'";
    assert!(error(both).starts_with("leyden.toml:6:1: `A` is both"));
    let own = "[flow]\ncomponent='f'\nenv = { A = 'x' }\n[secrets]\nA = 's'";
    assert!(error(own).starts_with("leyden.toml:3:7: `A` is both"));
    // A component that does not see the secret may have a plain entry of that name.
    assert!(parse(&own.replace("env =", "secrets = []\nenv =")).is_ok());
}

#[test]
fn works_and_secrets_are_bounded() {
    let flow = "[flow]\ncomponent='f'\n";
    let works = |count| -> String {
        let work = |n| format!("[works.w{n}]\ncomponent='w'\n");
        std::iter::once(flow.to_owned())
            .chain((0..count).map(work))
            .collect()
    };
    assert!(parse(&works(256)).is_ok());
    assert!(error(&works(257)).ends_with("`works` has more than 256 entries"));
    let secrets = |count| -> String {
        let secret = |n| format!("S{n} = 's'\n");
        let head = format!("{flow}[secrets]\n");
        std::iter::once(head)
            .chain((0..count).map(secret))
            .collect()
    };
    assert!(parse(&secrets(256)).is_ok());
    assert!(error(&secrets(257)).contains(":3:1: `secrets` has more than 256 entries"));
}

#[test]
fn text_that_is_no_toml() {
    assert!(error("a = \n").starts_with("leyden.toml:1:5: "));
    assert!(error("[flow]\n[flow]").contains("duplicate key"));
    assert!(error(&"[".repeat(100_000)).starts_with("leyden.toml:1:"));
    assert!(error(&format!("a={}", "[".repeat(100_000))).starts_with("leyden.toml:1:"));
    let bytes = b"name = 'a'\n\xff";
    let error = Manifest::parse(Path::new("leyden.toml"), bytes).unwrap_err();
    assert_eq!(
        error.to_string(),
        "leyden.toml:2:1: it is not UTF-8, which TOML must be"
    );
    // Columns are characters.
    assert!(
        parse("\n'äö' = 1 x")
            .unwrap_err()
            .to_string()
            .starts_with("leyden.toml:2:8: ")
    );
}

#[test]
fn a_value_never_stands_in_an_error() {
    for text in [
        "[flow]\ncomponent='f'\n[env]\nA = 'hunter2\n",
        "[flow]\ncomponent='f'\n[env]\nA = hunter2\n",
        "[flow]\ncomponent='f'\n[env]\nA = 'hunter2' B\n",
        "[flow]\ncomponent='f'\n[env]\nA = \"hunter2\\q\"\n",
        "[flow]\ncomponent='f'\n[env]\nA = \"hunter2\\u0000\"\n",
        "[flow]\ncomponent='f'\n[env]\nA = ['hunter2']\n",
        "[flow]\ncomponent='f'\n[env]\nA = 'hunter2'\nA = 'hunter2'\n",
        "[flow]\ncomponent='f'\n[env]\nA = 'hunter2'\n[secrets]\nA = 's'\n",
    ] {
        let error = parse(text).unwrap_err();
        assert!(
            !format!("{error} {error:?}").contains("hunter2"),
            "{error:?}"
        );
    }
}

#[test]
fn size_is_bounded_and_the_file_an_ordinary_one() {
    let small = "[flow]\ncomponent='f'\n#";
    let largest = format!("{small}{}", "x".repeat((1 << 20) - small.len()));
    assert!(parse(&largest).is_ok());
    assert!(error(&format!("{largest}x")).ends_with("larger than 1 MiB"));

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("leyden.toml");
    std::fs::write(&path, format!("{largest}x")).unwrap();
    let read = || Manifest::read(&path).map_err(|error| *error.problem);
    assert!(matches!(read(), Err(ManifestProblem::TooLarge)));
    std::fs::write(&path, WHOLE).unwrap();
    assert_eq!(read().unwrap(), parse(WHOLE).unwrap());
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(read(), Err(ManifestProblem::Io(_))));
    std::fs::create_dir(&path).unwrap();
    assert!(matches!(read(), Err(ManifestProblem::NotAFile("a folder"))));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes: Vec<u8>) {
        let _ = Manifest::parse(Path::new("m"), &bytes).map_err(|error| error.to_string());
    }

    /// A good manifest with a piece of it replaced by anything: deeper than arbitrary bytes get.
    #[test]
    fn damaged_manifests_never_panic(
        start in 0..WHOLE.len(),
        length in 0..20_usize,
        piece in "[a-zA-Z0-9='\"\\[\\]{},.\\n -]{0,12}|\\PC{0,4}",
    ) {
        let end = (start + length).min(WHOLE.len());
        let text = [&WHOLE.as_bytes()[..start], piece.as_bytes(), &WHOLE.as_bytes()[end..]].concat();
        let _ = Manifest::parse(Path::new("m"), &text).map_err(|error| error.to_string());
    }

    #[test]
    fn env_values_are_exact(value in "[^\\x00]{0,40}") {
        let written = toml::Value::String(value.clone()).to_string();
        let manifest = parse(&format!("[env]\nA = {written}\n[flow]\ncomponent = 'f'")).unwrap();
        prop_assert_eq!(manifest.env[&"A".parse::<EnvName>().unwrap()].as_str(), value);
    }
}
