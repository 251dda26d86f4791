//! A folder with `leyden.toml`: what it asks for is given only by the operator.

use std::path::PathBuf;

use crate::support::{Home, guest};

fn app(home: &Home, manifest: &str) -> PathBuf {
    let folder = home.path().join("app");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(guest("env-p2"), folder.join("flow.wasm")).unwrap();
    std::fs::write(folder.join("leyden.toml"), manifest).unwrap();
    folder
}

#[test]
fn g2_a_manifest_only_asks() {
    let home = Home::with_my_secret();
    let folder = app(
        &home,
        "name = \"asks\"\n[flow]\ncomponent = \"flow.wasm\"\nhosts = [\"api.example.com\"]\n\
         [env]\nFOO = \"from the manifest\"\n[secrets]\nMY_APP_SECRET = \"my-secret\"\n",
    );
    let secret = "--secret MY_APP_SECRET=my-secret";
    let host = "--allow-host api.example.com";
    let ran = home
        .run_app(&folder, &[])
        .ended_with(77)
        .says(&[secret, host]);
    assert_eq!(ran.stdout, "");
    let ran = home
        .run_app(&folder, &["--secret", "MY_APP_SECRET=my-secret"])
        .ended_with(77)
        .says(&[host]);
    assert!(!ran.stderr.contains(secret), "{ran:?}");
    let given = [
        "--secret",
        "MY_APP_SECRET=my-secret",
        "--allow-host",
        "api.example.com",
    ];
    let ran = home.run_app(&folder, &given).succeeded();
    assert!(
        ran.stdout
            .contains("FOO=from the manifest\nMY_APP_SECRET=some-value\n")
    );
    let mut overriding = given.to_vec();
    overriding.extend(["--env", "FOO=from the line"]);
    let ran = home.run_app(&folder, &overriding).succeeded();
    assert!(ran.stdout.contains("FOO=from the line\n"), "{ran:?}");
    let audit = home.run(["audit", "list"]).succeeded().stdout;
    assert!(audit.contains("asks"), "{audit}");
}

#[test]
fn a_bad_manifest_is_told_with_its_place() {
    let home = Home::new();
    for (manifest, words) in [
        ("", &["leyden.toml", "flow"][..]),
        (
            "[flow]\ncomponnent = \"flow.wasm\"",
            &["leyden.toml:2", "did you mean `component`"],
        ),
        ("[flow]\ncomponent = \"absent.wasm\"", &["absent.wasm"]),
        ("[flow]\ncomponent = \"../flow.wasm\"", &["leyden.toml:2"]),
        ("[flow]\ncomponent = \"/flow.wasm\"", &["leyden.toml:2"]),
        ("[flow", &["leyden.toml:1"]),
        ("\u{0}\u{1}", &["leyden.toml"]),
        (
            "[flow]\ncomponent = \"flow.wasm\"\ntimeout = \"soon\"",
            &["leyden.toml:3"],
        ),
    ] {
        let folder = app(&home, manifest);
        let ran = home.run_app(&folder, &[]).ended_with(126).says(words);
        assert!(!ran.stderr.contains("panicked"), "{ran:?}");
    }
}

#[test]
fn g3_a_works_bad_secret_refuses_the_whole_app() {
    let home = Home::with_my_secret();
    let folder = app(
        &home,
        "[flow]\ncomponent = \"flow.wasm\"\n[works.train]\ncomponent = \"flow.wasm\"\n",
    );
    let ran = home
        .run_app(
            &folder,
            &["--secret", "A=my-secret", "--secret", "train:B=absent"],
        )
        .ended_with(77)
        .says(&["train", "absent"]);
    assert_eq!(ran.stdout, "");
    let ran = home
        .run_app(
            &folder,
            &["--secret", "A=my-secret", "--secret", "train:B=my-secret"],
        )
        .succeeded();
    assert_eq!(ran.stdout.lines().next(), Some("A=some-value"));
    assert!(!ran.stdout.contains("B="), "{ran:?}");
    let shows_store = format!("train:{}", home.path().display());
    home.run_app(&folder, &["--dir", &shows_store])
        .ended_with(2);
}

#[test]
fn limits_of_the_manifest_hold() {
    let home = Home::new();
    let folder = app(
        &home,
        "[flow]\ncomponent = \"flow.wasm\"\ntimeout = \"200ms\"\nmemory = \"32MiB\"\n",
    );
    std::fs::copy(guest("probe-p2"), folder.join("flow.wasm")).unwrap();
    home.run_app(&folder, &["--", "loop"]).ended_with(124);
    home.run_app(&folder, &["--timeout", "1m", "--", "alloc"])
        .ended_with(134)
        .says(&["32"]);
}
