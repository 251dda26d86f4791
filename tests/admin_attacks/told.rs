//! What a page says where somebody asked for what is not there, or typed what cannot be.

use super::report;
use crate::support::http::form;
use crate::support::{Admin, Home, between, guest};

/// The words of parsers, which are for programmers.
const WORDS: [&str; 9] = [
    "deserialize",
    "invalid digit",
    "found in string",
    "non-zero type",
    "duplicate field",
    "Invalid URL",
    "UTF-8",
    "expected",
    "parse",
];

#[test]
fn what_was_typed_wrong_is_told_in_plain_sentences() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let mut answers: Vec<_> = [
        ("/secrets?page=x", 400),
        ("/secrets?page=-1", 400),
        ("/runs?page=1e9", 400),
        ("/audit?before=soon", 400),
        ("/audit?since=soon", 400),
        ("/audit?since=99999999999d", 400),
        ("/secrets?q=1&q=2", 400),
        ("/apps/look?path=a&path=b", 400),
        ("/apps/look?path=a", 400),
        ("/login?token=1&token=2", 400),
        ("/secret/%ff", 404),
        ("/secret/a_b", 404),
        ("/app/%ff", 404),
        ("/app/sha256:00", 404),
        ("/run/%ff/log", 404),
        ("/run/x", 404),
        ("/keys/rotate", 405),
    ]
    .iter()
    .map(|(path, status)| (path.to_string(), session.get(path).ended_with(*status)))
    .collect();
    for (path, fields) in [
        ("/secrets/new", &[("name", "a_b"), ("value", "x")][..]),
        (
            "/secrets/new",
            &[("name", "other"), ("value", "x"), ("keep", "many")],
        ),
        (
            "/secrets/new",
            &[("name", "other"), ("value", "x"), ("expires", "soon")],
        ),
        (
            "/secret/my-secret/versions",
            &[("value", "x"), ("expires", "soon")],
        ),
        ("/secret/my-secret/expire", &[("version", "two")]),
        ("/secret/my-secret/expire", &[("version", "0")]),
        ("/secret/my-secret/expire", &[("version", "-1")]),
        ("/secret/my-secret/expire", &[("version", "9")]),
        (
            "/secret/my-secret/expire",
            &[("version", "1"), ("expires", "soon")],
        ),
        (
            "/secret/my-secret/expire",
            &[("version", "1"), ("expires", "2001-01-01T00:00:00Z")],
        ),
        (
            "/secret/my-secret/versions",
            &[("value", "x"), ("expires", "2001-01-01T00:00:00Z")],
        ),
        ("/secret/my-secret/grants", &[("to", "the app")]),
        ("/secret/my-secret/grants", &[("to", "folder:/not/there")]),
        (
            "/secret/my-secret/grants",
            &[("to", "folder:/"), ("env", "1 A")],
        ),
        ("/secret/my-secret/revoke", &[("to", "the app")]),
        ("/secret/my-secret/revoke", &[]),
        ("/secret/my-secret/restrict", &[("restricted", "YES")]),
        ("/secret/my-secret/restrict", &[]),
        ("/keys", &[]),
    ] {
        answers.push((format!("{path} {fields:?}"), session.post(path, fields)));
    }
    for (asked, answer) in answers {
        let (status, text) = (answer.status, answer.text());
        assert!(
            (400..500).contains(&status) || text.contains("role=\"alert\""),
            "{asked}: {status}"
        );
        let said = text.split_once("class=\"error\"").map(|(_, after)| after);
        let said = said.unwrap_or_else(|| panic!("{asked}: {}\n{text}", answer.head));
        let said = said
            .split_once('>')
            .unwrap()
            .1
            .split_once("</p>")
            .unwrap()
            .0;
        for word in WORDS {
            assert!(!said.contains(word), "{asked}: {said}");
        }
        assert!(
            said.ends_with('.') || said.ends_with('?'),
            "{asked}: {said}"
        );
        let first = said.chars().next().unwrap();
        assert!(!first.is_lowercase(), "{asked}: {said}");
    }
}

