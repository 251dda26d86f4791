//! Runs whose process was killed: what is told of them, and going on with them.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Admin, guest, last_run, wait};

use super::{counting_app, until};

/// Starts a run and kills it when its first line of output is there and `moment` has come.
fn kill(command: &mut Command, moment: impl Fn() -> bool) {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut events = BufReader::new(child.stdout.take().unwrap());
    events.read_line(&mut String::new()).unwrap();
    until(moment);
    child.kill().unwrap();
    wait(&mut child);
}

#[test]
fn until_when_a_killed_run_went_is_told_as_far_as_it_is_known() {
    let (home, app, _) = counting_app();
    let mut flow = home.leyden();
    flow.args(["run", "app", "--output", "json"])
        .arg(guest("probe-p2"))
        .args(["--", "sleep", "600"]);
    kill(&mut flow, || true);
    let run = last_run(&home);
    assert_eq!(run["state"], "interrupted");
    assert_eq!(run["ended"], Value::Null);
    let shown = home.run(["runs", "show", "last"]).succeeded().stdout;
    assert!(shown.contains(", until when is not known\n"), "{shown}");
    // Nor is there no store.
    assert!(shown.contains("no Work was started\n"), "{shown}");
    home.run(["runs", "resume", "last"])
        .ended_with(2)
        .says(&["metadata only", "no store was open"]);
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let page = format!("/run/{}", run["id"].as_str().unwrap());
    let page = session.get(&page).ended_with(200).text();
    assert!(page.contains("until when is not known"), "{page}");
    let list = session.get("/runs").ended_with(200).text();
    assert!(list.contains("not known"), "{list}");
    for text in [shown, page, list] {
        assert!(!text.contains("0 µs"), "{text}");
    }

    let script = json!([
        { "start": { "work": "probe", "input": { "sleep": 600_000 } } },
        { "wait": "all" },
    ]);
    let mut works = home.leyden();
    works
        .args(["run", "app", "--output", "json"])
        .arg(app.path())
        .args(["--", &script.to_string()]);
    kill(&mut works, || {
        let run = home.run(["runs", "show", "last", "--output", "json"]);
        run.stdout.contains("\"attempt\": 1")
    });
    let shown = home.run(["runs", "show", "last"]).succeeded().stdout;
    assert!(shown.contains(", last heard of after "), "{shown}");
}
