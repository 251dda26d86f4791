//! What pages show of what happened, and the lines that they offer to copy.

use super::report;
use crate::support::{Admin, Home, Session, between, guest, run};

/// The page of the only app that left traces.
fn app_page(session: &Session<'_>) -> String {
    let apps = session.get("/apps").ended_with(200).text();
    let link = format!("/app/{}", between(&apps, "href=\"/app/", "\""));
    session.get(&link).ended_with(200).text()
}

/// The rows of the first table behind an id.
fn rows<'t>(page: &'t str, id: &str) -> Vec<&'t str> {
    let part = between(page, &format!("id=\"{id}\""), "</table>");
    part.split("<tr>").skip(2).collect()
}

#[test]
fn the_line_that_runs_an_app_binds_each_name_once() {
    let home = Home::with_my_secret();
    let env = guest("env-p2");
    home.run_app(&env, &["--secret", "A=my-secret"]).succeeded();
    home.run_app(&env, &["--secret", "A=gone"]).ended_with(77);
    home.run_app(&env, &["--secret", "B=gone"]).ended_with(77);
    home.create_secret("other", "x");
    home.run_app(&env, &["--secret", "B=other"]).succeeded();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let page = app_page(&session);
    let line = between(&page, "data-copy=\"leyden run app ", "\"");
    let (_, options) = line.split_once(" --").unwrap();
    assert_eq!(options, "secret A=my-secret --secret B=other");
    assert!(
        page.contains("folders, plain environment entries"),
        "{page}"
    );
    let words: Vec<_> = line.split(' ').collect();
    let (app, options) = words.split_first().unwrap();
    let app = if *app == "APP" {
        env.as_path()
    } else {
        std::path::Path::new(app)
    };
    home.run_app(app, options).succeeded();
}

#[test]
fn a_refusal_does_not_hide_what_an_app_was_given_before() {
    let home = Home::with_my_secret();
    let bind = ["--secret", "A=my-secret"];
    home.run_app(&guest("env-p2"), &bind).succeeded();
    home.run(["secret", "restrict", "my-secret"]).succeeded();
    home.run_app(&guest("env-p2"), &bind).ended_with(77);
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let secret = session.get("/secret/my-secret").ended_with(200).text();
    for (page, id) in [(secret, "apps-list"), (app_page(&session), "got")] {
        let rows = rows(&page, id);
        assert_eq!(rows.len(), 2, "{rows:#?}");
        for outcome in [">done<", ">denied: restricted<"] {
            assert!(rows.iter().any(|row| row.contains(outcome)), "{rows:#?}");
        }
    }
}

