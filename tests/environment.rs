//! G1: a guest's environment is exactly what was bound, in every flavour of WASI.

use crate::support::{ENV_GUESTS, Home, guest, run};

/// The entries that the guest printed, without its arguments.
fn entries(stdout: &str) -> Vec<&str> {
    stdout
        .lines()
        .filter(|line| !line.starts_with("argument "))
        .collect()
}

#[test]
fn g1_environment_is_exactly_what_was_bound() {
    let home = Home::with_my_secret();
    let file = home.path().join("more.env");
    std::fs::write(&file, "# literal\nFILE=${HOME} \"quoted\"\nFOO=from file\n").unwrap();
    for name in ENV_GUESTS {
        let mut command = home.leyden();
        command
            .env("FOO", "from the host")
            .env("AWS_SECRET_ACCESS_KEY", "from the host")
            .env("MY_APP_SECRET", "from the host")
            .env("PATH", "/usr/bin")
            .args(["run", "app", "--env", "FOO=bar=baz", "--env-file"])
            .arg(&file)
            .args(["--secret", "MY_APP_SECRET=my-secret"])
            .args(["--secret", "AGAIN=MY-Secret@1:base64", "--env", "EMPTY="])
            .arg(guest(name));
        let ran = run(&mut command, b"").succeeded();
        assert_eq!(
            entries(&ran.stdout),
            [
                "AGAIN=c29tZS12YWx1ZQ==",
                "EMPTY=",
                "FILE=${HOME} \"quoted\"",
                "FOO=bar=baz",
                "MY_APP_SECRET=some-value",
            ],
            "{name}"
        );
    }
}

#[test]
fn g1_environment_is_empty_when_nothing_is_bound() {
    let home = Home::new();
    for name in ENV_GUESTS {
        let ran = run(
            home.leyden()
                .env("TEMPTING", "value")
                .args(["run", "app"])
                .arg(guest(name)),
            b"",
        )
        .succeeded();
        assert_eq!(entries(&ran.stdout), [""; 0], "{name}");
    }
}

#[test]
fn a_run_that_binds_nothing_makes_no_store_and_no_key() {
    let home = Home::new();
    home.run_app(&guest("env-p2"), &["--env", "FOO=bar"])
        .succeeded();
    assert!(!home.path().join("data").exists());
    assert!(!home.path().join("config").exists());
}

#[test]
fn g3_one_bad_binding_refuses_the_run_before_any_guest_code() {
    let home = Home::with_my_secret();
    home.create_secret("old", "x");
    home.run(["secret", "delete", "old", "--yes"]).succeeded();
    for (bad, words) in [
        (
            "OTHER=my-secrt",
            &["my-secrt", "did you mean `my-secret`"][..],
        ),
        ("OTHER=old", &["old", "deleted"]),
        ("OTHER=my-secret@2", &["OTHER=my-secret@2 for", "version 2"]),
    ] {
        for name in ENV_GUESTS {
            let ran = home
                .run_app(
                    &guest(name),
                    &["--secret", "MY_APP_SECRET=my-secret", "--secret", bad],
                )
                .ended_with(77)
                .says(words)
                .never_shows("some-value");
            assert_eq!(ran.stdout, "", "{name} {bad}");
        }
    }
}

#[test]
fn an_unknown_secret_on_a_machine_without_a_store_is_refused() {
    let home = Home::new();
    let ran = home
        .run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .ended_with(77)
        .says(&["leyden secret create"]);
    assert_eq!(ran.stdout, "");
    assert!(!home.store().exists(), "a run makes no store");
}

#[test]
fn arguments_and_standard_streams_pass_through() {
    let home = Home::new();
    let mut command = home.leyden();
    command
        .args(["run", "app"])
        .arg(guest("env-p2"))
        .args(["--", "--env", "A=1", ""]);
    let ran = run(&mut command, b"").succeeded();
    assert!(
        ran.stdout
            .contains("argument 1: --env\nargument 2: A=1\nargument 3: \n"),
        "{ran:?}"
    );
    let large: Vec<u8> = (0..3_000_000u32).map(|i| b'a' + (i % 26) as u8).collect();
    for name in ["probe-p1", "probe-p2", "probe-p3"] {
        let mut command = home.leyden();
        command
            .args(["run", "app"])
            .arg(guest(name))
            .args(["--", "echo"]);
        let ran = run(&mut command, &large).succeeded();
        assert_eq!(ran.stdout.as_bytes(), large, "{name}");
    }
    home.run_app(&guest("probe-p2"), &["--", "stderr", "a line"])
        .succeeded()
        .says(&["a line"]);
}
