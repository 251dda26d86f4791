//! What is left on disk and shown of a process: never a value, and nothing open to others.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::support::{Home, LINES, guest, run};

const VALUE: &str = "some-value-that-stands-nowhere";

fn holds(bytes: &[u8], needle: &str) -> bool {
    bytes
        .windows(needle.len())
        .any(|window| window == needle.as_bytes())
}

#[test]
fn g4_a_value_is_in_no_file() {
    let home = Home::new();
    for (name, value) in [("my-secret", VALUE), ("lines", LINES)] {
        home.create_secret(name, value);
        run(
            home.leyden().args(["secret", "set", name]),
            value.as_bytes(),
        )
        .succeeded();
    }
    for (guest_name, arguments) in [
        (
            "hello",
            &["--env", "FOO=bar", "--secret", "MY_APP_SECRET=my-secret"][..],
        ),
        (
            "hello",
            &["--env", "FOO=bar", "--secret", "MY_APP_SECRET=lines"],
        ),
        ("probe-p2", &["--secret", "A=my-secret", "--", "panic"]),
        ("probe-p2", &["--secret", "A=lines", "--", "panic"]),
        (
            "probe-p1",
            &[
                "--secret",
                "A=my-secret@1",
                "--timeout",
                "100ms",
                "--",
                "loop",
            ],
        ),
    ] {
        let mut command = home.leyden();
        // No log at any level may hold it, whatever a logger listens to.
        command
            .env("RUST_LOG", "trace")
            .args(["run", "app"])
            .arg(guest(guest_name))
            .args(arguments);
        let ran = run(&mut command, b"").never_shows(VALUE);
        ran.never_shows("other välue");
    }
    home.run(["secret", "show", "my-secret"]).never_shows(VALUE);
    home.run(["audit", "list"]).never_shows(VALUE);
    home.run(["key", "rotate", "--root", "--yes"]).succeeded();
    home.run(["store", "backup", "backup.db"]).succeeded();
    let files = home.files();
    assert!(files.contains(&home.store()));
    for file in files {
        let bytes = std::fs::read(&file).unwrap();
        for value in [VALUE, "other välue"] {
            let encoded = data_encoding::BASE64.encode(value.as_bytes());
            for form in [value, encoded.trim_end_matches('=')] {
                assert!(!holds(&bytes, form), "{}", file.display());
            }
        }
    }
}

