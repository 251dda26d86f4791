//! The admin page under attack: real server, real HTTP, every byte of it the test's.

use std::io::{Read as _, Write as _};
use std::time::Duration;

use serde_json::json;

use crate::support::http::{FORM, connect, form, request, send};
use crate::support::{Admin, App, Home, guest, run};

const VALUE: &str = "a value that nobody ever sees again";

/// All pages that a store with `my-secret`, and the app that ran, has.
fn pages(home: &Home) -> Vec<String> {
    let mut pages: Vec<_> = [
        "/",
        "/secrets",
        "/secrets?q=my&show=active&sort=-updated",
        "/secrets/new",
        "/secrets/check?name=my-secret",
        "/secret/my-secret",
        "/secret/my-secret/versions",
        "/secret/my-secret/delete",
        "/secret/none",
        "/apps",
        "/runs",
        "/audit",
        "/audit?outcome=denied",
        "/audit/leyden-audit.jsonl",
        "/keys",
        "/live",
        "/none",
    ]
    .map(str::to_owned)
    .to_vec();
    let runs = home.run(["runs", "list", "--output", "json"]).succeeded();
    let runs: Vec<serde_json::Value> = serde_json::from_str(&runs.stdout).unwrap();
    for run in runs {
        let (id, digest) = (run["id"].as_str().unwrap(), run["digest"].as_str().unwrap());
        pages.extend([
            format!("/run/{id}"),
            format!("/run/{id}/log"),
            format!("/app/{}", digest.replace(':', "%3A")),
        ]);
    }
    pages
}

#[test]
fn nobody_gets_in_without_a_session() {
    let home = Home::with_my_secret();
    home.run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
    let admin = Admin::start(&home);
    for page in pages(&home).iter().filter(|page| *page != "/none") {
        for cookie in ["", "leyden=", "leyden=x", "other=1; leyden=AAAA"] {
            let answer = admin.get(page, &[("Cookie", cookie)]).ended_with(401);
            assert!(!answer.text().contains("my-secret"), "{page}");
        }
    }
    let host = admin.host();
    for page in [
        "/secrets/new",
        "/secret/my-secret/restore",
        "/keys/rotate",
        "/logout",
    ] {
        let headers = [("Host", host.as_str()), ("Content-Type", FORM)];
        let body = form(&[("csrf", b"x"), ("name", b"planted"), ("value", b"x")]);
        send(
            admin.port,
            &request(&format!("POST {page}"), &headers, &body),
        )
        .unwrap()
        .ended_with(401);
    }
    let planted = home.run(["secret", "show", "planted"]);
    assert_ne!(planted.status, 0);
}

#[test]
fn a_link_is_good_once_and_logging_out_ends_the_session() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let (_, _, token) = admin.link(1);
    let login = format!("/login?token={token}");
    // A browser or messenger that looks ahead uses nothing up.
    admin
        .get(&login, &[("Sec-Purpose", "prefetch;prerender")])
        .ended_with(503);
    let session = admin.log_in(1);
    let again = admin.get(&login, &[]).ended_with(403);
    assert_eq!(again.header("set-cookie"), None);
    session.get("/secrets").ended_with(200);
    session.post("/logout", &[]).ended_with(303);
    session.get("/secrets").ended_with(401);
    // Another one is printed where the server runs, and shown to nobody who asks.
    let host = admin.host();
    let asked = send(
        admin.port,
        &request("POST /login/link", &[("Host", &host)], b""),
    )
    .unwrap()
    .ended_with(200);
    let (_, _, second) = admin.link(2);
    assert!(!asked.text().contains(&second) && !asked.head.contains(&second));
    admin.log_in(2).get("/secrets").ended_with(200);
}

