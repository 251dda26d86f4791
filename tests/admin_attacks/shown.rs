//! What pages show of what happened, and the lines that they offer to copy.

use crate::support::{Admin, Home, Session, between, guest};

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
