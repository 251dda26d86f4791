//! What is shown of an app before anything of it runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::support::{Admin, Home, guest, run};

use super::{MANIFEST, app, leyden, refused, runs};

#[test]
fn what_changed_is_told_since_anything_was_granted_in_a_folder() {
    let home = Home::with_my_secret();
    for (place, grant) in [
        ("one", "secret grant my-secret --app APP"),
        ("two", "secret grant my-secret --folder APP"),
        ("three", "trust APP --yes"),
    ] {
        let report = app(&home, place, MANIFEST);
        let changed = || {
            let seen = leyden(&home, "inspect APP", &report).succeeded().stdout;
            let lines = seen.lines().filter(|line| line.starts_with("changed"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        assert!(changed().is_empty());
        leyden(&home, grant, &report).succeeded();
        assert!(changed().is_empty());
        std::fs::copy(guest("probe-p2"), report.join("flow.wasm")).unwrap();
        let told = changed();
        let is_it = told.len() == 1 && told[0].contains("the bytes of flow, since");
        assert!(is_it, "{grant}: {told:?}");
        // That its manifest changed is told beside it.
        let manifest = MANIFEST.replace("[flow]", "[flow]\nenv = { NEW = \"x\" }");
        assert_ne!(manifest, MANIFEST);
        std::fs::write(report.join("leyden.toml"), manifest).unwrap();
        let told = changed().concat();
        for what in ["the bytes of flow, since", "its manifest, since"] {
            assert!(told.contains(what), "{grant}: {told:?}");
        }
        // And from the next grant on, since that one.
        leyden(&home, grant, &report).succeeded();
        assert!(changed().is_empty(), "{grant}");
    }
}

#[test]
fn a_grant_on_the_admin_page_is_one_since_which_changes_are_told() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    for (place, to_folder) in [("one", false), ("two", true)] {
        let report = app(&home, place, MANIFEST);
        let path = report.canonicalize().unwrap().display().to_string();
        let seen = leyden(&home, "inspect APP --output json", &report).succeeded();
        let seen: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
        let folder = format!("folder:{path}");
        let digest = seen["digest"].as_str().unwrap();
        let fields = match to_folder {
            false => [("to", digest), ("path", &path), ("from", digest)],
            true => [("to", &*folder), ("path", ""), ("from", "")],
        };
        let granted = session.post("/secret/my-secret/grants", &fields);
        session.follow(&granted).ended_with(200);
        std::fs::copy(guest("probe-p2"), report.join("flow.wasm")).unwrap();
        let told = leyden(&home, "inspect APP", &report).succeeded().stdout;
        assert!(told.contains("the bytes of flow, since"), "{place}: {told}");
    }
    // A path that leads to another app says nothing of that one.
    let other = app(&home, "three", &MANIFEST.replace("report", "other"));
    let digest = format!("sha256:{}", "0".repeat(64));
    let path = other.display().to_string();
    let fields = [("to", &*digest), ("path", &path), ("from", &digest)];
    let granted = session.post("/secret/my-secret/grants", &fields);
    session.follow(&granted).ended_with(200);
    let told = leyden(&home, "inspect APP", &other).succeeded().stdout;
    assert!(told.contains("nothing in this folder so far"), "{told}");
}

#[test]
fn an_app_is_inspected_without_store_key_or_running_it() {
    let home = Home::new();
    let report = app(&home, "report", MANIFEST);
    let seen = leyden(&home, "inspect APP", &report).succeeded();
    for words in [
        "sha256:",
        "my-secret",
        "api.example.com",
        "wasi:cli/environment@",
        "not granted: there is no store here",
    ] {
        assert!(seen.stdout.contains(words), "{words}: {seen:#?}");
    }
    assert!(!home.store().exists() && !home.key_file().exists());
    let seen = leyden(&home, "inspect APP --output json", &guest("env-p1")).succeeded();
    let seen: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
    assert_eq!(
        seen["imports"],
        serde_json::json!(["wasi_snapshot_preview1"])
    );
    assert_eq!(seen["granted"], true);
}

#[test]
fn an_app_that_asks_for_nothing_is_inspected_without_a_key_and_told_its_change_with_one() {
    let home = Home::with_my_secret();
    let asks_nothing = "name = \"report\"\n[flow]\ncomponent = \"flow.wasm\"\n";
    let report = app(&home, "report", asks_nothing);
    let seen = |words: &str| leyden(&home, words, &report).succeeded().stdout;
    let nothing = "granted     nothing in this folder so far";
    assert!(seen("inspect APP").contains(nothing));
    app(&home, "report", MANIFEST);
    assert!(seen("inspect APP").contains(nothing));
    leyden(&home, "trust APP --yes", &report).succeeded();
    let told = seen("inspect APP");
    assert!(
        !told.contains(nothing) && !told.contains("changed"),
        "{told}"
    );
    app(&home, "report", asks_nothing);
    let changed = "changed     it no longer asks for";
    let told = seen("inspect APP");
    assert_eq!(told.matches(changed).count(), 2, "{told}");

    let key = home.path().join("away.key");
    std::fs::rename(home.key_file(), &key).unwrap();
    let told = seen("inspect APP");
    assert!(
        told.contains("asks for    nothing") && told.contains("not looked for, which takes a key"),
        "{told}"
    );
    assert!(!told.contains(nothing) && !told.contains(changed), "{told}");
    let told: serde_json::Value = serde_json::from_str(&seen("inspect APP --output json")).unwrap();
    assert_eq!(told["looked_for_last_granted"], false);
    assert_eq!(told["last_granted"], serde_json::Value::Null);
    let told = seen(&format!("inspect APP --key-file {}", key.display()));
    assert_eq!(told.matches(changed).count(), 2, "{told}");
    // Whoever names a key means it.
    leyden(&home, "inspect APP --key-file /not/there", &report).ended_with(77);
    // In a component's folder there may be anything: nothing of that is told.
    let told = leyden(&home, "inspect APP", &guest("env-p1")).succeeded();
    assert!(!told.stdout.contains("granted"), "{told:?}");
}

#[test]
fn what_a_run_refuses_is_not_shown_as_granted() {
    let home = Home::with_my_secret();
    let refused_for = |app: &Path, why: &str, help: &str| {
        let seen = leyden(&home, "inspect APP", app).succeeded().stdout;
        assert!(seen.contains(&format!(": not granted: {why}")), "{seen}");
        let seen = leyden(&home, "inspect APP --output json", app).succeeded();
        let seen: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
        assert_eq!(seen["granted"], false);
        refused(&home, app).says(&[why, help]);
    };
    let report = app(&home, "report", MANIFEST);
    leyden(&home, "trust APP --yes", &report).succeeded();
    home.run(["secret", "expire", "my-secret", "--expires", "now"])
        .succeeded();
    refused_for(
        &report,
        "version 1 expired at",
        "leyden secret set my-secret",
    );
    let mut set = home.leyden();
    run(set.args(["secret", "set", "my-secret"]), b"some-value 2").succeeded();
    runs(&home, &report);
    for (version, why, help) in [
        (
            "@1",
            "version 1 expired at",
            "leyden secret expire my-secret@1 --never",
        ),
        (
            "@9",
            "there is no version 9; there are 1 to 2",
            "to allow it: --secret A=my-secret\n",
        ),
    ] {
        let pinned = MANIFEST.replace("my-secret", &format!("my-secret{version}"));
        let pinned = app(&home, version, &pinned);
        leyden(&home, "trust APP --yes", &pinned).succeeded();
        refused_for(&pinned, why, help);
    }

    let folder = app(
        &home,
        "folder",
        &MANIFEST.replace("\"report\"", "\"other\""),
    );
    leyden(&home, "trust APP --folder --yes", &folder).succeeded();
    runs(&home, &folder);
    let open = std::fs::Permissions::from_mode(0o777);
    std::fs::set_permissions(&folder, open).unwrap();
    let why = "its grant to the folder does not hold";
    refused_for(&folder, why, "others may write to (mode 777); chmod go-w");
    let seen = leyden(&home, "inspect APP", &folder).succeeded().stdout;
    assert_eq!(seen.matches(why).count(), 2, "{seen}");
    let log = home.run(["audit", "list", "--output", "json"]).succeeded();
    for reason in ["expired", "no-such-version", "open-folder"] {
        let reason = format!("\"reason\":\"{reason}\"");
        assert!(log.stdout.contains(&reason), "{reason}: {log:#?}");
    }
}

#[test]
fn an_app_is_inspected_where_the_store_is_damaged_and_that_is_told() {
    let home = Home::with_my_secret();
    let report = app(&home, "report", MANIFEST);
    leyden(&home, "trust APP --yes", &report).succeeded();
    let database = rusqlite::Connection::open(home.store()).unwrap();
    let damage = "UPDATE head SET body = replace(body, 'my-secret', 'My-secret')";
    assert!(database.execute(damage, ()).unwrap() > 0);
    let seen = leyden(&home, "inspect APP", &report).ended_with(77);
    for words in [
        "digest      sha256:",
        "wasi:cli/environment@",
        "api.example.com",
        "has been tampered with or is damaged",
        "in this folder: not known, because the store is damaged",
    ] {
        assert!(seen.stdout.contains(words), "{words}: {seen:#?}");
    }
    seen.says(&["restore a backup"]);
}

#[test]
fn an_app_is_inspected_where_no_key_can_be_had_and_its_grants_are_not_known() {
    let home = Home::with_my_secret();
    let report = app(&home, "report", MANIFEST);
    leyden(&home, "trust APP --yes", &report).succeeded();
    std::fs::remove_file(home.key_file()).unwrap();
    let seen = leyden(&home, "inspect APP", &report).succeeded().stdout;
    for words in [
        "digest      sha256:",
        "api.example.com",
        "wasi:cli/environment@",
        "not known: the store cannot be opened: nothing opens",
        "not looked for, which takes a key",
    ] {
        assert!(seen.contains(words), "{words}: {seen}");
    }
    assert!(!seen.contains("not granted"), "{seen}");
    let seen = leyden(&home, "inspect APP --output json", &report).succeeded();
    let seen: serde_json::Value = serde_json::from_str(&seen.stdout).unwrap();
    for granted in [&seen["granted"], &seen["requests"][0]["granted"]] {
        assert_eq!(granted, &serde_json::Value::Null, "{seen}");
    }
    // Whoever names a key means it.
    for words in ["inspect APP --ask-key", "inspect APP --key-file /not/there"] {
        leyden(&home, words, &report).ended_with(77);
    }
}