#[test]
fn g4_a_value_is_in_no_process_listing() {
    let home = Home::new();
    home.create_secret("my-secret", VALUE);
    let mut child = home
        .leyden()
        .args(["run", "app"])
        .arg(guest("probe-p2"))
        .args(["--secret", "A=my-secret", "--", "sleep", "30"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let process = format!("/proc/{}", child.id());
    // Until the release is in the audit log, the value is not there to be seen.
    while !home.run(["audit", "list"]).stdout.contains("release") {
        thread::sleep(Duration::from_millis(20));
    }
    for file in ["cmdline", "environ"] {
        let shown = std::fs::read(format!("{process}/{file}")).unwrap();
        assert!(!holds(&shown, VALUE), "{file}");
    }
    let limits = std::fs::read_to_string(format!("{process}/limits")).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file size"));
    assert!(
        core.unwrap().split_whitespace().nth(4) == Some("0"),
        "{core:?}"
    );
    // Where the system pipes dumps to a program, that limit is passed by.
    let doctor = home.run(["doctor"]);
    assert!(
        doctor.stdout.contains("off for this command"),
        "{}",
        doctor.stdout
    );
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn files_are_closed_to_others_whatever_the_umask() {
    for umask in ["000", "022", "077"] {
        let home = Home::new();
        let script = format!(
            "umask {umask}; printf x | \"$0\" secret create my-secret && \
             exec \"$0\" run app \"$1\" --secret A=my-secret"
        );
        let leyden = home.leyden();
        let mut command = std::process::Command::new("/bin/sh");
        command.env_clear();
        for (name, value) in leyden.get_envs() {
            command.env(name, value.unwrap());
        }
        command
            .args(["-c", &script])
            .arg(leyden.get_program())
            .arg(guest("env-p2"));
        run(&mut command, b"").succeeded();
        for (folder, what) in [
            ("data", "leyden"),
            ("config", "leyden"),
            ("state", "leyden"),
            ("cache", "leyden"),
        ] {
            let folder = home.path().join(folder).join(what);
            let mode = folder.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "umask {umask}: {}", folder.display());
        }
        for file in home.files() {
            let mode = file.metadata().unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "umask {umask}: {}", file.display());
        }
    }
}

#[test]
fn two_first_creates_at_once_make_one_store_and_one_key() {
    for _ in 0..5 {
        let home = Home::new();
        let names: Vec<String> = (0..4).map(|i| format!("secret-{i}")).collect();
        thread::scope(|scope| {
            for name in &names {
                let home = &home;
                scope.spawn(move || home.create_secret(name, name));
            }
        });
        let listed = home.run(["secret", "list"]).succeeded().stdout;
        for name in &names {
            assert!(listed.contains(name.as_str()), "{listed}");
            let binding = format!("A={name}");
            let ran = home
                .run_app(
                    &guest("probe-p2"),
                    &["--secret", &binding, "--", "env-get", "A"],
                )
                .succeeded();
            assert_eq!(ran.stdout.trim_end(), name);
        }
        let slots = home
            .run(["key", "list", "--output", "json"])
            .succeeded()
            .stdout;
        assert_eq!(slots.matches("\"label\"").count(), 1, "{slots}");
        home.run(["audit", "verify"]).succeeded();
    }
}

#[test]
fn g6_a_store_put_back_to_an_older_copy_is_refused() {
    let home = Home::new();
    home.create_secret("my-secret", "old");
    let kept = home.path().join("copy");
    std::fs::create_dir(&kept).unwrap();
    let copy = |from: &std::path::Path, to: &std::path::Path| {
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    };
    let data = home.store().parent().unwrap().to_owned();
    copy(&data, &kept);
    run(home.leyden().args(["secret", "set", "my-secret"]), b"new").succeeded();
    for entry in std::fs::read_dir(&data).unwrap() {
        std::fs::remove_file(entry.unwrap().path()).unwrap();
    }
    copy(&kept, &data);
    let bound = ["--secret", "A=my-secret", "--", "env-get", "A"];
    let ran = home
        .run_app(&guest("probe-p2"), &bound)
        .ended_with(77)
        .says(&["--accept-rollback"]);
    assert_eq!(ran.stdout, "");
    let mut accepting = home.leyden();
    accepting
        .args(["--accept-rollback", "run", "app"])
        .arg(guest("probe-p2"))
        .args(bound);
    assert_eq!(run(&mut accepting, b"").succeeded().stdout, "old\n");
}

#[test]
fn g7_a_wrong_key_and_a_damaged_slot_answer_alike() {
    let home = Home::with_my_secret();
    let other = Home::with_my_secret();
    let mut command = home.leyden();
    command
        .env("LEYDEN_KEY_FILE", other.key_file())
        .args(["secret", "list"]);
    let wrong = run(&mut command, b"").ended_with(77);

    let database = rusqlite::Connection::open(home.store()).unwrap();
    let table: String = database
        .query_row(
            "SELECT name FROM sqlite_master WHERE name LIKE '%slot%' AND type = 'table'",
            [],
            |row| row.get(0),
        )
        .unwrap();
    let columns: Vec<String> = database
        .prepare(&format!(
            "SELECT name FROM pragma_table_info('{table}') WHERE type = 'BLOB'"
        ))
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert!(!columns.is_empty());
    for column in columns {
        database
            .execute(
                &format!("UPDATE {table} SET {column} = randomblob(length({column}))"),
                [],
            )
            .unwrap();
    }
    drop(database);
    let damaged = home.run(["secret", "list"]).ended_with(77);
    assert_eq!(damaged.stderr, wrong.stderr);
}
