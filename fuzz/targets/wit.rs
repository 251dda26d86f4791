//! What a guest hands to the host through `leyden:app`: names of Works, of secrets, inputs, and the
//! order of its calls, from a Flow that does what the bytes say.
//!
//! Each part of the input, up to a NUL, is a step: its first byte says which, the rest is what the
//! call gets. It needs the guests of `cargo xtask guests`.
#![no_main]

use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use std::time::Duration;
use std::{fs, process};

use leyden_fuzz::secrets::{SecretValue, StoreOptions};
use leyden_fuzz::{App, Bound, Ending, Host, Input, Output};
use libfuzzer_sys::fuzz_target;
use serde_json::{Value, json};
use tokio::runtime::Runtime;

const MANIFEST: &str = r#"
[flow]
component = "flow-probe.wasm"
[works.echo]
component = "work-echo.wasm"
cache = true
[works.probe]
component = "work-probe.wasm"
timeout = "1s"
memory = "16MiB"
secrets = []
"#;
const SECRET: &str = "MY_APP_SECRET";
const VALUE: &str = "some-value-that-nobody-says";

struct Made {
    runtime: Runtime,
    bound: Bound,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("leyden-fuzz-wit-{}", process::id()));
    fs::create_dir_all(&folder).unwrap();
    let guests = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/guests");
    for guest in ["flow-probe.wasm", "work-echo.wasm", "work-probe.wasm"] {
        fs::copy(guests.join(guest), folder.join(guest)).unwrap();
    }
    fs::write(folder.join("leyden.toml"), MANIFEST).unwrap();
    let runtime = Runtime::new().unwrap();
    let bound = runtime.block_on(bind(&folder));
    Made { runtime, bound }
});

async fn bind(folder: &Path) -> Bound {
    let store = StoreOptions::new()
        .state_dir(folder.join("state"))
        .open_or_create(folder.join("store.db"), folder.join("root.key"))
        .unwrap()
        .store;
    let value = SecretValue::new(VALUE.into()).unwrap();
    store
        .create_secret(&"my-secret".parse().unwrap(), value)
        .unwrap();
    let host = Host::builder().secrets(store).build().unwrap();
    let app = App::from_path(folder).unwrap();
    let app = app.secret(SECRET, "my-secret").unwrap();
    let app = app.timeout(Duration::from_secs(20));
    host.bind(&app).await.unwrap()
}

fuzz_target!(|bytes: &[u8]| {
    let steps: Vec<Value> = bytes.split(|byte| *byte == 0).take(24).map(step).collect();
    let reveals = steps.iter().any(|step| step["reveal"] == SECRET);
    let script = Value::Array([steps, vec![json!({ "stop": "all" })]].concat());
    // The fuzzer learns what strings are compared with.
    let says = |text: &str| script.to_string().contains(text);
    let (stdout, printed) = Output::capture(1 << 20);
    let input = Input {
        arguments: vec![script.to_string()],
        stdout,
        ..Input::default()
    };
    let outcome = MADE.runtime.block_on(MADE.bound.run(input)).unwrap();
    assert_eq!(outcome.ending, Ending::Exited(0), "{script}");
    let printed = printed.take();
    for line in String::from_utf8_lossy(&printed).lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        let revealed = &line["reveal"];
        if revealed["name"] == SECRET {
            assert_eq!(revealed["bytes"], json!(VALUE.as_bytes()));
        } else if !revealed.is_null() {
            assert_eq!(revealed["error"], "unbound", "{line}");
        }
        let shows = |text: &str| line.to_string().contains(text) && !says(text);
        assert!(reveals || !shows(VALUE), "{line}");
        // What is masked for people would tell a guest that it has guessed a value.
        assert!(!shows("***"), "{line}");
    }
});

fn step(bytes: &[u8]) -> Value {
    let (first, rest) = bytes.split_first().unwrap_or((&b'?', &[]));
    let text = String::from_utf8_lossy(rest).into_owned();
    let place = usize::from(rest.first().copied().unwrap_or_default()) % 8;
    match first % 10 {
        0 => json!({ "start": { "work": text, "text": "x" } }),
        1 | 2 => json!({ "start": { "work": "echo", "text": text } }),
        3 | 4 => json!({ "start": { "work": "probe", "text": text } }),
        5 => json!({ "reveal": text }),
        6 => json!({ "stop": [place] }),
        7 => json!({ "drop": [place] }),
        8 => json!("wait-first"),
        _ => json!("status"),
    }
}
