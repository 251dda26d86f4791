//! The journal: what a killed run leaves, going on with it, stopping it, its logs.

use std::path::Path;
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::{App, Home, last_run, lines, wait};

/// Waits until something is so; it comes to be, however slow the machine.
fn until(what: impl Fn() -> bool) {
    while !what() {
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn count(folder: &Path) -> usize {
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// A home with a store, an app whose Work leaves a file for each of its runs, and that folder.
fn counting_app() -> (Home, App, std::path::PathBuf) {
    let home = Home::with_my_secret();
    let data = home.path().join("data-for-works");
    std::fs::create_dir(&data).unwrap();
    let app = App::scripted(&home, "parallel = 4\n");
    (home, app, data)
}

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
fn an_error_of_the_works_own_is_an_answer_and_a_fault_is_not() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let script = json!([
        { "start": { "work": "probe", "input": [{ "attempt": "/d/error" }, { "error": "exactly this" }] } },
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
        (runs_of("error"), runs_of("trap")),
        ("1\n".into(), "2\n".into())
    );
}

fn journal_of_last_run(home: &Home) -> rusqlite::Connection {
    let id = last_run(home)["id"].as_str().unwrap().to_owned();
    let folder = home.path().join("state/leyden/runs").join(id);
    rusqlite::Connection::open(folder.join("journal.db")).unwrap()
}

#[test]
fn a_damaged_answer_is_told_and_its_work_runs_again() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let script = json!([
        { "start": { "work": "probe", "input": { "attempt": "/d/one" } } },
        { "start": { "work": "probe", "input": { "attempt": "/d/two" } } },
        { "wait": "all" },
        { "exit": 1 },
    ]);
    app.run(&home, &["--dir", &dir, "--secret", "S=my-secret"], &script)
        .ended_with(1);
    let journal = journal_of_last_run(&home);
    let damage = "UPDATE work SET output = zeroblob(length(output)) WHERE number = 1";
    assert_eq!(journal.execute(damage, ()).unwrap(), 1);
    drop(journal);
    let told = "probe#1: warning: its answer in the journal is damaged";
    let again = home.run(["runs", "resume", "last"]).ended_with(1);
    let again = again.says(&[told]);
    assert_eq!(again.stderr.matches("damaged").count(), 1, "{again:?}");
    let runs_of = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    assert_eq!(
        (runs_of("one"), runs_of("two")),
        ("2\n".into(), "1\n".into())
    );
    let log = home.run(["runs", "logs", "last", "probe#1"]).succeeded();
    assert!(log.stdout.contains("is damaged"), "{log:?}");
}

#[test]
fn a_damaged_failure_is_that_of_its_work_alone() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let script = json!([
        { "start": { "work": "probe", "input": [{ "attempt": "/d/one" }, "trap"] } },
        { "start": { "work": "probe", "input": { "attempt": "/d/two" } } },
        { "wait": "all" },
        { "exit": 1 },
    ]);
    app.run(&home, &["--dir", &dir, "--secret", "S=my-secret"], &script)
        .ended_with(1);
    for damage in ["'{\"kind\":\"tr'", "CAST(x'fffe' AS TEXT)"] {
        let journal = journal_of_last_run(&home);
        for table in ["work", "attempt"] {
            let sql = format!("UPDATE {table} SET failure = {damage} WHERE number = 1");
            assert!(journal.execute(&sql, ()).unwrap() > 0);
        }
        drop(journal);
        let shown = home.run(["runs", "show", "last"]).succeeded().stdout;
        assert!(shown.contains("failure is damaged"), "{shown}");
        assert!(shown.contains("2, 1 failed"), "{shown}");
        home.run(["runs", "resume", "last"]).ended_with(1);
    }
    let runs_of = |name: &str| std::fs::read_to_string(data.join(name)).unwrap();
    assert_eq!(
        (runs_of("one"), runs_of("two")),
        ("3\n".into(), "1\n".into())
    );
}

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

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = std::process::Command::new("kill")
        .args(["-s", name, &pid])
        .status();
    assert!(sent.unwrap().success());
}

