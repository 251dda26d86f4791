//! Whole commands, process start to process end: Leyden's beside the `wasmtime` command's and the
//! least that one on the wasmtime crate must do.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use wait4::Wait4 as _;

use super::memory::Memory;
use super::row::{Bound, Goal, Row};
use super::samples::Samples;
use super::wasmtime::Wasmtime;
use crate::home::Home;
use crate::step;

/// Rounds before the ones that count: caches are filled, and all must print the same.
const WARM_UP: usize = 2;
/// Bytes that the store and what belongs to it take in memory, and more.
const IN_MEMORY: u64 = 16 << 20;

/// What every guest gets: two entries are secrets where there are any.
const PLAIN: [&str; 3] = [
    "FOO=bar",
    "MY_APP_SECRET=some-value",
    "OTHER_SECRET=other-value",
];
const SECRETS: [&str; 6] = [
    "--env",
    "FOO=bar",
    "--secret",
    "MY_APP_SECRET=my-secret",
    "--secret",
    "OTHER_SECRET=other-secret",
];

/// One way to do the work.
struct Subject {
    name: String,
    command: Command,
    /// Removed before each run.
    forget: Option<PathBuf>,
    milliseconds: Samples,
    peak_mebibytes: Samples,
}

/// Makes the store that all rows use, and measures.
pub(crate) fn measure(home: &Home, wasmtime: Option<&Wasmtime>, quick: bool) -> Result<Vec<Row>> {
    let leyden = super::program(home, "leyden");
    create_secret(home, &leyden, "my-secret", "some-value")?;
    create_secret(home, &leyden, "other-secret", "other-value")?;
    let rounds = |most| if quick { most / 5 } else { most };

    let mut rows = rust(home, &leyden, wasmtime, rounds(100))?;
    let Some(wasmtime) = wasmtime else {
        return Ok(rows);
    };
    rows.push(first(home, &leyden, wasmtime, rounds(25))?);
    rows.push(python(home, &leyden, wasmtime, rounds(25))?);
    rows.push(version(home, &leyden, wasmtime, rounds(100))?);
    rows.push(size(home, &leyden, wasmtime)?);
    Ok(rows)
}

/// The folders with the store, its key and what this machine remembers, in memory.
struct InMemory(Memory);

impl InMemory {
    const FOLDERS: [(&str, &str); 3] = [
        ("XDG_DATA_HOME", ".local/share"),
        ("XDG_CONFIG_HOME", ".config"),
        ("XDG_STATE_HOME", ".local/state"),
    ];

    /// Copies them; none, told, where there is no file system in memory, or no room in it.
    fn copy(home: &Home) -> Result<Option<Self>> {
        let folder = match Memory::make(IN_MEMORY) {
            Ok(folder) => folder,
            Err(error) => {
                eprintln!("{error:#}: a run without a disk is left out.");
                return Ok(None);
            }
        };
        for (_, from) in Self::FOLDERS {
            let to = folder.path().join(from);
            fs::create_dir_all(to.parent().context("a folder in a folder")?)?;
            let mut copy = Command::new("cp");
            copy.arg("-a").arg(home.path().join(from)).arg(&to);
            step::output(&mut copy)?;
        }
        Ok(Some(Self(folder)))
    }

    fn use_in(&self, command: &mut Command) {
        for (variable, folder) in Self::FOLDERS {
            command.env(variable, self.0.path().join(folder));
        }
    }
}

fn goal(own: &'static str, other: &'static str, most: f64) -> Goal {
    Goal {
        own,
        other,
        bound: Bound::AtMost(most),
    }
}