#[test]
fn what_went_wrong_is_told_within_the_page_and_leads_back() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let post = |path: &str, fields: &[(&str, &str)], from: &str| {
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_bytes())).collect();
        let fields = [&[("csrf", session.csrf.as_bytes())], &fields[..]].concat();
        let headers = [("Referer", from), ("Sec-Fetch-Mode", "navigate")];
        let answer = session.post_with(path, &headers, &form(&fields));
        let shown = session.follow(&answer.unwrap());
        assert!((400..500).contains(&shown.status), "{path}: {}", shown.head);
        shown.text()
    };
    let own = |path: &str| format!("http://{}{path}", admin.host());
    let [grants, expire] = ["/secret/my-secret/grants", "/secret/my-secret/expire"];
    let page = "/secret/my-secret?x=<b>";
    for (path, fields) in [
        (expire, &[("version", "two")][..]),
        (expire, &[("version", "9")]),
        (expire, &[("version", "1"), ("expires", "soon")]),
        ("/secret/none/expire", &[("version", "1")]),
    ] {
        let shown = post(path, fields, &own(page));
        assert!(shown.contains("aria-label=\"Main\""), "{path}: {shown}");
        assert!(shown.contains("aria-current=\"page\">Secrets<"), "{shown}");
        assert!(shown.contains("<p class=\"error\" role=\"alert\">"));
        let back = "href=\"/secret/my-secret?x=&lt;b&gt;\">Back<";
        assert!(shown.contains(back), "{path}: {shown}");
    }
    for fields in [
        &[("to", "the app"), ("env", "A"), ("expires", "30d")][..],
        &[("to", "folder:/"), ("env", "1 A")],
        &[
            ("to", "folder:/"),
            ("expires", "soon"),
            ("from", "sha256:00"),
            ("path", "/a"),
        ],
    ] {
        let shown = post(grants, fields, &own(page));
        assert!(shown.contains("<p class=\"error\" role=\"alert\">"));
        assert!(shown.contains("Nothing was granted."), "{shown}");
        for (name, value) in fields {
            let field = format!("name=\"{name}\" value=\"{value}\"");
            assert!(shown.contains(&field), "{field}: {shown}");
        }
    }
    // Nobody says where back leads but this page.
    for from in [
        "http://evil.test/secret",
        "https://evil.test/",
        &own("//evil.test/"),
        &own("/\\evil.test/"),
        &own(".evil.test/"),
        &own("/answer"),
        "",
    ] {
        let shown = post(expire, &[("version", "two")], from);
        assert!(shown.contains("href=\"/secrets\">Back<"), "{from}: {shown}");
        assert!(!shown.contains("evil"), "{from}: {shown}");
    }
    let runs = session.get("/run/x").ended_with(404).text();
    assert!(runs.contains("aria-current=\"page\">Runs<"), "{runs}");
    // Whoever is not logged in sees no page of the others'.
    let out = admin.get("/run/x", &[]).ended_with(401).text();
    assert!(!out.contains("aria-label=\"Main\""), "{out}");
}

#[test]
fn a_version_without_a_value_is_refused_with_the_form() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    for fields in [
        &[][..],
        &[("value", "")],
        &[("keep", "many"), ("value", "x")],
    ] {
        let refused = session.post("/secret/my-secret/versions", fields);
        let text = refused.ended_with(422).text();
        assert!(text.contains("role=\"alert\""), "{text}");
        assert!(text.contains("Nothing was stored;"), "{text}");
        assert!(text.contains("name=\"value\""), "{text}");
    }
    let meant = [("value", ""), ("empty", "yes")];
    let added = session.post("/secret/my-secret/versions", &meant);
    session.follow(&added).ended_with(200);
    let shown = home.run(["secret", "show", "my-secret", "--output", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.succeeded().stdout).unwrap();
    assert_eq!(shown["versions"].as_array().unwrap().len(), 2);
}