#[test]
fn runs_are_listed_shown_and_removed() {
    let home = Home::new();
    assert!(
        home.run(["runs", "list"])
            .succeeded()
            .stdout
            .contains("nothing has run")
    );
    home.run(["runs", "list", "--limit", "0"]).ended_with(2);
    let app = App::scripted(&home, "retries = 1\n");
    let script = json!([
        { "start": { "work": "probe", "input": [{ "stderr": "to \u{1b}[31mstderr" }, { "stdout": "to stdout" }, { "return": 1 }] } },
        { "start": { "work": "probe", "input": "trap" } },
        { "wait": "all" },
    ]);
    app.run(&home, &[], &script).succeeded();
    home.run_app(&crate::support::guest("env-p2"), &[])
        .succeeded();

    let listed = home.run(["runs", "list"]).succeeded().stdout;
    assert!(
        listed.contains("probe") && listed.contains("env-p2"),
        "{listed}"
    );
    let listed = home
        .run(["runs", "list", "--output", "json"])
        .succeeded()
        .stdout;
    let listed: Value = serde_json::from_str(&listed).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    assert_eq!(
        (&listed[1]["works"], &listed[1]["failed"]),
        (&json!(2), &json!(1))
    );

    let id = listed[1]["id"].as_str().unwrap();
    let part = &id[id.len() - 6..];
    let shown = home.run(["runs", "show", part]).succeeded().stdout;
    for words in [
        "probe#1",
        "probe#2",
        "it trapped",
        "2 attempts",
        "█",
        "▒",
        "metadata only",
    ] {
        assert!(shown.contains(words), "no {words} in {shown}");
    }
    let logs = |work: &[&str]| {
        let mut arguments = vec!["runs", "logs", part];
        arguments.extend(work);
        home.run(arguments).succeeded().stdout
    };
    assert!(logs(&[]).contains(" probe#1 to stdout\n"));
    // What a Work writes drives nobody's terminal.
    assert!(logs(&["probe"]).contains(" probe#1 to \\u{1b}[31mstderr\n"));
    assert_eq!(logs(&["probe#2"]).matches("to stdout").count(), 0);
    // It ran, and wrote nothing.
    assert_eq!(logs(&["probe#2"]), "");
    for (typed, hint) in [
        ("prob", "did you mean `probe`?"),
        ("other", "it started: probe"),
        ("probe#3", "shows its starts"),
    ] {
        home.run(["runs", "logs", part, typed])
            .ended_with(2)
            .says(&[typed, hint]);
    }

    for (name, value) in [
        ("LEYDEN_RUNS_MAX_AGE", "7"),
        ("LEYDEN_RUNS_MAX_SIZE", "big"),
    ] {
        let with = |arguments: &[&str]| {
            let mut command = home.leyden();
            crate::support::run(command.args(arguments).env(name, value), b"")
        };
        let app = app.path().display().to_string();
        for arguments in [&["runs", "prune"][..], &["run", "app", &app, "--", "[]"]] {
            with(arguments).ended_with(2).says(&[name, "such as"]);
        }
        // What only reads does without.
        with(&["runs", "list"]).succeeded();
    }
    let pruned = home.run(["runs", "prune", "--older-than", "0s"]);
    assert_eq!(pruned.succeeded().stdout, "removed 1 run\n");
    let left = home
        .run(["runs", "list", "--output", "json"])
        .succeeded()
        .stdout;
    let left: Value = serde_json::from_str(&left).unwrap();
    assert_eq!(left.as_array().unwrap().len(), 1, "the newest stays");
}

