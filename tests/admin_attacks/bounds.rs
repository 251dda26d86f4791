//! What every answer says, what is too large or too slow, and what is told of changes.

use std::io::{Read as _, Write as _};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::pages;
use crate::support::http::{FORM, connect, form, request, send};
use crate::support::{Admin, Home, guest};

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
    // Browsers send two bytes for each line feed that was typed.
    let typed = b"\r\n".repeat(1 << 20);
    let lines = [("name", &b"lines"[..]), ("value", &typed)];
    session.post_bytes("/secrets/new", &lines).ended_with(303);
    let typed = b"\r\n".repeat((1 << 20) + 1);
    session
        .post_bytes("/secrets/new", &[("name", b"more"), ("value", &typed)])
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
    // A browser shows the answer only once it has sent all.
    let much = vec![b'x'; 24 << 20];
    let fields = [("csrf", session.csrf.as_bytes()), ("value", &much)];
    let whole = |headers: &[(&str, &str)], status: &str| {
        let host = admin.host();
        let headers = [&[("Host", host.as_str()), ("Content-Type", FORM)], headers].concat();
        let mut stream = connect(admin.port);
        let sent = request("POST /secrets/new", &headers, &form(&fields));
        stream.write_all(&sent).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{answer}"
        );
    };
    whole(&[("Cookie", &session.cookie)], "413");
    whole(&[], "401");
    whole(&[("Origin", "http://evil.test")], "403");
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
        ("Sec-Fetch-Mode", "navigate"),
    ];
    let mut bodies: Vec<_> = (0..30).map(|_| connect(admin.port)).collect();
    for stream in &mut bodies {
        stream
            .write_all(&request("POST /secrets/new", &own, b""))
            .unwrap();
        stream.write_all(b"--leyden-test-edge\r\n").unwrap();
    }
    // What verifies may take longer than a form.
    let verify = form(&[("csrf", session.csrf.as_bytes())]);
    let length = verify.len().to_string();
    let headers = [&own[..3], &[("Content-Length", length.as_str())]].concat();
    let mut long = connect(admin.port);
    long.write_all(&request("POST /audit/verify", &headers, b""))
        .unwrap();
    for _ in 0..20 {
        session.get("/secrets").ended_with(200);
    }
    let slow = slow.iter_mut().map(|stream| (stream, &b"HTTP/1.1 408"[..]));
    // A form is never answered but by a redirect.
    let bodies = bodies
        .iter_mut()
        .map(|stream| (stream, &b"HTTP/1.1 303"[..]));
    for (stream, expected) in slow.chain(bodies) {
        let mut answer = Vec::new();
        stream
            .set_read_timeout(Some(Duration::from_secs(200)))
            .unwrap();
        // It ends, where a reader that waits in vain would get an error.
        stream.read_to_end(&mut answer).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with(expected),
            "{}",
            String::from_utf8_lossy(&answer)
        );
    }
    session.get("/secrets").ended_with(200);
    long.write_all(&verify).unwrap();
    until(&mut long, "All is as it was written");
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
fn changes_by_other_processes_are_told() {
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
}

#[test]
fn who_has_logged_out_is_told_of_nothing_more() {
    let home = Home::new();
    let admin = Admin::start(&home);
    let (session, mut live) = (admin.log_in(1), Vec::new());
    for _ in 0..2 {
        let mut stream = session.live_of("runs");
        until(&mut stream, "text/event-stream");
        live.push(stream);
    }
    session.post("/logout", &[]).ended_with(303);
    home.run_app(&guest("env-p2"), &[]).succeeded();
    for mut stream in live {
        let mut told = String::new();
        stream.read_to_string(&mut told).unwrap();
        assert!(told.contains("event: ended"), "{told}");
        assert!(!told.contains("event: changed"), "{told}");
    }
}