#[test]
fn a_refused_form_keeps_all_that_was_typed_but_the_value() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let (many, value) = (("keep", "-1"), ("value", "some-value"));
    for (path, status, fields) in [
        ("/secrets/new", 422, &[("name", "a_b"), value][..]),
        ("/secrets/new", 409, &[("name", "my-secret"), value]),
        ("/secrets/new", 422, &[("name", "other"), value, many]),
        ("/secrets/new", 422, &[("name", "other"), ("value", "")]),
        ("/secret/my-secret/versions", 422, &[value, many]),
        ("/secret/my-secret/versions", 422, &[("value", "")]),
    ] {
        let more = match fields.contains(&many) {
            true => &[("expires", "90d")][..],
            false => &[("expires", "90d"), ("keep", "3")],
        };
        let fields = [fields, more].concat();
        let shown = session.post(path, &fields).ended_with(status).text();
        for (name, typed) in fields.iter().filter(|(name, _)| *name != "value") {
            let field = format!("name=\"{name}\" value=\"{typed}\"");
            assert!(shown.contains(&field), "{field}: {shown}");
        }
        assert!(shown.contains("<details open>"), "{shown}");
        assert!(!shown.contains("some-value"), "{shown}");
        // A browser would look at these where nobody sees them, and say nothing.
        let hidden = between(&shown, "<details open>", "</details>");
        for looked_at in [" required", " min=", " max=", " pattern=", "\"number\""] {
            assert!(!hidden.contains(looked_at), "{looked_at}: {hidden}");
        }
    }
    let ticked = [("name", "a_b"), ("value", ""), ("empty", "yes")];
    let shown = session.post("/secrets/new", &ticked).ended_with(422).text();
    assert!(shown.contains("value=\"yes\" checked"), "{shown}");
}

#[test]
fn a_form_with_two_fields_of_one_name_is_refused() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let csrf = session.csrf.clone();
    let [grants, restrict] = ["/secret/my-secret/grants", "/secret/my-secret/restrict"];
    for (path, fields) in [
        (
            "/secrets/new",
            &[("name", "a"), ("name", "b"), ("value", "x")][..],
        ),
        (
            "/secrets/new",
            &[("name", "a"), ("value", "x"), ("value", "y")],
        ),
        (
            "/secrets/new",
            &[("name", "a"), ("file", "x"), ("file", "y")],
        ),
        (
            "/secrets/new",
            &[("name", "a"), ("value", "x"), ("csrf", &csrf)],
        ),
        (
            grants,
            &[("to", "folder:/"), ("to", "folder:/tmp"), ("sure", "yes")],
        ),
        (restrict, &[("restricted", "no"), ("restricted", "yes")]),
        ("/logout", &[("x", "1"), ("x", "1")]),
    ] {
        let text = session.post(path, fields).ended_with(400).text();
        assert!(
            text.contains("A field stands in this form twice."),
            "{text}"
        );
    }
    let listed = home.run(["secret", "list", "--output", "json"]).succeeded();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
    // Browsers send both, one of them empty.
    let both = [("name", "b"), ("value", ""), ("file", "x")];
    session.post("/secrets/new", &both).ended_with(303);
}

#[test]
fn a_page_past_the_last_one_is_the_last_one() {
    let home = Home::with_my_secret();
    home.run_app(&guest("env-p2"), &[]).succeeded();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    for page in ["999", "2", "0", "18446744073709551615"] {
        let runs = session.get(&format!("/runs?page={page}")).ended_with(200);
        assert!(runs.text().contains("env-p2"), "{page}: {}", runs.text());
        let secrets = session
            .get(&format!("/secrets?page={page}"))
            .ended_with(200);
        assert!(secrets.text().contains("/secret/my-secret"), "{page}");
    }
    let many = (0..60).map(|number| format!("s_{number}=x\n"));
    let file = home.path().join("many.env");
    std::fs::write(&file, many.collect::<String>()).unwrap();
    home.run(["secret", "import", file.to_str().unwrap()])
        .succeeded();
    let last = session.get("/secrets?page=999").ended_with(200).text();
    assert!(last.contains("Page 2 of 2"), "{last}");
    assert_eq!(last.matches("<tr>").count(), 1 + 11, "{last}");
    // Where nothing is like what was searched, that is said.
    let none = session.get("/secrets?q=zzz&page=999").ended_with(200);
    assert!(none.text().contains("No secret is like that"));
    let audit = session.get("/audit?before=1").ended_with(200).text();
    assert!(audit.contains("There is no such record") && audit.contains("href=\"/audit\""));
}

