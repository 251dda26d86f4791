//! The command where its surroundings misbehave: full pipes, signals, a store that cannot be noted.

use std::io::{BufReader, Read, Write};
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

/// Waits, in a shell's script, until what is typed on its terminal is not shown.
const UNTIL_HIDDEN: &str = "until stty -a < /dev/tty | grep -q -e '-echo '; do sleep 0.05; done";

#[test]
fn a_signal_at_a_hidden_prompt_leaves_the_terminal_as_it_was() {
    let home = Home::with_my_secret();
    let prompting = format!(
        r#"
        {{ {UNTIL_HIDDEN}; kill -s "$SIGNAL" "$(cat pid)"; }} &
        sh -c 'echo $$ > pid; exec env --default-signal "$LEYDEN" key add spare --passphrase'
        echo "status $?"
        stty -a < /dev/tty
    "#
    );
    for (signal, status) in [
        ("TERM", 143),
        ("HUP", 129),
        ("QUIT", 131),
        ("ABRT", 134),
        ("USR1", 138),
        ("USR2", 140),
        ("ALRM", 142),
        ("XCPU", 152),
        ("VTALRM", 154),
        ("PROF", 155),
    ] {
        let mut terminal = home.on_terminal(&prompting);
        let mut child = terminal.env("SIGNAL", signal).spawn().unwrap();
        let mut printed = String::new();
        let mut stdout = child.stdout.take().unwrap();
        stdout.read_to_string(&mut printed).unwrap();
        assert_eq!(wait(&mut child), 0, "{printed}");
        assert!(printed.contains(&format!("status {status}")), "{printed}");
        assert!(!printed.contains("-echo "), "{signal}: {printed}");
        assert!(printed.contains(" icanon"), "{printed}");
    }
}

#[test]
fn a_hidden_prompt_that_is_stopped_leaves_the_terminal_to_the_shell_until_it_goes_on() {
    let home = Home::with_my_secret();
    let stopping = format!(
        r#"
        set -m
        {{ {UNTIL_HIDDEN}; kill -s TSTP "$(cat pid)"; }} &
        sh -c 'echo $$ > pid; exec "$LEYDEN" key add spare --passphrase'
        echo stopped; stty -a < /dev/tty
        {{ {UNTIL_HIDDEN}; echo "hidden again"; kill -s TERM "$(cat pid)"; }} &
        fg
        echo "status $?"; stty -a < /dev/tty
    "#
    );
    let mut child = home.on_terminal(&stopping).spawn().unwrap();
    let mut printed = String::new();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_to_string(&mut printed).unwrap();
    assert_eq!(wait(&mut child), 0, "{printed}");
    let (_, printed) = printed.split_once("stopped\r\n").unwrap();
    for words in ["New passphrase: ", "hidden again", "status 143"] {
        assert!(printed.contains(words), "{printed}");
    }
    assert!(!printed.contains("-echo "), "{printed}");
    assert_eq!(printed.matches(" icanon").count(), 2, "{printed}");
}

#[test]
fn what_was_typed_at_a_hidden_prompt_before_it_was_stopped_is_forgotten() {
    let stopping = format!(
        r#"
        set -m
        {{ {UNTIL_HIDDEN}; until [ -e go ]; do sleep 0.02; done; kill -s TSTP "$(cat pid)"; }} &
        sh -c 'echo $$ > pid; exec "$LEYDEN" secret create typed'
        fg
        echo "status $?"
    "#
    );
    for _ in 0..20 {
        let home = Home::new();
        let mut child = home.on_terminal(&stopping).spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let (mut printed, mut asked) = (Vec::new(), 0);
        for byte in BufReader::new(child.stdout.take().unwrap()).bytes() {
            printed.push(byte.unwrap());
            if printed.ends_with(b"typed: ") || printed.ends_with(b"again: ") {
                asked += 1;
                match asked {
                    1 => stdin.write_all(b"some-value wrong").unwrap(),
                    _ => stdin.write_all(b"some-value right\n").unwrap(),
                }
                std::fs::write(home.path().join("go"), "").unwrap();
            }
        }
        let printed = String::from_utf8(printed).unwrap();
        wait(&mut child);
        // It came only once the shell had the terminal, which shows what is typed: once more.
        if printed.contains("wrong") {
            continue;
        }
        assert!(printed.contains("status 0"), "{printed}");
        assert_eq!(asked, 3, "{printed}");
        let shown = home.run(["secret", "reveal", "typed", "--yes"]);
        assert_eq!(shown.succeeded().stdout, "some-value right");
        return;
    }
    panic!("what is typed comes too late each time");
}

/// What is printed on a terminal, where each of these is typed once it is asked for: `Value of
/// NAME: `, `…, again: ` or `[y/N] `. And how often it was asked for, and the exit status.
fn typed(mut terminal: Command, answers: &[&[u8]]) -> (String, usize, i32) {
    let mut child = terminal.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let (mut printed, mut asked) = (Vec::new(), 0);
    for byte in BufReader::new(child.stdout.take().unwrap()).bytes() {
        printed.push(byte.unwrap());
        // Nothing is shown any more once it asks.
        let questions: [&[u8]; 3] = [b"typed: ", b"again: ", b"[y/N] "];
        if questions.iter().any(|asked| printed.ends_with(asked)) {
            stdin.write_all(answers[asked]).unwrap();
            asked += 1;
        }
    }
    let printed = String::from_utf8(printed).unwrap();
    (printed, asked, wait(&mut child))
}

