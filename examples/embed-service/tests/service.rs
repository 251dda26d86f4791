//! The service, run for real: each tenant's requests see that tenant's secret alone.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use leyden::secrets::StoreOptions;
use leyden::{Key, SecretValue};

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn each_tenant_gets_its_own_secret() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    Key::generate().unwrap().write_new(at("key")).unwrap();
    let store = StoreOptions::new()
        .state_dir(at("state"))
        .create(at("data/store.db"), Key::from_file(at("key")).unwrap())
        .unwrap();
    for (name, value) in [("secret-a", "short"), ("secret-b", "a longer value")] {
        let value = SecretValue::new(value.into()).unwrap();
        store.create_secret(&name.parse().unwrap(), value).unwrap();
    }
    drop(store);

    let hello = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/guests/hello.wasm");
    assert!(hello.is_file(), "run `cargo xtask guests` first");
    let mut service = Command::new(env!("CARGO_BIN_EXE_embed-service"))
        .arg(&hello)
        .args([at("data/store.db"), at("key"), at("state")])
        .args(["a=secret-a", "b=secret-b"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let stdout = service.stdout.take().unwrap();
    let _service = Service(service);
    let mut url = String::new();
    BufReader::new(stdout).read_line(&mut url).unwrap();
    let address = url.trim().strip_prefix("http://").unwrap();

    let a = get(address, "/a");
    let b = get(address, "/b");
    assert!(a.contains("FOO=a\nMY_APP_SECRET has 5 bytes"), "{a}");
    assert!(b.contains("FOO=b\nMY_APP_SECRET has 14 bytes"), "{b}");
    assert!(get(address, "/c").starts_with("HTTP/1.1 404"));

    // Many at once: each with its own memory.
    std::thread::scope(|scope| {
        for _ in 0..20 {
            scope.spawn(|| assert_eq!(body(&get(address, "/a")), body(&a)));
        }
    });
}

fn body(response: &str) -> &str {
    response.split_once("\r\n\r\n").unwrap().1
}

fn get(address: &str, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
    )
    .unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