#[test]
fn what_the_audit_page_shows_can_be_filtered_by_and_what_it_does_not_know_is_told() {
    let home = Home::with_my_secret();
    home.run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let all = session.get("/audit").ended_with(200).text();
    let digest = between(&all, "<code class=\"digest\"", "</code>");
    let (_, short) = digest.split_once('>').unwrap();
    let whole = between(digest, "title=\"", "\"");
    let tomorrow = "2999-01-01";
    for (filter, is_there) in [
        ("secret=my-secret@1".to_owned(), true),
        ("secret=my-secret@2".to_owned(), false),
        (format!("app={short}"), true),
        (format!("app={whole}"), true),
        ("app=sha256:0123456789".to_owned(), false),
        ("app=env-p2".to_owned(), true),
        ("app=env-p2/flow".to_owned(), true),
        ("app=env-p2/load".to_owned(), false),
        ("app=env".to_owned(), false),
        ("since=2026-01-01".to_owned(), true),
        (format!("since={tomorrow}"), false),
        (format!("until={tomorrow}"), true),
        ("until=2001-01-01".to_owned(), false),
    ] {
        let page = session.get(&format!("/audit?event=release&{filter}"));
        let page = page.ended_with(200).text();
        assert_eq!(page.contains(">my-secret@1<"), is_there, "{filter}: {page}");
    }
    for (wrong, said) in [
        ("event=foo", "No event is called `foo`."),
        ("outcome=foo", "No outcome is called `foo`"),
        ("since=soon", "Since: say how long ago"),
        ("until=2026-02-31", "Until: say how long ago"),
        ("secret=a_b", "Secret: "),
        ("app=sha256:00", "App or digest: "),
    ] {
        let path = format!("?{wrong}&before=7&app=kept");
        let path = if wrong.starts_with("app") {
            format!("?{wrong}")
        } else {
            path
        };
        let page = session.get(&format!("/audit{path}")).ended_with(400).text();
        assert!(page.contains(said), "{wrong}: {page}");
        assert!(page.contains("aria-label=\"Main\""), "{page}");
        assert!(
            wrong.starts_with("app") || page.contains("value=\"kept\""),
            "{page}"
        );
        let export = session.get(&format!("/audit/leyden-audit.jsonl{path}"));
        assert!(export.ended_with(400).text().contains(said), "{wrong}");
    }
    // The command takes the same.
    for (option, typed, is_there) in [
        ("--secret", "my-secret@1", true),
        ("--secret", "my-secret@2", false),
        ("--app", short, true),
        ("--app", "env-p2/flow", true),
        ("--since", "2026-01-01", true),
        ("--since", tomorrow, false),
    ] {
        let listed = home.run(["audit", "list", option, typed]).succeeded();
        assert_eq!(
            listed.stdout.contains("release"),
            is_there,
            "{option} {typed}"
        );
    }
}

#[test]
fn what_a_new_version_destroys_is_told() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let path = "/secret/my-secret/versions";
    let add = |keep| session.post(path, &[("value", "x"), ("keep", keep)]);
    let told = session.follow(&add("")).text();
    assert!(told.contains("Added version 2."), "{told}");
    let refused = add("4097").text();
    assert!(
        refused.contains("4097 versions cannot be kept: 4096 is the most"),
        "{refused}"
    );
    let told = session.follow(&add("1")).text();
    assert!(
        told.contains("Added version 3, and destroyed 2 older versions."),
        "{told}"
    );
    let mut set = home.leyden();
    set.args(["secret", "set", "my-secret", "--keep", "1"]);
    let set = run(&mut set, b"y").succeeded();
    assert!(
        set.stderr.contains("1 older version destroyed"),
        "{}",
        set.stderr
    );
}

#[test]
fn a_value_that_was_typed_beside_a_file_is_refused() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    for file in ["of a file", ""] {
        for path in ["/secrets/new", "/secret/my-secret/versions"] {
            let both = [("name", "other"), ("value", "typed"), ("file", file)];
            let refused = session.post(path, &both).ended_with(422).text();
            assert!(refused.contains("which one is meant?"), "{refused}");
        }
    }
    assert_eq!(home.run(["secret", "show", "other"]).status, 77);
}

