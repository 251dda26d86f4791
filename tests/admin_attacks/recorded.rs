//! What is done on the page is in the audit log, and what the page says where that is damaged.

use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::pages;
use crate::support::{Admin, App, Home, guest, run, wait};

/// The events of JSON lines.
fn events(lines: &str) -> Vec<String> {
    let event = |line: &str| {
        let record: Value = serde_json::from_str(line).unwrap();
        record["event"].as_str().unwrap().to_owned()
    };
    lines.lines().map(event).collect()
}

#[test]
fn every_change_is_in_the_audit_log() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    session.create("my-secret", "x");
    let digest = format!("sha256:{}", "0".repeat(64));
    let grant = [("to", digest.as_str()), ("env", "A")];
    for (path, fields) in [
        ("/secret/my-secret/versions", &[("value", "y")][..]),
        (
            "/secret/my-secret/expire",
            &[("version", "1"), ("expires", "30d")],
        ),
        ("/secret/my-secret/grants", &grant),
        ("/secret/my-secret/revoke", &grant),
        ("/secret/my-secret/restrict", &[("restricted", "yes")]),
        ("/secret/my-secret/restrict", &[("restricted", "no")]),
        ("/secret/my-secret/delete", &[]),
        ("/secret/my-secret/restore", &[]),
    ] {
        session.follow(&session.post(path, fields)).ended_with(200);
    }
    let exported = session
        .get("/audit/leyden-audit.jsonl?secret=MY-SECRET")
        .ended_with(200);
    assert_eq!(
        events(&exported.text()),
        [
            "secret-created",
            "secret-set",
            "expiry-set",
            "grant-added",
            "grant-revoked",
            "secret-restricted",
            "secret-unrestricted",
            "secret-deleted",
            "secret-restored",
        ]
    );
    session.post("/keys/rotate", &[]).ended_with(303);
    let verified = session.post("/audit/verify", &[]).ended_with(200).text();
    assert!(verified.contains("All is as it was written"), "{verified}");
    // Somebody who writes to the log without the key is found by the same button.
    run(home.leyden().args(["secret", "create", "last"]), b"x").succeeded();
    let store = rusqlite::Connection::open(home.store()).unwrap();
    store
        .execute(
            "UPDATE audit SET body = replace(body, 'secret-set', 'secret-let')",
            (),
        )
        .unwrap();
    let broken = session.post("/audit/verify", &[]).ended_with(200).text();
    assert!(
        broken.contains("Something is not as it was written"),
        "{broken}"
    );
}

