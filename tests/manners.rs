//! How the command behaves towards a person or a script.

use crate::support::{Home, guest, run};

#[test]
fn help_teaches_by_examples_and_tells_the_exit_statuses() {
    let home = Home::new();
    let help = home.run(["run", "app", "--help"]).succeeded().stdout;
    for words in [
        "leyden run app app.wasm",
        "--env FOO=bar",
        "--secret MY_APP_SECRET=my-secret",
        // What the app wrote has its line ends.
        "jq -j 'select(.event == \"stdout\").text'",
        "134",
        "124",
        "77",
        "126",
        "127",
    ] {
        assert!(help.contains(words), "no {words} in {help}");
    }
    for command in [
        &["secret"][..],
        &["key"],
        &["audit"],
        &["secret", "create"],
        &["doctor"],
    ] {
        let mut arguments = command.to_vec();
        arguments.push("--help");
        let help = home.run(arguments).succeeded().stdout;
        assert!(help.contains("leyden "), "{command:?}: {help}");
    }
    home.run([] as [&str; 0]).ended_with(2);
    home.run(["ruun"]).ended_with(2).says(&["run"]);
}

#[test]
fn completions_and_manual_pages_are_made() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish"] {
        let made = home.run(["completions", shell]).succeeded().stdout;
        assert!(made.contains("leyden"), "{shell}");
    }
    assert!(home.run(["man"]).succeeded().stdout.contains(".TH"));
}

#[test]
fn a_secrets_life_on_the_command_line() {
    let home = Home::new();
    home.run(["secret", "list"])
        .ended_with(77)
        .says(&["leyden secret create"]);
    let made = run(
        home.leyden().args(["secret", "create", "My-Secret"]),
        b"one\n",
    )
    .succeeded()
    .says(&["newline", "leyden key export"]);
    assert!(
        made.stderr.contains(&home.key_file().display().to_string()),
        "{made:?}"
    );
    run(
        home.leyden().args(["secret", "create", "my-secret"]),
        b"two",
    )
    .says(&["My-Secret", "leyden secret set"])
    .never_shows("two");
    run(
        home.leyden()
            .args(["secret", "set", "my-secret", "--trim-newline"]),
        b"two\n",
    )
    .succeeded();
    let get = |version: &str| {
        let binding = format!("A=my-secret{version}");
        home.run_app(
            &guest("probe-p2"),
            &["--secret", &binding, "--", "env-get", "A"],
        )
        .succeeded()
        .stdout
    };
    assert_eq!(get(""), "two\n");
    assert_eq!(get("@1"), "one\n\n");
    let versions = home
        .run(["secret", "versions", "my-secret", "--output", "json"])
        .succeeded();
    assert_eq!(
        versions.stdout.matches("\"version\"").count(),
        2,
        "{versions:?}"
    );
    let shown = home.run(["secret", "show", "MY-SECRET"]).succeeded();
    assert!(shown.stdout.contains("My-Secret"), "{shown:?}");
    home.run(["secret", "show", "my-secre"])
        .says(&["did you mean"]);
    for (of, more) in [("show", "@1"), ("versions", "@1:base64"), ("restore", "@1")] {
        home.run(["secret", of, &format!("my-secret{more}")])
            .ended_with(2)
            .says(&[&format!("leave out `{more}`")]);
    }
    home.run(["secret", "delete", "my-secret", "--yes"])
        .succeeded();
    for look in ["secret list", "secret show my-secret"] {
        let shown = home.run(look.split(' ')).succeeded().stdout;
        let until = "deleted; it can be restored until 2";
        assert!(shown.contains(until), "{shown}");
    }
    home.run_app(&guest("probe-p2"), &["--secret", "A=my-secret"])
        .ended_with(77);
}

#[test]
fn a_value_never_stands_in_the_arguments() {
    let home = Home::new();
    run(
        home.leyden()
            .args(["secret", "create", "my-secret", "hunter2"]),
        b"",
    )
    .ended_with(2)
    .never_shows("hunter2");
}

