//! How Works end: by themselves, with their Flow, or because somebody stops them.

use serde_json::{Value, json};

use crate::support::{App, Home, last_run, lines};

use super::LIMITS;

/// Where each failure kind is told: to the Flow, in the journal and on the terminal.
#[test]
fn each_kind_of_failure_is_told_apart_to_the_flow_the_journal_and_the_terminal() {
    let home = Home::new();
    let app = App::scripted(&home, LIMITS);
    let start = |input: Value| json!({ "start": { "work": "probe", "input": input } });
    let cat = |text: &str| json!({ "start": { "work": "cat", "text": text } });
    let script = json!([
        start(json!({ "return": [1, "two"] })),
        start(json!({ "error": "no luck" })),
        start(json!("trap")),
        start(json!({ "exit": 3 })),
        start(json!("loop")),
        start(json!({ "sleep": 60_000 })),
        start(json!("allocate")),
        start(json!({ "sleep": 60_000 })),
        cat("exit 5"),
        json!({ "start": { "work": "prob", "text": "" } }),
        json!({ "stop": [7] }),
        json!({ "wait": "all" }),
    ]);
    let ran = app.run(&home, &[], &script).succeeded().says(&[
        "probe#2: failed: it returned an error: no luck",
        "probe#3: failed: it trapped",
        "probe#4: failed: it exited with status 3",
        "probe#5: failed: it ran longer than its time limit of 2s",
        "probe#7: failed: it needed more memory than its limit of 64.0 MiB",
        "cat#9: failed: it exited with status 5",
        "prob#10: failed: it was refused: the app has no Work of that name; did you mean `probe`?",
        "10 Works in ",
    ]);
    let told = lines(&ran);
    assert_eq!(told[0]["output"], json!([1, "two"]));
    let failures: Vec<_> = told[1..].iter().map(|line| &line["failure"]).collect();
    let kinds = [
        "error",
        "trap",
        "exit",
        "timed-out",
        "timed-out",
        "out-of-memory",
        "stopped",
        "exit",
        "refused",
    ];
    assert_eq!(failures, kinds);
    let details: Vec<_> = told.iter().map(|line| &line["detail"]).collect();
    assert_eq!(details[1], "no luck");
    assert_eq!((details[3], details[8]), (&json!(3), &json!(5)));
    assert_eq!(details[4], &json!(2_000_000_000_u64));
    assert_eq!(details[6], &json!(64 << 20));
    assert!(
        details[9]
            .as_str()
            .unwrap()
            .contains("did you mean `probe`?")
    );

    let run = last_run(&home);
    let works = run["works"].as_array().unwrap();
    let kept: Vec<_> = works.iter().map(|work| &work["failure"]["kind"]).collect();
    assert_eq!(kept[0], &Value::Null);
    assert_eq!(kept[1..], kinds);
    assert!(works.iter().all(|work| !work["ended"].is_null()));
    assert_eq!(run["state"], "ended");
}

#[test]
fn a_flow_that_ends_however_takes_its_works_with_it() {
    let home = Home::new();
    let app = App::scripted(&home, "parallel = 3\n");
    let start = json!({ "start": { "work": "probe", "input": { "sleep": 60_000 }, "times": 5 } });
    for (end, options, status) in [
        (json!({ "print": "done" }), &[][..], 0),
        (json!("trap"), &[], 134),
        (json!({ "exit": 9 }), &[], 9),
        (json!("loop"), &["--timeout", "1s"], 124),
        (json!({ "sleep": 60_000 }), &["--timeout", "1s"], 124),
    ] {
        let script = json!([start, { "sleep": 100 }, end]);
        app.run(&home, options, &script).ended_with(status);
        let run = last_run(&home);
        assert_eq!(run["state"], "ended", "{end}");
        let works = run["works"].as_array().unwrap();
        assert_eq!(works.len(), 5, "{end}");
        for work in works {
            assert_eq!(work["failure"]["kind"], "stopped", "{end}: {work}");
            assert!(!work["ended"].is_null());
        }
    }
}

#[test]
fn letting_go_of_a_work_does_not_stop_it_and_stopping_one_does() {
    let home = Home::new();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let app = App::scripted(&home, "parallel = 1\n");
    let counted = |file: &str| json!([{ "sleep": 100 }, { "attempt": file }]);
    let script = json!([
        { "start": { "work": "probe", "input": counted("/d/dropped") } },
        { "start": { "work": "probe", "input": counted("/d/stopped-waiting") } },
        { "start": { "work": "probe", "input": counted("/d/last") } },
        { "drop": [0] },
        { "stop": [1] },
        { "wait": "all" },
    ]);
    let dir = format!("probe:{}::/d", data.display());
    let told = lines(&app.run(&home, &["--dir", &dir], &script).succeeded());
    assert_eq!(told[0]["failure"], "stopped");
    assert_eq!(told[1]["output"], 1);
    assert!(data.join("dropped").exists());
    assert!(!data.join("stopped-waiting").exists());
}