#[test]
fn no_cookie_that_somebody_planted_becomes_a_session() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let (_, _, token) = admin.link(1);
    let planted = "leyden=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    let answer = admin
        .get(&format!("/login?token={token}"), &[("Cookie", planted)])
        .ended_with(200);
    let cookies = answer.headers("set-cookie");
    let [cookie] = cookies[..] else {
        panic!("{cookies:?}")
    };
    assert!(!cookie.contains("AAAAAAAA"));
    for attribute in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(cookie.split("; ").any(|part| part == attribute), "{cookie}");
    }
    assert!(!cookie.contains("Domain"), "{cookie}");
    admin
        .get("/secrets", &[("Cookie", planted)])
        .ended_with(401);
    // The token itself is no session either, and no session a token.
    admin
        .get("/secrets", &[("Cookie", &format!("leyden={token}"))])
        .ended_with(401);
    let id = cookie.split(';').next().unwrap().split_once('=').unwrap().1;
    admin
        .get(&format!("/login?token={id}"), &[])
        .ended_with(403);
}

#[test]
fn a_form_counts_only_from_this_page_and_with_its_sessions_token() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let (csrf, own) = (session.csrf.as_bytes(), format!("http://{}", admin.host()));
    let planted = |token: &[u8]| form(&[("csrf", token), ("name", b"planted"), ("value", b"x")]);
    let try_with = |headers: &[(&str, &str)], body: &[u8]| {
        session
            .post_with("/secrets/new", headers, body)
            .unwrap()
            .status
    };
    for headers in [
        [("Origin", "http://evil.test")],
        [("Origin", "null")],
        [("Origin", "https://127.0.0.1")],
        // Another server on this machine.
        [("Origin", "http://127.0.0.1:1")],
        [("Sec-Fetch-Site", "cross-site")],
        [("Sec-Fetch-Site", "same-site")],
        [("Sec-Fetch-Site", "none")],
    ] {
        assert_eq!(try_with(&headers, &planted(csrf)), 403, "{headers:?}");
    }
    let twice = [("Origin", own.as_str()), ("Origin", "http://evil.test")];
    assert_eq!(try_with(&twice, &planted(csrf)), 403);
    // No token, another one, an old one, and one that does not come first.
    assert_eq!(
        try_with(&[], &form(&[("name", b"planted"), ("value", b"x")])),
        403
    );
    assert_eq!(try_with(&[], &planted(b"")), 403);
    assert_eq!(try_with(&[], &planted(&csrf[..csrf.len() - 1])), 403);
    assert_eq!(
        try_with(
            &[],
            &form(&[("name", b"planted"), ("csrf", csrf), ("value", b"x")])
        ),
        403
    );
    let host = admin.host();
    send(
        admin.port,
        &request("POST /login/link", &[("Host", &host)], b""),
    )
    .unwrap()
    .ended_with(200);
    let other = admin.log_in(2);
    assert_eq!(try_with(&[], &planted(other.csrf.as_bytes())), 403);
    // Forms as other sites can make them without asking first.
    let plain = format!("csrf={}&name=planted&value=x", session.csrf);
    for kind in ["application/x-www-form-urlencoded", "text/plain"] {
        let headers = [
            ("Host", host.as_str()),
            ("Cookie", session.cookie.as_str()),
            ("Content-Type", kind),
        ];
        let sent = send(
            admin.port,
            &request("POST /secrets/new", &headers, plain.as_bytes()),
        );
        sent.unwrap().ended_with(415);
    }
    // What a link, an image or a script can do changes nothing.
    for path in [
        "/secrets/new?name=planted&value=x",
        "/secret/my-secret/restore",
        "/keys/rotate",
        "/logout",
    ] {
        let answer = session.get(path);
        assert!(
            [200, 404, 405].contains(&answer.status),
            "{path}: {}",
            answer.status
        );
    }
    assert_ne!(home.run(["secret", "show", "planted"]).status, 0);
    // The very same form, sent by the page.
    let headers = [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(try_with(&headers, &planted(csrf)), 303);
    home.run(["secret", "show", "planted"]).succeeded();
}

