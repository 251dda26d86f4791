//! The admin page under attack: real server, real HTTP, every byte of it the test's.

mod bounds;
mod entry;
mod recorded;
mod texts;

use crate::support::Home;

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
