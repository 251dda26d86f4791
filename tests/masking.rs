//! G4: what people see of a program's words is without its secrets; its output is exact.

use serde_json::json;

use crate::support::{App, Home, guest, last_run, lines};

const SECRET: &str = "some-value horse battery";

#[test]
fn g4_what_works_print_and_how_they_fail_is_shown_and_kept_without_secrets() {
    let home = Home::new();
    home.create_secret("token", SECRET);
    // Longer than what is kept of the name of a Work that there is not.
    let long = "a long secret ".repeat(10);
    home.create_secret("long", &long);
    home.create_secret("lines", "first long line\nshort\nsecond long line\n");
    let app = App::scripted(&home, "");
    let probe = |input| json!({ "start": { "work": "probe", "input": input } });
    let script = json!([
        probe(json!({ "stdout": format!("out {SECRET} end") })),
        probe(json!({ "stderr": format!("err {SECRET}{SECRET} end") })),
        probe(json!({ "stderr": "a second long line b" })),
        probe(json!({ "error": format!("because of {SECRET}") })),
        probe(json!({ "return": format!("exact {SECRET}") })),
        // The text is cut after 64 KiB: within the secret.
        probe(json!({ "error": format!("{}{SECRET}", ".".repeat((64 << 10) - 12)) })),
        { "start": { "work": SECRET, "text": "" } },
        { "start": { "work": long, "text": "" } },
        { "wait": "all" },
    ]);
    let options = [
        "--secret",
        "TOKEN=token",
        "--secret",
        "LINES=lines",
        "--secret",
        "LONG=long",
    ];
    let ran = app.run(&home, &options, &script).succeeded();
    assert!(!ran.stderr.contains(SECRET), "{ran:?}");
    assert!(!ran.stderr.contains("a long secret"), "{ran:?}");
    assert!(!ran.stderr.contains("some-value horse"), "{ran:?}");
    assert!(!ran.stderr.contains(".some-value"), "{ran:?}");
    let ran = ran.says(&[
        "probe#1: out *** end",
        "probe#2: err ****** end",
        "probe#3: a *** b",
        "it returned an error: because of ***",
    ]);
    // What a Flow gets, and prints to standard output, is exact.
    let told = lines(&ran);
    assert_eq!(told[3]["detail"], format!("because of {SECRET}"));
    assert_eq!(told[4]["output"], format!("exact {SECRET}"));
    let logs = home.run(["runs", "logs", "last"]).succeeded().stdout;
    assert!(
        logs.contains("probe#1 out *** end") && !logs.contains(SECRET),
        "{logs}"
    );
    assert!(!last_run(&home).to_string().contains(SECRET));
    for path in home.files() {
        let bytes = std::fs::read(&path).unwrap();
        let found = memchr::memmem::find(&bytes, SECRET.as_bytes());
        assert_eq!(found, None, "{}", path.display());
    }
    let events = app.run(
        &home,
        &[&options[..], &["--output", "json", "--mask"]].concat(),
        &script,
    );
    assert!(!events.succeeded().stdout.contains(SECRET));
}

#[test]
fn g4_standard_error_is_masked_and_standard_output_where_asked() {
    let home = Home::with_my_secret();
    for (app, options, stdout) in [
        ("env-p1", &[][..], "S=some-value\n"),
        ("env-p1", &["--mask"], "S=***\n"),
        ("env-p2", &["--mask"], "S=***\n"),
        ("env-p3", &["--mask"], "S=***\n"),
    ] {
        let options = [&["--secret", "S=my-secret"], options].concat();
        let ran = home.run_app(&guest(app), &options).succeeded();
        assert!(ran.stdout.contains(stdout), "{app}: {ran:?}");
    }
    let options = ["--secret", "S=my-secret", "--", "stderr", "a some-value b"];
    for app in ["probe-p1", "probe-p2", "probe-p3"] {
        let ran = home.run_app(&guest(app), &options).succeeded();
        assert_eq!(ran.stderr, "a *** b\n", "{app}");
    }
}