/// Whoever is refused can try again, and nothing is written afterwards.
#[test]
fn a_store_that_another_process_holds_is_told_of_and_nothing_is_done_later() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let (_, _, token) = admin.link(1);
    let other = rusqlite::Connection::open(home.store()).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = admin.get(&format!("/login?token={token}"), &[]);
    let told = refused.ended_with(503).text();
    assert!(told.contains("is locked by another process"), "{told}");
    other.execute_batch("ROLLBACK").unwrap();
    // The link is as good as before.
    let session = admin.log_in(1);
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    std::thread::scope(|scope| {
        // Some wait for the others, too.
        let sent: Vec<_> = ["a", "b", "c", "d", "e", "f"]
            .map(|name| {
                let fields = [("name", name), ("value", "x"), ("expires", "90d")];
                let session = &session;
                scope.spawn(move || session.post("/secrets/new", &fields))
            })
            .into_iter()
            .collect();
        for sent in sent {
            let told = sent.join().unwrap().ended_with(503).text();
            assert!(told.contains("try again"), "{told}");
            assert!(told.contains("name=\"expires\" value=\"90d\""), "{told}");
        }
    });
    other.execute_batch("ROLLBACK").unwrap();
    session.create("last", "x");
    let listed = home.run(["secret", "list", "--output", "json"]).succeeded();
    let listed: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed}");
    let log = home.run(["audit", "list", "--output", "json"]).succeeded();
    assert_eq!(log.stdout.matches("logged-in").count(), 1, "{log:?}");
}

#[test]
fn a_session_that_follows_changes_in_many_places_locks_nobody_out() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let mut streams = Vec::new();
    for _ in 0..12 {
        let mut stream = session.live();
        until(&mut stream, "text/event-stream");
        streams.push(stream);
    }
    for _ in 0..200 {
        session.get("/live").ended_with(503);
    }
    admin.get("/login", &[]).ended_with(200);
    // One that went leaves its place.
    streams.pop();
    loop {
        let mut stream = session.live();
        let mut line = [0; 12];
        stream.read_exact(&mut line).unwrap();
        if &line == b"HTTP/1.1 200" {
            break;
        }
    }
}

#[test]
fn a_long_log_is_exported_in_parts_and_is_all_of_it() {
    let home = Home::with_my_secret();
    let bindings: Vec<_> = (0..2500)
        .map(|number| format!("--secret=A{number}=my-secret"))
        .collect();
    let bindings: Vec<_> = bindings.iter().map(String::as_str).collect();
    home.run_app(&guest("env-p2"), &bindings).succeeded();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    let export = session.get("/audit/leyden-audit.jsonl").ended_with(200);
    // Nobody puts all of it together first.
    assert_eq!(export.header("content-length"), None);
    let listed = home.run(["audit", "list", "--output", "json"]).succeeded();
    let (lines, all) = (export.text(), listed.stdout);
    assert_eq!(lines.lines().count(), all.lines().count());
    assert!(lines == all);
    let found = session.get("/audit/leyden-audit.jsonl?event=secret-created");
    assert_eq!(found.ended_with(200).text().lines().count(), 1);
}

#[test]
fn whoever_verifies_or_reads_the_log_waits_for_no_other_request() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    // Another process keeps the store to itself: a form waits for it, and all that comes after that.
    let store = rusqlite::Connection::open(home.store()).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    let form = [("name", "other"), ("value", "x")];
    let (read, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| session.post("/secrets/new", &form));
        let reading = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                let verified = session.post("/audit/verify", &[]).ended_with(200).text();
                assert!(verified.contains("All is as it was written"), "{verified}");
                session.get("/audit").ended_with(200);
                read.fetch_add(1, Ordering::Relaxed);
            }
        });
        // So often while one page waited, which comes after the form.
        let mut most = 0;
        while !waiting.is_finished() {
            let before = read.load(Ordering::Relaxed);
            session.get("/secrets").ended_with(200);
            most = most.max(read.load(Ordering::Relaxed) - before);
        }
        over.store(true, Ordering::Relaxed);
        reading.join().unwrap();
        waiting.join().unwrap().ended_with(503);
        assert!(most > 3, "{most}");
    });
}
