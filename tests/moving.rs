//! Secrets on the move: imported from other tools, backed up, restored.

use std::os::unix::ffi::OsStrExt as _;

use crate::support::{Home, Ran, guest, run};

fn file(home: &Home, name: &str, text: &str) -> String {
    let path = home.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn reveal(home: &Home, name: &str) -> String {
    home.run(["secret", "reveal", name, "--yes"])
        .succeeded()
        .stdout
}

#[test]
fn secrets_are_imported_from_every_kind_of_file_as_they_are() {
    for (name, text) in [
        (".env", "# c\nAPI_TOKEN=a=b $HOME\nDB=x\n"),
        ("s.json", "{\"API_TOKEN\": \"a=b $HOME\", \"DB\": \"x\"}"),
        ("s.yaml", "API_TOKEN: a=b $HOME\nDB: \"x\"\n"),
    ] {
        let home = Home::new();
        let from = file(&home, name, text);
        let planned = home
            .run(["secret", "import", &from, "--dry-run"])
            .succeeded();
        assert!(planned.stdout.contains("create"), "{planned:#?}");
        let told = planned.stdout.contains("create: its `$` is kept");
        assert_eq!(told, name == ".env", "{planned:#?}");
        assert!(!home.store().exists(), "a dry run makes nothing");
        home.run(["secret", "import", &from])
            .succeeded()
            .never_shows("a=b");
        assert_eq!(reveal(&home, "api-token"), "a=b $HOME", "{name}");
        assert_eq!(reveal(&home, "db"), "x");
        home.run(["secret", "import", &from])
            .ended_with(2)
            .says(&["--set-existing"]);
        home.run(["secret", "import", &from, "--set-existing"])
            .succeeded();
        assert_eq!(reveal(&home, "db@2"), "x");
    }
    let home = Home::new();
    file(&home, "dir/TOKEN", "line\n");
    let folder = file(&home, "dir/.hidden", "x").replace(".hidden", "");
    home.run(["secret", "import", &folder, "--prefix", "ci-"])
        .succeeded();
    assert_eq!(reveal(&home, "ci-token"), "line\n");
    home.run(["secret", "show", "ci-.hidden"]).ended_with(2);
    let mut piped = home.leyden();
    piped.args(["secret", "import", "-", "--format", "json"]);
    run(&mut piped, b"{\"P\": \"q\"}").succeeded();
    assert_eq!(reveal(&home, "p"), "q");
}

#[test]
fn an_imported_folder_follows_links_and_tells_what_it_skips() {
    let home = Home::new();
    // As Kubernetes mounts secrets.
    file(&home, "dir/..1/TOKEN", "x");
    let folder = home.path().join("dir");
    let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, folder.join(at)).unwrap();
    link("..1", "..data");
    link("..data/TOKEN", "TOKEN");
    let import = |options: &[&str]| {
        let words = ["secret", "import", folder.to_str().unwrap()];
        home.run([&words[..], options].concat())
    };
    let skipped = "skip: its name begins with a dot";
    for options in [&["--dry-run"][..], &[]] {
        let told = import(options).succeeded().stdout;
        assert_eq!(told.matches(skipped).count(), 2, "{told}");
        assert!(
            told.contains("..data ") && told.contains("1 byte "),
            "{told}"
        );
    }
    assert_eq!(reveal(&home, "token"), "x");
    let told = import(&["--set-existing", "--output", "json"]).succeeded();
    let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(
        (&told[0]["name"], &told[0]["version"]),
        (&"token".into(), &2.into())
    );
    let expected = serde_json::json!({
        "from": "..1", "name": null, "does": "skip", "reason": "its name begins with a dot",
    });
    assert_eq!(told[1], expected);
    for (to, said) in [
        ("nowhere", "more is a link that leads to no file"),
        ("..1", "more is a link to something that is no regular file"),
    ] {
        link(to, "more");
        for options in [&["--dry-run"][..], &["--set-existing"]] {
            import(options).ended_with(2).says(&[said]);
        }
        std::fs::remove_file(folder.join("more")).unwrap();
    }
    std::fs::remove_file(folder.join("TOKEN")).unwrap();
    import(&[]).ended_with(2).says(&["..1, ..data"]);
    let not_text = std::ffi::OsStr::from_bytes(b"caf\xe9\n");
    std::fs::write(folder.join(not_text), "x").unwrap();
    import(&[])
        .ended_with(2)
        .says(&["/caf\\xE9\\n\" has a name that is not UTF-8"]);
}

