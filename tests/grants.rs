//! Standing grants end to end: what an app asks for, is trusted with, and must not get.

mod inspected;

use std::path::{Path, PathBuf};

use crate::support::{Home, Ran, guest, run};

const MANIFEST: &str = "name = \"report\"\n[flow]\ncomponent = \"flow.wasm\"\n\
    hosts = [\"api.example.com\"]\n[secrets]\nA = \"my-secret\"\n";

fn app(home: &Home, folder: &str, manifest: &str) -> PathBuf {
    let folder = home.path().join(folder);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("leyden.toml"), manifest).unwrap();
    std::fs::copy(guest("env-p2"), folder.join("flow.wasm")).unwrap();
    folder
}

fn leyden(home: &Home, words: &str, app: &Path) -> Ran {
    let words = words.split(' ').map(|word| match word {
        "APP" => app.to_str().unwrap(),
        word => word,
    });
    home.run(words)
}

fn runs(home: &Home, app: &Path) {
    let ran = home.run_app(app, &[]).succeeded();
    assert!(ran.stdout.contains("A=some-value"), "{ran:#?}");
}

fn refused(home: &Home, app: &Path) -> Ran {
    let ran = home.run_app(app, &[]).ended_with(77);
    assert_eq!(ran.stdout, "", "no guest code ran");
    ran.never_shows("some-value")
}

#[test]
fn g3_an_app_runs_once_it_is_trusted_and_not_when_it_has_changed() {
    let home = Home::with_my_secret();
    let report = app(&home, "report", MANIFEST);
    let trust = format!("leyden trust {}", report.canonicalize().unwrap().display());
    refused(&home, &report).says(&["--secret A=my-secret", &trust]);
    let hint = format!("to grant all of it: {trust}\n");
    let seen = leyden(&home, "inspect APP", &report).succeeded().stdout;
    assert!(seen.ends_with(&hint), "{seen}");
    leyden(&home, "trust APP", &report)
        .ended_with(2)
        .says(&["my-secret", "api.example.com", "--yes"])
        .never_shows("to grant all of it");
    refused(&home, &report);
    leyden(&home, "trust APP --yes", &report).succeeded();
    runs(&home, &report);
    let log = home.run(["audit", "list", "--output", "json"]).succeeded();
    assert!(log.stdout.contains("\"grantee\":\"sha256:"), "{log:#?}");

    // A changed component, and a changed manifest, under the old grant.
    let flow = report.join("flow.wasm");
    std::fs::copy(guest("probe-p2"), &flow).unwrap();
    refused(&home, &report);
    let seen = leyden(&home, "inspect APP", &report).succeeded();
    assert!(
        seen.stdout.contains("the bytes of flow, since"),
        "{seen:#?}"
    );
    std::fs::copy(guest("env-p2"), &flow).unwrap();
    runs(&home, &report);
    let more = MANIFEST.replace("[flow]", "[env]\nX = \"1\"\n[flow]");
    std::fs::write(report.join("leyden.toml"), more).unwrap();
    refused(&home, &report);
    std::fs::write(report.join("leyden.toml"), MANIFEST).unwrap();
    leyden(&home, "trust APP --revoke --yes", &report).succeeded();
    refused(&home, &report);
    // Of its folder, too.
    leyden(&home, "trust APP --folder --yes", &report).succeeded();
    runs(&home, &report);
    leyden(&home, "trust APP --revoke --yes", &report).succeeded();
    refused(&home, &report);
}

#[test]
fn g2_an_app_gets_nothing_by_another_ones_name_folder_or_manifest() {
    let home = Home::with_my_secret();
    home.create_secret("theirs", "their-value");
    let report = app(&home, "report", MANIFEST);
    leyden(&home, "trust APP --yes", &report).succeeded();
    // The same name and the same requests, and another byte somewhere.
    let imitation = app(
        &home,
        "other/report",
        &format!("{MANIFEST}B = \"theirs\"\n"),
    );
    refused(&home, &imitation).never_shows("their-value");
    let named = home.run_app(&imitation, &["--name", "report"]);
    named.ended_with(77).never_shows("some-value");
    // An app that asks for what another one was granted.
    let greedy = app(
        &home,
        "greedy",
        &MANIFEST.replace("\"report\"", "\"greedy\""),
    );
    refused(&home, &greedy);
    // The very same app elsewhere is the same app.
    runs(&home, &app(&home, "copy", MANIFEST));
}

