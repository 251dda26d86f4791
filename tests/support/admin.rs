//! `leyden admin`, running, and whoever is logged in to it.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use super::Home;
use super::http::{self, Answer, FORM, form, request, send};

/// The server, which ends with this.
pub struct Admin {
    child: Child,
    pub port: u16,
    /// The name that its links have.
    pub name: String,
    /// All that it printed.
    printed: Arc<Mutex<String>>,
}

impl Admin {
    pub fn start(home: &Home) -> Self {
        Self::start_with(home, &[])
    }

    /// Starts it with further options.
    pub fn start_with(home: &Home, options: &[&str]) -> Self {
        Self::start_by(home.leyden(), options)
    }

    /// Starts it by this command.
    pub fn start_by(mut leyden: Command, options: &[&str]) -> Self {
        let mut child = leyden
            .args(["admin", "--port", "0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let printed = Arc::new(Mutex::new(String::new()));
        let (lines, into) = (
            BufReader::new(child.stderr.take().unwrap()),
            Arc::clone(&printed),
        );
        thread::spawn(move || {
            for line in lines.lines().map_while(Result::ok) {
                let mut printed = into.lock().unwrap();
                printed.push_str(&line);
                printed.push('\n');
            }
        });
        let mut admin = Self {
            child,
            port: 0,
            name: String::new(),
            printed,
        };
        let (name, port, _) = admin.link(1);
        (admin.name, admin.port) = (name, port);
        admin
    }

    pub fn printed(&self) -> String {
        self.printed.lock().unwrap().clone()
    }

    /// Name, port and token of the link that was printed as so many-th, once it is.
    pub fn link(&self, number: usize) -> (String, u16, String) {
        let started = Instant::now();
        loop {
            let printed = self.printed();
            let mut links = printed
                .lines()
                .filter_map(|line| line.trim().strip_prefix("http://"));
            if let Some(link) = links.nth(number - 1) {
                let (host, rest) = link.split_once("/login?token=").unwrap();
                let (name, port) = host.rsplit_once(':').unwrap();
                return (name.to_owned(), port.parse().unwrap(), rest.to_owned());
            }
            assert!(
                started.elapsed() < Duration::from_secs(120),
                "no link: {printed}"
            );
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// The address of the link that was printed first.
    pub fn address(&self) -> String {
        self.address_of(1)
    }

    /// The address of the link that was printed as so many-th.
    pub fn address_of(&self, number: usize) -> String {
        let (name, port, token) = self.link(number);
        format!("http://{name}:{port}/login?token={token}")
    }

    pub fn host(&self) -> String {
        format!("{}:{}", self.name, self.port)
    }

    /// Has another link printed, once that may be.
    pub fn print_another(&self) {
        let links = |admin: &Self| admin.printed().matches("/login?token=").count();
        let (host, before) = (self.host(), links(self));
        while links(self) == before {
            let asked = request("POST /login/link", &[("Host", &host)], b"");
            send(self.port, &asked).unwrap().ended_with(200);
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Asks without a session.
    pub fn get(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let host = self.host();
        let headers = [&[("Host", host.as_str())], headers].concat();
        send(self.port, &request(&format!("GET {path}"), &headers, b"")).unwrap()
    }

    /// Logs in with the link that was printed as so many-th.
    pub fn log_in(&self, number: usize) -> Session<'_> {
        let (_, _, token) = self.link(number);
        let answer = self
            .get(&format!("/login?token={token}"), &[])
            .ended_with(200);
        let cookie = answer.header("set-cookie").unwrap();
        let cookie = cookie.split(';').next().unwrap().to_owned();
        let mut session = Session {
            admin: self,
            cookie,
            csrf: String::new(),
        };
        let page = session.get("/secrets/new").ended_with(200).text();
        session.csrf = between(&page, "name=\"csrf\" value=\"", "\"").to_owned();
        session
    }
}

impl Admin {
    /// Kills it.
    pub fn stop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Somebody who is logged in.
pub struct Session<'a> {
    pub admin: &'a Admin,
    pub cookie: String,
    pub csrf: String,
}

impl Session<'_> {
    pub fn get(&self, path: &str) -> Answer {
        self.admin.get(path, &[("Cookie", &self.cookie)])
    }

    /// Sends a form as the page does.
    pub fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let fields: Vec<_> = fields
            .iter()
            .map(|(name, value)| (*name, value.as_bytes()))
            .collect();
        self.post_bytes(path, &fields)
    }

    pub fn post_bytes(&self, path: &str, fields: &[(&str, &[u8])]) -> Answer {
        let fields = [&[("csrf", self.csrf.as_bytes())], fields].concat();
        self.post_with(path, &[], &form(&fields)).unwrap()
    }

    /// Sends any body with any further headers.
    pub fn post_with(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Option<Answer> {
        let host = self.admin.host();
        let own = [
            ("Host", host.as_str()),
            ("Cookie", self.cookie.as_str()),
            ("Content-Type", FORM),
        ];
        let headers = [&own, headers].concat();
        send(
            self.admin.port,
            &request(&format!("POST {path}"), &headers, body),
        )
    }

    /// Follows where an answer leads.
    #[track_caller]
    pub fn follow(&self, answer: &Answer) -> Answer {
        assert_eq!(answer.status, 303, "{}\n{}", answer.head, answer.text());
        self.get(answer.header("location").unwrap())
    }

    pub fn create(&self, name: &str, value: &str) {
        let made = self.post("/secrets/new", &[("name", name), ("value", value)]);
        self.follow(&made).ended_with(200);
    }

    /// Listens to changes of the store.
    pub fn live(&self) -> std::net::TcpStream {
        self.live_of("store")
    }

    /// Listens to changes of the store, or of runs.
    pub fn live_of(&self, what: &str) -> std::net::TcpStream {
        use std::io::Write as _;
        let host = self.admin.host();
        let headers = [("Host", host.as_str()), ("Cookie", &self.cookie)];
        let mut stream = http::connect(self.admin.port);
        stream
            .write_all(&request(&format!("GET /live?of={what}"), &headers, b""))
            .unwrap();
        stream
    }
}

/// What stands between two texts.
#[track_caller]
pub fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text
        .split_once(before)
        .unwrap_or_else(|| panic!("no {before}: {text}"));
    rest.split_once(after).unwrap().0
}
