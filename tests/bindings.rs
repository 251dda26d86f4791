//! Bad options: each a clear error of its own, the right exit status, and never the value.

use crate::support::{Home, guest, run};

#[test]
fn bad_bindings_are_usage_errors_that_show_no_value() {
    let home = Home::with_my_secret();
    // A value that must not be shown, wherever it stands.
    let hidden = "hunter2hunter2";
    let is = |name: &str| format!("{name}={hidden}");
    for (options, words) in [
        (vec!["--env", &is("A"), "--env", &is("A")], &["`A`"][..]),
        (vec!["--env", &is("A"), "--secret", "A=my-secret"], &["`A`"]),
        (
            vec!["--secret", "A=my-secret", "--secret", "A=my-secret"],
            &["`A`"],
        ),
        (vec!["--env", &is("")], &["name"]),
        (vec!["--env", "A"], &["A", "inherit"]),
        (vec!["--secret", "A"], &["A"]),
        (vec!["--secret", "=my-secret"], &["name"]),
        (vec!["--env", &is("A-B")], &["A-B", "`-`"]),
        (vec!["--env", &is("1A")], &["1A"]),
        (vec!["--env", &is("LEYDEN_X")], &["LEYDEN_X", "LEYDEN_"]),
        (vec!["--env", &is("Ä")], &["Ä"]),
        (
            vec!["--secret", "A=my_secret"],
            &["my_secret", "`_`", "my-secret"],
        ),
        (vec!["--secret", "A=1st"], &["1st"]),
        (vec!["--secret", "A=a..b"], &["a..b"]),
        (vec!["--secret", "A=my-secret@0"], &["my-secret"]),
        (vec!["--secret", "A=my-secret@x"], &["my-secret"]),
        (vec!["--secret", "A=my-secret:hex"], &[":base64"]),
        (vec!["--env", "none:A=1"], &["none"]),
        (vec!["--timeout", "soon"], &["soon"]),
        (vec!["--memory", "much"], &["much"]),
        (vec!["--allow-host", "*.example.com"], &["wildcard"]),
        (vec!["--allow-host", "ftp://example.com"], &["ftp"]),
    ] {
        let ran = home
            .run_app(&guest("env-p2"), &options)
            .ended_with(2)
            .says(words)
            .never_shows(hidden);
        assert_eq!(ran.stdout, "", "{options:?}");
    }
}

#[test]
fn values_that_the_environment_cannot_carry_refuse_the_run() {
    let home = Home::new();
    home.create_secret("bytes", [0xff, 0xfe, b'x', b'y', b'z']);
    home.create_secret("nul", b"before\0after");
    for name in ["bytes", "nul"] {
        let binding = format!("A={name}");
        let ran = home
            .run_app(&guest("env-p2"), &["--secret", &binding])
            .ended_with(77)
            .says(&[name, "base64"])
            .never_shows("after");
        assert_eq!(ran.stdout, "");
        home.run_app(
            &guest("env-p2"),
            &["--secret", &format!("{binding}:base64")],
        )
        .succeeded();
    }
}

#[test]
fn a_value_of_one_mebibyte_fits_and_one_byte_more_does_not() {
    let home = Home::new();
    let mut value = vec![b'v'; 1 << 20];
    home.create_secret("large", &value);
    // Of WASI 0.1: components that were built through the preview1 adapter have an arena of
    // their own for the environment, too small for this.
    let ran = home
        .run_app(
            &guest("probe-p1"),
            &["--secret", "A=large", "--", "env-get", "A"],
        )
        .succeeded();
    assert_eq!(ran.stdout.trim_end().as_bytes(), value);
    value.push(b'v');
    run(home.leyden().args(["secret", "create", "larger"]), &value)
        .ended_with(2)
        .says(&["1048576 bytes"])
        .never_shows("vvvvvvvv");
}

#[test]
fn options_stand_before_and_after_the_app() {
    let home = Home::with_my_secret();
    let app = guest("probe-p2");
    for order in [true, false] {
        let options = ["--env", "FOO=bar", "--secret", "MY_APP_SECRET=my-secret"];
        let mut command = home.leyden();
        command.args(["run", "app"]);
        if order {
            command.arg(&app).args(options);
        } else {
            command.args(options).arg(&app);
        }
        command.args(["--", "env-get", "MY_APP_SECRET"]);
        assert_eq!(run(&mut command, b"").succeeded().stdout, "some-value\n");
    }
}

#[test]
fn cloud_says_that_there_is_none_and_runs_nothing() {
    let home = Home::with_my_secret();
    let ran = home
        .run_app(&guest("env-p2"), &["--cloud", "--secret", "A=my-secret"])
        .ended_with(125)
        .says(&["cluster"]);
    assert_eq!(ran.stdout, "");
    let audit = home.run(["audit", "list", "--output", "json"]).succeeded();
    assert!(!audit.stdout.contains("release"), "{audit:?}");
}
