//! Turns and places: who runs when, and what waiting takes.

use std::io::{BufRead, BufReader};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Home, last_run, lines};

#[test]
fn no_more_run_at_once_than_the_manifest_allows_and_the_rest_waits_in_order() {
    let home = Home::new();
    let app = App::scripted(&home, "parallel = 2\n");
    let script = json!([
        { "start": { "work": "probe", "input": { "sleep": 400 }, "times": 5 } },
        { "sleep": 200 },
        "status",
        { "wait": "all" },
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    let expected = ["running", "running", "pending", "pending", "pending"];
    assert_eq!(told[0]["status"], json!(expected));
    let run = last_run(&home);
    let begun = |work: &Value| -> jiff::Timestamp {
        let text = work["attempts"][0]["started"].as_str().unwrap();
        text.parse().unwrap()
    };
    let begun: Vec<_> = run["works"].as_array().unwrap().iter().map(begun).collect();
    assert!(begun.is_sorted(), "{begun:?}");
}

#[test]
fn many_more_works_than_places_all_get_their_turn() {
    let home = Home::new();
    let app = App::scripted(
        &home,
        "[works.echo]\ncomponent = \"work-echo.wasm\"\nparallel = 4\n",
    );
    let script = json!([
        { "start": { "work": "echo", "text": "x", "times": 2000 } },
        "count",
        { "start": { "work": "echo", "text": "again", "times": 1 } },
        "wait-any",
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(told[0]["count"], json!({ "output": 2000 }));
    assert_eq!(
        told[1]["output"], "again",
        "starting again after an end is normal"
    );
}

#[test]
fn a_works_end_wakes_a_flow_that_polls() {
    let home = Home::new();
    let app = App::scripted(&home, "parallel = 2\n");
    let sleep = |milliseconds: u64| json!({ "start": { "work": "probe", "input": [{ "sleep": milliseconds }, { "return": 1 }] } });
    // `wait-first` polls what `subscribe` gave it for each.
    let script = json!([sleep(86_400_000), sleep(500), "wait-first"]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(
        (&told[0]["place"], &told[0]["output"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(told.len(), 1);
}

#[test]
fn a_flow_that_waits_takes_no_processor() {
    let home = Home::new();
    let app = App::scripted(&home, "parallel = 8\n");
    let script = json!([
        { "start": { "work": "probe", "input": { "sleep": 600_000 }, "times": 2000 } },
        { "print": "started" },
        "wait-any",
    ]);
    let mut child = app.begin(&home, &[], &script);
    let mut printed = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(printed.next().unwrap().unwrap().contains("started"));
    // How often a thread was given a processor, or none was free for it (proc_pid_status(5)).
    let turns = || -> u64 {
        let threads = std::fs::read_dir(format!("/proc/{}/task", child.id())).unwrap();
        let status = |thread: std::io::Result<std::fs::DirEntry>| {
            std::fs::read_to_string(thread.unwrap().path().join("status")).unwrap_or_default()
        };
        let turns = |status: String| -> u64 {
            status
                .lines()
                .filter(|line| line.contains("voluntary_ctxt_switches"))
                .map(|line| {
                    line.split_whitespace()
                        .last()
                        .unwrap()
                        .parse::<u64>()
                        .unwrap()
                })
                .sum()
        };
        threads.map(status).map(turns).sum()
    };
    // The last of those that have a place may be about to begin: it is quiet some time after that,
    // if ever.
    let quiet = (0..60).any(|_| {
        let before = turns();
        std::thread::sleep(Duration::from_secs(1));
        turns() == before
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(quiet);
}
