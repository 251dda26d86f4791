//! Going on with a run: what was answered is not done again, and why some cannot be gone on with.

use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{App, Home, Ran, last_run, lines, wait};

use super::{count, counting_app, journal_of_last_run, until};

#[test]
fn a_killed_run_is_gone_on_with_and_no_finished_work_runs_again() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let options = ["--dir", &dir, "--secret", "S=my-secret"];
    // Each start has an input of its own, and counts its runs in a file of its own.
    let starts: Vec<_> = (0..1000)
        .map(|n| {
            let file = format!("/d/{n}");
            json!({ "start": {
                "work": "probe",
                "input": [{ "attempt": file }, { "sleep": 3 }, { "return": n }],
            } })
        })
        .collect();
    let script: Value = starts
        .into_iter()
        .chain([json!({ "wait": "all" })])
        .collect();
    // So long a script comes by standard input.
    let input = home.path().join("script.json");
    std::fs::write(&input, script.to_string()).unwrap();
    let run = |arguments: &[&str]| {
        let mut command = home.leyden();
        command
            .args(arguments)
            .stdin(std::fs::File::open(&input).unwrap());
        command
    };
    let path = app.path().display().to_string();
    let mut first = vec!["run", "app", &path];
    first.extend(options);
    let mut child = run(&first)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    until(|| count(&data) > 300);
    child.kill().unwrap();
    wait(&mut child);

    let killed = last_run(&home);
    assert_eq!(killed["state"], "interrupted");
    let works = killed["works"].as_array().unwrap();
    let ended = works.iter().filter(|work| !work["ended"].is_null()).count();
    assert!(ended > 100, "{ended}");
    let under_way = works
        .iter()
        .filter(|work| work["ended"].is_null() && work["attempts"].as_array().unwrap().len() == 1)
        .count();
    assert!(under_way <= 4, "{under_way}");
    let runs_of = |n: usize| -> u32 {
        let text = std::fs::read_to_string(data.join(n.to_string())).unwrap();
        text.trim().parse().unwrap()
    };

    let releases = || {
        let listed = home.run(["audit", "list", "--secret", "my-secret", "--output", "json"]);
        listed.succeeded().stdout.matches("\"release\"").count()
    };
    let before = releases();
    let resumed = run(&["runs", "resume", "last"]).output().unwrap();
    assert!(resumed.status.success(), "{resumed:?}");
    let told = String::from_utf8(resumed.stdout).unwrap();
    let told: Vec<Value> = told
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(told.len(), 1000);
    for (n, line) in told.iter().enumerate() {
        assert_eq!(line["output"], n, "{line}");
    }
    // Only what had not ended when the process died, by its journal, ran twice.
    for n in 0..1000 {
        let has_ended = works
            .iter()
            .any(|work| work["number"] == n + 1 && !work["ended"].is_null());
        let runs = runs_of(n);
        assert!(
            runs == 1 || (runs == 2 && !has_ended),
            "{n} ran {runs} times"
        );
    }
    assert!(releases() > before, "all bindings are audited anew");
    let run = last_run(&home);
    assert_eq!((&run["state"], &run["lives"]), (&json!("ended"), &json!(2)));
    assert_eq!(run["id"], killed["id"]);
    home.run(["runs", "resume", "last"])
        .ended_with(2)
        .says(&["has ended well"]);
}

