//! The admin page's list of 100,000 secrets, while many read it and others write.

use std::fmt::Write as _;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::ScopedJoinHandle;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::row::{Bound, Goal, Row};
use super::samples::Samples;
use crate::home::Home;
use crate::step;

const READERS: usize = 32;
/// Pages that each reader asks for in a round.
const PAGES: usize = 20;

pub(crate) fn measure(home: &Home, quick: bool) -> Result<Row> {
    let (secrets, rounds) = if quick { (5_000, 7) } else { (100_000, 10) };
    let leyden = super::program(home, "leyden");
    let store = home.path().join("admin");
    fill(home, &leyden, &store, secrets)?;
    let server = Server::start(home, &leyden, &store)?;
    let session = server.log_in()?;
    // The first page reads all names.
    server.page(&mut server.connect()?, &session, 0)?;

    let (server, session) = (&server, session.as_str());
    let read = |first: usize| -> Result<Samples> {
        let mut connection = server.connect()?;
        let mut taken = Vec::with_capacity(PAGES);
        for page in first..first + PAGES {
            let start = Instant::now();
            server.page(&mut connection, session, page)?;
            taken.push(start.elapsed().as_secs_f64() * 1e3);
        }
        Ok(Samples(taken))
    };
    let read = &read;
    let mut written = 0;
    let mut create = || -> Result<()> {
        let mut set = home.command(&leyden);
        set.arg("--store").arg(store.join("store.db"));
        set.arg("--key-file").arg(store.join("root.key"));
        set.args(["secret", "create", &format!("written-{written}")]);
        step::output(&mut set)?;
        written += 1;
        Ok(())
    };
    let [mut alone, mut medians, mut slowest] = [const { Samples(Vec::new()) }; 3];
    for round in 0..rounds {
        alone.0.extend(read(round * PAGES)?.percentile(50));
        let over = AtomicBool::new(false);
        let taken = std::thread::scope(|scope| -> Result<Samples> {
            let writer = scope.spawn(|| -> Result<()> {
                while !over.load(Ordering::Relaxed) {
                    create()?;
                }
                Ok(())
            });
            let readers: Vec<_> = (0..READERS)
                .map(|reader| scope.spawn(move || read(round * 31 + reader * PAGES)))
                .collect();
            let taken: Vec<_> = readers.into_iter().map(joined).collect();
            // Also where one failed: the writer is waited for.
            over.store(true, Ordering::Relaxed);
            joined(writer)?;
            let mut all = Samples::default();
            for samples in taken {
                all.0.extend(samples?.0);
            }
            Ok(all)
        })?;
        medians.0.extend(taken.percentile(50));
        slowest.0.extend(taken.percentile(99));
    }
    ensure!(written > 0, "nothing was written meanwhile");
    Ok(Row {
        id: "the admin page's list".to_owned(),
        title: format!(
            "The admin page's list of {secrets} secrets, {READERS} readers at once while others write"
        ),
        unit: "milliseconds; less is better",
        digits: 1,
        leyden: vec![
            ("leyden: a page, median of each round".to_owned(), medians),
            (
                "leyden: a page, 99th percentile of each round".to_owned(),
                slowest,
            ),
        ],
        beside: vec![("a page that nobody else waits for".to_owned(), alone)],
        // Each waits until all others had their turn: no page waits for two rounds of that.
        goals: vec![Goal {
            own: "leyden: a page, 99th",
            other: "a page that",
            bound: Bound::AtMost(2.0 * READERS as f64),
        }],
    })
}

/// What a thread comes to.
fn joined<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    let ended = thread.join();
    ended.map_err(|_| anyhow::anyhow!("a reader or the writer panicked"))?
}

/// A store with so many secrets.
fn fill(
    home: &Home,
    leyden: &std::path::Path,
    store: &std::path::Path,
    secrets: usize,
) -> Result<()> {
    std::fs::create_dir_all(store)?;
    let mut text = String::from("{");
    for number in 0..secrets {
        let comma = if number > 0 { "," } else { "" };
        let _ = write!(
            text,
            "{comma}\"team-{}.service-{number:06}\":\"value\"",
            number % 97
        );
    }
    text.push('}');
    let file = store.join("secrets.json");
    std::fs::write(&file, text)?;
    let mut import = home.command(leyden);
    import.arg("--store").arg(store.join("store.db"));
    import.arg("--key-file").arg(store.join("root.key"));
    import
        .args(["secret", "import", "--output", "json"])
        .arg(&file);
    step::output(&mut import).map(drop)
}

/// Runs its arguments until its standard input ends: also where this process is killed, or both are
/// interrupted. It lets go of standard error, which ends with what it runs.
const UNTIL_CLOSED: &str =
    r#"trap '' INT; "$@" & exec 2>/dev/null; read -r _; kill -9 $!; wait $!"#;

/// `leyden admin`, which ends with this.
struct Server {
    child: Child,
    port: u16,
    token: String,
}

impl Server {
    fn start(home: &Home, leyden: &std::path::Path, store: &std::path::Path) -> Result<Self> {
        let mut admin = home.command("sh");
        admin.args(["-c", UNTIL_CLOSED, "sh"]).arg(leyden);
        admin.arg("--store").arg(store.join("store.db"));
        admin.arg("--key-file").arg(store.join("root.key"));
        let mut child = admin
            .args(["admin", "--port", "0"])
            .stdin(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let mut lines =
            BufReader::new(child.stderr.take().context("standard error is a pipe")?).lines();
        let link = lines.by_ref().map_while(Result::ok).find_map(|line| {
            let (host, token) = line.split_once("/login?token=")?;
            Some((
                host.rsplit_once(':')?.1.parse().ok()?,
                token.trim().to_owned(),
            ))
        });
        std::thread::spawn(move || lines.for_each(drop));
        let (port, token) = link.context("leyden admin printed no link")?;
        Ok(Self { child, port, token })
    }

    fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port))?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    /// The cookie of a new session.
    fn log_in(&self) -> Result<String> {
        let head = ask(
            &mut self.connect()?,
            &format!("/login?token={}", self.token),
            "",
        )?;
        let cookie = head
            .lines()
            .find_map(|line| line.strip_prefix("set-cookie: "));
        let cookie = cookie.and_then(|line| line.split(';').next());
        Ok(cookie.context("no session")?.to_owned())
    }

    /// One page: in order, in another order, or found by a part of the name.
    fn page(&self, stream: &mut TcpStream, session: &str, number: usize) -> Result<()> {
        let path = match number % 3 {
            0 => format!("/secrets?page={}", number % 90 + 1),
            1 => format!("/secrets?sort=-updated&page={}", number % 20 + 1),
            _ => format!("/secrets?q=team-{}.&page=2", number % 97),
        };
        ask(stream, &path, session).map(drop)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Asks for a page on a connection that stays open; the head of the answer, whose body is read.
fn ask(stream: &mut TcpStream, path: &str, cookie: &str) -> Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nCookie: {cookie}\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let (mut answer, mut buffer) = (Vec::new(), [0; 64 << 10]);
    loop {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the page hung up");
        answer.extend(buffer.iter().take(count));
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.context("no length")?.parse()?;
        if body.len() >= length {
            ensure!(head.starts_with("HTTP/1.1 200"), "{path}: {head}");
            return Ok(head.to_owned());
        }
    }
}
