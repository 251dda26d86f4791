//! The log that a killed run leaves in front of its journal, damaged: what is lost is told, and what
//! is left is not run again.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::support::{last_run, wait};

use super::counting_app;

const WORKS: usize = 40;

/// Copies a folder of files, in place of what is there.
fn put(from: &Path, to: &Path) {
    std::fs::remove_dir_all(to).ok();
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        std::fs::copy(&path, to.join(path.file_name().unwrap())).unwrap();
    }
}

#[test]
fn damage_of_a_killed_runs_log_is_told_and_what_is_left_of_it_is_not_run_again() {
    let (home, app, data) = counting_app();
    let dir = format!("probe:{}::/d", data.display());
    let start = |n: usize| {
        let input = json!([{ "attempt": format!("/d/{n}") }, { "return": n }]);
        json!({ "start": { "work": "probe", "input": input } })
    };
    // What a Flow has heard of is committed: so there are as many commits as it waits, however many
    // ends a slow disk lets share one.
    let mut script = Vec::new();
    for n in 0..WORKS {
        script.push(start(n));
        if n % 5 == 4 {
            script.push(json!({ "wait": "all" }));
        }
    }
    let resumed = home.path().join("resumed.json");
    std::fs::write(&resumed, json!(script).to_string()).unwrap();
    script.push(json!({ "sleep": 600_000 }));
    let first = home.path().join("first.json");
    std::fs::write(&first, json!(script).to_string()).unwrap();
    let mut child = home
        .leyden()
        .args(["run", "app"])
        .arg(app.path())
        .args(["--dir", &dir])
        .stdin(std::fs::File::open(first).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let told = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(told.take(WORKS).count(), WORKS);
    child.kill().unwrap();
    wait(&mut child);

    let runs = home.path().join("state/leyden/runs");
    let folders = std::fs::read_dir(&runs).unwrap().flatten();
    let folder = folders.map(|entry| entry.path()).find(|path| path.is_dir());
    let (folder, kept) = (folder.unwrap(), home.path().join("kept"));
    let kept_data = home.path().join("kept-data");
    put(&folder, &kept);
    put(&data, &kept_data);
    let log = std::fs::read(kept.join("journal.db-wal")).unwrap();
    let flip = |at: usize| {
        let mut log = log.clone();
        log[at] ^= 0x40;
        Some(log)
    };
    let middle = log.len() / 3..log.len() / 2;
    let mut garbage = log.clone();
    garbage[middle.clone()].fill(0xa5);
    let mut zeros = log.clone();
    zeros[middle].fill(0);
    // With whether it can be seen: what was cut at its end looks like one that was killed earlier.
    let mut damages = vec![
        (Some(log.clone()), false),
        (None, true),
        (Some(Vec::new()), true),
        (Some(log[..31].to_vec()), true),
        (Some(vec![0xa5; log.len()]), true),
        (Some(log[..log.len() / 2].to_vec()), false),
        (Some(log[..log.len() - 1].to_vec()), false),
        (Some(garbage), true),
        (Some(zeros), true),
        (flip(8), true),
    ];
    damages.extend((1..8).map(|eighth| (flip(log.len() * eighth / 8), true)));
    let mut left = Vec::new();
    for (which, (log, is_seen)) in damages.into_iter().enumerate() {
        put(&kept, &folder);
        put(&kept_data, &data);
        let path = folder.join("journal.db-wal");
        match log {
            Some(log) => std::fs::write(path, log).unwrap(),
            None => std::fs::remove_file(path).unwrap(),
        }
        let run = last_run(&home);
        assert_eq!(run["state"], "interrupted", "{which}");
        assert_eq!(run["damage"].is_string(), is_seen, "{which}: {run}");
        let shown = home.run(["runs", "show", "last"]).succeeded().stdout;
        assert_eq!(shown.contains("\ndamaged  its log"), is_seen, "{shown}");
        home.run(["runs", "logs", "last"]).succeeded();
        home.run(["runs", "list"]).succeeded();
        let ended = |n: &usize| {
            let works = run["works"].as_array().unwrap().iter();
            let mut ended = works.filter(|work| !work["ended"].is_null());
            ended.any(|work| work["number"] == n + 1)
        };
        let ended: Vec<usize> = (0..WORKS).filter(ended).collect();

        let mut resume = home.leyden();
        resume
            .args(["runs", "resume", "last"])
            .stdin(std::fs::File::open(&resumed).unwrap());
        let again = resume.output().unwrap();
        assert!(again.status.success(), "{which}: {again:?}");
        let said = String::from_utf8(again.stderr).unwrap();
        assert_eq!(said.contains("warning: the run"), is_seen, "{said}");
        let outputs = String::from_utf8(again.stdout).unwrap();
        for (n, line) in outputs.lines().enumerate() {
            let line: Value = serde_json::from_str(line).unwrap();
            assert_eq!(line["output"], n, "{which}");
            let runs = std::fs::read_to_string(data.join(n.to_string())).unwrap();
            let expected = if ended.contains(&n) { "1\n" } else { "2\n" };
            assert_eq!(runs, expected, "{which}: {n}");
        }
        assert_eq!(outputs.lines().count(), WORKS);
        let run = last_run(&home);
        assert_eq!(
            (&run["state"], &run["damage"]),
            (&json!("ended"), &Value::Null)
        );
        left.push(ended.len());
    }
    // All of it, none of it, and some.
    assert_eq!(left[..3], [WORKS, 0, 0]);
    assert!((1..WORKS).contains(&left[5]), "{left:?}");
    assert!(left[10..].is_sorted(), "{left:?}");
}
