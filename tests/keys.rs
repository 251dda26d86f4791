//! What opens the store: slots of every kind, rotation, and what is said where a key does not fit.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;

use crate::support::{Home, guest, run, wait};

fn still_there(home: &Home) {
    let arguments = ["--secret", "MY_APP_SECRET=my-secret", "--env", "FOO=bar"];
    let ran = home.run_app(&guest("hello"), &arguments).succeeded();
    assert!(ran.stdout.contains("10 bytes"), "{ran:#?}");
}

fn slots(home: &Home) -> String {
    home.run(["key", "list"]).succeeded().stdout
}

#[test]
fn a_recovery_code_is_shown_once_and_opens_the_store() {
    let home = Home::with_my_secret();
    let shown = home.run(["key", "add", "paper", "--recovery"]).succeeded();
    let code = shown.stdout.trim().to_owned();
    assert!(code.starts_with("leyden-recovery-1-"), "{code}");
    shown.says(&["not shown again"]);
    assert!(slots(&home).contains("recovery code"));
    home.run(["audit", "list"]).never_shows(&code);

    std::fs::remove_file(home.key_file()).unwrap();
    let file = home.path().join("code");
    let open = |text: &str| {
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let file = file.to_str().unwrap();
        home.run(["secret", "list", "--key-file", file])
    };
    open(&code.to_uppercase().replace('-', " ")).succeeded();
    // A typing error is told from a code that does not fit.
    let (start, last) = code.split_at(code.len() - 1);
    let other = if last == "a" { "b" } else { "a" };
    open(&format!("{start}{other}"))
        .ended_with(77)
        .says(&["checksum does not fit", "a character is wrong"]);
    let theirs = Home::with_my_secret();
    let foreign = theirs
        .run(["key", "add", "paper", "--recovery"])
        .succeeded();
    open(&foreign.stdout)
        .ended_with(77)
        .says(&["does not open with this key"]);
}

#[test]
fn a_recovery_code_that_nobody_saw_opens_nothing() {
    let home = Home::with_my_secret();
    for output in ["text", "json"] {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut add = home.leyden();
        add.args(["key", "add", "paper", "--recovery", "--output", output]);
        let mut child = add
            .stdout(full.unwrap())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        assert_eq!(wait(&mut child), 125);
        let mut said = String::new();
        child.stderr.unwrap().read_to_string(&mut said).unwrap();
        assert!(said.contains("cannot write to standard output"), "{said}");
        assert!(!said.contains("added"), "{said}");
        assert!(!slots(&home).contains("paper"));
    }
    // One that was shown, and whose slot was refused, is told to be of no use.
    let ran = home.run(["key", "add", "key-file", "--recovery"]);
    ran.ended_with(2).says(&["opens nothing", "already"]);
}

#[test]
fn a_short_passphrase_is_warned_of_where_it_becomes_a_key() {
    for (passphrase, is_short) in [("ünfünfünfün", true), ("ünfünfünfünf", false)] {
        let home = Home::new();
        let file = home.path().join("passphrase");
        std::fs::write(&file, passphrase).unwrap();
        std::fs::set_permissions(&file, PermissionsExt::from_mode(0o600)).unwrap();
        let warned = |words: &str| {
            let mut command = home.leyden();
            command.env("LEYDEN_PASSPHRASE_FILE", &file);
            command.env("LEYDEN_NEW_PASSPHRASE_FILE", &file);
            let ran = run(command.args(words.split(' ')), b"some-value").succeeded();
            ran.stderr.contains("less than 12 characters")
        };
        assert_eq!(warned("secret create my-secret"), is_short);
        assert_eq!(warned("key add spare --passphrase"), is_short);
        assert!(!warned("secret list"));
    }
}

#[test]
fn a_key_command_prints_the_key_and_takes_a_new_one() {
    let home = Home::with_my_secret();
    let vault = home.path().join("vault");
    let keep = format!("umask 077; cat > {}", vault.display());
    home.run(["key", "add", "kms", "--key-to", &keep])
        .succeeded();
    std::fs::remove_file(home.key_file()).unwrap();

    let print = format!("cat {}", vault.display());
    home.run(["--key-command", &print, "secret", "list"])
        .succeeded();
    let mut by_variable = home.leyden();
    by_variable.env("LEYDEN_KEY_COMMAND", &print);
    by_variable.args(["run", "app"]).arg(guest("hello"));
    by_variable.args(["--secret", "MY_APP_SECRET=my-secret", "--env", "FOO=bar"]);
    let ran = run(&mut by_variable, b"").succeeded();
    assert!(ran.stdout.contains("10 bytes"));

    for (command, words) in [
        ("echo hunter2", "is no key"),
        ("exit 3", "the key command failed"),
        ("/not/there", "the key command failed"),
    ] {
        home.run(["--key-command", command, "secret", "list"])
            .ended_with(77)
            .says(&[words])
            .never_shows("hunter2");
    }
    // A command that keeps nothing leaves no slot.
    home.run([
        "--key-command",
        &print,
        "key",
        "add",
        "x",
        "--key-to",
        "cat >/dev/null; exit 1",
    ])
    .ended_with(77);
    let listed = home
        .run(["--key-command", &print, "key", "list"])
        .succeeded();
    assert!(!listed.stdout.contains("x "), "{listed:#?}");
}