#[test]
fn a_folder_is_trusted_with_whatever_is_in_it_but_not_with_more_than_was_asked() {
    let home = Home::with_my_secret();
    home.create_secret("theirs", "their-value");
    let report = app(&home, "report", MANIFEST);
    leyden(&home, "trust APP --folder --yes", &report).succeeded();
    runs(&home, &report);
    let renamed = MANIFEST.replace("\"report\"", "\"renamed\"");
    std::fs::write(report.join("leyden.toml"), &renamed).unwrap();
    runs(&home, &report);
    std::fs::write(
        report.join("leyden.toml"),
        format!("{renamed}B = \"theirs\"\n"),
    )
    .unwrap();
    refused(&home, &report).says(&["--secret B=theirs"]);
    // Another folder, also one that a link of the trusted one's name leads to.
    let elsewhere = app(&home, "elsewhere", MANIFEST);
    refused(&home, &elsewhere);
    std::fs::rename(&report, home.path().join("away")).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &report).unwrap();
    refused(&home, &report);
}

#[test]
fn a_secret_is_granted_by_name_for_a_time_and_taken_back() {
    let home = Home::with_my_secret();
    let manifest = MANIFEST.replace("hosts = [\"api.example.com\"]\n", "");
    let report = app(&home, "report", &manifest);
    leyden(&home, "secret grant my-secret --app APP --env B", &report).succeeded();
    refused(&home, &report);
    leyden(
        &home,
        "secret grant my-secret --app APP --env A --expires 4s",
        &report,
    )
    .succeeded();
    while home.run_app(&report, &[]).status == 0 {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    refused(&home, &report).says(&["its grant expired at", "--secret A=my-secret"]);
    let seen = leyden(&home, "inspect APP", &report).succeeded();
    assert!(seen.stdout.contains("its grant expired at"), "{seen:#?}");
    // What is restricted is not to be had by `--secret`, which is not what is told then.
    home.run(["secret", "restrict", "my-secret"]).succeeded();
    let told = refused(&home, &report).says(&["its grant expired at", "leyden secret grant my-se"]);
    assert!(!told.stderr.contains("--secret A="), "{told:?}");
    home.run(["secret", "restrict", "my-secret", "--lift"])
        .succeeded();
    leyden(
        &home,
        "secret grant my-secret --app APP --env A --expires 30d",
        &report,
    )
    .succeeded();
    runs(&home, &report);
    let shown = home.run(["secret", "show", "my-secret"]).succeeded();
    assert!(shown.stdout.contains("(report) as A, until"), "{shown:#?}");
    assert!(
        shown.stdout.contains("released    version 1 at"),
        "{shown:#?}"
    );
    leyden(&home, "secret revoke my-secret --app APP --env A", &report).succeeded();
    refused(&home, &report);
    leyden(&home, "secret revoke my-secret --app APP --env A", &report)
        .ended_with(2)
        .says(&["is not granted"]);
    leyden(&home, "secret grant my-secret --app sha256:12", &report).ended_with(2);
}

#[test]
fn a_folders_name_forges_no_line_and_no_command() {
    let home = Home::with_my_secret();
    let report = app(&home, "evil\nasks for    nothing; $(id)", MANIFEST);
    let told = [
        leyden(&home, "inspect APP", &report).succeeded().stdout,
        leyden(&home, "trust APP --folder --yes", &report)
            .succeeded()
            .stdout,
        home.run(["secret", "show", "my-secret"]).succeeded().stdout,
    ];
    for told in &told {
        let mut lines = told.lines();
        assert!(
            !lines.any(|line| line.starts_with("asks for    nothing")),
            "{told}"
        );
    }
    let word = "$'";
    let end = "evil\\U0000000aasks for    nothing; $(id)'";
    let command = told[0].lines().find(|line| line.contains("leyden trust"));
    assert!(
        command.is_some_and(|line| line.contains(word) && line.ends_with(end)),
        "{told:?}"
    );
}

#[test]
fn a_grant_to_a_folder_that_is_no_apps_own_is_asked_about() {
    let home = Home::with_my_secret();
    let report = app(&home, ".", MANIFEST);
    let grants = || home.run(["secret", "show", "my-secret"]).succeeded().stdout;
    for (folder, what) in [
        ("/", "the folder of all folders"),
        (".", "your home folder"),
        ("..", "a folder that your home folder is in"),
    ] {
        let grant = ["secret", "grant", "my-secret", "--folder", folder];
        // Nobody can answer.
        home.run(grant)
            .ended_with(2)
            .says(&[what, "whatever app is put there", "--yes"]);
        assert!(!grants().contains("granted to"), "{folder}");
    }
    let words = "secret grant my-secret --folder / --yes";
    leyden(&home, words, &report).succeeded().says(&["warning"]);
    assert!(grants().contains("folder:/"));
    leyden(&home, "trust APP --folder", &report)
        .ended_with(2)
        .says(&["your home folder"]);
    refused(&home, &report);
    leyden(&home, "trust APP --folder --yes", &report)
        .succeeded()
        .says(&["your home folder"]);
    runs(&home, &report);
    // What is no folder is no folder without an app in it.
    let flow = report.join("flow.wasm");
    for words in [
        "secret grant my-secret --folder APP",
        "secret grant my-secret --folder APP --yes",
    ] {
        let granted = leyden(&home, words, &flow).ended_with(2);
        assert!(!granted.stderr.contains("warning"), "{granted:?}");
        granted.says(&["flow.wasm is no folder", "--app"]);
    }
    // An app's own folder is nothing to ask about.
    let own = app(&home, "own", MANIFEST);
    let words = "secret grant my-secret --folder APP";
    let granted = leyden(&home, words, &own).succeeded();
    assert!(!granted.stderr.contains("warning"), "{granted:?}");
    // It is taken back when it is gone, too.
    std::fs::remove_dir_all(&own).unwrap();
    let words = "secret revoke my-secret --folder APP";
    leyden(&home, words, &own).succeeded();
    leyden(&home, words, &own)
        .ended_with(2)
        .says(&["is not granted"]);
}

#[test]
fn what_was_granted_of_a_deleted_secret_does_not_come_back_with_it() {
    let home = Home::with_my_secret();
    let report = app(&home, "report", MANIFEST);
    for (words, told) in [
        (
            "trust APP --revoke --yes",
            "`my-secret` as A, which was deleted",
        ),
        ("secret revoke my-secret --app APP", ""),
    ] {
        leyden(&home, "trust APP --yes", &report).succeeded();
        runs(&home, &report);
        home.run(["secret", "delete", "my-secret", "--yes"])
            .succeeded();
        leyden(&home, words, &report).succeeded().says(&[told]);
        home.run(["secret", "restore", "my-secret"]).succeeded();
        refused(&home, &report).says(&["--secret A=my-secret"]);
    }
}

#[test]
fn what_was_granted_to_a_folder_is_taken_back_whatever_is_there_now() {
    let home = Home::with_my_secret();
    std::fs::create_dir(home.path().join("real")).unwrap();
    std::os::unix::fs::symlink("real", home.path().join("link")).unwrap();
    let report = home.path().join("link/report");
    for (now, status) in [
        ("gone", 127),
        ("a file", 126),
        ("empty", 126),
        ("broken", 126),
        ("without its component", 126),
    ] {
        app(&home, "link/report", MANIFEST);
        leyden(&home, "trust APP --folder --yes", &report).succeeded();
        runs(&home, &report);
        match now {
            "broken" => std::fs::write(report.join("leyden.toml"), "name = 1").unwrap(),
            "without its component" => std::fs::remove_file(report.join("flow.wasm")).unwrap(),
            _ => std::fs::remove_dir_all(&report).unwrap(),
        }
        match now {
            "a file" => std::fs::write(&report, "text").unwrap(),
            "empty" => std::fs::create_dir(&report).unwrap(),
            _ => {}
        }
        leyden(&home, "trust APP --revoke --yes", &report)
            .ended_with(status)
            .says(&["nothing was taken back", "--folder"]);
        let asked = leyden(&home, "trust APP --revoke --folder", &report).ended_with(2);
        asked.says(&["no app", "to reach api.example.com", "--yes"]);
        let revoked = leyden(&home, "trust APP --revoke --folder --yes", &report).succeeded();
        let real = home.path().canonicalize().unwrap().join("real/report");
        let expected = format!("revoked 2 grants to folder:{}\n", real.display());
        assert_eq!(revoked.stdout, expected, "{now}");
        if now == "a file" {
            std::fs::remove_file(&report).unwrap();
        }
        app(&home, "link/report", MANIFEST);
        refused(&home, &report).says(&["--secret A=my-secret", "--allow-host api.example.com"]);
    }
    // What was granted before a link was put there is meant by the folder's name, too.
    app(&home, "link/report", MANIFEST);
    leyden(&home, "trust APP --folder --yes", &report).succeeded();
    let aside = home.path().join("aside");
    let secret = format!("secret revoke my-secret --folder {}/.", report.display());
    for by_secret in [false, true] {
        std::fs::rename(&report, &aside).unwrap();
        std::fs::create_dir_all(home.path().join("else")).unwrap();
        std::os::unix::fs::symlink(home.path().join("else"), &report).unwrap();
        let real = home.path().join("real/report");
        match by_secret {
            false => leyden(&home, "trust APP --revoke --folder --yes", &real),
            true => leyden(&home, &secret.replace("link", "real"), &real),
        }
        .succeeded();
        std::fs::remove_file(&report).unwrap();
        std::fs::rename(&aside, &report).unwrap();
        refused(&home, &report);
        leyden(&home, "trust APP --folder --yes", &report).succeeded();
    }
    // By its manifest, too, and from within.
    leyden(&home, "trust APP --folder --yes", &report).succeeded();
    std::fs::remove_file(report.join("flow.wasm")).unwrap();
    let mut within = home.leyden();
    within.current_dir(&report);
    within.args("trust leyden.toml --revoke --folder --yes".split(' '));
    let revoked = run(&mut within, b"").succeeded();
    assert!(revoked.stdout.contains("revoked 2 grants"), "{revoked:#?}");
}

#[test]
fn g2_a_folder_whose_path_is_no_text_is_not_granted_to() {
    use std::os::unix::ffi::OsStrExt as _;
    let home = Home::with_my_secret();
    let [odd, other] = [&b"odd-\xff"[..], "odd-\u{fffd}".as_bytes()].map(|name| {
        let folder = home.path().join(std::ffi::OsStr::from_bytes(name));
        std::fs::rename(app(&home, "app", MANIFEST), &folder).unwrap();
        folder
    });
    for (before, after) in [
        ("trust", vec!["--folder", "--yes"]),
        ("trust", vec!["--folder", "--revoke", "--yes"]),
        ("secret grant my-secret --folder", vec!["--yes"]),
        ("secret revoke my-secret --folder", vec![]),
    ] {
        let mut command = home.leyden();
        command.args(before.split(' ')).arg(&odd).args(after);
        run(&mut command, b"").ended_with(2).says(&["is not UTF-8"]);
    }
    // Nor does what is granted to the folder of its replaced name count for it.
    leyden(&home, "trust APP --folder --yes", &other).succeeded();
    runs(&home, &other);
    refused(&home, &odd);
    // Its digest can be.
    let mut command = home.leyden();
    command.arg("trust").arg(&odd).arg("--yes");
    run(&mut command, b"").succeeded();
    runs(&home, &odd);
    let mut command = home.leyden();
    command.arg("trust").arg(&odd).args(["--revoke", "--yes"]);
    run(&mut command, b"").succeeded();
    refused(&home, &odd);
}

#[test]
fn grants_are_taken_back_beside_a_damaged_secret() {
    let home = Home::with_my_secret();
    home.create_secret("damaged", "x");
    let report = app(&home, "report", MANIFEST);
    leyden(&home, "trust APP --yes", &report).succeeded();
    runs(&home, &report);
    let database = rusqlite::Connection::open(home.store()).unwrap();
    let damage =
        "UPDATE head SET body = replace(body, '\"name\":\"damaged\"', '\"name\":\"Damaged\"')";
    database.execute(damage, []).unwrap();
    drop(database);
    let revoked = leyden(&home, "trust APP --revoke --yes", &report).ended_with(77);
    assert!(
        revoked.stdout.contains("revoked 2 grants to sha256:"),
        "{revoked:#?}"
    );
    revoked.says(&[
        "`damaged` by its own words",
        "restore a backup",
        "could not be read",
    ]);
    refused(&home, &report).says(&["--secret A=my-secret", "--allow-host api.example.com"]);
}

#[test]
fn a_restricted_secret_is_bound_by_a_grant_to_the_digest_alone() {
    let home = Home::with_my_secret();
    home.run(["secret", "restrict", "my-secret"]).succeeded();
    let bare = guest("env-p2");
    let by_hand = || home.run_app(&bare, &["--secret", "A=my-secret"]);
    by_hand()
        .ended_with(77)
        .says(&["restricted", "leyden secret grant my-secret --app sha256:"])
        .never_shows("some-value");
    leyden(&home, "secret grant my-secret --app APP --env A", &bare).succeeded();
    assert!(by_hand().succeeded().stdout.contains("A=some-value"));
    let other = guest("env-p1");
    let other = home.run_app(&other, &["--secret", "A=my-secret"]);
    other.ended_with(77).never_shows("some-value");
    home.run(["secret", "restrict", "my-secret", "--lift"])
        .succeeded();
    assert!(by_hand().succeeded().stdout.contains("A=some-value"));
}

#[test]
fn a_refused_request_is_in_the_audit_log_and_says_what_would_help() {
    let home = Home::with_my_secret();
    let report = app(&home, "report", MANIFEST);
    refused(&home, &report).says(&["--secret A=my-secret"]);
    let list = ["audit", "list", "--outcome", "denied", "--output", "json"];
    let log = home.run(list).succeeded();
    assert!(
        log.stdout.contains("\"reason\":\"not-granted\""),
        "{log:#?}"
    );
    assert!(log.stdout.contains("\"secret\":\"my-secret\""), "{log:#?}");

    leyden(&home, "trust APP --yes", &report).succeeded();
    home.run(["secret", "delete", "my-secret", "--yes"])
        .succeeded();
    let deleted = refused(&home, &report)
        .says(&["the secret was deleted", "leyden secret restore my-secret"]);
    // Grants would not help.
    assert!(!deleted.stderr.contains("leyden trust"), "{deleted:#?}");
    home.run(["secret", "restore", "my-secret"]).succeeded();
    runs(&home, &report);

    leyden(&home, "trust APP --revoke --yes", &report).succeeded();
    home.run(["secret", "restrict", "my-secret"]).succeeded();
    let by_digest = format!(
        "leyden secret grant my-secret --app {} --env A",
        report.canonicalize().unwrap().display()
    );
    refused(&home, &report).says(&["is restricted", &by_digest]);
    // What could never work is not granted.
    let folder = format!("secret grant my-secret --folder {}", report.display());
    for (words, says) in [
        ("trust APP --folder --yes", "is restricted"),
        (&*folder, "is restricted"),
        (
            "secret grant my-secret --app APP --expires 0s",
            "not in the future",
        ),
    ] {
        leyden(&home, words, &report).ended_with(2).says(&[says]);
    }
    leyden(&home, "trust APP --yes", &report).succeeded();
    runs(&home, &report);

    let missing = MANIFEST.replace("my-secret", "my-secrets");
    let report = app(&home, "missing", &missing);
    refused(&home, &report).says(&[
        "there is no such secret (did you mean `my-secret`?)",
        "leyden secret create my-secrets",
    ]);
    let log = home.run(list).succeeded();
    assert!(log.stdout.contains("\"reason\":\"not-found\""), "{log:#?}");
    assert!(!log.stdout.contains("my-secrets"), "{log:#?}");
}
