//! The admin page under attack: real server, real HTTP, every byte of it the test's.

mod bounds;
mod entry;
mod recorded;
mod shown;
mod texts;
mod told;

use std::path::PathBuf;

use crate::support::{Home, guest};

/// An app that asks for `my-secret` as `TOKEN`.
pub(crate) fn report(home: &Home) -> PathBuf {
    let folder = home.path().join("report");
    std::fs::create_dir_all(&folder).unwrap();
    let manifest =
        "name = \"report\"\n[flow]\ncomponent = \"flow.wasm\"\n[secrets]\nTOKEN = \"my-secret\"\n";
    std::fs::write(folder.join("leyden.toml"), manifest).unwrap();
    std::fs::copy(guest("env-p2"), folder.join("flow.wasm")).unwrap();
    folder
}

/// All pages that a store with `my-secret`, and the app that ran, has.
fn pages(home: &Home) -> Vec<String> {
    let mut pages: Vec<_> = [
        "/",
        "/secrets",
        "/secrets?q=my&show=active&sort=-updated",
        "/secrets/new",
        "/secrets/check?name=my-secret",
        "/secret/my-secret",
        "/secret/my-secret/versions",
        "/secret/my-secret/delete",
        "/secret/none",
        "/apps",
        "/runs",
        "/audit",
        "/audit?outcome=denied",
        "/audit/leyden-audit.jsonl",
        "/keys",
        "/live",
        "/none",
    ]
    .map(str::to_owned)
    .to_vec();
    let runs = home.run(["runs", "list", "--output", "json"]).succeeded();
    let runs: Vec<serde_json::Value> = serde_json::from_str(&runs.stdout).unwrap();
    for run in runs {
        let (id, digest) = (run["id"].as_str().unwrap(), run["digest"].as_str().unwrap());
        pages.extend([
            format!("/run/{id}"),
            format!("/run/{id}/log"),
            format!("/app/{}", digest.replace(':', "%3A")),
        ]);
    }
    pages
}
