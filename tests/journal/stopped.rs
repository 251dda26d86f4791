//! Runs that are stopped by signals, by name, or by nobody reading: their ends are written.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Home, last_run, wait};

use super::{counting_app, journal_of_last_run, signal, until};

#[test]
fn two_signals_at_once_end_a_run_that_can_be_gone_on_with() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let script = json!([
        { "start": { "work": "probe", "input": { "attempt": "/d/one" } } },
        { "start": { "work": "probe", "input": { "attempt": "/d/two" } } },
        { "wait": "all" },
        { "start": { "work": "probe", "input": "loop", "times": 3 } },
        { "sleep": 600_000 },
    ]);
    let options = ["--dir", &dir, "--secret", "S=my-secret"];
    let mut child = app.begin(&home, &options, &script);
    until(|| started(&home, 5));
    signal(&child, "INT");
    signal(&child, "TERM");
    let status = wait(&mut child);
    assert!([130, 143].contains(&status), "{status}");
    // The second may have come before its end was written.
    let run = last_run(&home);
    let is_over = run["ending"] == "stopped" || run["state"] == "interrupted";
    assert!(is_over, "{run}");

    let mut child = home
        .leyden()
        .args(["runs", "resume", "last"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| {
        let run = last_run(&home);
        let attempts = run["works"].as_array().unwrap().iter().filter(|work| {
            let attempts = work["attempts"].as_array().unwrap();
            attempts.iter().any(|attempt| attempt["life"] == 2)
        });
        attempts.count() == 3
    });
    signal(&child, "INT");
    assert_eq!(wait(&mut child), 130);
    for name in ["one", "two"] {
        let runs = std::fs::read_to_string(data.join(name)).unwrap();
        assert_eq!(runs, "1\n", "{name}");
    }
}

#[test]
fn a_run_can_be_stopped_by_a_signal_and_by_name() {
    let home = Home::with_my_secret();
    let app = App::scripted(&home, "parallel = 8\n");
    let script = json!([
        { "start": { "work": "probe", "input": { "sleep": 600_000 }, "times": 10 } },
        { "start": { "work": "probe", "input": "loop", "times": 2 } },
        { "print": "started" },
        { "wait": "all" },
    ]);
    type Stop<'a> = &'a dyn Fn(&Child);
    let stops: [(&str, Stop<'_>, i32); 3] = [
        ("INT", &|child| signal(child, "INT"), 130),
        ("TERM", &|child| signal(child, "TERM"), 143),
        (
            "by name",
            &|_| {
                home.run(["runs", "stop", "last"]).succeeded();
            },
            143,
        ),
    ];
    for (how, stop, status) in stops {
        let mut child = app.begin(&home, &[], &script);
        until(|| {
            let run = home.run(["runs", "show", "last", "--output", "json"]);
            run.status == 0 && {
                let run: Value = serde_json::from_str(&run.stdout).unwrap();
                let works = run["works"].as_array().unwrap();
                let begun = |work: &&Value| !work["attempts"].as_array().unwrap().is_empty();
                let all = works.len() == 12 && works.iter().filter(begun).count() == 8;
                run["state"] == "running" && all
            }
        });
        stop(&child);
        assert_eq!(wait(&mut child), status, "{how}");
        let run = last_run(&home);
        assert_eq!(run["ending"], "stopped", "{how}: {run}");
        for work in run["works"].as_array().unwrap() {
            assert_eq!(work["failure"]["kind"], "stopped", "{how}: {work}");
        }
    }
    // Four of twelve had no place.
    let shown = home
        .run(["runs", "show", "last", "--all"])
        .succeeded()
        .stdout;
    assert_eq!(shown.matches("stopped, never ran").count(), 4, "{shown}");
    assert!(!shown.contains("failed: "), "{shown}");
    home.run(["runs", "stop", "last"])
        .ended_with(2)
        .says(&["not under way"]);
}

#[test]
fn a_run_whose_output_nobody_reads_is_stopped_and_its_end_written() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([
        { "start": { "work": "probe", "input": { "sleep": 600_000 } } },
        { "sleep": 100 },
        // More than any pipe holds.
        { "print": "x".repeat(100_000) },
        { "print": "x".repeat(100_000) },
    ]);
    let file = home.path().join("script.json");
    std::fs::write(&file, script.to_string()).unwrap();
    for (options, status, ending) in [
        (&[][..], 130, "stopped"),
        (&["--timeout", "3s"], 124, "timed-out"),
    ] {
        let mut child = home
            .leyden()
            .args(["run", "app", "--output", "json"])
            .arg(app.path())
            .args(options)
            .stdin(std::fs::File::open(&file).unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        if status == 130 {
            until(|| {
                let run = home.run(["runs", "show", "last", "--output", "json"]);
                run.status == 0 && run.stdout.contains("\"attempt\": 1")
            });
            std::thread::sleep(Duration::from_secs(1));
            signal(&child, "INT");
        }
        assert_eq!(wait(&mut child), status);
        let run = last_run(&home);
        assert_eq!(run["ending"], ending, "{run}");
        assert_eq!(run["works"][0]["failure"]["kind"], "stopped");
    }
}

#[test]
fn a_second_signal_cuts_the_wait_for_what_does_not_end() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([
        { "start": { "work": "probe", "input": { "sleep": 600_000 } } },
        { "wait": "all" },
    ]);
    let mut child = app.begin(&home, &["--output", "json"], &script);
    let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = |event: &str| {
        let is_it = |line: &String| line.contains(event);
        events.by_ref().map(Result::unwrap).find(is_it).unwrap()
    };
    next("work-started");
    until(|| started(&home, 1));
    // Whoever holds the journal holds the run's end, for longer than the command waits for it.
    let journal = journal_of_last_run(&home);
    journal.busy_timeout(Duration::from_secs(60)).unwrap();
    journal.execute_batch("BEGIN IMMEDIATE").unwrap();
    signal(&child, "INT");
    assert!(next("work-ended").contains("stopped"));
    // Were it not heard, the first one's status would be the command's.
    signal(&child, "TERM");
    assert_eq!(wait(&mut child), 143);
    drop(journal);
    assert_eq!(last_run(&home)["state"], "interrupted");
}

/// Whether so many Works of the newest run have begun.
fn started(home: &Home, count: usize) -> bool {
    let run = home.run(["runs", "show", "last", "--output", "json"]);
    run.status == 0 && {
        let run: Value = serde_json::from_str(&run.stdout).unwrap();
        let works = run["works"].as_array().unwrap();
        let begun = |work: &&Value| !work["attempts"].as_array().unwrap().is_empty();
        works.iter().filter(begun).count() == count
    }
}