#[test]
fn who_comes_and_goes_and_stops_a_run_is_in_the_audit_log() {
    let home = Home::with_my_secret();
    let app = App::scripted(&home, "");
    let mut running = home
        .leyden()
        .args(["run", "app"])
        .arg(app.path())
        .args(["--", &json!([{ "sleep": 600_000 }]).to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let run = loop {
        let runs = home.run(["runs", "list", "--output", "json"]).succeeded();
        let runs: Value = serde_json::from_str(&runs.stdout).unwrap();
        match runs[0]["id"].as_str() {
            Some(id) => break id.to_owned(),
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let admin = Admin::start(&home);
    admin.get("/login?token=none", &[]).ended_with(403);
    let session = admin.log_in(1);
    let stopped = session.post(&format!("/run/{run}/stop"), &[]);
    session.follow(&stopped).ended_with(200);
    assert_eq!(wait(&mut running), 143);
    // What cannot be stopped was not.
    let path = format!("/run/{run}/stop");
    session.post(&path, &[]).ended_with(400);
    let shown = session.get("/audit?event=run-stopped").ended_with(200);
    assert!(shown.text().contains(&format!("/run/{run}")));
    session.post("/logout", &[]).ended_with(303);
    // What was tried, and what is only looked at, is no record.
    session.post("/logout", &[]).ended_with(401);
    let log = home.run(["audit", "list", "--output", "json"]).succeeded();
    let added = ["logged-in", "run-stopped", "logged-out"];
    assert_eq!(
        events(&log.stdout),
        [
            &["store-created", "key-added", "secret-created"],
            &added[..]
        ]
        .concat()
    );
    let stop: Value = serde_json::from_str(log.stdout.lines().nth(4).unwrap()).unwrap();
    assert_eq!(stop["run"], run.as_str());
    assert_eq!(stop["app"], "probe");
    let listed = home.run(["audit", "list"]).succeeded();
    let line = listed
        .stdout
        .lines()
        .find(|line| line.contains("run-stopped"));
    assert!(line.is_some_and(|line| line.contains(&run)), "{listed:?}");
    home.run(["audit", "verify"]).succeeded();
}

#[test]
fn a_log_in_that_cannot_be_recorded_uses_no_link_up() {
    let home = Home::with_my_secret();
    let sink = home.path().join("audit.jsonl");
    let mut leyden = home.leyden();
    leyden.arg("--audit-to").arg(&sink).arg("--audit-required");
    let admin = Admin::start_by(leyden, &[]);
    std::fs::create_dir(&sink).unwrap();
    let (_, _, token) = admin.link(1);
    for _ in 0..2 {
        let refused = admin.get(&format!("/login?token={token}"), &[]);
        assert!(refused.status >= 400, "{}", refused.head);
        assert_eq!(refused.header("set-cookie"), None);
        assert!(refused.text().contains("audit.jsonl"), "{}", refused.text());
    }
    std::fs::remove_dir(&sink).unwrap();
    admin.log_in(1).get("/secrets").ended_with(200);
    let again = admin.get(&format!("/login?token={token}"), &[]);
    again.ended_with(403);
    let log = home.run(["audit", "list", "--output", "json"]).succeeded();
    let log_ins = events(&log.stdout);
    let log_ins = log_ins.iter().filter(|event| *event == "logged-in");
    assert_eq!(log_ins.count(), 1);
}

#[test]
fn where_the_log_is_damaged_pages_say_so_and_show_the_rest() {
    let home = Home::with_my_secret();
    home.create_secret("other", "x");
    home.run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    session.get("/secrets").ended_with(200);
    let damage = |sequence: u32| {
        let store = rusqlite::Connection::open(home.store()).unwrap();
        let sql =
            "UPDATE audit SET body = replace(body, '\"done\"', '\"denied\"') WHERE sequence = ?";
        assert_eq!(store.execute(sql, [sequence]).unwrap(), 1);
    };
    // The making of `my-secret`; then also the log-in, which is the last record.
    for (damaged, at) in [(3, 3), (6, 3)] {
        damage(damaged);
        let told = format!("is broken at record {at}: it is not what was written");
        for path in pages(&home).iter().filter(|path| *path != "/live") {
            let answer = session.get(path);
            assert!(answer.status < 500, "{path}: {}", answer.text());
            let looks = [
                "/secret/my-secret",
                "/apps",
                "/audit",
                "/audit?outcome=denied",
            ];
            if looks.contains(&path.as_str()) || path.starts_with("/app/") {
                let text = answer.ended_with(200).text();
                assert!(text.contains(&told), "{path}: {text}");
                assert!(text.contains("leyden audit verify"), "{path}: {text}");
            }
        }
        let audit = session.get("/audit").text();
        assert!(!audit.contains("denied</span>"), "{audit}");
        assert!(
            audit.contains("release") && audit.contains("other@1"),
            "{audit}"
        );
        assert!(session.get("/apps").text().contains("env-p2"));
        assert!(session.get("/secret/my-secret").text().contains("env-p2"));
        // Half a log is not exported as if it were one.
        let export = session.get("/audit/leyden-audit.jsonl").ended_with(409);
        assert!(export.text().contains(&told));
    }
    // Nothing is added to an end that was changed, and somebody can still come and look.
    let refused = session.post("/secrets/new", &[("name", "third"), ("value", "x")]);
    assert!(refused.ended_with(409).text().contains("record 6"));
    admin.print_another();
    admin.log_in(2).get("/audit").ended_with(200);
    assert!(admin.printed().contains("a log-in was not recorded"));
}

#[test]
fn a_page_that_has_not_read_all_of_the_log_says_so_and_leads_there() {
    let home = Home::with_my_secret();
    let bind = |count: usize| {
        let bindings = (0..count).map(|number| format!("--secret=A{number}=my-secret"));
        let bindings: Vec<_> = bindings.collect();
        let bindings: Vec<_> = bindings.iter().map(String::as_str).collect();
        home.run_app(&guest("env-p2"), &bindings).succeeded();
    };
    bind(1);
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let looks: Vec<_> = pages(&home)
        .into_iter()
        .filter(|path| path == "/apps" || path == "/secret/my-secret" || path.starts_with("/app/"))
        .collect();
    assert_eq!(looks.len(), 3);
    let says = |path: &str| {
        let text = session.get(path).ended_with(200).text();
        text.contains("Older records were not looked at")
    };
    assert!(!looks.iter().any(|path| says(path)));
    // More than a page looks for.
    bind(3001);
    for path in looks {
        assert!(says(&path), "{path}");
    }
}

#[test]
fn a_second_place_that_takes_no_records_is_told_in_the_terminal() {
    let home = Home::with_my_secret();
    let admin = Admin::start_with(&home, &["--audit-to", "/not/there"]);
    let session = admin.log_in(1);
    session.get("/secrets").ended_with(200);
    session.create("other", "x");
    // The log-in and the secret; what is printed is read by a thread.
    let told = || {
        let printed = admin.printed();
        printed
            .matches("could not be recorded in /not/there")
            .count()
    };
    let started = Instant::now();
    while told() < 2 && started.elapsed() < Duration::from_secs(120) {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(told(), 2, "{}", admin.printed());
}
