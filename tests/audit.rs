//! The audit log as its readers see it, and the second place that records go to.

use crate::support::{Home, guest, run};

#[test]
fn g5_audit_records_go_to_the_systems_log_which_fails_closed_where_that_is_asked_for() {
    let home = Home::with_my_secret();
    let socket = home.path().join("log");
    let log = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    log.set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();
    let to = format!("syslog:{}", socket.display());
    let bound = ["--secret", "A=my-secret", "--audit-to", &to];
    let required = [&bound[..], &["--audit-required"]].concat();
    let mut record = [0; 4096];
    for options in [&bound[..], &required] {
        home.run_app(&guest("env-p2"), options).succeeded();
        let length = log.recv(&mut record).unwrap();
        let line = std::str::from_utf8(&record[..length]).unwrap();
        // Facility 10, severity 5, a tag, and one record of JSON.
        let (tag, json) = line.split_once(": ").unwrap();
        assert!(tag.starts_with("<85>leyden["), "{line}");
        let json: serde_json::Value = serde_json::from_str(json).unwrap();
        assert_eq!(
            (&json["event"], &json["secret"]),
            (&"release".into(), &"my-secret".into())
        );
        assert!(!line.contains("some-value"));
    }
    // Nobody listens any more; and then there is no socket.
    drop(log);
    for _ in 0..2 {
        let ran = home.run_app(&guest("env-p2"), &required).ended_with(125);
        ran.says(&[socket.to_str().unwrap()]);
        let ran = home.run_app(&guest("env-p2"), &bound).succeeded();
        assert!(ran.stdout.contains("some-value"));
        ran.says(&["could not be recorded in", socket.to_str().unwrap()]);
        let _ = std::fs::remove_file(&socket);
    }
}

#[test]
fn g5_a_second_place_that_is_required_must_be_named() {
    let home = Home::with_my_secret();
    let bound = ["--secret", "A=my-secret", "--audit-required"];
    let ran = home.run_app(&guest("env-p2"), &bound).ended_with(2);
    assert_eq!(ran.says(&["--audit-to"]).stdout, "");
    let mut by_variable = home.leyden();
    by_variable.env("LEYDEN_AUDIT_REQUIRED", "1");
    let ran = run(
        by_variable.args(["secret", "reveal", "my-secret", "--yes"]),
        b"",
    );
    assert_eq!(ran.ended_with(2).stdout, "");
}

#[test]
fn a_second_place_that_takes_nothing_is_said_once_for_each_command() {
    let home = Home::with_my_secret();
    let said = "warning: what was done is in the store's audit log, but could not be recorded in \
                /not/there: No such file";
    for (words, status, times) in [
        ("secret list", 0, 0),
        ("secret expire my-secret --expires 30d", 0, 1),
        // Two records, and two transactions.
        ("key rotate", 0, 1),
        ("secret expire none --never", 77, 0),
        ("secret import more.json", 0, 1),
        ("audit prune --before 0s --yes", 0, 1),
    ] {
        std::fs::write(
            home.path().join("more.json"),
            "{\"A\": \"x\", \"B\": \"y\"}",
        )
        .unwrap();
        let words = words.split(' ').chain(["--audit-to", "/not/there"]);
        let ran = home.run(words).ended_with(status);
        assert_eq!(ran.stderr.matches(said).count(), times, "{ran:?}");
    }
    // A refusal is a record, too.
    let bound = ["--secret", "A=none", "--audit-to", "/not/there"];
    let ran = home.run_app(&guest("env-p2"), &bound).ended_with(77);
    ran.says(&[said]);
}

#[test]
fn a_second_place_that_holds_something_else_is_left_as_it_is() {
    let home = Home::with_my_secret();
    let reveal = |to: &std::path::Path| {
        let to = to.to_str().unwrap();
        let words = ["secret", "reveal", "my-secret", "--yes", "--audit-required"];
        home.run([&words[..], &["--audit-to", to]].concat())
    };
    let link = home.path().join("link");
    std::os::unix::fs::symlink("elsewhere", &link).unwrap();
    let ran = reveal(&link).ended_with(125);
    assert_eq!(ran.says(&["it is a symbolic link"]).stdout, "");
    for path in [home.key_file(), home.store()] {
        let before = std::fs::read(&path).unwrap();
        let ran = reveal(&path).ended_with(125).says(&["something else"]);
        assert_eq!(ran.stdout, "");
        assert_eq!(std::fs::read(&path).unwrap(), before);
    }
    // Nobody is at its other end.
    let fifo = home.path().join("fifo");
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, &fifo, rustix::fs::FileType::Fifo, mode, 0).unwrap();
    reveal(&fifo).ended_with(125);
    // What a full disk cut off does not spoil the next line.
    let log = home.path().join("audit.jsonl");
    std::fs::write(&log, "{\"sequence\":5").unwrap();
    reveal(&log).succeeded();
    let lines = std::fs::read_to_string(&log).unwrap();
    let last = lines.lines().last().unwrap();
    serde_json::from_str::<serde_json::Value>(last).unwrap();
}

#[test]
fn the_audit_log_is_pruned_filtered_and_written_to_a_second_place() {
    let home = Home::with_my_secret();
    let log = home.path().join("audit.jsonl");
    let log = log.to_str().unwrap();
    let bound = [
        "--secret",
        "A=my-secret",
        "--audit-to",
        log,
        "--audit-required",
    ];
    home.run_app(&guest("env-p2"), &bound).succeeded();
    let written = std::fs::read_to_string(log).unwrap();
    assert!(written.contains("\"event\":\"release\""), "{written}");
    let nowhere = [
        "--secret",
        "A=my-secret",
        "--audit-to",
        "/not/there",
        "--audit-required",
    ];
    let ran = home.run_app(&guest("env-p2"), &nowhere).ended_with(125);
    assert_eq!(ran.stdout, "");
    home.run_app(&guest("env-p2"), &["--secret", "A=absent"])
        .ended_with(77);
    let list = |words: &[&str]| {
        let words = [&["audit", "list", "--output", "json"], words].concat();
        let listed = home.run(words).succeeded().stdout;
        listed.lines().count()
    };
    assert_eq!(list(&["--outcome", "denied"]), 1);
    assert_eq!(list(&["--since", "1h", "--app", "env-p2"]), 2);
    assert_eq!(list(&["--until", "1h"]), 0);
    // What could not be there is refused; what might be, and is not, is said.
    for (option, typed, said) in [
        ("--secret", "a_b", "letters, digits"),
        ("--secret", "", "not a secret"),
        ("--app", " ", "a name cannot be empty"),
        ("--app", "sha256:12", "sha256:12"),
        ("--outcome", "refused", "done, denied"),
    ] {
        let ran = home.run(["audit", "list", option, typed]).ended_with(2);
        assert_eq!(ran.says(&[said]).stdout, "");
    }
    for format in ["text", "json"] {
        let words = ["audit", "list", "--secret", "nothing", "--output", format];
        let ran = home.run(words).succeeded();
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("", "leyden: no records match\n")
        );
    }
    home.run(["audit", "prune", "--before", "0s", "--yes"])
        .succeeded();
    let verified = home.run(["audit", "verify"]).succeeded();
    assert!(
        verified.stdout.contains("that were pruned"),
        "{verified:#?}"
    );
    assert_eq!(list(&[]), 1);
}
