//! The seeds of the fuzz targets: valid ones are taken, and those that begin with `bad` are refused.

use std::collections::BTreeMap;
use std::path::Path;

use leyden::app::{
    App, DirRule, EnvEntry, HostRule, Manifest, Scoped, SecretBinding, parse_env_file,
};
use leyden::secrets::{ImportFormat, Key};

/// What a target does with its input, and whether that was taken.
type Take = fn(&[u8]) -> bool;

fn bindings(bytes: &[u8]) -> bool {
    let text = std::str::from_utf8(bytes).unwrap();
    text.parse::<Scoped<EnvEntry>>().is_ok()
        || text.parse::<Scoped<SecretBinding>>().is_ok()
        || text.parse::<Scoped<HostRule>>().is_ok()
        || ((text.starts_with('/') || text.contains("./"))
            && text.parse::<Scoped<DirRule>>().is_ok())
}

fn component(bytes: &[u8]) -> bool {
    App::from_bytes("app", bytes).is_ok() && leyden::app::imports(bytes).is_ok()
}

fn import(bytes: &[u8]) -> bool {
    let (first, text) = bytes.split_first().unwrap();
    let formats = [ImportFormat::Env, ImportFormat::Json, ImportFormat::Yaml];
    let format = formats[usize::from(first % 3)];
    format.read(Path::new("file"), text, "").is_ok()
}

fn key_file(bytes: &[u8]) -> bool {
    Key::from_text(bytes).is_ok()
}

#[test]
fn valid_seeds_are_taken_and_bad_ones_refused() {
    let targets: [(&str, Take); 6] = [
        ("bindings", bindings),
        ("component", component),
        ("env_file", |bytes| {
            parse_env_file(Path::new("x"), bytes).is_ok()
        }),
        ("import", import),
        ("key_file", key_file),
        ("manifest", |bytes| {
            Manifest::parse(Path::new("x"), bytes).is_ok()
        }),
    ];
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    let mut wrong = Vec::new();
    for (target, take) in targets {
        let mut seen = BTreeMap::new();
        for entry in std::fs::read_dir(seeds.join(target)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            let bad = name.starts_with("bad");
            let taken = take(&std::fs::read(&path).unwrap());
            if taken == bad {
                wrong.push(format!("{target}/{name}"));
            }
            *seen.entry(bad).or_insert(0) += 1;
        }
        assert!(seen[&true] >= 2 && seen[&false] >= 3, "{target}: {seen:?}");
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}