#[test]
fn what_cannot_be_gone_on_with_says_why() {
    // Without a store there is nothing to go on with.
    let home = Home::new();
    let app = App::scripted(&home, "");
    let fails = json!([{ "exit": 3 }]);
    app.run(&home, &[], &fails)
        .ended_with(3)
        .says(&["cannot be resumed", "store"]);
    home.run(["runs", "resume", "last"])
        .ended_with(2)
        .says(&["metadata only"]);
    home.run(["runs", "resume", "nothing"])
        .ended_with(2)
        .says(&["no run `nothing`"]);

    // Another app in its place.
    let home = Home::with_my_secret();
    let app = App::scripted(&home, "");
    app.run(&home, &["--secret", "S=my-secret"], &fails)
        .ended_with(3);
    let manifest = app.path().join("leyden.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{text}parallel = 7\n")).unwrap();
    home.run(["runs", "resume", "last"])
        .ended_with(2)
        .says(&["the app has changed", "sha256:"]);
    std::fs::write(&manifest, &text).unwrap();
    // A secret that is gone.
    home.run(["secret", "delete", "my-secret", "--yes"])
        .succeeded();
    home.run(["runs", "resume", "last"])
        .ended_with(77)
        .says(&["deleted"]);
    // Another store.
    let state = home.path().join("state");
    let other = Home::with_my_secret();
    std::fs::remove_dir_all(other.path().join("state/leyden/runs")).ok();
    std::fs::rename(
        state.join("leyden/runs"),
        other.path().join("state/leyden/runs"),
    )
    .unwrap();
    other
        .run(["runs", "resume", "last"])
        .ended_with(77)
        .says(&["another one"]);
}

#[test]
fn an_error_or_status_of_the_works_own_is_an_answer_and_a_fault_is_not() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let script = json!([
        { "start": { "work": "probe", "input": [{ "attempt": "/d/error" }, { "error": "exactly this" }] } },
        { "start": { "work": "probe", "input": [{ "attempt": "/d/exit" }, { "exit": 3 }] } },
        { "start": { "work": "probe", "input": [{ "attempt": "/d/trap" }, "trap"] } },
        { "wait": "all" },
        { "exit": 1 },
    ]);
    let options = ["--dir", &dir, "--secret", "S=my-secret"];
    let first = app.run(&home, &options, &script).ended_with(1);
    let again = home.run(["runs", "resume", "last"]).ended_with(1);
    assert_eq!(first.stdout, again.stdout);
    let runs_of = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    assert_eq!(
        [runs_of("error"), runs_of("exit"), runs_of("trap")],
        ["1\n", "1\n", "2\n"]
    );
}

#[test]
fn what_is_cached_has_the_answer_of_any_start_in_an_earlier_life() {
    let (home, app, data) = counting_app();
    let manifest = app.path().join("leyden.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, format!("{text}cache = true\n")).unwrap();
    let dir = format!("probe:{}::/d", data.display());
    let input = json!({ "trap-before": { "file": "/d/one", "attempt": 2 } });
    let start = json!({ "start": { "work": "probe", "input": input } });
    let script = json!([start, { "wait": "all" }, start, { "wait": "all" }, { "exit": 1 }]);
    let ends = |ran: &Ran| {
        lines(ran)
            .iter()
            .map(|line| line["output"].clone())
            .collect::<Vec<_>>()
    };
    let first = app.run(&home, &["--dir", &dir], &script).ended_with(1);
    assert_eq!(ends(&first), [Value::Null, json!(2)]);
    // The first start, which trapped, is not tried again.
    let again = home.run(["runs", "resume", "last"]).ended_with(1);
    assert_eq!(ends(&again), [2, 2]);
    assert_eq!(std::fs::read_to_string(data.join("one")).unwrap(), "2\n");
    let run = last_run(&home);
    assert_eq!(run["works"][0]["answer"], "cached");
}

#[test]
fn what_a_work_took_is_that_of_the_life_in_which_it_ended() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let input = json!({ "trap-before": { "file": "/d/one", "attempt": 2 } });
    let script = json!([
        { "start": { "work": "probe", "input": input } },
        { "wait": "all" },
        { "exit": 1 },
    ]);
    app.run(&home, &["--dir", &dir], &script).ended_with(1);
    home.run(["runs", "resume", "last"]).ended_with(1);
    // As if it had been resumed a day later.
    let journal = journal_of_last_run(&home);
    let earlier = "UPDATE attempt SET started = started - 86400000000 WHERE life = 1";
    assert_eq!(journal.execute(earlier, ()).unwrap(), 1);
    drop(journal);
    let shown = home.run(["runs", "show", "last"]).succeeded().stdout;
    assert!(shown.contains(", 2 attempts"), "{shown}");
    assert!(!shown.contains("1440 min"), "{shown}");
}