#[test]
fn a_lossy_import_imports_nothing_and_shows_no_value() {
    let home = Home::with_my_secret();
    for (name, text) in [
        ("a.env", "GOOD=x\nBAD=\"hunter2\"\n"),
        ("b.env", "GOOD=x\nBAD=hunter2 # of production\n"),
        ("a.json", "{\"GOOD\": \"hunter2\", \"BAD\": 1}"),
        ("a.yaml", "GOOD: hunter2\nBAD: [hunter2]\n"),
        (
            "b.json",
            "{\"GOOD\": \"hunter2\", \"my_secret\": \"hunter2\"}",
        ),
        ("c.txt", "GOOD=hunter2\n"),
    ] {
        let from = file(&home, name, text);
        home.run(["secret", "import", &from])
            .ended_with(2)
            .never_shows("hunter2");
        home.run(["secret", "show", "good"]).ended_with(77);
    }
    // A line's place is told once.
    let from = file(&home, "d.env", "GOOD=x\nhunter2\n");
    let told = home.run(["secret", "import", &from]).ended_with(2);
    assert!(told.stderr.contains("d.env:2: there is no"), "{told:?}");
    assert_eq!(told.stderr.matches("d.env").count(), 1, "{told:?}");
}

#[test]
fn a_backup_is_written_restored_and_refused_when_damaged() {
    let home = Home::with_my_secret();
    let backup = home.path().join("backup.db");
    let to = backup.to_str().unwrap();
    home.run(["store", "backup", to]).succeeded();
    let bytes = std::fs::read(&backup).unwrap();
    let there = format!("there is a file {to} already");
    for words in [
        ["store", "backup", to].as_slice(),
        &["key", "add", "x", "--key-file-to", to],
    ] {
        home.run(words).ended_with(2).says(&[&there]);
    }
    assert_eq!(std::fs::read(&backup).unwrap(), bytes);
    assert!(!bytes.windows(10).any(|window| window == b"some-value"));
    home.run(["secret", "delete", "my-secret", "--now", "--yes"])
        .succeeded();
    home.create_secret("late", "x");
    home.run(["store", "restore", to])
        .ended_with(2)
        .says(&["--yes"]);

    let mut bad = bytes.clone();
    let at = bad
        .windows(9)
        .rposition(|window| window == b"my-secret")
        .unwrap();
    bad[at] ^= 1;
    let damaged = file(&home, "damaged.db", "");
    std::fs::write(&damaged, bad).unwrap();
    home.run(["store", "restore", &damaged, "--yes"])
        .ended_with(77);
    assert_eq!(reveal(&home, "late"), "x");

    home.run(["store", "restore", to, "--yes"]).succeeded();
    let arguments = ["--secret", "MY_APP_SECRET=my-secret", "--env", "FOO=bar"];
    home.run_app(&guest("hello"), &arguments).succeeded();
    home.run(["secret", "show", "late"]).ended_with(77);
    home.run(["audit", "verify"]).succeeded();
    home.run(["store", "upgrade"]).succeeded();
}

