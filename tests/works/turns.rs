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
    // Hundredths of a second of processor time, user and system (proc_pid_stat(5)).
    let stat = format!("/proc/{}/stat", child.id());
    let used = || -> u64 {
        let stat = std::fs::read_to_string(&stat).unwrap();
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum()
    };
    // The last of those that have a place may be about to begin: it is quiet some time after that,
    // if ever. What never rests uses a good part of each second, also on a busy machine.
    let quiet = (0..60).any(|_| {
        let before = used();
        std::thread::sleep(Duration::from_secs(2));
        used() - before < 20
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(quiet);
}
