//! A secret's versions end to end: kept, expired, deleted, restored, destroyed, shown.

use crate::support::{Home, guest, run};

#[test]
fn versions_expire_are_kept_deleted_restored_and_destroyed() {
    let home = Home::with_my_secret();
    let set = |words: &[&str], value: &str| {
        let mut command = home.leyden();
        run(
            command.args(["secret", "set", "my-secret"]).args(words),
            value.as_bytes(),
        )
    };
    set(&["--keep", "2"], "second").succeeded();
    set(&["--expires", "2001-01-01T00:00:00Z"], "third")
        .ended_with(2)
        .says(&["not in the future"]);
    set(&["--expires", "1h"], "third").succeeded();
    home.run(["secret", "expire", "my-secret", "--expires", "now"])
        .succeeded();
    let listed = home.run(["secret", "versions", "my-secret"]).succeeded();
    assert!(listed.stdout.contains("expired 2"), "{listed:#?}");
    assert_eq!(listed.stdout.lines().count(), 3, "{listed:#?}");
    let bare = guest("env-p2");
    home.run_app(&bare, &["--secret", "A=my-secret"])
        .ended_with(77)
        .says(&["version 3 expired at"]);
    home.run_app(&bare, &["--secret", "A=my-secret@2"])
        .succeeded();
    set(&["--expires", "soon"], "x")
        .ended_with(2)
        .says(&["30d"]);

    let no_time = [
        "secret",
        "delete",
        "my-secret",
        "--recover-for",
        "0s",
        "--yes",
    ];
    home.run(no_time).ended_with(2).says(&["--now"]);
    home.run(["secret", "delete", "my-secret", "--yes"])
        .succeeded();
    home.run_app(&bare, &["--secret", "A=my-secret@2"])
        .ended_with(77);
    home.run(["secret", "restore", "my-secret"]).succeeded();
    home.run_app(&bare, &["--secret", "A=my-secret@2"])
        .succeeded();
    home.run(["secret", "delete", "my-secret", "--now", "--yes"])
        .succeeded();
    home.run(["secret", "restore", "my-secret"]).ended_with(77);
    home.create_secret("my-secret", "fresh");
    let shown = home
        .run(["secret", "reveal", "my-secret@4", "--yes"])
        .succeeded();
    assert_eq!(shown.stdout, "fresh");
}

#[test]
fn when_a_version_expires_can_be_set_and_taken_back() {
    let home = Home::with_my_secret();
    run(
        home.leyden().args(["secret", "set", "my-secret"]),
        b"second",
    )
    .succeeded();
    let expire = |words: &str| home.run(format!("secret expire {words}").split(' '));
    let run = |secret: &str| home.run_app(&guest("env-p2"), &["--secret", secret]);
    let said = expire("my-secret --expires 0s").succeeded();
    assert!(
        said.stdout.contains("version 2 of my-secret expires at"),
        "{said:?}"
    );
    run("A=my-secret")
        .ended_with(77)
        .says(&["version 2 expired at"]);
    run("A=my-secret@1").succeeded();
    // Its owner may need the old value.
    for (secret, value, said) in [
        (
            "my-secret",
            "second",
            "version 2 of my-secret has expired at",
        ),
        ("my-secret@2", "second", "is released to no app"),
        ("my-secret@1", "some-value", ""),
    ] {
        let shown = home.run(["secret", "reveal", secret, "--yes"]).succeeded();
        assert_eq!(shown.stdout, value);
        assert_eq!(shown.stderr.is_empty(), said.is_empty(), "{shown:?}");
        shown.says(&[said]);
    }
    expire("my-secret@1 --expires 2001-01-01T00:00:00Z")
        .ended_with(2)
        .says(&["not in the future"]);
    expire("my-secret@1 --expires now").succeeded();
    run("A=my-secret@1")
        .ended_with(77)
        .says(&["version 1 expired at"]);
    let said = expire("my-secret@1 --never --output json").succeeded();
    let said: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    let expected = serde_json::json!({ "name": "my-secret", "version": 1, "expires": null });
    assert_eq!(said, expected);
    run("A=my-secret@1").succeeded();
    // Whoever says neither, both, or nonsense gets nothing done.
    for (words, status) in [
        ("my-secret", 2),
        ("my-secret --never --expires 30d", 2),
        ("my-secret --expires soon", 2),
        ("my-secret:base64 --never", 2),
        ("my-secret@7 --never", 2),
        ("none --never", 77),
    ] {
        expire(words).ended_with(status);
    }
    let log = home
        .run(["audit", "list", "--secret", "my-secret"])
        .succeeded();
    assert_eq!(log.stdout.matches("expiry-set").count(), 3, "{log:?}");
}

#[test]
fn a_value_is_printed_to_a_pipe_only_when_that_is_said_and_never_unrecorded() {
    let home = Home::with_my_secret();
    home.run(["secret", "reveal", "my-secret"])
        .ended_with(2)
        .says(&["--yes"])
        .never_shows("some-value");
    let shown = home
        .run(["secret", "reveal", "my-secret", "--yes"])
        .succeeded();
    assert_eq!(shown.stdout, "some-value");
    let shown = home
        .run(["secret", "reveal", "my-secret:base64", "--yes"])
        .succeeded();
    assert_eq!(shown.stdout, "c29tZS12YWx1ZQ==");
    home.run(["secret", "reveal", "my-secret@9", "--yes"])
        .ended_with(2)
        .says(&["no version 9"]);
    let log = home.run(["audit", "list"]).succeeded();
    assert_eq!(log.stdout.matches("reveal").count(), 2, "{log:#?}");
}
