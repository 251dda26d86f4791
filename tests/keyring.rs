//! A key in the operating system's keyring: GNOME's, on a session bus of its own.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, Command, Stdio};

use crate::support::{Home, Ran, guest, run};

/// A session bus with an unlocked keyring; both end with it.
struct Keyring {
    processes: Vec<Child>,
    address: String,
    runtime: tempfile::TempDir,
}

impl Keyring {
    /// Starts both, with their files in this home.
    fn unlocked(home: &Home) -> Self {
        let mut bus = Command::new("dbus-daemon")
            .args(["--session", "--nofork", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("dbus-daemon, of the package dbus");
        let mut address = String::new();
        let stdout = BufReader::new(bus.stdout.take().unwrap());
        let mut keyring = Self {
            processes: vec![bus],
            address: String::new(),
            // The path of a socket is short.
            runtime: tempfile::tempdir_in("/tmp").unwrap(),
        };
        { stdout }.read_line(&mut address).unwrap();
        keyring.address = address.trim().to_owned();

        let mut daemon = Command::new("gnome-keyring-daemon")
            .args(["--foreground", "--unlock", "--components=secrets"])
            .env_clear()
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", keyring.runtime.path())
            .env("XDG_DATA_HOME", home.path().join("data"))
            .env("DBUS_SESSION_BUS_ADDRESS", &keyring.address)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("gnome-keyring-daemon, of the package gnome-keyring");
        daemon
            .stdin
            .take()
            .unwrap()
            .write_all(b"the keyring's own")
            .unwrap();
        keyring.processes.push(daemon);
        keyring.wait_until_ready();
        keyring
    }

    fn run(&self, home: &Home, arguments: &[&str], input: &[u8]) -> Ran {
        let mut leyden = home.leyden();
        leyden.env("DBUS_SESSION_BUS_ADDRESS", &self.address);
        run(leyden.args(arguments), input)
    }

    /// Waits until it is there, and its keyring open: whoever calls it before makes the bus start
    /// another one.
    fn wait_until_ready(&self) {
        let bus = "org.freedesktop.DBus";
        let owned = [
            bus,
            "/",
            "org.freedesktop.DBus.NameHasOwner",
            "string:org.freedesktop.secrets",
        ];
        let open = [
            "org.freedesktop.secrets",
            "/org/freedesktop/secrets/aliases/default",
            "org.freedesktop.DBus.Properties.Get",
            "string:org.freedesktop.Secret.Collection",
            "string:Locked",
        ];
        self.wait_for(&owned, "boolean true");
        self.wait_for(&open, "boolean false");
    }

    /// Calls until this is the answer.
    fn wait_for(&self, call: &[&str], answer: &str) {
        let (to, what) = call.split_first().unwrap();
        for _ in 0..600 {
            let said = Command::new("dbus-send")
                .env("DBUS_SESSION_BUS_ADDRESS", &self.address)
                .args(["--session", "--print-reply", "--reply-timeout=2000"])
                .arg(format!("--dest={to}"))
                .args(what)
                .output()
                .expect("dbus-send, of the package dbus");
            if String::from_utf8_lossy(&said.stdout).contains(answer) {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the keyring does not become ready: {call:?}");
    }
}

impl Drop for Keyring {
    fn drop(&mut self) {
        for process in self.processes.iter_mut().rev() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

#[test]
fn a_key_in_the_keyring_opens_the_store() {
    let home = Home::with_my_secret();
    let keyring = Keyring::unlocked(&home);
    let add = ["key", "add", "desk", "--to-keyring"];
    keyring.run(&home, &add, b"").succeeded();
    std::fs::remove_file(home.key_file()).unwrap();

    let by_option = ["--keyring", "desk", "key", "list"];
    let listed = keyring.run(&home, &by_option, b"").succeeded().stdout;
    let is_desk = |line: &&str| line.starts_with("desk") && line.contains("keyring");
    let desk = listed.lines().find(is_desk).expect("a slot of its kind");
    assert!(desk.trim_end().ends_with("yes"), "{listed}");

    let mut by_variable = home.leyden();
    by_variable
        .env("DBUS_SESSION_BUS_ADDRESS", &keyring.address)
        .env("LEYDEN_KEYRING", "desk")
        .args(["run", "app"])
        .arg(guest("hello"))
        .args(["--secret", "MY_APP_SECRET=my-secret", "--env", "FOO=bar"]);
    let ran = run(&mut by_variable, b"").succeeded();
    assert!(ran.stdout.contains("10 bytes"), "{ran:#?}");

    // The first root key is gone, and the keyring's slot is what it was.
    let rotate = ["--keyring", "desk", "key", "rotate", "--root", "--yes"];
    keyring.run(&home, &rotate, b"").succeeded();
    let listed = keyring.run(&home, &by_option, b"").succeeded().stdout;
    assert!(listed.lines().any(|line| is_desk(&line)), "{listed}");
    assert!(!listed.contains("key-file"), "{listed}");
}

#[test]
fn a_keyring_that_gives_no_key_is_not_made_up_for() {
    let home = Home::with_my_secret();
    // There is a key file, which would open the store.
    let list = ["--keyring", "desk", "secret", "list"];
    home.run(list)
        .ended_with(77)
        .says(&["the keyring", "desk"])
        .never_shows("my-secret");
    let keyring = Keyring::unlocked(&home);
    keyring
        .run(&home, &list, b"")
        .ended_with(77)
        .says(&["none of that name"])
        .never_shows("my-secret");
    // Another store's key, and a slot of that name which it does not open.
    let key = home.path().join("key");
    let slot = ["key", "add", "desk", "--key-file-to", key.to_str().unwrap()];
    home.run(slot).succeeded();
    let theirs = Home::new();
    let first = ["--keyring", "desk", "secret", "create", "a"];
    keyring.run(&theirs, &first, b"some-value").succeeded();
    keyring
        .run(&home, &list, b"")
        .ended_with(77)
        .says(&["does not open with this key"])
        .never_shows("my-secret");
}

#[test]
fn a_store_can_be_made_by_the_keyring_alone() {
    let home = Home::new();
    let keyring = Keyring::unlocked(&home);
    let create = ["--keyring", "desk", "secret", "create", "my-secret"];
    keyring.run(&home, &create, b"some-value").succeeded();
    assert!(!home.key_file().exists());
    let reveal = [
        "--keyring",
        "desk",
        "secret",
        "reveal",
        "my-secret",
        "--yes",
    ];
    let revealed = keyring.run(&home, &reveal, b"").succeeded();
    assert_eq!(revealed.stdout, "some-value");
}

#[test]
fn a_key_leaves_the_keyring_only_when_asked_to() {
    let home = Home::with_my_secret();
    let keyring = Keyring::unlocked(&home);
    let add = ["key", "add", "desk", "--to-keyring"];
    keyring.run(&home, &add, b"").succeeded();
    // A second one of that name would be lost to the store that has the first.
    keyring
        .run(&home, &add, b"")
        .ended_with(77)
        .says(&["already"]);
    let remove = ["key", "remove", "desk", "--yes"];
    keyring
        .run(&home, &remove, b"")
        .succeeded()
        .says(&["stays in the keyring"]);
    keyring.run(&home, &add, b"").ended_with(77);

    let other = ["key", "add", "lap", "--to-keyring"];
    keyring.run(&home, &other, b"").succeeded();
    let remove = ["key", "remove", "lap", "--from-keyring", "--yes"];
    keyring.run(&home, &remove, b"").succeeded();
    keyring.run(&home, &other, b"").succeeded();
    // Neither a label that is none nor one that is taken leaves anything behind.
    let none = ["key", "add", "a b", "--to-keyring"];
    keyring.run(&home, &none, b"").ended_with(2);
    let read = ["keyring-entry", "read", "a b"];
    keyring
        .run(&home, &read, b"")
        .ended_with(77)
        .says(&["none of that name"]);
    let taken = ["key", "add", "key-file", "--to-keyring"];
    keyring.run(&home, &taken, b"").ended_with(2);
    let open = ["--keyring", "key-file", "secret", "list"];
    keyring
        .run(&home, &open, b"")
        .ended_with(77)
        .says(&["none of that name"]);
}
