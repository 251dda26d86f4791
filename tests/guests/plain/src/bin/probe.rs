//! Does what its first argument says: each command is one way for a guest to behave, well or badly.

use std::error::Error;
use std::fs::{self, File};
use std::hint::black_box;
use std::io::{self, Write};
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "probe COMMAND: echo | exit N | trap | panic | loop | alloc | recurse | write | \
    stderr TEXT | sleep SECONDS | cat FILE | ls DIR | write-file FILE TEXT | env-get NAME | open-many FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("probe: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &[&str]) -> Result<ExitCode, Box<dyn Error>> {
    match *arguments {
        ["echo"] => {
            io::copy(&mut io::stdin().lock(), &mut io::stdout().lock())?;
        }
        ["exit", code] => return Ok(ExitCode::from(code.parse::<u8>()?)),
        ["trap"] => std::process::abort(),
        ["panic"] => panic!("as asked"),
        ["loop"] => plain::spin(),
        ["alloc"] => plain::hoard(),
        ["recurse"] => println!("{}", recurse(0)),
        ["write"] => flood()?,
        ["stderr", text] => eprintln!("{text}"),
        ["sleep", seconds] => {
            std::thread::sleep(Duration::try_from_secs_f64(seconds.parse()?)?);
            println!("slept {seconds}");
        }
        ["cat", file] => {
            io::copy(&mut File::open(file)?, &mut io::stdout().lock())?;
        }
        ["ls", dir] => list(dir)?,
        ["write-file", file, text] => fs::write(file, text)?,
        ["env-get", name] => match std::env::var(name) {
            Ok(value) => println!("{value}"),
            Err(_) => return Err(format!("no {name} in the environment").into()),
        },
        ["open-many", file] => open_many(file),
        _ => return Err(USAGE.into()),
    }
    Ok(ExitCode::SUCCESS)
}

/// Uses up the stack: the addition after the call keeps it from becoming a loop.
#[allow(unconditional_recursion)]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + black_box(frame).iter().sum::<u64>()
}

/// Writes to standard output until that fails.
fn flood() -> io::Result<()> {
    let mut out = io::stdout().lock();
    loop {
        out.write_all(&[b'x'; 8192])?;
    }
}

/// Prints a folder's entries, sorted, folders with a slash behind.
fn list(dir: &str) -> io::Result<()> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let mark = if entry.file_type()?.is_dir() { "/" } else { "" };
        names.push(format!("{}{mark}", entry.file_name().to_string_lossy()));
    }
    names.sort();
    for name in names {
        println!("{name}");
    }
    Ok(())
}

/// Opens a file, again and again, without closing it, and says where that ended.
fn open_many(file: &str) {
    let mut open = Vec::new();
    let error = loop {
        match File::open(file) {
            Ok(handle) => open.push(handle),
            Err(error) => break error,
        }
    };
    println!("opened {}: {error}", open.len());
}