#[test]
fn damage_is_told_with_its_secret_and_in_the_pages_title() {
    let home = Home::with_my_secret();
    home.create_secret("other", "x");
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let verified = session.post("/audit/verify", &[]).ended_with(200).text();
    assert!(
        verified.contains("<title>All is as it was written ·"),
        "{verified}"
    );
    assert!(
        verified.contains("Verified 2 secrets with 2 versions, "),
        "{verified}"
    );
    let store = rusqlite::Connection::open(home.store()).unwrap();
    let sql = "UPDATE head SET body = replace(body, '\"size\":1', '\"size\":2') WHERE body LIKE '%\"other\"%'";
    assert!(store.execute(sql, []).unwrap() > 0);
    let verified = session.post("/audit/verify", &[]).ended_with(200).text();
    assert!(
        verified.contains("<title>Something is not as it was written ·"),
        "{verified}"
    );
    let said = between(&verified, "<p class=\"error\" role=\"alert\">", "</p>");
    let named = "`other` by its own words, is not what was written; restore a backup";
    assert!(said.contains(named) && said.ends_with('.'), "{said}");
    // The rest is shown, by the page as by the command.
    let list = session.get("/secrets").ended_with(200).text();
    let told = between(&list, "<div class=\"callout\" role=\"alert\">", "</div>");
    assert!(
        told.contains(named) && told.contains("leyden store restore"),
        "{told}"
    );
    assert!(list.contains("href=\"/secret/my-secret\""), "{list}");
    assert!(!list.contains("href=\"/secret/other\""), "{list}");
    let check = session.get("/secrets/check?name=other").ended_with(200);
    assert!(check.text().contains(named), "{}", check.text());
    let listed = home.run(["secret", "list"]).ended_with(77);
    assert!(listed.stdout.contains("my-secret"), "{listed:?}");
    assert!(!listed.stdout.contains("other"), "{listed:?}");
    assert!(listed.stderr.contains(named), "{listed:?}");
    let listed = home
        .run(["secret", "list", "--output", "json"])
        .ended_with(77);
    let secrets: Vec<serde_json::Value> = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(secrets.len(), 1, "{listed:?}");
    session.get("/secret/my-secret").ended_with(200);
    let deleted = session.post("/secret/my-secret/delete", &[]);
    session.follow(&deleted).ended_with(200);
    // A store of which nothing is left is not one in which nothing was made.
    let sql = "UPDATE head SET body = replace(body, '\"size\":10', '\"size\":11') WHERE body LIKE '%\"my-secret\"%'";
    assert!(store.execute(sql, []).unwrap() > 0);
    let list = session.get("/secrets").ended_with(200).text();
    assert!(list.contains("`my-secret` by its own words"), "{list}");
    assert!(!list.contains("There is no secret yet"), "{list}");
}

#[test]
fn a_folder_without_an_app_is_asked_about_and_a_deleted_secret_gets_no_version() {
    let home = Home::with_my_secret();
    let app = report(&home);
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let grant = |to: &str| {
        let to = format!("folder:{to}");
        session.post("/secret/my-secret/grants", &[("to", &to)])
    };
    let asked = grant("/usr").ended_with(200).text();
    assert!(
        asked.contains("/usr is a folder without an app in it"),
        "{asked}"
    );
    grant(app.to_str().unwrap()).ended_with(303);
    // To whom was granted is not cut off in the log.
    let log = session.get("/audit?event=grant-added").ended_with(200);
    let folder = format!("<code>folder:{}</code>", app.display());
    assert!(log.text().contains(&folder), "{}", log.text());
    let refused = home.run(["secret", "grant", "my-secret", "--folder", "/usr"]);
    assert!(
        refused
            .ended_with(2)
            .stderr
            .contains("without an app in it")
    );
    let versions = session.get("/secret/my-secret/versions").ended_with(200);
    assert!(versions.text().contains("name=\"value\""));
    session
        .post("/secret/my-secret/delete", &[])
        .ended_with(303);
    let deleted = session.get("/secret/my-secret/versions").ended_with(409);
    assert!(!deleted.text().contains("name=\"value\""));
    // What was granted of it comes back with it, and can be taken back before.
    let deleted = session.get("/secret/my-secret").ended_with(200).text();
    assert!(deleted.contains("It is deleted"), "{deleted}");
    assert!(deleted.contains("They count again once"), "{deleted}");
    let shown = format!("<code>{}</code>", app.display());
    assert!(deleted.contains(&shown), "{deleted}");
    assert!(deleted.contains("action=\"/secret/my-secret/revoke\""));
    for gone in ["grants", "restrict"] {
        let action = format!("action=\"/secret/my-secret/{gone}\"");
        assert!(!deleted.contains(&action), "{deleted}");
    }
    let to = format!("folder:{}", app.display());
    let revoked = session.post("/secret/my-secret/revoke", &[("to", &to)]);
    let left = session.follow(&revoked).ended_with(200).text();
    assert!(!left.contains(&shown), "{left}");
    let check = session.get("/secrets/check?name=").ended_with(200).text();
    assert_eq!(check, "It is empty.");
}
