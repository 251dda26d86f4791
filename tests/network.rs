//! G9: no network until a host is named; then that host, and nothing else.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread;

use crate::support::{Home, Ran, guest, run};

/// An HTTP server on loopback that answers each request with the request's own head.
fn serve() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            thread::spawn(move || answer(&mut stream.unwrap()));
        }
    });
    address
}

fn answer(stream: &mut (impl Read + Write)) {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).unwrap_or(0) == 0 {
            return;
        }
        head.push(byte[0]);
    }
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        head.len()
    );
    let _ = stream.write_all(&head);
    let _ = stream.flush();
}

fn get(home: &Home, app: &str, allow: Option<&str>, url: &str) -> Ran {
    let mut arguments = Vec::new();
    if let Some(allow) = allow {
        arguments.extend(["--allow-host", allow]);
    }
    arguments.push("--");
    if app == "probe-p3" {
        arguments.push("http-get");
    }
    arguments.push(url);
    home.run_app(&guest(app), &arguments)
}

#[test]
fn g9_http_reaches_only_the_host_that_was_named() {
    let home = Home::new();
    let server = serve();
    let port = server.port();
    let by_address = format!("http://127.0.0.1:{port}");
    let by_name = format!("http://localhost:{port}");
    for app in ["http-get", "probe-p3"] {
        for (allow, url, reached) in [
            (None, &by_address, false),
            (Some(by_address.clone()), &by_address, true),
            (Some(by_name.clone()), &by_name, true),
            (
                Some("http://LOCALHOST:".to_owned() + &port.to_string()),
                &by_name,
                true,
            ),
            (Some(by_name.clone()), &by_address, false),
            (Some(by_address.clone()), &by_name, false),
            (
                Some(format!("http://127.0.0.1:{}", port ^ 1)),
                &by_address,
                false,
            ),
            // HTTPS and TCP, not plain HTTP.
            (Some(format!("127.0.0.1:{port}")), &by_address, false),
            (Some("http://127.0.0.1".into()), &by_address, false),
        ] {
            let ran = get(&home, app, allow.as_deref(), &format!("{url}/x"));
            if reached {
                assert!(ran.succeeded().stdout.contains("GET /x HTTP/1.1"));
            } else {
                assert_ne!(ran.status, 0, "{allow:?} {ran:?}");
                assert!(!ran.stdout.contains("GET"), "{allow:?}");
            }
        }
    }
}

#[test]
fn g9_a_name_that_leads_to_a_private_address_is_refused() {
    // This machine's own name stands for one of its own addresses, never for a public one.
    let home = Home::new();
    let port = serve().port();
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let name = name.trim();
    let allow = format!("http://{name}:{port}");
    let ran = get(&home, "http-get", Some(&allow), &format!("{allow}/"));
    assert_ne!(ran.status, 0, "{ran:?}");
    assert!(!ran.stdout.contains("GET"));
}

#[test]
fn g9_tcp_and_look_ups_reach_only_the_named_host_and_port() {
    let home = Home::new();
    let port = serve().port().to_string();
    let other = (serve().port()).to_string();
    let text = "GET /tcp HTTP/1.1\r\n\r\n";
    for (allow, host, port_dialled, reached) in [
        (None, "127.0.0.1", &port, false),
        (Some(format!("127.0.0.1:{port}")), "127.0.0.1", &port, true),
        (Some(format!("localhost:{port}")), "localhost", &port, true),
        (Some(format!("localhost:{port}")), "127.0.0.1", &port, false),
        (Some(format!("127.0.0.1:{port}")), "localhost", &port, false),
        (
            Some(format!("127.0.0.1:{port}")),
            "127.0.0.1",
            &other,
            false,
        ),
        (
            Some(format!("localhost:{port}")),
            "localhost",
            &other,
            false,
        ),
        (
            Some(format!("http://127.0.0.1:{port}")),
            "127.0.0.1",
            &port,
            false,
        ),
        (Some("127.0.0.1".into()), "127.0.0.1", &port, false),
    ] {
        let mut arguments = Vec::new();
        if let Some(allow) = &allow {
            arguments.extend(["--allow-host", allow]);
        }
        arguments.extend(["--", host, port_dialled, text]);
        let ran = home.run_app(&guest("tcp"), &arguments);
        if reached {
            assert!(ran.succeeded().stdout.contains("GET /tcp"), "{allow:?}");
        } else {
            assert_ne!(ran.status, 0, "{allow:?} {ran:?}");
        }
    }
}

#[test]
fn g9_listening_and_udp_stay_closed() {
    let home = Home::new();
    let port = serve().port();
    let allow = format!("127.0.0.1:{port}");
    let to = format!("127.0.0.1:{port}");
    for (app, arguments) in [("listen", &[][..]), ("udp", &[to.as_str()])] {
        let mut all = vec!["--allow-host", &allow, "--"];
        all.extend(arguments);
        let ran = home.run_app(&guest(app), &all);
        assert_ne!(ran.status, 0, "{app} {ran:?}");
        assert!(
            ran.stderr.contains("denied") || ran.stderr.contains("permit"),
            "{ran:?}"
        );
    }
}

#[test]
fn https_is_checked_against_the_systems_roots() {
    let home = Home::new();
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let trusted = home.path().join("roots.pem");
    std::fs::write(&trusted, certified.cert.pem()).unwrap();
    let port = serve_tls(&certified);
    let url = format!("https://localhost:{port}/secure");
    let allow = format!("localhost:{port}");
    let fetch = |roots: Option<&std::path::Path>| {
        let mut command = home.leyden();
        if let Some(roots) = roots {
            command.env("SSL_CERT_FILE", roots);
        }
        command.args(["run", "app"]).arg(guest("http-get")).args([
            "--allow-host",
            &allow,
            "--",
            &url,
        ]);
        run(&mut command, b"")
    };
    let ran = fetch(Some(&trusted)).succeeded();
    assert!(ran.stdout.contains("GET /secure"), "{ran:?}");
    let ran = fetch(None);
    assert_ne!(ran.status, 0, "an unknown certificate: {ran:?}");
}

fn serve_tls(certified: &rcgen::CertifiedKey<rcgen::KeyPair>) -> u16 {
    use tokio_rustls::rustls::{self, ServerConfig, ServerConnection, StreamOwned};
    let key = rustls::pki_types::PrivateKeyDer::Pkcs8(certified.signing_key.serialize_der().into());
    let provider = std::sync::Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
    let config = std::sync::Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let session = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(session, stream.unwrap());
            thread::spawn(move || answer(&mut stream));
        }
    });
    port
}

#[test]
fn the_fetch_example_shows_its_token_to_the_allowed_host() {
    let home = Home::new();
    home.create_secret("api-token", "t0ken-t0ken");
    let host = format!("http://{}", serve());
    let ran = home
        .run_app(
            &guest("fetch"),
            &[
                "--allow-host",
                &host,
                "--secret",
                "TOKEN=api-token",
                "--",
                &format!("{host}/me"),
            ],
        )
        .succeeded();
    assert!(
        ran.stdout.contains("authorization: Bearer t0ken-t0ken"),
        "{ran:?}"
    );
}