#[test]
fn a_backup_at_a_second_path_takes_the_place_of_the_first_and_says_so() {
    let home = Home::with_my_secret();
    home.run(["store", "backup", "backup.db"]).succeeded();
    let told = "counts as rolled back from now on";
    let over = home.run(["store", "restore", "backup.db", "--yes"]);
    over.succeeded().never_shows(told);
    home.create_secret("late", "x");
    std::fs::create_dir(home.path().join("second")).unwrap();
    let second = ["--store", "second/store.db"];
    home.run(second.iter().chain(&["store", "restore", "backup.db"]))
        .succeeded()
        .says(&[told]);
    home.run(second.iter().chain(&["secret", "list"]))
        .succeeded();
    home.run(["secret", "list"]).ended_with(77).says(&[
        "restored a backup of it at another path",
        "--accept-rollback",
    ]);
    home.run(["secret", "list", "--accept-rollback"])
        .succeeded();
    assert_eq!(reveal(&home, "late"), "x");
    home.run(second.iter().chain(&["secret", "list"]))
        .ended_with(77);
}

#[test]
fn a_backup_that_somebody_looks_at_as_a_store_stays_a_backup() {
    let home = Home::with_my_secret();
    let folder = home.path().join("backups");
    std::fs::create_dir(&folder).unwrap();
    let backup = folder.join("backup.db");
    let file = backup.to_str().unwrap();
    let again = format!("store backup {}", folder.join("again.db").display());
    home.run(["store", "backup", file]).succeeded();
    let bytes = std::fs::read(&backup).unwrap();
    home.create_secret("late", "x");
    for words in [
        "key list",
        "secret list",
        "secret reveal my-secret --yes",
        "secret list --accept-rollback",
        "secret delete my-secret --yes",
        &*again,
    ] {
        home.run(["--store", file].into_iter().chain(words.split(' ')))
            .ended_with(77)
            .says(&["it is a backup", "leyden store restore"]);
    }
    assert_eq!(std::fs::read(&backup).unwrap(), bytes);
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    // The store is none the worse for it.
    assert_eq!(reveal(&home, "late"), "x");
    home.run(["store", "restore", file, "--yes"]).succeeded();
    assert_eq!(reveal(&home, "my-secret"), "some-value");
}

#[test]
fn what_is_wrong_with_a_backup_is_told_of_the_file_that_was_named() {
    let home = Home::with_my_secret();
    let good = home.path().join("good.db");
    home.run(["store", "backup", good.to_str().unwrap()])
        .succeeded();
    let bytes = std::fs::read(&good).unwrap();
    let mut newer = bytes.clone();
    // The database header's user version (https://www.sqlite.org/fileformat2.html).
    newer[63] = 99;
    let mut damaged = bytes.clone();
    let name = damaged
        .windows(9)
        .rposition(|at| at == b"my-secret")
        .unwrap();
    damaged[name] ^= 1;
    let written = |name: &str, bytes: &[u8]| {
        let path = file(&home, name, "");
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (backup, status, said) in [
        (written("empty.db", b""), 77, "leyden store backup"),
        (
            written("text.db", b"a shopping list"),
            77,
            "leyden store backup",
        ),
        (
            written("half.db", &bytes[..bytes.len() / 2]),
            77,
            "restore another one",
        ),
        (written("damaged.db", &damaged), 77, "restore another one"),
        (written("newer.db", &newer), 77, "restore it with that one"),
        (
            home.path().join("absent.db").to_str().unwrap().to_owned(),
            2,
            "leyden store backup",
        ),
        (
            home.path().to_str().unwrap().to_owned(),
            2,
            "leyden store backup",
        ),
    ] {
        let ran = home.run(["store", "restore", &backup, "--yes"]);
        ran.ended_with(status)
            .says(&[&backup, said])
            .never_shows(".restored")
            .never_shows("secret create");
    }
    let other = Home::with_my_secret();
    let ran = other.run(["store", "restore", good.to_str().unwrap(), "--yes"]);
    ran.ended_with(77)
        .says(&["good.db does not open", "give a key"]);
    assert_eq!(reveal(&home, "my-secret"), "some-value");
}

#[test]
fn a_backup_is_restored_from_where_modes_are_not_kept() {
    let home = Home::with_my_secret();
    let backup = home.path().join("backup.db");
    let file = backup.to_str().unwrap();
    home.run(["store", "backup", file]).succeeded();
    std::fs::set_permissions(&backup, std::os::unix::fs::PermissionsExt::from_mode(0o644)).unwrap();
    home.run(["store", "restore", file, "--yes"]).succeeded();
    let revealed = home.run(["secret", "reveal", "my-secret", "--yes"]);
    assert_eq!(revealed.succeeded().stdout, "some-value");
    let mode = std::os::unix::fs::MetadataExt::mode(&home.store().metadata().unwrap());
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn commands_beside_rotations_of_the_root_key_raise_no_false_alarm() {
    let home = Home::with_my_secret();
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..12 {
                home.run(["key", "rotate", "--root", "--yes"]).succeeded();
            }
            over.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        while !over.load(std::sync::atomic::Ordering::Relaxed) {
            let listed = home.run(["secret", "list"]);
            // It may have changed between opening the store and reading it.
            let changed = listed.stderr.contains("as after a change of its root key");
            assert!(
                changed || listed.stdout.contains("my-secret"),
                "{listed:#?}"
            );
        }
    });
}

