//! A Flow and its Works: starting, waiting, failing, trying again, stopping.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Home, last_run, lines, wait};

const LIMITS: &str = "timeout = \"2s\"\nmemory = \"64MiB\"\nparallel = 16\n\
     [works.cat]\ncomponent = \"work-cat.wasm\"\n\
     [works.cat1]\ncomponent = \"work-cat-p1.wasm\"\n";

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
fn programs_and_core_modules_are_works_too() {
    let home = Home::new();
    let app = App::scripted(&home, LIMITS);
    let text = "one line\nand another";
    let script = json!([
        { "start": { "work": "cat", "text": text } },
        { "start": { "work": "cat1", "text": text } },
        { "wait": "all" },
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!([&told[0]["output"], &told[1]["output"]], [text, text]);
}

#[test]
fn a_flow_of_wasi_0_3_awaits_its_works() {
    let home = Home::new();
    let works = format!("[works.probe]\ncomponent = \"work-probe.wasm\"\n{LIMITS}");
    let app = App::new(&home, "flow-p3", &works);
    let ran = home
        .run_app(
            app.path(),
            &[
                "--",
                "probe",
                "[{\"sleep\":300},{\"return\":\"slow\"}]",
                "probe",
                "{\"return\":\"quick\"}",
                "cat",
                "text",
                "probe",
                "stop",
                "probe",
                "\"trap\"",
            ],
        )
        .succeeded();
    let told = lines(&ran);
    let of = |place: usize| told.iter().find(|line| line["place"] == place).unwrap();
    assert_eq!(of(0)["output"], "\"slow\"");
    assert_eq!(of(1)["output"], "\"quick\"");
    assert_eq!(of(2)["output"], "text");
    assert!(of(3)["failure"].to_string().contains("stopped"), "{told:?}");
    assert!(of(4)["failure"].to_string().contains("trap"), "{told:?}");
    let at = |place: usize| told.iter().position(|line| line["place"] == place);
    assert!(at(1) < at(0), "the quick one was told first: {told:?}");
}

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
    let fails = json!({ "error": "no" });
    let script = json!([
        { "start": { "work": "probe", "input": fails, "times": 200 } },
        // One that is stopped keeps nobody waiting.
        { "stop": [3, 150] },
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
fn a_flow_that_lets_outputs_go_has_room_for_more_also_where_they_are_cached() {
    let home = Home::new();
    let app = App::scripted(&home, "cache = true\n");
    // More than 1 GiB in all.
    let one = |number: usize| {
        json!([
            { "start": { "work": "probe", "input": { "return-bytes": (60 << 20) + number } } },
            "count",
        ])
    };
    let script: Vec<_> = (0..19)
        .flat_map(|number| one(number).as_array().unwrap().clone())
        .collect();
    let told = lines(&app.run(&home, &[], &Value::from(script)).succeeded());
    for line in told {
        assert_eq!(line["count"], json!({ "output": 1 }));
    }
}

#[test]
fn a_hundred_thousand_starts_and_large_inputs_do_what_one_expects() {
    let home = Home::new();
    let app = App::scripted(&home, "[works.echo]\ncomponent = \"work-echo.wasm\"\n");
    let times = 100_000;
    let script = json!([
        { "start": { "work": "none", "text": "", "times": times } },
        "count",
        { "start": { "work": "echo", "bytes": 64 << 20 } },
        { "start": { "work": "echo", "bytes": (64 << 20) + 1 } },
        { "start": { "work": "probe", "input": { "return-bytes": (64 << 20) + 1 } } },
        "count",
        { "start": { "work": "probe", "input": { "error": "x".repeat(70_000) } } },
        { "wait": "all" },
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    assert_eq!(told[0]["count"], json!({ "refused": times }));
    assert_eq!(told[1]["count"], json!({ "output": 1, "refused": 2 }));
    let error = told[2]["detail"].as_str().unwrap();
    assert_eq!(error.trim_end_matches('…').len(), 64 << 10);
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

#[test]
fn a_work_cannot_start_works_and_is_no_app() {
    let home = Home::new();
    // As a Work, a Flow is a program like another: it has no Works.
    let app = App::scripted(&home, "[works.inner]\ncomponent = \"flow-probe.wasm\"\n");
    let inner = json!(["names", { "start": { "work": "probe", "text": "" } }, { "wait": "all" }]);
    let script = json!([
        { "start": { "work": "inner", "text": inner.to_string() } },
        { "wait": "all" },
    ]);
    let told = lines(&app.run(&home, &[], &script).succeeded());
    let inner = told[0]["output"].as_str().unwrap();
    assert!(inner.contains("{\"names\":[]}"), "{inner}");
    assert!(inner.contains("refused"), "{inner}");
    home.run_app(&app.path().join("work-probe.wasm"), &[])
        .ended_with(126)
        .says(&["it is a Work", "leyden.toml"]);
    // What is neither is refused before anything runs.
    std::fs::write(app.path().join("work-probe.wasm"), b"(component)").unwrap();
    app.run(&home, &[], &json!([{ "print": "ran" }]))
        .ended_with(126)
        .says(&["leyden:app/work"]);
}

#[test]
fn events_as_json_lines() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([
        { "start": { "work": "probe", "input": [{ "stdout": "hello" }, { "return": 1 }] } },
        { "start": { "work": "probe", "input": { "error": "no" } } },
        { "wait": "all" },
    ]);
    let ran = app.run(&home, &["--output", "json"], &script).succeeded();
    let events = lines(&ran);
    let of = |event: &str, number: u64| {
        let is_it = |line: &&Value| line["event"] == event && line["number"] == number;
        events
            .iter()
            .find(is_it)
            .unwrap_or_else(|| panic!("{event} {number}: {ran:?}"))
    };
    assert_eq!(events[0]["event"], "started");
    assert_eq!(events[0]["run"], last_run(&home)["id"]);
    assert_eq!(of("work-queued", 1)["work"], "probe");
    assert_eq!(of("work-started", 1)["attempt"], 1);
    assert_eq!(of("work-line", 1)["text"], "hello");
    assert_eq!(of("work-ended", 1)["output-bytes"], 1);
    assert_eq!(of("work-ended", 2)["failure"]["kind"], "error");
    assert_eq!(events.last().unwrap()["event"], "ended");
    assert_eq!(ran.stderr, "");
}

#[test]
fn a_reader_of_events_that_goes_away_ends_a_flow_that_writes_nothing() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    for flow in [json!("loop"), json!({ "sleep": 600_000 })] {
        let script = json!([
            { "start": { "work": "probe", "input": "loop" } },
            { "start": { "work": "probe", "input": { "sleep": 600_000 } } },
            flow,
        ]);
        let mut child = app.begin(&home, &["--output", "json"], &script);
        let mut events = BufReader::new(child.stdout.take().unwrap()).lines();
        // No event follows on the last of these.
        let mut begun = 0;
        while begun < 2 {
            let event = events.next().unwrap().unwrap();
            begun += usize::from(event.contains("work-started"));
        }
        drop(events);
        assert_eq!(wait(&mut child), 141, "{flow}");
        let run = last_run(&home);
        assert_eq!(run["ending"], "output-closed", "{flow}: {run}");
        for work in run["works"].as_array().unwrap() {
            assert_eq!(work["failure"]["kind"], "stopped", "{flow}: {work}");
        }
    }
}

#[test]
fn a_flow_that_holds_too_many_handles_is_told_so() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([{ "start": { "work": "none", "text": "", "times": 140_000 } }]);
    app.run(&home, &[], &script).ended_with(134).says(&[
        "it holds 400000 handles (of started Works, pollables,",
        "drop those that have ended",
    ]);
}

#[test]
fn what_can_never_be_instantiated_cannot_be_run_alone_or_as_a_work() {
    let home = Home::new();
    let app = App::scripted(&home, "[works.big]\ncomponent = \"big.wat\"\n");
    let big = app.path().join("big.wat");
    let module = "(module (table 100000000 funcref) (memory (export \"memory\") 1)
                  (func (export \"_start\")))";
    std::fs::write(&big, module).unwrap();
    home.run_app(&big, &[])
        .ended_with(126)
        .says(&["it cannot be run", "table"]);
    // The second finds it compiled.
    for _ in 0..2 {
        app.run(&home, &[], &json!([{ "print": "ran" }]))
            .ended_with(126)
            .says(&["it cannot be run", "table"]);
    }
}

#[test]
fn a_manifest_that_asks_for_too_much_memory_is_told() {
    let home = Home::new();
    let app = App::scripted(&home, "memory = \"3GiB\"\n");
    let told = "the Work `probe` asks for 3.0 GiB and gets 1.0 GiB";
    app.run(&home, &[], &json!([])).succeeded().says(&[told]);
    let inspected = home.run(["inspect", &app.path().display().to_string()]);
    assert!(inspected.succeeded().stdout.contains(told));
    let allowed = app.run(&home, &["--memory", "4GiB"], &json!([]));
    allowed.succeeded().never_shows("asks for");
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

/// A terminal of its own, by script(1).
#[test]
fn a_terminal_shows_each_kind_live_and_the_summary_at_the_end() {
    let home = Home::new();
    let app = App::scripted(&home, "[works.other]\ncomponent = \"work-probe.wasm\"\n");
    let sleep = |work: &str, times: u32| json!({ "start": { "work": work, "input": { "sleep": 600_000 }, "times": times } });
    let script = json!([sleep("probe", 1), sleep("other", 1), { "wait": "all" }]);
    let leyden = home.leyden();
    let variables = leyden.get_envs();
    let command = "stty cols 120 rows 30; exec \"$LEYDEN\" run app \"$APP\" -- \"$SCRIPT\"";
    let mut child = Command::new("script")
        .args(["-q", "-e", "-c", command, "/dev/null"])
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .env("SHELL", "/bin/sh")
        .env("TERM", "xterm")
        .env("LEYDEN", leyden.get_program())
        .env("APP", app.path())
        .env("SCRIPT", script.to_string())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut keys, mut screen) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut shown = String::new();
    let mut read = |shown: &mut String| {
        let mut bytes = [0; 4096];
        let count = screen.read(&mut bytes).unwrap_or_default();
        shown.push_str(&String::from_utf8_lossy(&bytes[..count]));
        count > 0
    };
    let live = |shown: &str, kind: &str| {
        strip(shown).contains(&format!("{kind:12}  waiting 0  running 1  done 0"))
    };
    while !(live(&shown, "probe") && live(&shown, "other")) {
        assert!(read(&mut shown), "{shown}");
    }
    // Ctrl-C.
    keys.write_all(b"\x03").unwrap();
    while read(&mut shown) {}
    assert_eq!(wait(&mut child), 130, "{shown}");
    let plain = strip(&shown);
    assert!(plain.contains("2 Works in "), "{plain}");
    for kind in ["probe", "other"] {
        let summary = format!("  {kind}  done 0  failed 0  stopped 1");
        assert!(plain.contains(&summary), "no {summary:?} in {plain}");
    }
}

/// What a terminal shows, as lines, without its control sequences (`ESC [ … letter`).
fn strip(shown: &str) -> String {
    let mut plain = String::new();
    let mut characters = shown.chars();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => drop(characters.by_ref().skip(1).find(char::is_ascii_alphabetic)),
            '\r' => plain.push('\n'),
            other => plain.push(other),
        }
    }
    plain
}