#[test]
fn an_app_that_was_only_refused_has_the_line_that_runs_it_with_what_it_asked_for() {
    let home = Home::with_my_secret();
    let report = report(&home);
    home.run_app(&report, &[]).ended_with(77);
    let gone = ["--secret", "GONE=not-there"];
    home.run_app(&guest("env-p2"), &gone).ended_with(77);
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let page = |name: &str| {
        let apps = session.get("/apps").ended_with(200).text();
        let row = apps
            .split("<tr>")
            .find(|row| row.contains(&format!(">{name}</a>")))
            .unwrap();
        let link = row
            .split_once("href=\"")
            .unwrap()
            .1
            .split_once('"')
            .unwrap()
            .0;
        session.get(link).ended_with(200).text()
    };
    let shown = page("report");
    assert!(
        shown.contains("leyden run app APP --secret TOKEN=my-secret<"),
        "{shown}"
    );
    let shown = page("env-p2");
    assert!(
        shown.contains("leyden run app APP --secret GONE=SECRET<"),
        "{shown}"
    );
    // Where it lies is known once somebody says so.
    let at = session.get(&format!("/apps/look?path={}", report.display()));
    let shown = session.follow(&at).ended_with(200).text();
    let line = format!(
        "leyden run app {} --secret TOKEN=my-secret<",
        report.display()
    );
    assert!(shown.contains(&line), "{shown}");
}

#[test]
fn what_a_grant_to_a_folder_of_more_than_an_app_permits_is_said_first() {
    let home = Home::with_my_secret();
    let report = report(&home);
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let granted = || {
        home.run(["secret", "show", "my-secret"])
            .succeeded()
            .stdout
            .contains("granted to")
    };
    for (folder, what) in [
        ("/".to_owned(), "is the folder of all folders"),
        (home.path().display().to_string(), "is your home folder"),
    ] {
        let to = format!("folder:{folder}");
        let fields = [("to", to.as_str()), ("env", "A"), ("expires", "30d")];
        let asked = session
            .post("/secret/my-secret/grants", &fields)
            .ended_with(200)
            .text();
        assert!(
            asked.contains(what) && asked.contains("whatever app is put there"),
            "{asked}"
        );
        for (name, value) in fields {
            let field = format!("name=\"{name}\" value=\"{value}\"");
            assert!(asked.contains(&field), "{field}: {asked}");
        }
        assert!(!granted());
        let sure = [&fields[..], &[("sure", "yes")]].concat();
        let done = session.follow(&session.post("/secret/my-secret/grants", &sure));
        assert!(
            done.ended_with(200)
                .text()
                .contains(&format!("Granted my-secret to {to}."))
        );
        assert!(granted());
        let revoke = [("to", to.as_str()), ("env", "A")];
        session
            .post("/secret/my-secret/revoke", &revoke)
            .ended_with(303);
    }
    let own = format!("folder:{}", report.display());
    session
        .post("/secret/my-secret/grants", &[("to", &own)])
        .ended_with(303);
    assert!(granted());
}

#[test]
fn each_tab_has_its_own_answers_and_notices() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let send = |name: &str, value: &str| {
        let fields = [
            ("csrf", session.csrf.as_bytes()),
            ("name", name.as_bytes()),
            ("value", value.as_bytes()),
        ];
        let answer = session.post_with(
            "/secrets/new",
            &[("Sec-Fetch-Mode", "navigate")],
            &form(&fields),
        );
        answer.unwrap().ended_with(303)
    };
    let (first, second) = (send("a_b", "x"), send("c_d", "x"));
    // Also after it was loaded again.
    for _ in 0..2 {
        for (answer, suggested) in [(&first, "a-b"), (&second, "c-d")] {
            let shown = session.follow(answer).ended_with(422).text();
            assert!(shown.contains(suggested), "{shown}");
        }
    }
    session.get("/answer/none").ended_with(404);
    let (one, two) = (send("one", "x"), send("two", "x"));
    let elsewhere = session.get("/secrets").ended_with(200).text();
    assert!(!elsewhere.contains("Created "), "{elsewhere}");
    for (answer, notice) in [(&two, "Created two"), (&one, "Created one")] {
        let shown = session.follow(answer).ended_with(200).text();
        assert!(shown.contains(notice), "{shown}");
        assert!(!session.follow(answer).text().contains("Created "));
    }
}