#[test]
fn a_name_that_was_rebound_to_this_machine_is_refused() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let ask = |hosts: &[&str]| {
        let mut headers: Vec<_> = hosts.iter().map(|host| ("Host", *host)).collect();
        headers.push(("Cookie", &session.cookie));
        send(admin.port, &request("GET /secrets", &headers, b"")).unwrap()
    };
    let own = admin.host();
    for hosts in [
        &["evil.test"][..],
        &["evil.test:7373"],
        &["leyden.localhost"],
        &["127.0.0.1.evil.test"],
        &["localhost:80.evil.test"],
        &["evil.test@127.0.0.1"],
        &["127.0.0.2"],
        &["0.0.0.0"],
        &[&own, "evil.test"],
        &["evil.test", &own],
        &[""],
    ] {
        let answer = ask(hosts);
        assert!(
            [400, 421].contains(&answer.status),
            "{hosts:?}: {}",
            answer.status
        );
        assert!(!answer.text().contains("my-secret"), "{hosts:?}");
    }
    for host in [&own, "127.0.0.1", "localhost:1", "[::1]:80"] {
        ask(&[host]).ended_with(200);
    }
}

#[test]
fn it_listens_on_loopback_addresses_alone() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let mut found = 0;
    for (table, loopback) in [
        ("/proc/net/tcp", "0100007F"),
        ("/proc/net/tcp6", "00000000000000000000000001000000"),
    ] {
        let port = format!(":{:04X}", admin.port);
        for line in std::fs::read_to_string(table).unwrap_or_default().lines() {
            let mut words = line.split_whitespace().skip(1);
            let local = words.next().unwrap_or_default();
            if let (Some(address), Some("0A")) = (local.strip_suffix(&port), words.nth(1)) {
                assert_eq!(address, loopback);
                found += 1;
            }
        }
    }
    assert!(found >= 1);
}

#[test]
fn a_thousand_wrong_log_ins_open_nothing_and_lock_nobody_out() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let (_, _, token) = admin.link(1);
    for number in 0..1000 {
        // Almost right ones, too.
        let (place, turned) = (
            number % token.len(),
            if number % 2 == 0 { 'x' } else { 'y' },
        );
        let mut wrong: Vec<_> = token.chars().collect();
        wrong[place] = if wrong[place] == turned { 'z' } else { turned };
        wrong.truncate(if number % 7 == 0 { place } else { token.len() });
        let wrong: String = wrong.into_iter().collect();
        let answer = admin.get(&format!("/login?token={wrong}"), &[]);
        assert_eq!(answer.header("set-cookie"), None);
        assert_eq!(answer.status, if wrong.is_empty() { 200 } else { 403 });
    }
    let printed = admin.printed();
    let told = printed
        .lines()
        .filter(|line| line.contains("refused"))
        .count();
    assert!((1..=11).contains(&told), "{printed}");
    admin.log_in(1).get("/secrets").ended_with(200);
}

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

#[test]
fn every_answer_tells_the_browser_what_it_may_not_do() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let mut answers: Vec<_> = pages(&home)
        .iter()
        .filter(|page| *page != "/live")
        .map(|page| session.get(page))
        .collect();
    answers.push(admin.get("/login", &[]));
    answers.push(admin.get("/secrets", &[]));
    answers.push(admin.get("/assets/script.js", &[]));
    answers.push(session.post("/secrets/new", &[("name", "_")]));
    answers.push(
        session
            .post_with("/secrets/new", &[("Origin", "http://evil.test")], b"x")
            .unwrap(),
    );
    answers.push(session.get("/secret/none"));
    for answer in answers {
        for (name, words) in [
            (
                "content-security-policy",
                &[
                    "default-src 'none'",
                    "frame-ancestors 'none'",
                    "script-src 'self'",
                    "form-action 'self'",
                    "base-uri 'none'",
                ][..],
            ),
            ("cache-control", &["no-store"]),
            ("x-content-type-options", &["nosniff"]),
            ("x-frame-options", &["DENY"]),
            ("referrer-policy", &["same-origin"]),
            ("cross-origin-resource-policy", &["same-origin"]),
        ] {
            let value = answer.header(name).unwrap_or_default();
            assert!(
                words.iter().all(|word| value.contains(word)),
                "{name}: {}",
                answer.head
            );
        }
        assert_eq!(answer.header("access-control-allow-origin"), None);
        let policy = answer.header("content-security-policy").unwrap();
        assert!(
            !policy.contains("unsafe") && !policy.contains('*'),
            "{policy}"
        );
        // Nothing inline, and nothing from elsewhere, which the policy would only break.
        let text = answer.text();
        if answer
            .header("content-type")
            .unwrap_or_default()
            .starts_with("text/html")
        {
            for inline in [
                " style=",
                " onclick=",
                "<style",
                "javascript:",
                "src=\"http",
                "href=\"http",
            ] {
                assert!(!text.contains(inline), "{inline}: {text}");
            }
        }
    }
}

