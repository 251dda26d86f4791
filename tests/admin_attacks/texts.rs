//! What somebody else has written: paths, names, logs, values.

use serde_json::json;

use super::pages;
use crate::support::http::{FORM, form, request, send};
use crate::support::{Admin, App, Home, guest};

const VALUE: &str = "some-value that nobody ever sees again";

#[test]
fn no_path_leads_elsewhere() {
    let home = Home::with_my_secret();
    home.run_app(&guest("env-p2"), &[]).succeeded();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let key = std::fs::read_to_string(home.key_file()).unwrap();
    let up = "..%2f..%2f..%2f..%2f..%2fetc%2fpasswd";
    for path in [
        "/assets/../../../../etc/passwd".to_owned(),
        format!("/assets/{up}"),
        "/assets/style.css/../../../../etc/passwd".to_owned(),
        format!("/run/{up}"),
        format!("/run/{up}/log"),
        "/run/..".to_owned(),
        "/run/%2e%2e/log".to_owned(),
        "/run/20261124-000000-000aaaa%00/log".to_owned(),
        format!("/secret/{up}"),
        format!("/app/{up}"),
        "/app/sha256:..".to_owned(),
        format!("/apps/look?path={}", home.key_file().display()),
        "/apps/look?path=/etc/passwd".to_owned(),
        "/apps/look?path=/proc/self/environ".to_owned(),
        "/apps/look?path=..".to_owned(),
    ] {
        let answer = session.get(&path);
        assert!(
            (400..500).contains(&answer.status),
            "{path}: {}",
            answer.status
        );
        let text = answer.text();
        assert!(
            !text.contains("root:") && !text.contains(key.trim()),
            "{path}: {text}"
        );
    }
}

#[test]
fn no_text_gets_into_a_header() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    for name in [
        "a\r\nSet-Cookie: evil=1",
        "a\nX-Evil: 1",
        "a%0d%0aSet-Cookie:evil=1",
        "a\0b",
        "x\u{85}y",
    ] {
        let answer = session
            .post("/secrets/new", &[("name", name), ("value", "x")])
            .ended_with(422);
        assert!(
            !answer.head.to_lowercase().contains("evil"),
            "{}",
            answer.head
        );
    }
    let injected = "%0d%0aSet-Cookie:%20evil=1";
    for path in [
        format!("/secret/a{injected}"),
        format!("/secrets?q={injected}&sort={injected}"),
        format!("/audit/leyden-audit.jsonl?secret={injected}"),
        format!("/run/1{injected}"),
        format!("/apps/look?path=/{injected}"),
        format!("/login?token={injected}"),
    ] {
        let answer = session.get(&path);
        assert!(
            !answer.head.to_lowercase().contains("evil"),
            "{path}: {}",
            answer.head
        );
    }
    let digest = format!("sha256:{}", "0".repeat(64));
    let answer = session.post(
        "/secret/my-secret/grants",
        &[
            ("to", &digest),
            ("from", &digest),
            ("path", "/x\r\nSet-Cookie: evil=1"),
        ],
    );
    assert_eq!(answer.status, 303);
    assert_eq!(answer.header("set-cookie"), None);
    // Whoever says where to go on can lead nobody away from this page.
    let away = [
        ("to", digest.as_str()),
        ("from", "//evil.test/"),
        ("path", ""),
    ];
    let answer = session
        .post("/secret/my-secret/revoke", &away)
        .ended_with(303);
    assert!(
        answer.header("location").unwrap().starts_with("/app/"),
        "{}",
        answer.head
    );
}

const EVIL: &str =
    "<script>alert('evil')</script><img src=x onerror=alert(1)>\"'><svg onload=alert(2)>&lt;b&gt;";

