//! Folders given to a guest: read-only or not, and never one that shows the store or the key.

use crate::support::{Home, guest};

#[test]
fn g9_no_folder_is_seen_until_it_is_given() {
    let home = Home::new();
    let data = home.path().join("shared");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("a.txt"), "text").unwrap();
    let file = data.join("a.txt").display().to_string();
    for name in ["probe-p1", "probe-p2"] {
        let app = guest(name);
        let ran = home.run_app(&app, &["--", "cat", &file]);
        assert_ne!(ran.status, 0, "{ran:?}");
        let rule = format!("{}::/data", data.display());
        let ran = home
            .run_app(&app, &["--dir", &rule, "--", "cat", "/data/a.txt"])
            .succeeded();
        assert_eq!(ran.stdout, "text");
        home.run_app(
            &app,
            &["--dir", &rule, "--", "write-file", "/data/b.txt", "new"],
        )
        .succeeded();
        assert_eq!(std::fs::read(data.join("b.txt")).unwrap(), b"new");

        let read_only = format!("{rule}:ro");
        let ran = home.run_app(
            &app,
            &["--dir", &read_only, "--", "write-file", "/data/c.txt", "x"],
        );
        assert_ne!(ran.status, 0, "{ran:?}");
        assert!(!data.join("c.txt").exists());
        // No way out of the folder.
        for out in ["/data/../../secret", "../other/a.txt"] {
            let ran = home.run_app(&app, &["--dir", &rule, "--", "cat", out]);
            assert_ne!(ran.status, 0, "{ran:?}");
        }
        std::fs::remove_file(data.join("b.txt")).unwrap();
    }
}

#[test]
fn g9_a_symbolic_link_leads_no_guest_out_of_its_folder() {
    let home = Home::with_my_secret();
    let data = home.path().join("shared");
    std::fs::create_dir(&data).unwrap();
    std::os::unix::fs::symlink(home.key_file(), data.join("link")).unwrap();
    let rule = format!("{}::/data", data.display());
    for name in ["probe-p1", "probe-p2"] {
        let ran = home.run_app(&guest(name), &["--dir", &rule, "--", "cat", "/data/link"]);
        assert_ne!(ran.status, 0, "{ran:?}");
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn g2_a_folder_that_shows_the_store_or_the_key_is_refused() {
    let home = Home::with_my_secret();
    let link = home.path().join("link");
    std::os::unix::fs::symlink(home.path(), &link).unwrap();
    let at = |path: &str| home.path().join(path).display().to_string();
    for folder in [
        at(""),
        at("data"),
        at("data/leyden"),
        at("config/leyden"),
        at("config"),
        at("state/leyden"),
        at("link"),
        at("link/data"),
        "/".into(),
        "/proc".into(),
        "/proc/self".into(),
        "/sys".into(),
    ] {
        let ran = home
            .run_app(
                &guest("probe-p2"),
                &["--dir", &format!("{folder}::/d"), "--", "ls", "/d"],
            )
            .says(&["refused"]);
        assert_ne!(ran.status, 0, "{folder}: {ran:?}");
        assert_eq!(ran.stdout, "", "{folder}");
    }
}
