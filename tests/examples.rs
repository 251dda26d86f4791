//! The examples, run as their READMEs say.

use crate::support::{Home, guest};

#[test]
fn hello_uses_its_secret_without_showing_it() {
    let home = Home::with_my_secret();
    let bound = ["--env", "FOO=bar", "--secret", "MY_APP_SECRET=my-secret"];
    let ran = home
        .run_app(&guest("hello"), &bound)
        .succeeded()
        .never_shows("some-value");
    assert!(
        ran.stdout
            .starts_with("FOO=bar\nMY_APP_SECRET has 10 bytes\n"),
        "{ran:?}"
    );
    home.run_app(&guest("hello"), &["--env", "FOO=bar"])
        .ended_with(1)
        .says(&["MY_APP_SECRET"]);
}

#[test]
fn seed_python_prints_exactly_its_secret() {
    let home = Home::with_my_secret();
    let ran = home
        .run_app(
            &guest("seed-python"),
            &["--secret", "MY_APP_SECRET=my-secret"],
        )
        .succeeded();
    assert_eq!(ran.stdout, "some-value\n");
    assert_eq!(ran.stderr, "");
    let ran = home.run_app(&guest("seed-python"), &[]);
    assert_ne!(ran.status, 0);
    assert!(ran.stderr.contains("KeyError"), "{ran:?}");
}

#[test]
fn the_guest_sdk_reads_what_was_bound() {
    let home = Home::new();
    home.create_secret("my-secret", "some-value");
    let ran = home
        .run_app(
            &guest("sdk"),
            &[
                "--env",
                "FOO=bar",
                "--env",
                "PORT=8080",
                "--env",
                "RATIO=0.5",
                "--env",
                "DEBUG=true",
                "--env",
                "LEVEL=loud",
                "--env",
                "TAGS=a,b",
                "--secret",
                "MY_APP_SECRET=my-secret",
            ],
        )
        .succeeded()
        .never_shows("some-value");
    for line in ["env FOO", "env_as PORT"] {
        assert!(ran.stdout.contains(line), "{ran:?}");
    }
}