#[test]
fn what_is_too_large_is_refused_and_the_others_are_served() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let most = vec![b'x'; 1 << 20];
    let fits = session.post_bytes("/secrets/new", &[("name", b"large"), ("value", &most)]);
    fits.ended_with(303);
    let more = vec![b'x'; (1 << 20) + 1];
    session
        .post_bytes("/secrets/new", &[("name", b"larger"), ("value", &more)])
        .ended_with(413);
    let huge = vec![b'x'; 3 << 20];
    session
        .post_bytes("/secrets/new", &[("name", b"huge"), ("value", &huge)])
        .ended_with(413);
    session
        .post_bytes("/secrets/new", &[("name", &more[..5000]), ("value", b"x")])
        .ended_with(413);
    let many: Vec<_> = (0..100).map(|number| (format!("f{number}"), "x")).collect();
    let many: Vec<_> = many
        .iter()
        .map(|(name, value)| (name.as_str(), *value))
        .collect();
    session.post("/secrets/new", &many).ended_with(413);
    // A length that is only said, and one that is not.
    let host = admin.host();
    let own = [
        ("Host", host.as_str()),
        ("Cookie", session.cookie.as_str()),
        ("Content-Type", FORM),
    ];
    let mut endless = connect(admin.port);
    let said = [&own[..], &[("Content-Length", "99999999999")]].concat();
    endless
        .write_all(&request("POST /secrets/new", &said, b""))
        .unwrap();
    endless
        .write_all(&form(&[("csrf", session.csrf.as_bytes()), ("name", b"endless")])[..60])
        .unwrap();
    let chunked = [&own[..], &[("Transfer-Encoding", "chunked")]].concat();
    let mut chunks = connect(admin.port);
    chunks
        .write_all(&request("POST /secrets/new", &chunked, b""))
        .unwrap();
    let start = form(&[("csrf", session.csrf.as_bytes()), ("value", b"x")]);
    let start = &start[..start.len() - 24];
    chunks
        .write_all(format!("{:x}\r\n", start.len()).as_bytes())
        .unwrap();
    chunks.write_all(start).unwrap();
    chunks.write_all(b"\r\n").unwrap();
    let mut refused = false;
    for _ in 0..400 {
        if chunks
            .write_all(b"10000\r\n")
            .and_then(|()| chunks.write_all(&huge[..0x10000]))
            .and_then(|()| chunks.write_all(b"\r\n"))
            .is_err()
        {
            refused = true;
            break;
        }
    }
    let mut answer = Vec::new();
    let _ = chunks.read_to_end(&mut answer);
    assert!(
        refused || answer.starts_with(b"HTTP/1.1 413"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    // Heads are bounded, too.
    let long = "x".repeat(200_000);
    let head = send(
        admin.port,
        &request("GET /secrets", &[("Host", &host), ("X-Long", &long)], b""),
    );
    assert!(head.is_none_or(|answer| answer.status == 431));
    session.get("/secrets").ended_with(200);
    let listed = home.run(["secret", "list"]).succeeded();
    assert!(
        listed.stdout.contains("large")
            && !listed.stdout.contains("huge")
            && !listed.stdout.contains("endless"),
        "{listed:?}"
    );
}

#[test]
fn who_sends_slowly_is_hung_up_on_and_the_others_are_served() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let host = admin.host();
    let mut slow: Vec<_> = (0..60).map(|_| connect(admin.port)).collect();
    for stream in &mut slow {
        stream
            .write_all(b"GET /secrets HTTP/1.1\r\nHost: 127")
            .unwrap();
    }
    let own = [
        ("Host", host.as_str()),
        ("Cookie", session.cookie.as_str()),
        ("Content-Type", FORM),
        ("Content-Length", "10000"),
    ];
    let mut bodies: Vec<_> = (0..30).map(|_| connect(admin.port)).collect();
    for stream in &mut bodies {
        stream
            .write_all(&request("POST /secrets/new", &own, b""))
            .unwrap();
        stream.write_all(b"--leyden-test-edge\r\n").unwrap();
    }
    for _ in 0..20 {
        session.get("/secrets").ended_with(200);
    }
    for stream in slow.iter_mut().chain(&mut bodies) {
        let mut answer = Vec::new();
        stream
            .set_read_timeout(Some(Duration::from_secs(200)))
            .unwrap();
        // It ends, where a reader that waits in vain would get an error.
        stream.read_to_end(&mut answer).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with(b"HTTP/1.1 408"),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    session.get("/secrets").ended_with(200);
}

/// Reads until the stream has this text.
fn until(stream: &mut std::net::TcpStream, text: &str) {
    let (mut seen, mut buffer) = (Vec::new(), [0; 1024]);
    while memchr::memmem::find(&seen, text.as_bytes()).is_none() {
        let count = stream.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&buffer[..count]);
    }
}

