//! Runs whose process was killed: what is told of them, and going on with them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{Admin, guest, last_run, lines, run, wait};

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

#[test]
fn a_run_that_is_killed_as_its_first_work_starts_is_gone_on_with() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let path = app.path().display().to_string();
    let begin = ["run", "app", &path, "--dir", &dir];
    let start = json!({ "start": { "work": "probe", "input": [{ "attempt": "/d/one" }, { "return": 1 }] } });
    let run_with = |arguments: &[&str], then: Value| {
        let script = json!([start, { "wait": "all" }, then]);
        run(home.leyden().args(arguments), script.to_string().as_bytes())
    };
    // Compiles it.
    run_with(&begin, json!("count")).succeeded();
    home.run(["runs", "remove", "last"]).succeeded();

    let is_there = |run: &Path, name: &str| run.join(name).exists();
    type Moment<'a> = (&'a str, &'a dyn Fn(&Path) -> bool);
    let moments: [Moment<'_>; 5] = [
        ("its journal is made", &|run| is_there(run, "journal.new")),
        ("its journal is there", &|run| is_there(run, "journal.db")),
        ("its log is made", &|run| is_there(run, "journal.db-wal")),
        ("its log is noted", &|run| {
            fs::read_to_string(run.join("lock")).is_ok_and(|lock| lock.ends_with("log"))
        }),
        ("its log is written", &|run| {
            fs::metadata(run.join("journal.db-wal")).is_ok_and(|log| log.len() > 0)
        }),
    ];
    let runs = home.path().join("state/leyden/runs");
    for (moment, has_come) in moments {
        let input = home.path().join("script.json");
        let script = json!([start, { "wait": "all" }, { "sleep": 600_000 }]);
        fs::write(&input, script.to_string()).unwrap();
        let mut child = home
            .leyden()
            .args(begin)
            .stdin(fs::File::open(&input).unwrap())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let folder = loop {
            if let Some(folder) = only_run(&runs) {
                break folder;
            }
            assert!(child.try_wait().unwrap().is_none(), "{moment}");
        };
        // Without a pause: the moment is short. Where it is missed, a later one has come.
        while !has_come(&folder) && !is_there(&folder, "journal.db-wal") {}
        child.kill().unwrap();
        wait(&mut child);

        let listed = home.run(["runs", "list", "--output", "json"]).succeeded();
        assert_eq!(listed.stderr, "", "{moment}");
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        match listed.as_array().unwrap().as_slice() {
            // It died before it had a journal.
            [] => {
                home.run(["runs", "show", "last"]).ended_with(2);
                home.run(["runs", "resume", "last"]).ended_with(2);
                run_with(&begin, json!("count")).succeeded();
                fs::remove_dir_all(&folder).unwrap();
            }
            [only] => {
                assert_eq!(only["state"], "interrupted", "{moment}");
                assert_eq!(only["damage"], Value::Null, "{moment}");
                home.run(["runs", "show", "last"]).succeeded();
                let resumed = run_with(&["runs", "resume", "last"], json!("status"));
                assert_eq!(lines(&resumed.succeeded())[0]["output"], 1, "{moment}");
                let run = last_run(&home);
                assert_eq!((&run["state"], &run["lives"]), (&json!("ended"), &json!(2)));
                assert_eq!(run["works"].as_array().unwrap().len(), 1, "{moment}");
            }
            several => panic!("{moment}: {several:?}"),
        }
        home.run(["runs", "remove", "last"]).succeeded();
    }
}

/// The folder of the only run, once there is one.
fn only_run(runs: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(runs).ok()?;
    let is_run = |path: &PathBuf| path.is_dir();
    entries.map(|entry| entry.unwrap().path()).find(is_run)
}
