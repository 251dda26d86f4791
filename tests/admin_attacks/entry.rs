//! Who gets in, and from where: sessions, log-in links, forms, hosts.

use std::io::{Read as _, Write as _};

use super::pages;
use crate::support::http::{FORM, connect, form, request, send};
use crate::support::{Admin, Home, guest};

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
fn whoever_is_logged_in_is_led_on_and_uses_no_link_up() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let session = admin.log_in(1);
    admin.print_another();
    let (_, _, token) = admin.link(2);
    for path in ["/login".to_owned(), format!("/login?token={token}")] {
        let answer = session.get(&path).ended_with(200);
        assert_eq!(answer.header("set-cookie"), None);
        let text = answer.text();
        assert!(text.contains("You are logged in already"), "{text}");
        assert!(text.contains("href=\"/secrets\""), "{text}");
        assert!(!text.contains("Print a new link"), "{text}");
    }
    // It is good in another browser, once.
    admin.log_in(2).get("/secrets").ended_with(200);
    let again = admin.get(&format!("/login?token={token}"), &[]);
    again.ended_with(403);
    session.post("/logout", &[]).ended_with(303);
    let out = session.get("/login").ended_with(200).text();
    assert!(out.contains("Print a new link"), "{out}");
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
fn who_asks_for_links_and_holds_connections_locks_nobody_out() {
    let home = Home::with_my_secret();
    let admin = Admin::start(&home);
    let host = admin.host();
    let ask = || {
        let asked = request("POST /login/link", &[("Host", &host)], b"");
        send(admin.port, &asked).unwrap().ended_with(200)
    };
    (0..20).for_each(|_| drop(ask()));
    let links = admin.printed().matches("/login?token=").count();
    assert!((2..=4).contains(&links), "{}", admin.printed());
    // The one that was printed first is as good as before.
    let session = admin.log_in(1);
    let mut kept = session.live();
    let mut buffer = [0; 16];
    kept.read_exact(&mut buffer).unwrap();
    let mut held: Vec<_> = (0..400).map(|_| connect(admin.port)).collect();
    for stream in &mut held {
        // Some were hung up on by now.
        let _ = stream.write_all(b"POST /login/link HTTP/1.1\r\nHost: ");
    }
    session.get("/secrets").ended_with(200);
    admin.log_in(2).get("/secrets").ended_with(200);
    home.create_secret("other", "x");
    let (mut told, mut buffer) = (String::new(), [0; 256]);
    while !told.contains("event: changed") {
        let count = kept.read(&mut buffer).unwrap();
        assert_ne!(count, 0, "{told}");
        told.push_str(&String::from_utf8_lossy(&buffer[..count]));
    }
}
