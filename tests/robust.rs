//! Guests that behave badly, and files that are not what they should be.

use std::io::Read;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::support::{Home, guest, run, wait};

#[test]
fn bad_guests_end_with_the_right_status_and_one_line() {
    let home = Home::new();
    for name in ["probe-p1", "probe-p2"] {
        for (options, command, status, words) in [
            (
                &["--timeout", "300ms"][..],
                "loop",
                124,
                "longer than its time limit of 300ms",
            ),
            (
                &["--timeout", "300ms"],
                "sleep",
                124,
                "longer than its time limit",
            ),
            (&["--memory", "64MiB"], "alloc", 134, "limit of 64"),
            (&[], "recurse", 134, "endless recursion"),
            (&[], "trap", 134, "unreachable"),
            (&[], "panic", 134, "unreachable"),
        ] {
            let mut arguments = options.to_vec();
            arguments.extend(["--", command]);
            if command == "sleep" {
                arguments.push("60");
            }
            let ran = home
                .run_app(&guest(name), &arguments)
                .ended_with(status)
                .says(&[words]);
            let ours = ran
                .stderr
                .lines()
                .filter(|line| line.starts_with("leyden:"));
            assert_eq!(ours.count(), 1, "{ran:?}");
        }
    }
}

#[test]
fn an_exit_status_is_the_guests_own() {
    let home = Home::new();
    for (name, status) in [("probe-p1", 7), ("probe-p3", 7), ("exit", 42)] {
        let number = status.to_string();
        let arguments: &[&str] = if name == "exit" {
            &["--", &number]
        } else {
            &["--", "exit", &number]
        };
        let ran = home.run_app(&guest(name), arguments).ended_with(status);
        assert_eq!(ran.stderr, "", "a guest's own status needs no words");
    }
}

#[test]
fn all_exit_statuses_of_wasi_0_1_pass_through() {
    let home = Home::new();
    for (status, shown) in [
        (0, 0),
        (126, 126),
        (200, 200),
        (255, 255),
        (-1, 255),
        (256, 1),
    ] {
        let path = home.path().join("exit.wat");
        let text = format!(
            r#"(module
                (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
                (memory (export "memory") 1)
                (func (export "_start") (call $exit (i32.const {status}))))"#
        );
        std::fs::write(&path, text).unwrap();
        home.run_app(&path, &[]).ended_with(shown);
    }
}