/// A Rust component, compiled before: time and peak memory.
fn rust(
    home: &Home,
    leyden: &Path,
    wasmtime: Option<&Wasmtime>,
    rounds: usize,
) -> Result<Vec<Row>> {
    let mut without = run_app(home, leyden, "hello.wasm", &plain());
    // The first run compiles, so that there is code for the bare program to map.
    output(&mut without)?;
    let mut bare = home.command(super::program(home, "bare-run"));
    bare.arg(compiled(home)?).args(PLAIN);
    let mut subjects = vec![
        Subject::new("leyden, no secret", without),
        Subject::new(
            "leyden, two secrets",
            run_app(home, leyden, "hello.wasm", &SECRETS),
        ),
        Subject::new("bare wasmtime crate", bare),
    ];
    let in_memory = InMemory::copy(home)?;
    if let Some(in_memory) = &in_memory {
        let mut command = run_app(home, leyden, "hello.wasm", &SECRETS);
        in_memory.use_in(&mut command);
        // What this takes less is the disk's time: of the audit record, and of the rollback record.
        subjects.push(Subject::new("leyden without a disk, two secrets", command));
    }
    if let Some(wasmtime) = wasmtime {
        let command = wasmtime.run(home, &[], "hello.wasm");
        subjects.push(Subject::new(&wasmtime.version, command));
    }
    compare(&mut subjects, rounds)?;
    let memory = |subject: &Subject| (subject.name.clone(), subject.peak_mebibytes.clone());
    let (own, beside) = subjects
        .iter()
        .map(memory)
        .partition(|(name, _)| name.starts_with("leyden"));
    Ok(vec![
        times(
            "one-shot",
            "A warm run of examples/hello, the whole command",
            vec![
                goal("leyden, no secret", "wasmtime", 0.8),
                goal("leyden, two secrets", "wasmtime", 1.0),
                goal("leyden without a disk", "wasmtime", 1.0),
            ],
            subjects,
        ),
        Row {
            id: "one-shot memory".into(),
            title: "Peak memory of that run".into(),
            unit: "MiB; less is better",
            digits: 1,
            leyden: own,
            beside,
            goals: vec![goal("leyden", "wasmtime", 1.0)],
        },
    ])
}

/// A Rust component that nobody compiled before.
fn first(home: &Home, leyden: &Path, wasmtime: &Wasmtime, rounds: usize) -> Result<Row> {
    let mut own = Subject::new(
        "leyden, no secret",
        run_app(home, leyden, "hello.wasm", &plain()),
    );
    own.forget = Some(home.path().join(".cache/leyden"));
    let command = wasmtime.run(home, &[], "hello.wasm");
    let mut other = Subject::new(&wasmtime.version, command);
    other.forget = Some(home.path().join(".cache/wasmtime"));
    // Leyden can stop every guest, for which checks are compiled into its code. With a limit of
    // time, wasmtime compiles the same.
    let command = wasmtime.run(home, &["-W", "timeout=100s"], "hello.wasm");
    let mut limited = Subject::new(&format!("interruptible {}", wasmtime.version), command);
    limited.forget.clone_from(&other.forget);
    let mut subjects = vec![own, other, limited];
    compare(&mut subjects, rounds)?;
    Ok(times(
        "first run",
        "The first run of examples/hello, which compiles",
        vec![goal("leyden", "wasmtime", 1.05)],
        subjects,
    ))
}

/// A component of 18 MB, compiled before.
fn python(home: &Home, leyden: &Path, wasmtime: &Wasmtime, rounds: usize) -> Result<Row> {
    let mut subjects = vec![
        Subject::new(
            "leyden, no secret",
            run_app(home, leyden, "seed-python.wasm", &plain()),
        ),
        Subject::new(
            "leyden, two secrets",
            run_app(home, leyden, "seed-python.wasm", &SECRETS),
        ),
        Subject::new(
            &wasmtime.version,
            wasmtime.run(home, &[], "seed-python.wasm"),
        ),
    ];
    compare(&mut subjects, rounds)?;
    Ok(times(
        "python",
        "A warm run of examples/seed-python, 18 MB",
        vec![goal("leyden", "wasmtime", 0.5)],
        subjects,
    ))
}

fn version(home: &Home, leyden: &Path, wasmtime: &Wasmtime, rounds: usize) -> Result<Row> {
    let ask = |program: &Path| {
        let mut command = home.command(program);
        command.arg("--version");
        command
    };
    let mut subjects = vec![
        Subject::new("leyden", ask(leyden)),
        Subject::new(&wasmtime.version, ask(&wasmtime.path)),
    ];
    turns(&mut subjects, rounds)?;
    Ok(times(
        "version",
        "`--version`",
        vec![goal("leyden", "wasmtime", 1.0)],
        subjects,
    ))
}

