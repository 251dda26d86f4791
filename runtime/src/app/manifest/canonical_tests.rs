//! An app's identity stays when nothing changed, and changes when anything did.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::path::Path;

use super::*;

const BASE: &str = r#"
name = "pipeline"
[flow]
component = "flow.wasm"
timeout = "30s"
memory = "1GiB"
env = { ROLE = "flow" }
secrets = ["A"]
hosts = ["example.com"]
[works.train]
component = "train.wasm"
parallel = 8
timeout = "40s"
memory = "256MiB"
retries = 2
retry = "error"
cache = true
env = { LEVEL = "info" }
secrets = ["B"]
hosts = ["api.example.com"]
[env]
FOO = "bar"
[secrets]
A = "my-secret"
B = "token@3:base64"
"#;

fn digest_of(text: &str, flow: &[u8], train: &[u8]) -> String {
    let manifest = Manifest::parse(Path::new("m"), text.as_bytes()).unwrap();
    let digest = |name: &WorkName| Digest::of(if name.as_str() == "train" { train } else { b"" });
    let works = manifest
        .works
        .keys()
        .map(|name| (name, digest(name)))
        .collect();
    manifest.digest(Digest::of(flow), &works).to_string()
}

fn digest(text: &str) -> String {
    digest_of(text, b"flow", b"train")
}

fn replace(from: &str, to: &str) -> String {
    assert_eq!(BASE.matches(from).count(), 1, "{from}");
    BASE.replace(from, to)
}

#[test]
fn golden() {
    assert_eq!(
        digest(BASE),
        "sha256:b22968787c1088c795f81888f2db22882a1a67988ba77e64760400407115f6d7"
    );
    assert_eq!(
        digest("[flow]\ncomponent = 'a'"),
        "sha256:5b18e2aa4a93f033afad78428b93dc8eb3adae0026a8299b525ca08b79cf6f7a"
    );
}

#[test]
fn how_it_is_written_makes_no_difference() {
    for (from, to) in [
        ("name = \"pipeline\"", "# a comment\nname = 'pipeline'"),
        ("\"30s\"", "\"0m 30000ms\""),
        ("\"1GiB\"", "\"1024 MiB\""),
        ("[\"example.com\"]", "[\"EXAMPLE.com\", \"example.com.\"]"),
        ("\"my-secret\"", "\"My-Secret\""),
        ("\"flow.wasm\"", "\"other/place.wasm\""),
    ] {
        assert_eq!(digest(&replace(from, to)), digest(BASE), "{from}");
    }
    let small = "[flow]\ncomponent='f'\n[works.w]\ncomponent='w'\n";
    assert_eq!(
        digest(&format!("{small}retries = 0\ncache = false")),
        digest(small)
    );
}

#[test]
fn every_field_makes_a_difference() {
    let mut seen = vec![("nothing".to_owned(), digest(BASE))];
    for (from, to) in [
        ("name = \"pipeline\"", ""),
        ("\"pipeline\"", "\"pipeline2\""),
        ("\"30s\"", "\"30s 1ns\""),
        ("timeout = \"30s\"", ""),
        ("\"1GiB\"", "\"2GiB\""),
        ("memory = \"1GiB\"", ""),
        ("ROLE", "ROLES"),
        ("\"flow\"", "\"flows\""),
        ("secrets = [\"A\"]", ""),
        ("[\"A\"]", "[]"),
        ("[\"A\"]", "[\"B\"]"),
        ("[\"example.com\"]", "[]"),
        ("\"example.com\"", "\"example.org\""),
        ("\"example.com\"", "\"example.com:443\""),
        ("\"example.com\"", "\"http://example.com\""),
        ("works.train", "works.trains"),
        ("parallel = 8", ""),
        ("parallel = 8", "parallel = 9"),
        ("\"40s\"", "\"41s\""),
        ("\"256MiB\"", "\"257MiB\""),
        ("retries = 2", "retries = 3"),
        ("retry = \"error\"", ""),
        ("cache = true", "cache = false"),
        ("\"info\"", "\"debug\""),
        ("[\"B\"]", "[\"A\", \"B\"]"),
        (
            "\"api.example.com\"",
            "\"api.example.com\", \"b.example.com\"",
        ),
        ("FOO", "FOOO"),
        ("\"bar\"", "\"\""),
        ("\"my-secret\"", "\"my-secret2\""),
        ("\"my-secret\"", "\"my-secret@1\""),
        ("\"my-secret\"", "\"my-secret:base64\""),
        ("token@3", "token@4"),
        ("token@3", "token"),
        ("@3:base64", "@3"),
        ("[secrets]", "[secrets]\nC = \"my-secret\""),
        (
            "[works.train]",
            "[works.more]\ncomponent = 'm'\n[works.train]",
        ),
    ] {
        let what = format!("{from} -> {to}");
        let changed = digest(&replace(from, to));
        if let Some((other, _)) = seen.iter().find(|(_, digest)| *digest == changed) {
            unreachable!("{what} is the same as {other}");
        }
        seen.push((what, changed));
    }
}

#[test]
fn every_component_byte_makes_a_difference() {
    let base = digest(BASE);
    for (flow, train) in [
        (&b"fl0w"[..], &b"train"[..]),
        (b"flow ", b"train"),
        (b"", b"train"),
        (b"flow", b"tra1n"),
        (b"flow", b"trai"),
        (b"train", b"flow"),
    ] {
        assert_ne!(digest_of(BASE, flow, train), base);
    }
    for (index, bit) in (0..4).flat_map(|index| (0..8).map(move |bit| (index, bit))) {
        let mut flow = *b"flow";
        flow[index] ^= 1 << bit;
        assert_ne!(digest_of(BASE, &flow, b"train"), base);
    }
}
