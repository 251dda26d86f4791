//! The command where its surroundings misbehave: full pipes, signals, a store that cannot be noted.

use std::io::{Read, Write};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{Home, guest, run, wait};

fn private(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn a_time_limit_holds_where_nobody_reads_the_events() {
    let home = Home::new();
    let app = home.path().join("app");
    std::fs::create_dir(&app).unwrap();
    std::fs::copy(guest("probe-p2"), app.join("probe.wasm")).unwrap();
    let manifest = "name = \"app\"\n[flow]\ncomponent = \"probe.wasm\"\ntimeout = \"500ms\"\n";
    std::fs::write(app.join("leyden.toml"), manifest).unwrap();
    let probe = guest("probe-p2");
    let limits: [(&Path, &[&str]); 2] = [(&probe, &["--timeout", "500ms"]), (&app, &[])];
    for (app, limit) in limits {
        let mut child = home
            .leyden()
            .args(["run", "app"])
            .arg(app)
            .args(limit)
            .args(["--output", "json", "--", "write"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // Held open and never read: the events fill it.
        let stdout = child.stdout.take();
        assert_eq!(wait(&mut child), 124);
        let mut said = String::new();
        child.stderr.unwrap().read_to_string(&mut said).unwrap();
        assert_eq!(said.lines().count(), 1, "{said}");
        assert!(
            said.contains("longer than its time limit of 500ms"),
            "{said}"
        );
        drop(stdout);
    }
}

#[test]
fn a_time_limit_holds_where_both_outputs_are_one_full_pipe() {
    let home = Home::new();
    for format in ["text", "json"] {
        let (reader, writer) = std::io::pipe().unwrap();
        let mut child = home
            .leyden()
            .args(["run", "app"])
            .arg(guest("probe-p2"))
            .args(["--timeout", "500ms", "--output", format, "--", "write"])
            .stdin(Stdio::null())
            .stdout(writer.try_clone().unwrap())
            .stderr(writer)
            .spawn()
            .unwrap();
        assert_eq!(wait(&mut child), 124, "{format}");
        drop(reader);
    }
}

/// How many pages of 4096 bytes a new pipe holds.
fn pages_of_a_pipe() -> usize {
    let (_reader, mut writer) = std::io::pipe().unwrap();
    let mut pages = 0;
    let writable = |writer: &std::io::PipeWriter| {
        let mut polled = [rustix::event::PollFd::new(
            writer,
            rustix::event::PollFlags::OUT,
        )];
        rustix::event::poll(&mut polled, Some(&rustix::event::Timespec::default())).unwrap() > 0
    };
    while writable(&writer) {
        writer.write_all(&[0; 4096]).unwrap();
        pages += 1;
    }
    pages
}

#[test]
fn an_app_that_ends_in_time_may_wait_for_a_slow_reader() {
    let home = Home::new();
    let run = |stdout: Stdio| {
        home.leyden()
            .args(["run", "app"])
            .arg(guest("probe-p1"))
            .args(["--timeout", "1500ms", "--output", "json"])
            .args(["--", "exit", "3"])
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let events = run(Stdio::piped()).wait_with_output().unwrap().stdout;
    let first = events
        .split_inclusive(|byte| *byte == b'\n')
        .next()
        .unwrap();
    // Room for the first event and not for the last. Linux fills the last page of a pipe up.
    let (mut reader, mut writer) = std::io::pipe().unwrap();
    for _ in 1..pages_of_a_pipe() {
        writer.write_all(&[b'\n'; 4096]).unwrap();
    }
    writer.write_all(&vec![b'\n'; 4096 - first.len()]).unwrap();
    let mut child = run(writer.into());
    std::thread::sleep(Duration::from_secs(3));
    let mut events = String::new();
    reader.read_to_string(&mut events).unwrap();
    assert_eq!(wait(&mut child), 3, "{events}");
    assert!(events.contains("\"ended\""), "{events}");
}

fn looping(command: &mut Command) -> Child {
    command
        .args(["run", "app"])
        .arg(guest("probe-p2"))
        .args(["--output", "json", "--", "loop"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Waits until the app runs: its first event is there.
fn started(child: &mut Child) -> impl Read + use<> {
    let mut stdout = child.stdout.take().unwrap();
    let mut byte = [0];
    stdout.read_exact(&mut byte).unwrap();
    stdout
}

#[test]
fn a_limit_on_the_size_of_files_is_an_error_that_is_said_once() {
    let home = Home::with_my_secret();
    home.create_secret("long", vec![b'x'; 1 << 20]);
    // Whoever writes next brings the long log into the store, and begins it anew.
    home.create_secret("next", "x");
    for (blocks, words, value, failed) in [
        (16, "secret list", "", "store.db"),
        (16, "secret create other", "some-value", "store.db"),
        // Its own file is larger than what is written to the store's log.
        (1024, "store backup backup.db", "", "the database backup.db"),
    ] {
        let mut command = home.limited(blocks);
        let ran = run(command.args(words.split(' ')), value.as_bytes()).ended_with(125);
        let failed = format!("{failed} failed: it cannot be written to: lift what stops it");
        let ran = ran.says(&[&failed, "(ulimit -f)"]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    // Also where an app's secrets are released, which comes before all else that a run writes.
    let env = guest("env-p2").display().to_string();
    for blocks in [0, 8, 64] {
        let mut command = home.limited(blocks);
        let bind = ["run", "app", &env, "--secret", "S=my-secret"];
        let ran = run(command.args(bind), b"").ended_with(125);
        let ran = ran.says(&["store.db", "ulimit -f"]);
        assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
    }
    // Nor is there room for an instance's memory, which is a file, too.
    run(home.limited(8).args(["run", "app", &env]), b"")
        .ended_with(125)
        .says(&["no room for an instance", "ulimit -a"]);
    let listed = home.run(["secret", "list"]).succeeded();
    assert!(!listed.stdout.contains("other"), "{listed:?}");
    home.run(["audit", "verify"]).succeeded();
}

#[test]
fn a_hangup_stops_the_guest_unless_it_was_ignored_from_the_start() {
    let home = Home::new();
    let signal = |child: &Child, signal| {
        let pid = rustix::process::Pid::from_child(child);
        rustix::process::kill_process(pid, signal).unwrap();
    };
    let mut child = looping(&mut home.leyden());
    let mut stdout = started(&mut child);
    signal(&child, rustix::process::Signal::HUP);
    assert_eq!(wait(&mut child), 129);
    let mut events = String::new();
    stdout.read_to_string(&mut events).unwrap();
    assert!(events.contains("\"status\":129"), "{events}");

    // As nohup(1) does.
    let leyden = home.leyden();
    let mut nohup = Command::new("/bin/sh");
    nohup
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(leyden.get_program())
        .env_clear()
        .env("HOME", home.path());
    let mut child = looping(&mut nohup);
    let _stdout = started(&mut child);
    signal(&child, rustix::process::Signal::HUP);
    std::thread::sleep(Duration::from_secs(1));
    assert!(child.try_wait().unwrap().is_none(), "it goes on");
    signal(&child, rustix::process::Signal::TERM);
    assert_eq!(wait(&mut child), 143);
}

#[test]
fn the_key_file_of_a_new_slot_stays_if_the_slot_does() {
    let home = Home::with_my_secret();
    let state = home.path().join("state/leyden");
    let record = std::fs::read_dir(&state)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|e| e == "state"))
        .unwrap();
    let lock = record.with_extension("state.lock");
    let key = home.path().join("spare.key");
    let add = |label: &str| home.run(["key", "add", label, "--key-file-to", key.to_str().unwrap()]);

    add("key-file").ended_with(2).says(&["already"]);
    assert!(!key.exists(), "its slot was refused");

    // The record cannot be raised: the commit before that stands.
    std::fs::remove_file(&lock).unwrap();
    std::fs::create_dir(&lock).unwrap();
    add("spare")
        .ended_with(125)
        .says(&["spare.key is kept", "leyden key list"]);
    std::fs::remove_dir(&lock).unwrap();
    std::fs::remove_file(home.key_file()).unwrap();
    let ran = home.run(["secret", "list", "--key-file", key.to_str().unwrap()]);
    assert!(ran.succeeded().stdout.contains("my-secret"));
}

#[test]
fn passphrase_files_are_checked_as_key_files_are() {
    let home = Home::new();
    let phrase = home.path().join("phrase");
    private(&phrase, "correct horse\n");
    let with = |path: &Path, arguments: &[&str], stdin: &[u8]| {
        let mut command = home.leyden();
        command.env("LEYDEN_PASSPHRASE_FILE", path).args(arguments);
        run(&mut command, stdin)
    };
    with(&phrase, &["secret", "create", "my-secret"], b"x").succeeded();
    with("/dev/stdin".as_ref(), &["secret", "list"], b"correct horse").succeeded();
    let link = home.path().join("link");
    symlink(&phrase, &link).unwrap();
    with(&link, &["secret", "list"], b"")
        .ended_with(77)
        .says(&["symbolic link"]);
    with("/absent".as_ref(), &["secret", "list"], b"")
        .ended_with(77)
        .says(&["passphrase file /absent is not there"]);
}

#[test]
fn paths_that_a_variable_names_stay_closed_where_an_option_overrides_it() {
    let home = Home::with_my_secret();
    let old = home.path().join("old");
    std::fs::create_dir(&old).unwrap();
    private(&old.join("old.key"), "whatever");
    let mut command = home.leyden();
    command
        .env("LEYDEN_KEY_FILE", old.join("old.key"))
        .args(["run", "app"])
        .arg(guest("probe-p2"))
        .args(["--key-file", home.key_file().to_str().unwrap()])
        .args([
            "--dir",
            &format!("{}::/data", old.display()),
            "--",
            "ls",
            "/data",
        ]);
    run(&mut command, b"")
        .ended_with(2)
        .never_shows("old.key\n");
}

#[test]
fn the_doctor_makes_nothing_of_its_own() {
    let home = Home::with_my_secret();
    std::fs::remove_dir_all(home.path().join("state")).unwrap();
    let before = home.files();
    home.run(["doctor", "--accept-rollback"]).succeeded();
    assert_eq!(home.files(), before);
    assert!(!home.path().join("state").exists());
}

#[test]
fn a_key_from_a_pipe_opens_the_store_but_cannot_be_exported() {
    let home = Home::with_my_secret();
    let key = std::fs::read(home.key_file()).unwrap();
    let with = |arguments: &[&str]| {
        let mut command = home.leyden();
        command.args(["--key-file", "/dev/stdin"]).args(arguments);
        run(&mut command, &key)
    };
    with(&["secret", "list"]).succeeded();
    with(&["key", "export"])
        .ended_with(77)
        .says(&["not exported", "pipe"]);
}