#[test]
fn changes_by_other_processes_are_told_until_the_session_ends() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let mut live = session.live();
    until(&mut live, "text/event-stream");
    home.create_secret("other", "x");
    until(&mut live, "event: changed");
    home.run_app(&guest("env-p2"), &["--secret", "A=my-secret"])
        .succeeded();
    until(&mut live, "event: changed");
    session.post("/logout", &[]).ended_with(303);
    home.create_secret("unheard", "x");
    until(&mut live, "event: ended");
}

#[test]
fn every_change_is_in_the_audit_log() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    session.create("my-secret", "x");
    let digest = format!("sha256:{}", "0".repeat(64));
    let grant = [("to", digest.as_str()), ("env", "A")];
    for (path, fields) in [
        ("/secret/my-secret/versions", &[("value", "y")][..]),
        (
            "/secret/my-secret/expire",
            &[("version", "1"), ("expires", "30d")],
        ),
        ("/secret/my-secret/grants", &grant),
        ("/secret/my-secret/revoke", &grant),
        ("/secret/my-secret/restrict", &[("restricted", "yes")]),
        ("/secret/my-secret/restrict", &[("restricted", "no")]),
        ("/secret/my-secret/delete", &[]),
        ("/secret/my-secret/restore", &[]),
    ] {
        session.follow(&session.post(path, fields)).ended_with(200);
    }
    let exported = session
        .get("/audit/leyden-audit.jsonl?secret=MY-SECRET")
        .ended_with(200);
    let events: Vec<_> = exported
        .text()
        .lines()
        .map(|line| {
            serde_json::from_str::<serde_json::Value>(line).unwrap()["event"]
                .as_str()
                .unwrap()
                .to_owned()
        })
        .collect();
    assert_eq!(
        events,
        [
            "secret-created",
            "secret-set",
            "expiry-set",
            "grant-added",
            "grant-revoked",
            "secret-restricted",
            "secret-unrestricted",
            "secret-deleted",
            "secret-restored",
        ]
    );
    session.post("/keys/rotate", &[]).ended_with(303);
    let verified = session.post("/audit/verify", &[]).ended_with(200).text();
    assert!(verified.contains("All is as it was written"), "{verified}");
    // Somebody who writes to the log without the key is found by the same button.
    run(home.leyden().args(["secret", "create", "last"]), b"x").succeeded();
    let store = rusqlite::Connection::open(home.store()).unwrap();
    store
        .execute(
            "UPDATE audit SET body = replace(body, 'secret-set', 'secret-let')",
            (),
        )
        .unwrap();
    let broken = session.post("/audit/verify", &[]).ended_with(200).text();
    assert!(
        broken.contains("Something is not as it was written"),
        "{broken}"
    );
}
