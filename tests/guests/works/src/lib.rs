//! A Work that does what its input says: one action or a list of them. The last one's result is
//! its output.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use leyden_guest::secret_bytes;
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
#[serde(untagged)]
enum Input {
    Several(Vec<Action>),
    One(Action),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Action {
    /// Returns this.
    Return(Value),
    /// Returns text of so many bytes.
    ReturnBytes(usize),
    /// Fails with this text.
    Error(String),
    Trap,
    Panic,
    Exit(u8),
    /// In milliseconds.
    Sleep(u64),
    /// Takes memory until there is none.
    Allocate,
    /// Computes for ever.
    Loop,
    Stdout(String),
    Stderr(String),
    /// Returns its environment, as an object.
    Environment,
    /// Returns a secret's `bytes` and `version`, or fails.
    Reveal(String),
    /// Returns which of these names are bound.
    Bound(Vec<String>),
    /// Counts its attempts in this file, and returns the number.
    Attempt(String),
    /// The same, but traps before the attempt of this number.
    TrapBefore {
        file: String,
        attempt: u32,
    },
}

#[leyden_guest::work]
fn probe(input: Input) -> Result<Value, String> {
    let actions = match input {
        Input::Several(actions) => actions,
        Input::One(action) => vec![action],
    };
    let mut result = Value::Null;
    for action in actions {
        result = act(action)?;
    }
    Ok(result)
}

fn act(action: Action) -> Result<Value, String> {
    match action {
        Action::Return(value) => return Ok(value),
        Action::ReturnBytes(count) => return Ok("x".repeat(count).into()),
        Action::Error(text) => return Err(text),
        Action::Trap => std::process::abort(),
        Action::Panic => panic!("as asked"),
        Action::Exit(status) => wasip2::cli::exit::exit_with_code(status),
        Action::Sleep(milliseconds) => std::thread::sleep(Duration::from_millis(milliseconds)),
        Action::Allocate => plain::hoard(),
        Action::Loop => plain::spin(),
        Action::Stdout(text) => println!("{text}"),
        Action::Stderr(text) => eprintln!("{text}"),
        Action::Environment => {
            let entries: BTreeMap<String, String> = std::env::vars().collect();
            return Ok(json!(entries));
        }
        Action::Reveal(name) => {
            let secret = secret_bytes(&name).map_err(|error| error.to_string())?;
            return Ok(json!({ "bytes": secret.expose(), "version": secret.version() }));
        }
        Action::Bound(names) => {
            let bound: Vec<String> = names
                .into_iter()
                .filter(|name| secret_bytes(name).is_ok())
                .collect();
            return Ok(json!(bound));
        }
        Action::Attempt(file) => return count(&file).map(Value::from),
        Action::TrapBefore { file, attempt } => {
            let count = count(&file)?;
            if count < attempt {
                eprintln!("attempt {count}: not yet");
                std::process::abort();
            }
            return Ok(count.into());
        }
    }
    Ok(Value::Null)
}

/// One more than the number in this file, which is then there.
fn count(file: &str) -> Result<u32, String> {
    let before = fs::read_to_string(file).unwrap_or_default();
    let count = before.trim().parse().unwrap_or(0) + 1;
    fs::write(file, format!("{count}\n")).map_err(|error| format!("{file}: {error}"))?;
    Ok(count)
}