#[test]
fn what_is_typed_at_a_hidden_prompt_is_stored_exactly_or_refused() {
    for (answer, stored) in [
        (
            &b"some-value na\xc3\xafve\twith\\n $\n"[..],
            Some("some-value naïve\twith\\n $"),
        ),
        (b"caf\xe9\n", None),
        // Ctrl-Z and Ctrl-\ stop and end nothing.
        (b"caf\x1a\x1c\n", None),
    ] {
        let home = Home::new();
        let create = home.on_terminal("\"$LEYDEN\" secret create typed");
        let (printed, asked, status) = typed(create, &[answer, answer]);
        assert!(
            !printed.contains("some-value") && !printed.contains("caf"),
            "{printed}"
        );
        match stored {
            Some(value) => {
                assert_eq!((status, asked), (0, 2), "{printed}");
                let shown = home.run(["secret", "reveal", "typed", "--yes"]);
                assert_eq!(shown.succeeded().stdout, value);
            }
            None => {
                assert_eq!((status, asked), (2, 1), "{printed}");
                let why = match answer.is_ascii() {
                    true => "Ctrl-Z and Ctrl-\\ do nothing",
                    false => "is not UTF-8",
                };
                assert!(printed.contains(why), "{printed}");
                assert!(!home.store().exists());
            }
        }
    }
}

#[test]
fn what_is_pasted_behind_a_hidden_answer_reaches_neither_the_next_question_nor_the_shell() {
    let home = Home::new();
    let create = home.on_terminal(
        r#"
        "$LEYDEN" secret create typed
        stty -icanon min 0 time 0 < /dev/tty
        echo "left: [$(cat < /dev/tty)]"
    "#,
    );
    let answers: [&[u8]; 2] = [
        b"some-value one\nsome-value two\n",
        b"some-value one\nsome-value three\n",
    ];
    let (printed, asked, status) = typed(create, &answers);
    assert_eq!((status, asked), (0, 2), "{printed}");
    assert!(!printed.contains("some-value"), "{printed}");
    assert!(printed.contains("left: []"), "{printed}");
    let shown = home.run(["secret", "reveal", "typed", "--yes"]);
    assert_eq!(shown.succeeded().stdout, "some-value one");
}

#[test]
fn secrets_are_not_imported_from_what_is_typed_for_all_to_see() {
    let home = Home::new();
    let import = "\"$LEYDEN\" secret import - --format env";
    let told = run(&mut home.on_terminal(import), b"").ended_with(2);
    assert!(told.stdout.contains("would be shown"), "{told:?}");
    assert!(!home.store().exists());
}

#[test]
fn a_question_that_nobody_answers_leaves_its_line() {
    let home = Home::with_my_secret();
    let delete = home.on_terminal("\"$LEYDEN\" secret delete my-secret");
    // Ctrl-D
    let (printed, asked, status) = typed(delete, &[b"\x04"]);
    assert_eq!((asked, status), (1, 1), "{printed}");
    let (question, answer) = printed.split_once("[y/N] ").unwrap();
    assert!(question.contains("restored for 30 days."), "{printed}");
    assert!(
        answer.ends_with("\r\nleyden: nothing was deleted\r\n"),
        "{printed:?}"
    );
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

#[test]
fn a_question_is_not_answered_by_what_was_typed_before_it() {
    let home = Home::with_my_secret();
    let mut terminal = home.on_terminal(
        r#"
        echo ready; until [ -e go ]; do sleep 0.02; done
        "$LEYDEN" secret delete my-secret; echo "status $?"
    "#,
    );
    let mut child = terminal.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut printed = Vec::new();
    for byte in BufReader::new(child.stdout.take().unwrap()).bytes() {
        printed.push(byte.unwrap());
        if printed.ends_with(b"ready\r\n") {
            stdin.write_all(b"y\n").unwrap();
        }
        // The terminal shows it once it has it.
        if printed.ends_with(b"ready\r\ny\r\n") {
            std::fs::write(home.path().join("go"), "").unwrap();
        }
        if printed.ends_with(b"[y/N] ") {
            stdin.write_all(b"n\n").unwrap();
        }
    }
    let printed = String::from_utf8(printed).unwrap();
    wait(&mut child);
    assert!(printed.contains("nothing was deleted"), "{printed}");
    assert!(printed.contains("status 1"), "{printed}");
    home.run(["secret", "reveal", "my-secret", "--yes"])
        .succeeded();
}

#[test]
fn a_value_is_shown_on_a_terminal_where_somebody_can_answer_or_said_yes() {
    let home = Home::new();
    home.create_secret("shown", "of-no-worth");
    for (reveal, shows, status) in [
        ("echo y | \"$LEYDEN\" secret reveal shown", false, 2),
        ("\"$LEYDEN\" secret reveal shown --yes < /dev/null", true, 0),
    ] {
        let told = run(&mut home.on_terminal(reveal), b"").ended_with(status);
        assert_eq!(told.stdout.contains("of-no-worth"), shows, "{told:?}");
        assert_eq!(told.stdout.contains("say --yes"), status == 2, "{told:?}");
    }
}
