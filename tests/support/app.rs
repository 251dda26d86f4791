//! An app of a Flow and Works that do what they are told: `flow-probe` and `work-probe`.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use serde_json::Value;

use super::{Home, Ran, guest};

/// The Works that every such app has, under the names of their guests.
const WORKS: [&str; 4] = ["work-probe", "work-cat", "work-cat-p1", "work-echo"];

/// An app in a folder of its own.
pub struct App {
    pub folder: PathBuf,
}

impl App {
    /// An app in `home`; `manifest` follows on the Flow's table.
    pub fn new(home: &Home, flow: &str, manifest: &str) -> Self {
        let folder = home.path().join("app");
        std::fs::create_dir_all(&folder).unwrap();
        for name in WORKS.into_iter().chain([flow]) {
            let file = format!("{name}.wasm");
            std::fs::copy(guest(name), folder.join(file)).unwrap();
        }
        let manifest = format!("name = \"probe\"\n[flow]\ncomponent = \"{flow}.wasm\"\n{manifest}");
        std::fs::write(folder.join("leyden.toml"), manifest).unwrap();
        Self { folder }
    }

    /// One whose Flow runs scripts, with the typed Work `probe` and what else `manifest` has.
    pub fn scripted(home: &Home, manifest: &str) -> Self {
        let probe = "[works.probe]\ncomponent = \"work-probe.wasm\"\n";
        Self::new(home, "flow-probe", &format!("{probe}{manifest}"))
    }

    pub fn path(&self) -> &Path {
        &self.folder
    }

    /// Runs a script.
    pub fn run(&self, home: &Home, options: &[&str], script: &Value) -> Ran {
        let script = script.to_string();
        let mut arguments = options.to_vec();
        arguments.extend(["--", &script]);
        home.run_app(&self.folder, &arguments)
    }

    /// Starts a script and lets it run.
    pub fn begin(&self, home: &Home, options: &[&str], script: &Value) -> Child {
        home.leyden()
            .args(["run", "app"])
            .arg(self.path())
            .args(options)
            .args(["--", &script.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    }
}

/// The lines that a Flow printed.
pub fn lines(ran: &Ran) -> Vec<Value> {
    let parse = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"));
    ran.stdout.lines().map(parse).collect()
}

/// What the journal has of the newest run.
pub fn last_run(home: &Home) -> Value {
    let shown = home.run(["runs", "show", "last", "--output", "json"]);
    serde_json::from_str(&shown.succeeded().stdout).unwrap()
}
