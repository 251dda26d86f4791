//! Journals that are damaged, or no journals: told as such, and holding nobody up.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::{App, Home, last_run};

use super::{counting_app, journal_of_last_run};

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
        // That of its attempt may stand in its own row.
        let beside = "SELECT began IS NOT NULL FROM work WHERE number = 1";
        let beside: bool = journal.query_row(beside, (), |row| row.get(0)).unwrap();
        let damaged = ["work", "attempt"].map(|table| {
            let sql = format!("UPDATE {table} SET failure = {damage} WHERE number = 1");
            journal.execute(&sql, ()).unwrap()
        });
        assert!(damaged[0] > 0 && (beside || damaged[1] > 0));
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