#[test]
fn a_guest_that_writes_for_ever_ends_when_its_reader_goes() {
    let home = Home::new();
    for name in ["probe-p1", "probe-p2"] {
        let mut child = home
            .leyden()
            .args(["run", "app"])
            .arg(guest(name))
            .args(["--", "write"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut pipe = child.stdout.take().unwrap();
        let mut some = [0; 100_000];
        pipe.read_exact(&mut some).unwrap();
        drop(pipe);
        assert_eq!(wait(&mut child), 141, "{name}");
    }
}

#[test]
fn a_guest_whose_reader_has_gone_ends_as_native_programs_do() {
    let home = Home::new();
    for name in ["env-p1", "env-p2", "env-p3"] {
        let mut child = home
            .leyden()
            .args(["run", "app"])
            .arg(guest(name))
            .args(["--env", "A=1"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // Long before it has started.
        drop(child.stdout.take());
        assert_eq!(wait(&mut child), 141, "{name}");
    }
}

#[test]
fn a_guest_whose_reader_is_slow_stops_at_its_time_limit() {
    let home = Home::new();
    let mut child = home
        .leyden()
        .args(["run", "app"])
        .arg(guest("probe-p2"))
        .args(["--timeout", "500ms", "--", "write"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The pipe is held open and never read: the guest is parked in a write.
    let pipe = child.stdout.take();
    assert_eq!(wait(&mut child), 124);
    drop(pipe);
}

#[test]
fn signals_stop_the_guest_with_their_status() {
    let home = Home::new();
    for (signal, status) in [
        (rustix::process::Signal::INT, 130),
        (rustix::process::Signal::TERM, 143),
    ] {
        for command in ["loop", "echo"] {
            let mut child = home
                .leyden()
                .args(["run", "app"])
                .arg(guest("probe-p2"))
                .args(["--", command])
                .stdin(Stdio::piped())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            thread::sleep(Duration::from_millis(1500));
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, signal).unwrap();
            assert_eq!(wait(&mut child), status, "{command}");
        }
    }
}

#[test]
fn what_is_no_app_is_told_apart() {
    let home = Home::new();
    let file = |name: &str, bytes: &[u8]| {
        let path = home.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let wasm = std::fs::read(guest("probe-p2")).unwrap();
    for (path, status, words) in [
        (home.path().join("absent.wasm"), 127, "absent.wasm"),
        (file("empty.wasm", b""), 126, "empty"),
        (file("garbage.wasm", b"\x01\0\x03garbage"), 126, "neither"),
        (file("cut.wasm", &wasm[..wasm.len() / 2]), 126, "cut.wasm"),
        (file("start.wasm", &wasm[..6]), 126, "cut off"),
        (file("app.py", b"import os\n"), 126, "componentize-py"),
        (
            file("code.cwasm", b"\x7fELF\x02\x01\x01\xc8rest"),
            126,
            "native code",
        ),
        (file("bad.wat", b"(component"), 126, "bad.wat"),
        (file("library.wat", b"(component)"), 126, "wasi:cli/run"),
        (file("module.wat", b"(module)"), 126, "_start"),
        (
            file(
                "wants.wat",
                b"(component (import \"a:b/c\" (instance (export \"f\" (func)))))",
            ),
            126,
            "a:b/c",
        ),
        (home.path().join("folder"), 127, "folder"),
        (home.path().to_owned(), 126, "leyden.toml"),
        ("/dev/zero".into(), 126, "/dev/zero"),
    ] {
        let ran = home.run_app(&path, &[]).ended_with(status).says(&[words]);
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
    // Sparse: its size alone is too much.
    let huge = std::fs::File::create(home.path().join("huge.wasm")).unwrap();
    huge.set_len(1 << 40).unwrap();
    home.run_app(&home.path().join("huge.wasm"), &[])
        .ended_with(126)
        .says(&["512 MiB"]);
}

#[test]
fn text_runs_as_well() {
    let home = Home::new();
    let path = home.path().join("hello.wat");
    std::fs::write(
        &path,
        r#"(module
            (import "wasi_snapshot_preview1" "fd_write"
                (func $write (param i32 i32 i32 i32) (result i32)))
            (memory (export "memory") 1)
            (data (i32.const 0) "\10\00\00\00\03\00\00\00")
            (data (i32.const 16) "hi\n")
            (func (export "_start")
                (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#,
    )
    .unwrap();
    assert_eq!(home.run_app(&path, &[]).succeeded().stdout, "hi\n");
}

#[test]
fn garbage_as_store_key_or_env_file_gives_errors() {
    let home = Home::with_my_secret();
    let garbage = home.path().join("garbage");
    let app = guest("env-p2");
    let bind = ["--secret", "A=my-secret"];
    let set = |path: &std::path::Path, bytes: &[u8]| {
        std::fs::write(path, bytes).unwrap();
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))
            .unwrap();
    };
    for bytes in [
        &b""[..],
        b"garbage",
        &[0; 100_000],
        b"SQLite format 3\0 and no more",
    ] {
        set(&garbage, bytes);
        for variable in ["LEYDEN_STORE", "LEYDEN_KEY_FILE"] {
            let mut command = home.leyden();
            command
                .env(variable, &garbage)
                .args(["run", "app"])
                .arg(&app)
                .args(bind);
            let ran = run(&mut command, b"").ended_with(77).says(&["garbage"]);
            assert!(!ran.stderr.contains("panicked"), "{ran:?}");
            assert_eq!(ran.stdout, "");
        }
    }
    set(&garbage, b"\xff\xfe=1\n");
    let path = garbage.display().to_string();
    home.run_app(&app, &["--env-file", &path])
        .ended_with(2)
        .says(&["garbage"]);
    home.run_app(&app, &["--env-file", "/absent"])
        .ended_with(2)
        .says(&["/absent"]);
}

#[test]
fn a_second_start_compiles_nothing() {
    let home = Home::with_my_secret();
    let cache = home.path().join("cache/leyden");
    let list = || {
        let mut found: Vec<_> = home
            .files()
            .into_iter()
            .filter(|file| file.starts_with(&cache))
            .map(|file| {
                let metadata = file.metadata().unwrap();
                let inode = std::os::unix::fs::MetadataExt::ino(&metadata);
                (file, inode)
            })
            .collect();
        found.sort();
        found
    };
    let bind: [&[&str]; 2] = [&[], &["--secret", "A=my-secret"]];
    home.run_app(&guest("env-p2"), &[]).succeeded();
    let first = list();
    assert!(!first.is_empty());
    for arguments in bind {
        home.run_app(&guest("env-p2"), arguments).succeeded();
        assert_eq!(list(), first);
    }
}

#[test]
fn damaged_or_foreign_code_in_the_cache_is_not_run() {
    let home = Home::new();
    home.run_app(&guest("env-p2"), &[]).succeeded();
    let cache = home.path().join("cache/leyden");
    let code = || {
        home.files()
            .into_iter()
            .find(|file| file.starts_with(&cache) && file.extension().is_some_and(|e| e == "code"))
            .unwrap()
    };
    for damage in [&b""[..], b"garbage", b"\x7fELF"] {
        std::fs::write(code(), damage).unwrap();
        home.run_app(&guest("env-p2"), &[]).succeeded();
    }
    // Open to others: compiled anew in its place.
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(code(), open).unwrap();
    home.run_app(&guest("env-p2"), &[]).succeeded();
    let mode = std::os::unix::fs::PermissionsExt::mode(&code().metadata().unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(&cache, open).unwrap();
    let before = std::fs::read(code()).unwrap();
    home.run_app(&guest("probe-p2"), &["--", "stderr", "ran"])
        .succeeded()
        .says(&["chmod 700", "ran"]);
    assert_eq!(std::fs::read(code()).unwrap(), before, "it is left alone");
}

#[test]
fn what_is_wrong_with_a_text_is_told_without_the_text() {
    let home = Home::new();
    let file = home.path().join("creds.wat");
    for text in [
        "(password \"hunter2\")",
        ";; hunter2\n(module (func $hunter2)",
        &"(".repeat(1 << 20),
    ] {
        std::fs::write(&file, text).unwrap();
        let ran = home
            .run_app(&file, &[])
            .ended_with(126)
            .never_shows("hunter2");
        assert!(ran.stderr.len() < 1000, "{}", ran.stderr.len());
    }
}

#[test]
fn names_of_files_make_no_lines_of_their_own() {
    let home = Home::with_my_secret();
    let odd = home.path().join("a\nleyden: all is well.wasm");
    std::fs::copy(guest("env-p2"), &odd).unwrap();
    home.run_app(&odd, &["--secret", "S=my-secret"]).succeeded();
    for list in [["audit", "list"], ["runs", "list"]] {
        let listed = home.run(list).succeeded().stdout;
        assert!(!listed.contains("\nleyden: all"), "{listed}");
    }
    let missing = home.path().join("x\nleyden: all is well");
    let ran = home.run_app(&missing, &[]).ended_with(127);
    assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
}

#[test]
fn an_entry_of_another_type_is_refused_before_anything_is_released() {
    let home = Home::with_my_secret();
    let app = home.path().join("app.wat");
    let component = r#"(component
        (core module $m (func (export "run") (param i32)))
        (core instance $i (instantiate $m))
        (func $run (param "x" u32) (canon lift (core func $i "run")))
        (instance $exported (export "run" (func $run)))
        (export "wasi:cli/run@0.2.0" (instance $exported)))"#;
    std::fs::write(&app, component).unwrap();
    home.run_app(&app, &["--secret", "S=my-secret"])
        .ended_with(126)
        .says(&["`run`", "type"]);
    let audit = home.run(["audit", "list"]).succeeded().stdout;
    assert!(!audit.contains("release"), "{audit}");
}