/// What an app, a guest or a user can put into each text that a page shows.
#[test]
fn no_text_becomes_markup() {
    let home = Home::with_my_secret();
    let app = App::scripted(&home, "timeout = \"60s\"\n");
    let evil_folder = home
        .path()
        .join(format!("evil {}", EVIL.replace('/', "\\")));
    std::fs::rename(&app.folder, &evil_folder).unwrap();
    let probe = |input| json!({ "start": { "work": "probe", "input": input } });
    let script = json!([
        probe(json!({ "error": EVIL })),
        probe(json!({ "stdout": EVIL })),
        probe(json!({ "stderr": format!("]]> --> {EVIL}") })),
        { "start": { "work": EVIL, "text": EVIL } },
        { "wait": "all" },
    ])
    .to_string();
    let options = ["--name", EVIL, "--secret", "A=my-secret", "--", &script];
    home.run_app(&evil_folder, &options).succeeded();
    let folder = evil_folder.to_str().unwrap();
    home.run(["secret", "grant", "my-secret", "--folder", folder])
        .succeeded();
    home.run(["secret", "grant", "my-secret", "--app", folder])
        .succeeded();

    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let query: String = EVIL.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let mut pages = pages(&home);
    for path in [
        "/secrets?q=QUERY&show=QUERY&sort=QUERY",
        "/secrets/check?name=QUERY",
        "/secret/QUERY",
        "/app/QUERY",
        "/run/QUERY",
        "/audit?secret=QUERY&app=QUERY&event=QUERY&outcome=QUERY",
        "/audit?since=QUERY",
        "/apps/look?path=/QUERY",
        "/apps/look?path=QUERY",
        "/login?token=QUERY",
        "/QUERY",
    ] {
        pages.push(path.replace("QUERY", &query));
    }
    pages.retain(|page| page != "/live");
    let mut shown = 0;
    for page in pages {
        let answer = session.get(&page);
        let kind = answer.header("content-type").unwrap_or_default().to_owned();
        let text = answer.text();
        if !kind.starts_with("text/html") {
            // Neither a browser's guess nor its name makes a page of it.
            assert!(
                kind.is_empty() || kind.starts_with("text/plain") || kind == "application/jsonl",
                "{page}: {kind}"
            );
            assert_eq!(
                answer.header("x-content-type-options"),
                Some("nosniff"),
                "{page}"
            );
            continue;
        }
        for raw in ["<script>", "<img", "onload=alert(2)>", "<b>", "]]> -->"] {
            assert!(!text.contains(raw), "{page} holds {raw}:\n{text}");
        }
        shown += text.matches("&lt;script&gt;alert(").count();
    }
    // Names, failures, log lines, folders and what was asked for are shown, as text.
    assert!(shown >= 15, "{shown}");
    let wrong = session
        .post("/secrets/new", &[("name", EVIL), ("value", "x")])
        .ended_with(422);
    assert!(!wrong.text().contains("<script>") && wrong.text().contains("&lt;script&gt;"));
}

#[test]
fn g4_a_value_never_comes_back() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    session.create("my-secret", VALUE);
    let second = session.post(
        "/secret/my-secret/versions",
        &[("value", &format!("{VALUE} 2"))],
    );
    session.follow(&second).ended_with(200);
    let file = [
        ("name", &b"from-file"[..]),
        ("value", b""),
        ("file", VALUE.as_bytes()),
    ];
    session
        .follow(&session.post_bytes("/secrets/new", &file))
        .ended_with(200);
    home.run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
    let mut answers: Vec<_> = pages(&home)
        .iter()
        .filter(|page| *page != "/live")
        .map(|page| session.get(page))
        .collect();
    // Refused forms, whose other fields are shown again.
    for fields in [
        [("name", "my-secret"), ("value", VALUE), ("expires", "")],
        [("name", "a_b"), ("value", VALUE), ("expires", "")],
        [("name", "c"), ("value", VALUE), ("expires", "never ever")],
    ] {
        answers.push(session.post("/secrets/new", &fields));
    }
    answers.push(session.post("/secret/none/versions", &[("value", VALUE)]));
    answers.push(
        session
            .post_with(
                "/secrets/new",
                &[],
                &form(&[("csrf", b"x"), ("value", VALUE.as_bytes())]),
            )
            .unwrap(),
    );
    assert!(answers.len() > 20);
    for answer in answers {
        assert!(
            !answer.text().contains(VALUE) && !answer.head.contains(VALUE),
            "{}",
            answer.text()
        );
    }
    assert!(!admin.printed().contains(VALUE));
    for path in home.files() {
        let bytes = std::fs::read(&path).unwrap_or_default();
        assert!(
            memchr::memmem::find(&bytes, VALUE.as_bytes()).is_none(),
            "{}",
            path.display()
        );
    }
    let revealed = home
        .run(["secret", "reveal", "my-secret", "--yes"])
        .succeeded();
    assert_eq!(revealed.stdout, format!("{VALUE} 2"));
}

