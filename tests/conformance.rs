//! The public WASI test-suite (github.com/WebAssembly/wasi-testsuite), its tests of WASI 0.1.
//!
//! `cargo xtask guests` puts the suite's compiled tests under `target/wasi-testsuite`. Each is
//! run as its specification says, in a fresh copy of the folder that it asks for.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::support::{Home, run, target};

/// How many tests the suite's copy has.
const TESTS: usize = 72;

/// What wasmtime 48 itself does not pass; a test here that passes is reported as well.
const EXPECTED_FAILURES: [&str; 1] = [
    // `rmdir("dir/")` answers EINVAL: github.com/bytecodealliance/wasmtime/issues/11524.
    "rust/remove_directory_trailing_slashes",
];

#[test]
fn wasi_0_1_tests_pass_as_wasmtimes_own_do() {
    let suite = target().join("wasi-testsuite");
    let mut tests = Vec::new();
    for language in ["assemblyscript", "c", "rust"] {
        let folder = suite.join(language).join("testsuite/wasm32-wasip1");
        let entries = fs::read_dir(&folder).unwrap_or_else(|_| {
            panic!(
                "{} is not there: run `cargo xtask guests` first",
                folder.display()
            )
        });
        tests.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| {
                    path.extension()
                        .is_some_and(|extension| extension == "wasm")
                })
                .map(|path| (language, path)),
        );
    }
    assert_eq!(tests.len(), TESTS);
    let home = Home::new();
    let mut failed = BTreeSet::new();
    let mut told = Vec::new();
    for (index, (language, wasm)) in tests.iter().enumerate() {
        let folder = home.path().join(format!("test-{index}"));
        if let Err(reason) = passes(&home, wasm, &folder) {
            let name = wasm.file_stem().unwrap().to_str().unwrap();
            failed.insert(format!("{language}/{name}"));
            told.push(format!("{language}/{name}: {reason}"));
        }
    }
    let expected = EXPECTED_FAILURES.map(str::to_owned).into();
    assert_eq!(failed, expected, "{}", told.join("\n"));
}

fn passes(home: &Home, wasm: &Path, folder: &Path) -> Result<(), String> {
    let specification = match fs::read(wasm.with_extension("json")) {
        Ok(text) => serde_json::from_slice(&text).unwrap(),
        Err(_) => Value::Null,
    };
    let mut command = home.leyden();
    command.args(["run", "app", "--timeout", "60s"]).arg(wasm);
    for (name, value) in specification["env"].as_object().into_iter().flatten() {
        command.args(["--env", &format!("{name}={}", value.as_str().unwrap())]);
    }
    for name in strings(&specification["dirs"]) {
        copy(&wasm.parent().unwrap().join(name), &folder.join(name));
        let rule = format!("{}::{name}", folder.join(name).display());
        command.args(["--dir", &rule]);
    }
    command.arg("--").args(strings(&specification["args"]));
    let ran = run(&mut command, b"");
    let status = specification["exit_code"].as_i64().unwrap_or(0);
    if i64::from(ran.status) != status {
        return Err(format!("{ran:?}"));
    }
    match specification["stdout"].as_str() {
        Some(stdout) if stdout != ran.stdout => Err(format!("{ran:?}")),
        _ => Ok(()),
    }
}

fn strings(value: &Value) -> Vec<&str> {
    let items = value.as_array().into_iter().flatten();
    items.map(|item| item.as_str().unwrap()).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path: PathBuf = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}