#[test]
fn a_run_goes_on_without_a_journal_where_none_can_be_written() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([
        { "start": { "work": "probe", "input": { "return": 1 } } },
        { "wait": "all" },
    ]);
    // A file where the folder should be.
    std::fs::create_dir_all(home.path().join("state/leyden")).unwrap();
    std::fs::write(home.path().join("state/leyden/runs"), "").unwrap();
    let ran = app
        .run(&home, &[], &script)
        .succeeded()
        .says(&["no journal is kept"]);
    assert_eq!(lines(&ran)[0]["output"], 1);
}

#[test]
fn a_journal_that_is_removed_while_it_is_written_is_told() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let many = json!({ "start": { "work": "probe", "input": { "return": 1 }, "times": 5 } });
    let script = json!([many, { "wait": "all" }, { "sleep": 2000 }, many, { "wait": "all" }]);
    let child = app.begin(&home, &[], &script);
    until(|| {
        let run = home.run(["runs", "show", "last", "--output", "json"]);
        run.stdout.matches("\"answer\": \"ran\"").count() == 5
    });
    std::fs::remove_dir_all(home.path().join("state/leyden/runs")).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let said = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(said.matches("its folder was removed").count(), 1, "{said}");
}

#[test]
fn a_limit_on_the_size_of_files_is_no_end_of_the_run() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    let script = json!([
        { "start": { "work": "probe", "input": { "return": 1 }, "times": 2000 } },
        "count",
    ]);
    // What is compiled is larger than the limit.
    app.run(&home, &[], &json!([])).succeeded();
    let mut leyden = home.limited(200);
    leyden
        .args(["run", "app"])
        .arg(app.path())
        .args(["--", &script.to_string()]);
    let ran = crate::support::run(&mut leyden, b"").succeeded();
    let ran = ran.says(&["the journal of this run cannot be written any more"]);
    assert_eq!(lines(&ran)[0]["count"], json!({ "output": 2000 }));
}

