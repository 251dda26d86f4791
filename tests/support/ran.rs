//! A command that ran to its end, and what it left.

use std::io::{Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// After this time a command is taken to hang; far above what any needs, also on a slow machine.
const HANGS: Duration = Duration::from_secs(240);

/// What a command printed, and its exit status as a shell shows it.
#[derive(Debug)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    /// Asserts exit status 0.
    #[track_caller]
    pub fn succeeded(self) -> Self {
        self.ended_with(0)
    }

    #[track_caller]
    pub fn ended_with(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:#?}");
        self
    }

    /// Asserts that standard error holds all of these words.
    #[track_caller]
    pub fn says(self, words: &[&str]) -> Self {
        for word in words {
            assert!(self.stderr.contains(word), "no {word:?} in {self:#?}");
        }
        self
    }

    /// Asserts that nothing printed holds this text.
    #[track_caller]
    pub fn never_shows(self, text: &str) -> Self {
        assert!(!self.stdout.contains(text), "{self:#?}");
        assert!(!self.stderr.contains(text), "{self:#?}");
        self
    }
}

/// Runs a command to its end with this standard input.
#[track_caller]
pub fn run(command: &mut Command, stdin: &[u8]) -> Ran {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut pipe = child.stdin.take().unwrap();
    let stdin = stdin.to_vec();
    // A command that does not read its input closes the pipe: no failure.
    let writer = thread::spawn(move || drop(pipe.write_all(&stdin)));
    let stdout = reader(child.stdout.take().unwrap());
    let stderr = reader(child.stderr.take().unwrap());
    let status = wait(&mut child);
    writer.join().unwrap();
    let ran = Ran {
        status,
        stdout: stdout.join().unwrap(),
        stderr: stderr.join().unwrap(),
    };
    if super::are_files_kept() {
        keep(command, &ran);
    }
    ran
}

/// Keeps what a command printed, to be searched; but for what is exact: a program's own output,
/// and a value that the operator asked for.
fn keep(command: &Command, ran: &Ran) {
    let mut kept = tempfile::Builder::new();
    let kept = kept.prefix("printed-").disable_cleanup(true);
    let mut file = kept.tempfile().unwrap();
    let arguments: Vec<_> = command.get_args().collect();
    let is = |words: [&str; 2]| arguments.windows(2).any(|pair| pair == words);
    if !is(["run", "app"]) && !is(["secret", "reveal"]) {
        file.write_all(ran.stdout.as_bytes()).unwrap();
    }
    file.write_all(ran.stderr.as_bytes()).unwrap();
}

/// Waits for a child; its exit status as a shell shows it.
#[track_caller]
pub fn wait(child: &mut Child) -> i32 {
    let started = Instant::now();
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap());
        }
        if started.elapsed() > HANGS {
            child.kill().unwrap();
            panic!("the command hangs");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn reader(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