#[test]
fn a_value_is_what_was_typed_and_a_file_is_taken_byte_by_byte() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    // As browsers send lines.
    session.create("typed", "one\r\ntwo\r\n");
    let bytes: Vec<u8> = (0..=255).chain(*b"\r\n--leyden\r\n").collect();
    let fields = [("name", &b"bytes"[..]), ("value", b""), ("file", &bytes)];
    session
        .follow(&session.post_bytes("/secrets/new", &fields))
        .ended_with(200);
    let revealed = home.run(["secret", "reveal", "typed", "--yes"]).succeeded();
    assert_eq!(revealed.stdout, "one\ntwo\n");
    let shown = home
        .run(["secret", "reveal", "bytes:base64", "--yes"])
        .succeeded();
    assert_eq!(shown.stdout.trim(), data_encoding::BASE64.encode(&bytes));
    // An empty one is one only where somebody says so.
    session
        .post("/secrets/new", &[("name", "empty"), ("value", "")])
        .ended_with(422);
    let meant = session.post(
        "/secrets/new",
        &[("name", "empty"), ("value", ""), ("empty", "yes")],
    );
    meant.ended_with(303);
}

/// A browser keeps what was posted beside the page that answers it.
#[test]
fn g4_a_form_is_answered_by_a_redirect_also_where_no_page_does() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let own = admin.host();
    let body = form(&[
        ("csrf", session.csrf.as_bytes()),
        ("value", VALUE.as_bytes()),
    ]);
    let ask = |path: &str, host: &str, more: (&str, &str)| {
        let headers = [
            ("Host", host),
            ("Cookie", session.cookie.as_str()),
            ("Content-Type", FORM),
            more,
        ];
        send(
            admin.port,
            &request(&format!("POST {path}"), &headers, &body),
        )
        .unwrap()
    };
    let [new, mode, by_script] = ["/secrets/new", "Sec-Fetch-Mode", "X-Leyden-Form"];
    for (path, host, leads_to) in [
        (new, "leyden-older.localhost", "/refused/421"),
        ("/none", &own, "/refused/404"),
        ("/login", &own, "/refused/405"),
    ] {
        let answer = ask(path, host, (mode, "navigate")).ended_with(303);
        assert_eq!(answer.header("location"), Some(leads_to), "{path}");
        let answer = ask(path, host, (by_script, "1")).ended_with(204);
        assert_eq!(answer.header("x-leyden-go"), Some(leads_to), "{path}");
    }
    let headers = [("Origin", "http://evil.test"), (mode, "navigate")];
    let answer = session.post_with(new, &headers, &body).unwrap();
    let shown = session.follow(&answer).ended_with(403).text();
    assert!(shown.contains("This form was on another site."), "{shown}");
    let late = session.get("/refused/408").ended_with(408).text();
    assert!(late.contains("This form took too long."), "{late}");
    let long = session.get("/refused/504").ended_with(504).text();
    assert!(long.contains("there was more to read"), "{long}");
    // What the page's script sends is done, and leads on as the form would.
    let fields: [(&str, &[u8]); 3] = [
        ("csrf", session.csrf.as_bytes()),
        ("name", b"my-secret"),
        ("value", VALUE.as_bytes()),
    ];
    let made = session.post_with(new, &[(by_script, "1")], &form(&fields));
    let made = made.unwrap().ended_with(204);
    assert_eq!(made.header("x-leyden-go"), Some("/secret/my-secret"));
}
