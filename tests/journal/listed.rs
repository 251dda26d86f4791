//! Listing, showing and removing runs.

use serde_json::{Value, json};

use crate::support::{App, Home, last_run, wait};

use super::{count, counting_app, signal, until};

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
        "metadata only: no store was open",
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
    // Bytes are not what is meant by a number alone.
    home.run(["runs", "prune", "--down-to", "5"])
        .ended_with(2)
        .says(&["say a unit"]);
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
fn a_name_that_fits_many_runs_names_the_newest_few() {
    let home = Home::new();
    for _ in 0..7 {
        home.run_app(&crate::support::guest("env-p2"), &[])
            .succeeded();
    }
    let listed = home.run(["runs", "list", "--output", "json"]).succeeded();
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    // The newest comes first there, too.
    let ids: Vec<_> = (0..5)
        .map(|at| listed[at]["id"].as_str().unwrap())
        .collect();
    let told = format!("`2`: {}, and 2 more\n", ids.join(", "));
    home.run(["runs", "show", "2"]).ended_with(2).says(&[&told]);
}

#[test]
fn what_is_no_run_is_told_and_left_alone() {
    let home = Home::new();
    home.run_app(&crate::support::guest("env-p2"), &[])
        .succeeded();
    let runs = home.path().join("state/leyden/runs");
    let (file, link) = ("20200101-000000-000aaaa", "20200101-000000-000bbbb");
    std::fs::write(runs.join(file), "").unwrap();
    std::os::unix::fs::symlink("nowhere", runs.join(link)).unwrap();
    std::fs::create_dir(runs.join("my\nfolder")).unwrap();
    let notes = ["20200101-000000-000dddd", "3000-notes"];
    for notes in notes {
        std::fs::create_dir(runs.join(notes)).unwrap();
        std::fs::write(runs.join(notes).join("notes"), "precious").unwrap();
    }
    // What a process leaves that dies as its run begins, which is nobody's.
    let left = runs.join("20200101-000000-000cccc");
    std::fs::create_dir(&left).unwrap();
    std::fs::write(left.join("lock"), "1").unwrap();
    for format in ["text", "json"] {
        let listed = home.run(["runs", "list", "--output", format]).succeeded();
        let told = format!("{file}, {link}, 20200101-000000-000dddd, 3000-notes, my\\nfolder\n");
        assert!(listed.stderr.ends_with(&told), "{listed:?}");
        assert_eq!(listed.stderr.lines().count(), 1, "{listed:?}");
        assert!(listed.stdout.contains("env-p2"), "{listed:?}");
        assert!(!listed.stdout.contains("2020"), "{listed:?}");
    }
    let pruned = home.run(["runs", "prune", "--older-than", "0s"]);
    assert_eq!(pruned.succeeded().stdout, "removed 1 run\n");
    assert!(!left.exists());
    assert!(runs.join(file).exists() && runs.join(link).is_symlink());
    assert!(
        notes
            .iter()
            .all(|name| runs.join(name).join("notes").exists())
    );
    // The newest run stays, whatever is called as if it were newer.
    home.run(["runs", "show", "last"]).succeeded();
    for number in 0..9 {
        std::fs::write(runs.join(format!("file-{number}")), "").unwrap();
    }
    let listed = home.run(["runs", "list"]).succeeded();
    listed.says(&["file-0, and 9 more"]);
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
