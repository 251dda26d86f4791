//! The examples, run as their READMEs say.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fs;

use crate::support::{App, Home, example, guest};

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
    for line in [
        "env FOO: \"bar\"",
        "env_as PORT: 8080",
        "secret MY_APP_SECRET: Secret(redacted)",
        "secret_bytes MY_APP_SECRET: SecretBytes(redacted, version 1)",
        "secret_bytes MY_APP_SECRET length and version: (10, 1)",
    ] {
        assert!(ran.stdout.lines().any(|told| told == line), "{ran:?}");
    }
    for name in ["secret", "secret_bytes"] {
        let line = format!("{name} NOT_BOUND: error: the secret NOT_BOUND is not bound");
        assert!(ran.stdout.contains(&line), "{ran:?}");
    }
}

#[test]
fn the_guest_sdk_starts_works_and_waits_for_them() {
    let home = Home::new();
    let works = "[works.probe]\ncomponent = \"work-probe.wasm\"\nparallel = 4\n\
                 [works.echo]\ncomponent = \"work-echo.wasm\"\n";
    let app = App::new(&home, "sdk", works);
    let ran = home.run_app(app.path(), &["--", "works"]).succeeded();
    let trap = ran.stdout.lines().find(|line| line.starts_with("3: "));
    let trap = trap.unwrap().to_owned();
    assert!(trap.starts_with("3: Failed, probe trapped: "), "{ran:?}");
    let unfit = "cannot be read as";
    assert_eq!(
        ran.stdout.lines().collect::<Vec<_>>(),
        [
            "work prob: error: the app has no Work prob: did you mean probe?",
            "wait_any: Some(1)",
            "again: Some(1)",
            "of none: None",
            "slow has ended: false",
            "0: Stopped, probe was stopped",
            "1: Succeeded, 1",
            "2: Failed, probe failed: as asked",
            &trap,
            "4: Failed, probe ended with exit status 3",
            &format!(
                "5: Failed, probe failed: its input {unfit} Input: a value is of another type"
            ),
            &format!(
                "a number as text: error: what probe returned {unfit} String: \
                 a value is of another type (line 1, column 1)"
            ),
            "bytes: [0, 255]",
            "map: 2999 of 3000",
            "map at 7: error: probe failed: seven",
            "as_completed: 499500, 1 left",
        ]
    );
}

/// What `pipeline` is to print of a text: counted here, in one piece.
fn words_of(text: &str) -> String {
    let mut counts = HashMap::<String, usize>::new();
    for word in text.to_lowercase().split(|c: char| !c.is_alphanumeric()) {
        if !word.is_empty() {
            *counts.entry(word.into()).or_default() += 1;
        }
    }
    let paragraphs = text.split("\n\n").filter(|part| !part.trim().is_empty());
    let mut printed = format!("{} paragraphs\n", paragraphs.count());
    let words: usize = counts.values().sum();
    printed += &format!("{words} words, {} of them different\n", counts.len());
    let mut top: Vec<(String, usize)> = counts.into_iter().collect();
    top.sort_by_key(|(word, count)| (Reverse(*count), word.clone()));
    for (word, count) in top.iter().take(10) {
        printed += &format!("{count:6} {word}\n");
    }
    printed
}

#[test]
fn pipeline_counts_the_words_of_a_text() {
    let home = Home::new();
    let ran = home.run_app(&example("pipeline"), &[]).succeeded();
    let text = include_str!("../examples/pipeline/constitution.txt");
    assert_eq!(ran.stdout, words_of(text));
    assert!(ran.stdout.contains("   722 the\n"), "{ran:?}");

    let text = "To be, or not to be:\n\n\nthat is the question.\n";
    let texts = home.path().join("texts");
    fs::create_dir(&texts).unwrap();
    fs::write(texts.join("book.txt"), text).unwrap();
    let texts = format!("{}::/texts:ro", texts.display());
    let ran = home
        .run_app(
            &example("pipeline"),
            &["--dir", &texts, "--", "/texts/book.txt"],
        )
        .succeeded();
    assert_eq!(ran.stdout, words_of(text));
}

#[test]
fn etl_survives_its_works() {
    let home = Home::new();
    home.create_secret("warehouse-key", "s3cret");
    let state = home.path().join("state-of-flaky");
    fs::create_dir(&state).unwrap();
    let dir = format!("flaky:{}::/state", state.display());
    let bound = ["--secret", "WAREHOUSE_KEY=warehouse-key", "--dir", &dir];
    let ran = home.run_app(&example("etl"), &bound).succeeded();
    // HMAC-SHA256 of the orders under `s3cret`.
    let signature = "3646ec1f191cbdbe703294eb5fa707bc07da2ad6d2d398c0485f27ab46cd9a90";
    assert_eq!(
        ran.stdout,
        format!(
            "flow: the secret WAREHOUSE_KEY is not bound: \
             bind one with `--secret WAREHOUSE_KEY=SECRET`\n\
             flaky: fetched 3 orders\n\
             load: 3 orders over 4549 cents, signed {signature}\n\
             slow ran longer than its time limit of 1s\n"
        )
    );
    let ran = ran.never_shows("s3cret");
    assert!(ran.stderr.contains("broke off at attempt 1"), "{ran:?}");
    let attempts = fs::read_to_string(state.join("attempts")).unwrap();
    assert_eq!(attempts, "2\n");

    // Without its folder, `flaky` says so: its own exit status, not worth a second attempt.
    let ran = home.run_app(&example("etl"), &bound[..2]).succeeded();
    assert!(
        ran.stdout.contains("flaky ended with exit status 1\n"),
        "{ran:?}"
    );
    assert!(!ran.stdout.contains("load"), "{ran:?}");
}

#[test]
fn a_flow_in_rust_starts_a_work_in_python() {
    let home = Home::new();
    let ran = home.run_app(&example("python-work"), &[]).succeeded();
    assert_eq!(
        ran.stdout,
        "mean 5, median 4.5, standard deviation 2\n\
         mean 1.5, median 1.5, standard deviation 0.5\n\
         summary failed: mean requires at least one data point\n"
    );
}