/// Leyden's is stripped of what only debuggers read: beside it stands the other's without that.
fn size(home: &Home, leyden: &Path, wasmtime: &Wasmtime) -> Result<Row> {
    let mebibytes = |file: &Path| -> Result<Samples> {
        Ok(Samples(vec![
            fs::metadata(file)?.len() as f64 / f64::from(1 << 20),
        ]))
    };
    let mut beside = vec![(wasmtime.version.clone(), mebibytes(&wasmtime.path)?)];
    let stripped = home.path().join("wasmtime-stripped");
    let mut strip = Command::new("strip");
    match step::output(strip.arg("-o").arg(&stripped).arg(&wasmtime.path)) {
        Ok(_) => {
            let name = format!("stripped {}", wasmtime.version);
            beside.push((name, mebibytes(&stripped)?));
        }
        Err(error) => eprintln!("{error:#}: a stripped wasmtime is left out."),
    }
    Ok(Row {
        id: "size".into(),
        title: "Size of the command".into(),
        unit: "MiB; less is better",
        digits: 1,
        leyden: vec![("leyden".into(), mebibytes(leyden)?)],
        beside,
        goals: vec![
            goal("leyden", "stripped wasmtime", 1.0),
            goal("leyden", "wasmtime", 1.0),
        ],
    })
}

/// What every guest gets, as options of either command.
pub(super) fn plain() -> Vec<&'static str> {
    PLAIN.iter().flat_map(|entry| ["--env", *entry]).collect()
}

fn run_app(home: &Home, leyden: &Path, guest: &str, arguments: &[&str]) -> Command {
    let mut command = home.command(leyden);
    command.args(["run", "app", guest]).args(arguments);
    command
}

/// Runs all in turn; all must print the same.
fn compare(subjects: &mut [Subject], rounds: usize) -> Result<()> {
    let mut printed = None;
    for _ in 0..WARM_UP {
        for subject in &mut *subjects {
            let now = output(&mut subject.command)?;
            let before = printed.get_or_insert_with(|| now.clone());
            ensure!(now == *before, "{} does not print the same", subject.name);
        }
    }
    turns(subjects, rounds)
}

fn turns(subjects: &mut [Subject], rounds: usize) -> Result<()> {
    for _ in 0..rounds {
        for subject in &mut *subjects {
            subject.run()?;
        }
        // Each comes after each other one in turn.
        subjects.rotate_left(1);
    }
    let turned = rounds % subjects.len();
    subjects.rotate_right(turned);
    Ok(())
}

fn times(id: &str, title: &str, goals: Vec<Goal>, subjects: Vec<Subject>) -> Row {
    let (leyden, beside) = subjects
        .into_iter()
        .map(|subject| (subject.name, subject.milliseconds))
        .partition(|(name, _)| name.starts_with("leyden"));
    Row {
        id: id.into(),
        title: title.into(),
        unit: "milliseconds; less is better",
        digits: 2,
        leyden,
        beside,
        goals,
    }
}

impl Subject {
    fn new(name: &str, mut command: Command) -> Self {
        command.stdout(Stdio::null());
        Self {
            name: name.into(),
            command,
            forget: None,
            milliseconds: Samples::default(),
            peak_mebibytes: Samples::default(),
        }
    }

    fn run(&mut self) -> Result<()> {
        if let Some(forget) = &self.forget {
            fs::remove_dir_all(forget)
                .with_context(|| format!("cannot remove {}", forget.display()))?;
        }
        let start = Instant::now();
        let child = self.command.spawn().context("cannot start")?;
        let used = child.wait4()?;
        let taken = start.elapsed();
        ensure!(used.status.success(), "{}: {}", self.name, used.status);
        self.milliseconds.0.push(taken.as_secs_f64() * 1e3);
        let peak = used.rusage.maxrss as f64 / f64::from(1 << 20);
        self.peak_mebibytes.0.push(peak);
        Ok(())
    }
}

/// What a command prints; its standard output goes nowhere again afterwards.
fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command.stdout(Stdio::piped()).output()?;
    command.stdout(Stdio::null());
    ensure!(
        output.status.success(),
        "{} failed: {}\n{}",
        command.get_program().display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(output.stdout)
}

fn create_secret(home: &Home, leyden: &Path, name: &str, value: &str) -> Result<()> {
    let mut command = home.command(leyden);
    command.args(["secret", "create", name]);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let mut input = child.stdin.take().context("standard input is a pipe")?;
    input.write_all(value.as_bytes())?;
    drop(input);
    let status = child.wait()?;
    ensure!(status.success(), "leyden secret create {name}: {status}");
    Ok(())
}

/// The file of code in Leyden's cache, in which one component is.
fn compiled(home: &Home) -> Result<PathBuf> {
    let cache = home.path().join(".cache/leyden");
    let entries = fs::read_dir(&cache).with_context(|| format!("{}", cache.display()))?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|ending| ending == "code"))
        .with_context(|| format!("no compiled code in {}", cache.display()))
}