#[test]
fn an_import_tells_how_many_old_versions_it_destroys() {
    let home = Home::with_my_secret();
    let mut set = home.leyden();
    run(
        set.args(["secret", "set", "my-secret", "--keep", "2"]),
        b"two",
    )
    .succeeded();
    let from = file(
        &home,
        "s.json",
        "{\"MY_SECRET\": \"three\", \"NEW\": \"x\"}",
    );
    let import = |options: &[&str]| {
        let words = ["secret", "import", &from, "--set-existing"];
        home.run([&words[..], options].concat()).succeeded()
    };
    let destroys = |ran: &Ran| {
        let told: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        [&told[0], &told[1]].map(|told| told["destroys"].as_u64().unwrap())
    };
    let planned = import(&["--dry-run"]).says(&["1 older version would be destroyed"]);
    assert!(
        planned.stdout.contains("set, destroying 1 older version"),
        "{planned:?}"
    );
    assert_eq!(
        destroys(&import(&["--dry-run", "--output", "json"])),
        [1, 0]
    );
    assert_eq!(reveal(&home, "my-secret@1"), "some-value");
    let done = import(&["--output", "json"]).says(&["1 older version destroyed"]);
    assert_eq!(destroys(&done), [1, 0]);
    home.run(["secret", "reveal", "my-secret@1", "--yes"])
        .ended_with(2);
    let done = import(&[]).says(&["1 older version destroyed: no more are kept"]);
    assert!(
        done.stdout.contains("set, destroying 1 older version"),
        "{done:?}"
    );
}

#[test]
fn what_cannot_be_imported_is_told_in_one_line() {
    let home = Home::new();
    let odd = file(&home, "s.json", "{\"A\\nB\": \"x\"}");
    file(&home, "odd/a\nb", "x");
    file(&home, "dots/.a\nb", "x");
    for (from, said) in [
        (&*odd, "A\\nB"),
        ("odd", "a\\nb"),
        ("dots", ".a\\nb"),
        ("a\nb.json", "a\\nb.json"),
        // Its name says nothing either.
        ("nope", "cannot read nope: No such file"),
    ] {
        let told = home.run(["secret", "import", from, "--dry-run"]);
        let told = told.ended_with(2).says(&[said]);
        assert_eq!(told.stderr.lines().count(), 1, "{told:?}");
    }
}

#[test]
fn a_backup_into_a_folder_that_is_not_there_says_so() {
    let home = Home::with_my_secret();
    home.run(["store", "backup", "nope/x.db"])
        .ended_with(2)
        .says(&["there is no folder nope"]);
    home.run(["store", "backup", "x.db"]).succeeded();
}