#[test]
fn a_key_command_that_does_not_print_what_it_was_handed_leaves_no_slot() {
    let home = Home::with_my_secret();
    let vault = home.path().join("vault").display().to_string();
    let (keep, print) = (format!("cat > {vault}"), format!("cat {vault}"));
    let add = |label: &str, keep: &str, print: &str| {
        home.run(["key", "add", label, "--key-to", keep, "--key-from", print])
    };
    for (keep, print, said) in [
        ("cat > /dev/null", &*print, "the key command failed"),
        (&keep, "echo hunter2", "is no key"),
        (
            &keep,
            &format!("cat {}", home.key_file().display()),
            "another key",
        ),
    ] {
        let ran = add("kms", keep, print)
            .ended_with(77)
            .never_shows("hunter2");
        ran.says(&[said, "no slot was added"]);
        let _ = std::fs::remove_file(&vault);
    }
    home.run(["key", "add", "kms", "--recovery", "--key-from", &print])
        .ended_with(2);
    let listed = home.run(["key", "list"]).succeeded();
    assert!(!listed.stdout.contains("kms"), "{listed:#?}");
    // What was tried needs no reminder to try it.
    let added = add("kms", &keep, &print).succeeded();
    assert!(
        !added.stderr.contains("before you rely on it"),
        "{added:#?}"
    );
    home.run(["--key-command", &print, "secret", "list"])
        .succeeded();
}

#[test]
fn a_store_can_be_made_by_a_key_command_alone() {
    let home = Home::new();
    let key = home.path().join("vault");
    let other = Home::with_my_secret();
    std::fs::copy(other.key_file(), &key).unwrap();
    let print = format!("cat {}", key.display());
    let mut create = home.leyden();
    create.args(["--key-command", &print, "secret", "create", "s"]);
    run(&mut create, b"x")
        .succeeded()
        .says(&["your key command"]);
    assert!(!home.key_file().exists());
    home.run(["--key-command", &print, "secret", "list"])
        .succeeded();
}

#[test]
fn slots_are_removed_and_the_last_one_stays() {
    let home = Home::with_my_secret();
    home.run(["key", "remove", "key-file", "--yes"])
        .ended_with(2)
        .says(&["the last one"]);
    home.run(["key", "add", "paper", "--recovery"]).succeeded();
    home.run(["key", "remove", "paper"])
        .ended_with(2)
        .says(&["--yes"]);
    home.run(["key", "remove", "papre", "--yes"])
        .ended_with(2)
        .says(&["no key slot `papre`", "paper"]);
    home.run(["key", "remove", "paper", "--yes"]).succeeded();
    assert!(!slots(&home).contains("paper"));
    still_there(&home);
}

#[test]
fn keys_are_rotated_and_everything_is_still_there() {
    let home = Home::with_my_secret();
    let told = home.run(["key", "rotate"]).succeeded();
    assert!(told.stdout.contains("1 version under key 2"), "{told:#?}");
    still_there(&home);

    home.run(["key", "add", "paper", "--recovery"]).succeeded();
    let usb = home.path().join("usb.key");
    let usb = usb.to_str().unwrap();
    home.run(["key", "add", "usb", "--key-file-to", usb])
        .succeeded();
    home.run(["key", "rotate", "--root", "--keep-key-file", usb])
        .ended_with(2)
        .says(&["--yes"]);
    assert!(slots(&home).contains("paper"));
    let told = home
        .run([
            "key",
            "rotate",
            "--root",
            "--keep-key-file",
            usb,
            "--yes",
            "--output",
            "json",
        ])
        .succeeded();
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["root"]["kept"], serde_json::json!(["key-file", "usb"]));
    assert_eq!(told["root"]["dropped"], serde_json::json!(["paper"]));
    assert_eq!(told["kek"]["kek"], 3);
    assert!(!slots(&home).contains("paper"));
    still_there(&home);
    home.run(["--key-file", usb, "audit", "verify"]).succeeded();
    // What opens nothing is not forgotten silently.
    let strange = home.path().join("strange.key");
    std::fs::copy(Home::with_my_secret().key_file(), &strange).unwrap();
    home.run([
        "key",
        "rotate",
        "--root",
        "--keep-key-file",
        strange.to_str().unwrap(),
        "--yes",
    ])
    .ended_with(77)
    .says(&["opens no slot"]);
    still_there(&home);
}