#[test]
fn g5_each_release_has_its_audit_record() {
    let home = Home::with_my_secret();
    home.run_app(
        &guest("env-p2"),
        &[
            "--name",
            "label",
            "--secret",
            "MY_APP_SECRET=my-secret",
            "--secret",
            "B=my-secret@1",
        ],
    )
    .succeeded();
    home.run_app(&guest("env-p2"), &["--secret", "C=absent"])
        .ended_with(77);
    let listed = home
        .run(["audit", "list", "--output", "json"])
        .succeeded()
        .stdout;
    let records: Vec<serde_json::Value> = match serde_json::from_str(&listed) {
        Ok(serde_json::Value::Array(records)) => records,
        _ => listed
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect(),
    };
    let of = |event: &str| -> Vec<&serde_json::Value> {
        let is = |record: &&serde_json::Value| record["event"] == event;
        records.iter().filter(is).collect()
    };
    let released = of("release");
    let done: Vec<_> = released
        .iter()
        .filter(|record| record["outcome"] == "done")
        .collect();
    assert_eq!(done.len(), 2, "{records:#?}");
    for record in done {
        assert_eq!(record["app"], "label");
        assert_eq!(record["secret"], "my-secret");
        assert_eq!(record["version"], 1);
        assert!(
            record["component_digest"]
                .as_str()
                .unwrap()
                .starts_with("sha256:")
        );
    }
    assert!(
        listed.contains("denied") && listed.contains("not-found"),
        "{listed}"
    );
    home.run(["audit", "verify"]).succeeded();
    let copy = Home::with_my_secret();
    let changed = rusqlite::Connection::open(copy.store()).unwrap();
    changed
        .execute(
            "DELETE FROM audit WHERE sequence = (SELECT max(sequence) FROM audit)",
            [],
        )
        .unwrap();
    drop(changed);
    let ran = copy
        .run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .ended_with(77)
        .says(&["audit log", "broken"]);
    assert_eq!(ran.stdout, "");
    let database = rusqlite::Connection::open(home.store()).unwrap();
    let table: String = database
        .query_row(
            "SELECT name FROM sqlite_master WHERE name LIKE '%audit%' AND type = 'table'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    database
        .execute(
            &format!("DELETE FROM {table} WHERE rowid = (SELECT min(rowid) + 2 FROM {table})"),
            [],
        )
        .unwrap();
    let broken = home.run(["audit", "verify"]);
    assert_ne!(broken.status, 0, "{broken:?}");
}

#[test]
fn a_damaged_audit_log_is_told_hides_no_secret_and_is_not_made_whole() {
    let home = Home::with_my_secret();
    home.run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
    home.create_secret("other", "x");
    let show = |words: &[&str]| {
        let show = ["secret", "show", "my-secret"].iter().chain(words);
        home.run(show).succeeded().stdout
    };
    assert!(show(&[]).contains("released    version 1 at"));
    let database = rusqlite::Connection::open(home.store()).unwrap();
    let damage =
        "UPDATE audit SET body = replace(body, '\"done\"', '\"denied\"') WHERE sequence = 4";
    assert_eq!(database.execute(damage, []).unwrap(), 1);
    drop(database);

    let broken = "is broken at record 4: it is not what was written";
    let shown = show(&[]);
    for words in [
        "my-secret",
        "10 bytes",
        "released    not known",
        broken,
        "leyden audit verify",
    ] {
        assert!(shown.contains(words), "{shown}");
    }
    let shown: serde_json::Value = serde_json::from_str(&show(&["--output", "json"])).unwrap();
    assert_eq!(shown["name"], "my-secret");
    assert!(shown.get("last_released").is_none(), "{shown}");
    let why = shown["last_released_problem"].as_str().unwrap();
    assert!(why.contains(broken), "{shown}");
    // What needs a whole log, or would begin one that looks whole, is refused, and says what to do.
    for (words, says) in [
        ("audit verify", "its secrets can be used as before"),
        ("audit list", "leyden audit verify tells where"),
        ("store backup backup.db", "no backup was written"),
        ("audit prune --before 0s --yes", "nothing was removed"),
        ("key rotate --root --yes", "the root key stays"),
    ] {
        home.run(words.split(' ')).ended_with(77).says(&[
            broken,
            says,
            "leyden store restore FILE",
        ]);
    }
    assert!(!home.path().join("backup.db").exists());
    home.run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
}

#[test]
fn keys_can_be_added_and_exported() {
    let home = Home::with_my_secret();
    let passphrase = home.path().join("passphrase");
    std::fs::write(&passphrase, "correct horse\n").unwrap();
    std::fs::set_permissions(
        &passphrase,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )
    .unwrap();
    let mut command = home.leyden();
    command
        .env("LEYDEN_NEW_PASSPHRASE_FILE", &passphrase)
        .args(["key", "add", "spare", "--passphrase"]);
    run(&mut command, b"").succeeded();
    let copy = home.path().join("copy.key");
    home.run(["key", "export", "--to", copy.to_str().unwrap()])
        .succeeded();
    std::fs::remove_file(home.key_file()).unwrap();
    home.run(["secret", "list"]).ended_with(77);
    // What is told is so.
    let mut command = home.leyden();
    let asking = command.args(["secret", "list", "--ask-key"]);
    run(asking.env("LEYDEN_PASSPHRASE_FILE", &passphrase), b"")
        .ended_with(77)
        .says(&["leave --ask-key out"])
        .never_shows("is not set")
        .never_shows("no key file");
    for (variable, path) in [
        ("LEYDEN_PASSPHRASE_FILE", &passphrase),
        ("LEYDEN_KEY_FILE", &copy),
    ] {
        let mut command = home.leyden();
        command.env(variable, path).args(["secret", "list"]);
        assert!(
            run(&mut command, b"")
                .succeeded()
                .stdout
                .contains("my-secret")
        );
    }
}

#[test]
fn doctor_finds_what_is_wrong() {
    let home = Home::with_my_secret();
    home.run(["doctor"]).succeeded();
    std::fs::set_permissions(
        home.key_file(),
        std::os::unix::fs::PermissionsExt::from_mode(0o644),
    )
    .unwrap();
    let ran = home.run(["doctor"]).ended_with(1);
    assert!(ran.stdout.contains("chmod"), "{ran:?}");
    let empty = Home::new();
    empty.run(["doctor"]);
    assert_eq!(
        empty.files(),
        [] as [std::path::PathBuf; 0],
        "it makes nothing"
    );
}

#[test]
fn events_as_json_lines() {
    let home = Home::new();
    let ran = home
        .run_app(&guest("env-p2"), &["--env", "FOO=bar", "--output", "json"])
        .succeeded();
    let events: Vec<serde_json::Value> = ran
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert!(
        events.iter().any(|event| event["event"] == "stdout"),
        "{ran:?}"
    );
    assert_eq!(events.last().unwrap()["event"], "ended", "{ran:?}");
}