#[test]
fn a_fifo_in_place_of_a_file_holds_nobody() {
    let home = Home::with_my_secret();
    let app = App::scripted(&home, "");
    let run = || {
        let script = json!([{ "exit": 1 }]);
        app.run(&home, &["--secret", "S=my-secret"], &script)
            .ended_with(1)
    };
    run();
    let fifo = |path: &Path| {
        std::fs::remove_file(path).ok();
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    let runs = home.path().join("state/leyden/runs");
    let id = last_run(&home)["id"].as_str().unwrap().to_owned();
    for name in ["lock", "log", "log.1"] {
        fifo(&runs.join(&id).join(name));
    }
    fifo(&runs.join(".pruned"));
    home.run(["runs", "list"]).succeeded();
    home.run(["runs", "show", "last"]).succeeded();
    let not_regular = ["not a regular file"];
    home.run(["runs", "logs", "last"])
        .ended_with(125)
        .says(&not_regular);
    home.run(["runs", "resume", "last"]).ended_with(125);
    home.run(["runs", "stop", "last"]).ended_with(2);
    run();
    home.run(["runs", "prune", "--older-than", "0s"])
        .succeeded();
    assert!(!runs.join(id).exists());
}

#[test]
fn what_is_no_journal_is_told_as_damaged_and_holds_nobody() {
    let home = Home::with_my_secret();
    let app = App::scripted(&home, "");
    let runs = home.path().join("state/leyden/runs");
    let fifo = |path: &Path| {
        let made = std::process::Command::new("mkfifo").arg(path).status();
        assert!(made.unwrap().success());
    };
    for (name, put) in [
        ("journal.db", &fifo as &dyn Fn(&Path)),
        ("journal.db", &|path| std::fs::create_dir(path).unwrap()),
        ("journal.db", &|path| {
            std::os::unix::fs::symlink("/nowhere", path).unwrap();
        }),
        ("journal.db-wal", &fifo),
        ("journal.db-journal", &fifo),
    ] {
        let script = json!([{ "exit": 1 }]);
        app.run(&home, &["--secret", "S=my-secret"], &script)
            .ended_with(1);
        let id = last_run(&home)["id"].as_str().unwrap().to_owned();
        let path = runs.join(&id).join(name);
        std::fs::remove_file(&path).ok();
        put(&path);
        let listed = home.run(["runs", "list", "--output", "json"]).succeeded();
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(
            (&listed[0]["id"], &listed[0]["state"]),
            (&json!(id), &json!("damaged"))
        );
        for words in [
            &["show", "last"][..],
            &["logs", "last"],
            &["logs", "last", "probe"],
            &["stop", "last"],
            &["resume", "last"],
        ] {
            let words = [&["runs"], words].concat();
            home.run(words)
                .ended_with(125)
                .says(&[&id, "cannot be read"]);
        }
        let removed = home.run(["runs", "remove", "last"]).succeeded();
        assert_eq!(removed.stdout, format!("removed the run {id}\n"));
        assert!(!runs.join(id).exists());
    }
}

#[test]
fn one_run_is_removed_by_name_and_none_that_is_under_way() {
    let (home, app, _) = counting_app();
    let run = || {
        app.run(&home, &["--secret", "S=my-secret"], &json!([]))
            .succeeded();
        last_run(&home)["id"].as_str().unwrap().to_owned()
    };
    let runs = home.path().join("state/leyden/runs");
    let (first, second) = (run(), run());
    let mut running = app.begin(&home, &[], &json!([{ "sleep": 600_000 }]));
    until(|| last_run(&home)["state"] == "running");
    let pid = running.id().to_string();
    home.run(["runs", "remove", "last"])
        .ended_with(2)
        .says(&["is under way", &pid]);
    let removed = home.run(["runs", "remove", &first]).succeeded().stdout;
    let told = format!("removed the run {first} of probe, begun ");
    assert!(removed.starts_with(&told), "{removed}");
    assert!(!runs.join(&first).exists() && runs.join(&second).exists());
    home.run(["runs", "remove", &first]).ended_with(2);
    home.run(["runs", "remove", ".."]).ended_with(2);
    // What is pruned is not under way either.
    home.run(["runs", "prune", "--older-than", "0s"])
        .succeeded();
    assert!(!runs.join(&second).exists());
    signal(&running, "TERM");
    assert_eq!(wait(&mut running), 143);
    home.run(["runs", "remove", "last"]).succeeded();
    assert_eq!(count(&runs), 1, "the mark of the last pruning");
}

#[test]
fn garbage_in_the_folder_of_runs_is_told_with_the_way_to_remove_it() {
    let home = Home::new();
    let app = App::scripted(&home, "");
    app.run(&home, &[], &json!([])).succeeded();
    let runs = home.path().join("state/leyden/runs");
    let bad = runs.join("20990101-000000-000bad");
    std::fs::create_dir(&bad).unwrap();
    for garbage in [&b""[..], b"SQLite format 3\0", &[0xff; 5000]] {
        std::fs::write(bad.join("journal.db"), garbage).unwrap();
        let listed = home.run(["runs", "list", "--output", "json"]).succeeded();
        let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
        assert_eq!(listed.as_array().unwrap().len(), 2);
        assert_eq!(listed[0]["state"], "damaged");
        assert_eq!(listed[0]["folder"], bad.display().to_string());
        assert_eq!(listed[1]["state"], "ended");
        let listed = home.run(["runs", "list"]).succeeded();
        assert!(listed.stdout.contains("damaged"), "{listed:?}");
        let remove = "leyden runs remove 20990101-000000-000bad";
        listed.says(&["000bad", "cannot be read", remove]);
        home.run(["runs", "show", "last"])
            .ended_with(125)
            .says(&["000bad"]);
    }
    home.run(["runs", "show", ".."]).ended_with(2);
    home.run(["runs", "show", "/etc"]).ended_with(2);
}
