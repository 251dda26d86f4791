//! What people and programs see of Works as they run: events, and a terminal.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::support::{App, Home, last_run, lines, wait};

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
fn a_long_error_is_cut_for_people_and_whole_for_programs() {
    let home = Home::new();
    let app = App::scripted(&home, "retries = 1\nretry = \"error\"\n");
    let long = "x\n".repeat(30_000);
    let script = json!([
        { "start": { "work": "probe", "input": { "error": long } } },
        { "wait": "all" },
    ]);
    let ran = app.run(&home, &[], &script).succeeded();
    assert_eq!(lines(&ran)[0]["detail"], long);
    let shown = home.run(["runs", "show", "last"]).succeeded().stdout;
    for (text, failed) in [
        (&ran.stderr, "attempt 1 failed: it returned"),
        (&ran.stderr, ": failed: it returned"),
        (&ran.stderr, "  failed: probe#1 (attempt 2)"),
        (&shown, "failed: it returned"),
    ] {
        let line = text.lines().find(|line| line.contains(failed)).unwrap();
        assert!(
            line.contains("x … (all 60022 bytes: leyden runs show RUN --output json)"),
            "{line}"
        );
    }
    assert!(ran.stderr.len() + shown.len() < 6000, "{ran:?}{shown}");
    assert_eq!(last_run(&home)["works"][0]["failure"]["detail"], long);
    let ran = app.run(&home, &["--output", "json"], &script).succeeded();
    let told = lines(&ran);
    let of = |event: &str| told.iter().find(|line| line["event"] == event).unwrap();
    for event in ["work-retrying", "work-ended"] {
        assert_eq!(of(event)["failure"]["detail"], long);
    }
}

/// A terminal of its own, by script(1).
#[test]
fn a_terminal_shows_each_kind_live_and_the_summary_at_the_end() {
    let home = Home::new();
    let app = App::scripted(&home, "[works.other]\ncomponent = \"work-probe.wasm\"\n");
    let sleep = |work: &str, times: u32| json!({ "start": { "work": work, "input": { "sleep": 120_000 }, "times": times } });
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
    let (_, last) = plain.split_once("2 Works in ").unwrap();
    assert!(!last.contains("waiting"), "drawn once more: {plain}");
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
