//! The same again: trying again what failed, and answering what was answered.

use serde_json::json;

use crate::support::{App, Home, last_run, lines};

#[test]
fn a_work_is_tried_again_after_a_fault_and_after_its_own_error_only_if_asked() {
    let home = Home::new();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let app = App::scripted(
        &home,
        "retries = 2\n[works.asked]\ncomponent = \"work-probe.wasm\"\nretries = 2\n\
         retry = \"error\"\n[works.flaky]\ncomponent = \"work-probe.wasm\"\nretries = 1\n",
    );
    let fails = json!([{ "attempt": "/d/errors" }, { "error": "no" }]);
    let asked = json!([{ "attempt": "/d/asked" }, { "error": "no" }]);
    let script = json!([
        { "start": { "work": "probe", "input": { "trap-before": { "file": "/d/traps", "attempt": 3 } } } },
        { "start": { "work": "probe", "input": fails } },
        { "start": { "work": "asked", "input": asked } },
        { "start": { "work": "flaky", "input": { "trap-before": { "file": "/d/flaky", "attempt": 3 } } } },
        { "wait": "all" },
    ]);
    let dir = |work: &str| format!("{work}:{}::/d", data.display());
    let (probe, asked, flaky) = (dir("probe"), dir("asked"), dir("flaky"));
    let dirs = ["--dir", &probe, "--dir", &asked, "--dir", &flaky];
    let ran = app.run(&home, &dirs, &script).succeeded();
    let told = lines(&ran);
    assert_eq!(told[0]["output"], 3, "the third attempt");
    assert_eq!(told[1]["failure"], "error");
    assert_eq!(told[2]["failure"], "error");
    assert_eq!(told[3]["failure"], "trap", "one retry was not enough");
    let attempts = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    assert_eq!(attempts("errors"), "1\n");
    assert_eq!(attempts("asked"), "3\n");
    assert_eq!(attempts("flaky"), "2\n");
    ran.says(&["probe#1: attempt 1 failed", "again in 100ms", "retries 2"]);
    let run = last_run(&home);
    let first = run["works"][0]["attempts"].as_array().unwrap();
    assert_eq!(first.len(), 3);
    assert_eq!(first[0]["failure"]["kind"], "trap");
    assert!(first[2]["failure"].is_null());
}

#[test]
fn a_work_that_waits_to_be_tried_again_has_no_place_meanwhile() {
    let home = Home::new();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let app = App::scripted(&home, "retries = 5\nparallel = 1\n");
    // It has six attempts, and ends well only once the others have counted, too.
    let first = json!({ "trap-before": { "file": "/d/count", "attempt": 10 } });
    let script = json!([
        { "start": { "work": "probe", "input": first } },
        { "start": { "work": "probe", "input": { "attempt": "/d/count" }, "times": 9 } },
        "count",
        // One that waits behind another ends at once where it is stopped.
        { "start": { "work": "probe", "input": "trap" } },
        { "start": { "work": "probe", "input": { "sleep": 600_000 } } },
        { "sleep": 1000 },
        { "stop": [0] },
        { "wait": [0] },
        { "stop": [1] },
        { "wait": "all" },
    ]);
    let dir = format!("probe:{}::/d", data.display());
    let ran = app.run(&home, &["--dir", &dir], &script).succeeded();
    let told = lines(&ran);
    assert_eq!(told[0]["count"], json!({ "output": 10 }));
    assert_eq!(told[1]["failure"], "stopped");
    let run = last_run(&home);
    let work = &run["works"][10];
    assert_eq!(work["failure"]["kind"], "stopped");
    let attempts = work["attempts"].as_array().unwrap();
    // What failed stays as it was.
    let failed = &attempts[..attempts.len() - 1];
    assert!(failed.iter().all(|one| one["failure"]["kind"] == "trap"));
}

#[test]
fn a_cached_work_answers_the_same_input_from_the_first_start() {
    let home = Home::new();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let app = App::scripted(&home, "cache = true\nparallel = 8\n");
    let counted = |file: &str| json!([{ "attempt": file }, { "sleep": 100 }, { "return": file }]);
    let fails = json!([{ "attempt": "/d/fails" }, { "error": "no" }]);
    let script = json!([
        // At once: the others wait for the first.
        { "start": { "work": "probe", "input": counted("/d/one"), "times": 5 } },
        { "start": { "work": "probe", "input": counted("/d/two") } },
        { "wait": "all" },
        { "start": { "work": "probe", "input": counted("/d/one") } },
        { "wait": "all" },
        // What failed is no answer.
        { "start": { "work": "probe", "input": fails } },
        { "wait": "all" },
        { "start": { "work": "probe", "input": fails } },
        { "wait": "all" },
    ]);
    let dir = format!("probe:{}::/d", data.display());
    let ran = app.run(&home, &["--dir", &dir], &script).succeeded();
    let told = lines(&ran);
    assert!(told[..5].iter().all(|line| line["output"] == "/d/one"));
    assert_eq!(told[5]["output"], "/d/two");
    assert_eq!(told[6]["output"], "/d/one");
    let attempts = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    assert_eq!(
        (attempts("one"), attempts("two")),
        ("1\n".into(), "1\n".into())
    );
    assert_eq!(attempts("fails"), "2\n");
    ran.says(&["answered 5"]);
}

#[test]
fn of_many_starts_with_one_failing_input_one_runs_after_the_other() {
    let home = Home::new();
    let app = App::scripted(&home, "cache = true\nparallel = 8\n");
    let fails = json!([{ "sleep": 5 }, { "error": "no" }]);
    let script = json!([
        { "start": { "work": "probe", "input": fails, "times": 200 } },
        // One that is stopped keeps nobody waiting. Late ones, which wait still.
        { "stop": [150, 180] },
        "count",
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(told[0]["count"], json!({ "error": 198, "stopped": 2 }));
    let run = last_run(&home);
    let ran = run["works"].as_array().unwrap().iter();
    let ran = ran.filter_map(|work| work["attempts"].as_array().unwrap().first());
    let moments: Vec<jiff::Timestamp> = ran
        .flat_map(|attempt| [&attempt["started"], &attempt["ended"]])
        .map(|moment| moment.as_str().unwrap().parse().unwrap())
        .collect();
    assert!(moments.len() >= 2 * 198);
    assert!(
        moments.is_sorted(),
        "in the order of their starts, and never two at once"
    );
}
