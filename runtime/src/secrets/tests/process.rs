//! Several processes on one store: the test binary starts itself again as [`child`].
#![allow(clippy::print_stdout)]

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::bed::{Bed, get, name, options, value};
use crate::app::{Digest, SecretName};
use crate::secrets::{Grantee, Key, NewGrant, SecretStore, StoreError};

const TASK: &str = "SECRETS_TEST_TASK";
const XFSZ: &str = "SECRETS_TEST_XFSZ";
const FOLDER: &str = "SECRETS_TEST_FOLDER";

pub(super) fn start(task: &str, folder: &Path) -> Child {
    // Without the crate's name, as the test harness wants it.
    let (_, module) = module_path!().split_once("::").unwrap();
    // A shell ignores the signal of a file's size limit, as a full disk sends none.
    Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(std::env::current_exe().unwrap())
        .env(XFSZ, "1")
        .args([
            "--exact",
            &format!("{module}::child"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env(TASK, task)
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the processes do that the tests below start.
#[test]
fn child() {
    let (Ok(task), Ok(folder)) = (std::env::var(TASK), std::env::var(FOLDER)) else {
        return;
    };
    let folder = PathBuf::from(folder);
    let (path, key) = (folder.join("data/store.db"), folder.join("config/root.key"));
    let (kind, argument) = task.split_once(' ').unwrap();
    if kind == "umask" {
        let mask = u32::from_str_radix(argument, 8).unwrap();
        rustix::process::umask(rustix::fs::Mode::from_raw_mode(mask));
    }
    if kind == "restore" {
        return restore(&folder, &path, &key, argument.parse().unwrap());
    }
    if kind == "full" {
        return fill(&folder, &path, &key, argument);
    }
    let opened = options(&folder).open_or_create(path, key).unwrap();
    println!("\nmade {} {}", opened.made_store, opened.made_key);
    match kind {
        "locked" => return locked(opened.store),
        "rotate" => return rotate(&opened.store, argument.parse().unwrap()),
        "root" => return rotate_roots(opened.store, &folder),
        "root-step" => return rotate_root(opened.store, &folder, argument.parse().unwrap()),
        "rekey" => loop {
            opened.store.rotate_kek(|_, _| {}).unwrap();
        },
        "import" => return import(&opened.store, argument),
        "writes" => return write(&opened.store, argument),
        "backup" => {
            for index in 0.. {
                let to = folder.join(format!("{argument}-{index}.backup"));
                opened.store.backup(to).unwrap();
            }
        }
        _ => {}
    }
    let count = if kind == "endless" { usize::MAX } else { 10 };
    for index in 0..count {
        let secret = format!("s-{argument}-{index}");
        opened
            .store
            .create_secret(&name(&secret), value(&secret))
            .unwrap();
        println!("\nacknowledged {secret}");
        if kind == "endless" {
            all_else(&opened.store, &name(&format!("o-{argument}-{index}")));
        }
        assert_eq!(
            get(&opened.store, &secret, None).unwrap(),
            secret.as_bytes()
        );
    }
}

/// All that becomes of a secret but its creation alone.
fn all_else(store: &SecretStore, secret: &SecretName) {
    store.create_secret(secret, value("1")).unwrap();
    store.set_secret(secret, value("2")).unwrap();
    let grant = to("app");
    store.grant(secret, &grant).unwrap();
    store.restrict(secret, true).unwrap();
    store.revoke(secret, &grant.to, None).unwrap();
    store.delete_for(secret, Duration::from_secs(60)).unwrap();
    store.restore(secret).unwrap();
    store.destroy(secret).unwrap();
}

/// Imports three secrets at a time.
fn import(store: &SecretStore, round: &str) {
    for index in 0.. {
        let names: Vec<_> = (0..3).map(|at| format!("i-{round}-{index}-{at}")).collect();
        let entries = names
            .iter()
            .map(|name| (name.clone(), name.clone().into_bytes()));
        let imported = crate::secrets::named(entries.collect(), "").unwrap();
        store.import(&imported, false).unwrap();
        for name in names {
            println!("\nacknowledged {name}");
        }
    }
}

/// Writes until that is refused.
fn write(store: &SecretStore, writer: &str) {
    for index in 0.. {
        let secret = format!("w-{writer}-{index}");
        match store.create_secret(&name(&secret), value(&secret)) {
            Ok(_) => println!("\nacknowledged {secret}"),
            Err(error) => return println!("\nrefused {error:?}"),
        }
    }
}

/// Does one kind of thing again and again where no file may grow beyond so many KiB.
fn fill(folder: &Path, path: &Path, key: &Path, argument: &str) {
    use rustix::process::{Resource, Rlimit, setrlimit};
    let (what, limit) = argument.split_once(' ').unwrap();
    let most = Some(limit.parse::<u64>().unwrap() * 1024);
    let most = Rlimit {
        current: most,
        maximum: most,
    };
    setrlimit(Resource::Fsize, most).unwrap();
    // Otherwise the signal of that limit would end the process.
    let ignored = "trap '' XFSZ";
    assert!(std::env::var(XFSZ).is_ok(), "started with {ignored}");
    let told = |secret: &str, done: Result<(), StoreError>| match done {
        Ok(()) => println!("\nacknowledged {secret}"),
        Err(error) => println!("\nrefused {secret} {error}"),
    };
    let key = Key::from_file(key).unwrap();
    if what == "restore" {
        let restored = options(folder).restore(folder.join("first.backup"), path, &key);
        return told("restore", restored.map(|_| ()));
    }
    let mut store = match options(folder).open(path, &key) {
        Ok(store) => store,
        Err(error) => return told("open", Err(error)),
    };
    for index in 0..12 {
        let secret = format!("{what}-{limit}-{index}");
        let (first, new) = (name("first"), name(&secret));
        let done = match what {
            "create" => store.create_secret(&new, value(&secret)).map(|_| ()),
            "set" => store.set_secret(&first, value(&secret)).map(|_| ()),
            "grant" => store.grant(&first, &to(&secret)),
            "import" => {
                let both = [&secret, &format!("{secret}-b")];
                let both = both.map(|name| (name.clone(), name.clone().into_bytes()));
                let both = crate::secrets::named(both.into(), "").unwrap();
                store.import(&both, false).map(|_| ())
            }
            "rotate" => store.rotate_kek(|_, _| {}).map(|_| ()),
            "root" => store.rotate_root(std::slice::from_ref(&key)).map(|_| ()),
            "backup" => {
                let to = folder.join(format!("{secret}.backup"));
                store.backup(to).map(|_| ())
            }
            "prune" => store.audit_prune(jiff::Timestamp::MAX).map(|_| ()),
            other => panic!("{other}"),
        };
        told(&secret, done);
    }
}

/// A grant to the app of this name.
fn to(app: &str) -> NewGrant {
    NewGrant {
        to: Grantee::App(Digest::of(app.as_bytes())),
        env: None,
        app: None,
        expires: None,
    }
}

/// Says how much memory is locked with a store open, and without.
fn locked(store: SecretStore) {
    let locked = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmLck:"));
        println!("\nlocked {}", line.unwrap().trim().trim_end_matches(" kB"));
    };
    locked();
    drop(store);
    locked();
}

/// Dies when it is called after so many calls.
fn die_after(mut calls: u32) -> impl FnMut() {
    move || {
        if calls == 0 {
            let me = rustix::process::getpid();
            rustix::process::kill_process(me, rustix::process::Signal::KILL).unwrap();
        }
        calls -= 1;
    }
}

/// Rotates the KEK and dies right after so many transactions.
fn rotate(store: &SecretStore, transactions: u32) {
    let mut die = die_after(transactions);
    let rotated = store.rotate_kek(|_, _| die());
    println!("\nrotated {}", rotated.unwrap().rewrapped);
}

/// Restores the backup and dies right after so many steps.
fn restore(folder: &Path, path: &Path, key: &Path, steps: u32) {
    let (key, backup) = (Key::from_file(key).unwrap(), folder.join("backup.db"));
    let restored = options(folder).restore_by_steps(&backup, path, &key, die_after(steps));
    println!("\nrestored {}", restored.unwrap().versions);
}

/// Rotates the root key and dies right after so many steps.
fn rotate_root(mut store: SecretStore, folder: &Path, steps: u32) {
    let keep = [Key::from_file(folder.join("config/root.key")).unwrap()];
    let plan = store.plan_root_rotation(&keep).unwrap();
    let rotated = store.rotate_root_by_steps(&plan, &keep, die_after(steps));
    println!("\nrotated {rotated:?}");
}

/// Rotates the root key again and again.
fn rotate_roots(mut store: SecretStore, folder: &Path) {
    let key = Key::from_file(folder.join("config/root.key")).unwrap();
    let keys = [key];
    loop {
        store.rotate_root(&keys).unwrap();
        println!("\nrotated");
    }
}

pub(super) fn lines(child: &mut Child, prefix: &str) -> Vec<String> {
    let output = BufReader::new(child.stdout.take().unwrap());
    let lines = output.lines().map_while(Result::ok);
    lines
        .filter_map(|line| Some(line.strip_prefix(prefix)?.to_owned()))
        .collect()
}

#[test]
fn g8_processes_that_use_it_first_make_one_store_and_one_key() {
    for _ in 0..3 {
        let bed = Bed::new();
        let task = |index| format!("create {index}");
        let mut children: Vec<_> = (0..4)
            .map(|index| start(&task(index), bed.folder.path()))
            .collect();
        let mut made: Vec<_> = children
            .iter_mut()
            .flat_map(|child| lines(child, "made "))
            .collect();
        for mut child in children {
            assert!(child.wait().unwrap().success());
        }
        made.sort();
        assert_eq!(
            made,
            ["false false", "false false", "false false", "true true"]
        );
        let verified = bed.open().unwrap().verify().unwrap();
        assert_eq!((verified.secrets, verified.audit_records), (40, 2 + 80));
    }
}

#[test]
fn g8_kill_loses_nothing_that_was_acknowledged() {
    let bed = Bed::new();
    let mut acknowledged = Vec::new();
    // Delays from before the store is there to in the midst of writing.
    for round in 0..16_u64 {
        let mut child = start(&format!("endless {round}"), bed.folder.path());
        std::thread::sleep(std::time::Duration::from_millis(round * round));
        child.kill().unwrap();
        // What was printed before the kill is in the pipe.
        acknowledged.extend(lines(&mut child, "acknowledged "));
        child.wait().unwrap();
    }
    let store = bed.make();
    store.verify().unwrap();
    for secret in acknowledged {
        assert_eq!(get(&store, &secret, None).unwrap(), secret.as_bytes());
    }
}

#[test]
fn files_and_folders_are_the_users_alone_whatever_the_umask() {
    for mask in ["000", "077", "027", "777"] {
        let bed = Bed::new();
        let mut child = start(&format!("umask {mask}"), bed.folder.path());
        lines(&mut child, "");
        assert!(child.wait().unwrap().success());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for folder in ["data", "config", "state"] {
            assert_eq!(mode(&bed.folder.path().join(folder)), 0o700, "{folder}");
        }
        let files = bed.files();
        for file in &files {
            assert_eq!(mode(file), 0o600, "{}", file.display());
        }
        // No checkpoint on close: the log and its index are there to be looked at.
        for suffix in ["db", "db-wal", "db-shm", "key", "state"] {
            let there = files
                .iter()
                .any(|file| file.extension().is_some_and(|e| e == suffix));
            assert!(there, "{suffix}");
        }
    }
}

#[test]
#[cfg(target_os = "linux")]
fn the_keys_of_an_open_store_are_locked_in_memory() {
    let bed = Bed::new();
    let mut child = start("locked x", bed.folder.path());
    let locked: Vec<u64> = lines(&mut child, "locked ")
        .iter()
        .map(|kib| kib.parse().unwrap())
        .collect();
    assert!(child.wait().unwrap().success());
    // The root key and the six that are derived from it have a page of 4 KiB together.
    assert_eq!(locked, [4, 0]);
}
