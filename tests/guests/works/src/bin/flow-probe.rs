//! A Flow that does what its first argument, a script in JSON, says; or its standard input, where
//! there is no argument. What comes of it, it prints as JSON, a line each.
//!
//! It uses the WIT bindings themselves, to be able to do what the SDK would not.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{self, Write};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use bindings::leyden::app::types::{Failure, Status};
use bindings::leyden::app::{secrets, works};
use bindings::wasi::io::poll::{self, Pollable};

mod bindings {
    wit_bindgen::generate!({
        path: "../../../guest-sdk/wit",
        world: "leyden:app/flow",
        generate_all,
    });
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Step {
    /// Starts a Work; each gets a place, counted from 0.
    Start(Start),
    /// Starts a Work and waits for its output, so many times.
    InTurn(Start),
    /// Waits for these and prints a line for each, in the order of their places.
    Wait(Places),
    /// Waits for all that were not waited for, and prints a line for each as it ends.
    WaitAny,
    /// Waits until one of those that were not waited for has ended, and prints its line.
    WaitFirst,
    /// Waits for all that were not waited for, and prints how many ended how.
    Count,
    /// Prints how each stands.
    Status,
    Stop(Places),
    /// Lets go of these without waiting.
    Drop(Places),
    /// Prints the names of the app's Works.
    Names,
    /// Prints a secret's bytes and version, or the error.
    Reveal(String),
    Print(String),
    /// In milliseconds.
    Sleep(u64),
    /// Computes for ever.
    Loop,
    Trap,
    Exit(u8),
    Repeat {
        times: usize,
        steps: Vec<Step>,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Start {
    work: String,
    /// What the Work gets, as JSON, in which `"{n}"` is the place.
    #[serde(default)]
    input: Value,
    /// Or this text, as it is.
    text: Option<String>,
    /// Or so many bytes.
    bytes: Option<usize>,
    #[serde(default = "once")]
    times: usize,
}

fn once() -> usize {
    1
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Places {
    /// `"all"`: all that were not waited for.
    Word(Word),
    These(Vec<usize>),
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Word {
    All,
}

fn main() -> Result<(), Box<dyn Error>> {
    let script = match std::env::args().nth(1) {
        Some(script) => script,
        None => io::read_to_string(io::stdin())?,
    };
    let steps: Vec<Step> = serde_json::from_str(&script)?;
    Flow::default().run(&steps)
}

#[derive(Default)]
struct Flow {
    /// By place. The pollable is dropped before what it belongs to.
    started: Vec<Option<(Pollable, Started)>>,
}

struct Started {
    work: String,
    handle: works::Started,
}

impl Flow {
    fn run(&mut self, steps: &[Step]) -> Result<(), Box<dyn Error>> {
        steps.iter().try_for_each(|step| self.step(step))
    }

    fn step(&mut self, step: &Step) -> Result<(), Box<dyn Error>> {
        match step {
            Step::Start(start) => self.start(start)?,
            Step::InTurn(start) => in_turn(start)?,
            Step::Wait(places) => {
                for place in self.places(places) {
                    self.report(place)?;
                }
            }
            Step::WaitAny => while self.wait_any()? {},
            Step::WaitFirst => {
                self.wait_any()?;
            }
            Step::Count => self.count()?,
            Step::Status => {
                let all = self.started.iter().flatten();
                let all: Vec<&str> = all.map(|(_, it)| status(it.handle.status())).collect();
                print(&json!({ "status": all }))?;
            }
            Step::Stop(places) => {
                for place in self.places(places) {
                    if let Some(Some((_, started))) = self.started.get(place) {
                        started.handle.stop();
                    }
                }
            }
            Step::Drop(places) => {
                for place in self.places(places) {
                    self.take(place);
                }
            }
            Step::Names => print(&json!({ "names": works::names() }))?,
            Step::Reveal(name) => print(&json!({ "reveal": reveal(name) }))?,
            Step::Print(text) => print(&json!({ "print": text }))?,
            Step::Sleep(milliseconds) => std::thread::sleep(Duration::from_millis(*milliseconds)),
            Step::Loop => plain::spin(),
            Step::Trap => std::process::abort(),
            Step::Exit(status) => wasip2::cli::exit::exit_with_code(*status),
            Step::Repeat { times, steps } => {
                for _ in 0..*times {
                    self.run(steps)?;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, start: &Start) -> Result<(), Box<dyn Error>> {
        let json = serde_json::to_string(&start.input)?;
        for _ in 0..start.times {
            let input = match (&start.text, start.bytes) {
                (Some(text), _) => text.clone().into_bytes(),
                (None, Some(bytes)) => vec![b'x'; bytes],
                (None, None) => json
                    .replace("\"{n}\"", &self.started.len().to_string())
                    .into_bytes(),
            };
            let handle = works::start(&start.work, &input);
            let work = start.work.clone();
            self.started
                .push(Some((handle.subscribe(), Started { work, handle })));
        }
        Ok(())
    }

    /// Those of these places that are still held.
    fn places(&self, places: &Places) -> Vec<usize> {
        let held = |place: &usize| matches!(self.started.get(*place), Some(Some(_)));
        match places {
            Places::Word(Word::All) => (0..self.started.len()).filter(held).collect(),
            Places::These(places) => places.iter().copied().filter(held).collect(),
        }
    }

    fn take(&mut self, place: usize) -> Option<Started> {
        let (_, started) = self.started.get_mut(place)?.take()?;
        Some(started)
    }

    /// Waits for one, prints its line and lets go of it.
    fn report(&mut self, place: usize) -> Result<(), Box<dyn Error>> {
        let Some(Started { work, handle }) = self.take(place) else {
            return Ok(());
        };
        let line = match handle.output() {
            Ok(output) => {
                let output: Value = serde_json::from_slice(&output)
                    .unwrap_or_else(|_| String::from_utf8_lossy(&output).into());
                json!({ "place": place, "work": work, "output": output })
            }
            Err(failure) => {
                let (kind, detail) = failed(failure);
                json!({ "place": place, "work": work, "failure": kind, "detail": detail })
            }
        };
        print(&line)
    }

    /// Waits until any has ended and reports all that have; false where there is none.
    fn wait_any(&mut self) -> Result<bool, Box<dyn Error>> {
        let held = self.started.iter().enumerate();
        let (places, pollables): (Vec<usize>, Vec<&Pollable>) = held
            .filter_map(|(place, started)| Some((place, &started.as_ref()?.0)))
            .unzip();
        if pollables.is_empty() {
            return Ok(false);
        }
        let ready = poll::poll(&pollables);
        for place in ready.into_iter().filter_map(|at| places.get(at as usize)) {
            self.report(*place)?;
        }
        Ok(true)
    }

    fn count(&mut self) -> Result<(), Box<dyn Error>> {
        let mut ends = BTreeMap::<&str, usize>::new();
        for (_, started) in std::mem::take(&mut self.started).into_iter().flatten() {
            let kind = match started.handle.output() {
                Ok(_) => "output",
                Err(failure) => failed(failure).0,
            };
            *ends.entry(kind).or_default() += 1;
        }
        print(&json!({ "count": ends }))
    }
}

fn in_turn(start: &Start) -> Result<(), Box<dyn Error>> {
    let input = start.text.clone().unwrap_or_default().into_bytes();
    for _ in 0..start.times {
        let output = works::start(&start.work, &input).output();
        output.map_err(|failure| failed(failure).0)?;
    }
    Ok(())
}

fn print(line: &Value) -> Result<(), Box<dyn Error>> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn status(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Running => "running",
        Status::Succeeded => "succeeded",
        Status::Failed => "failed",
        Status::Stopped => "stopped",
    }
}

/// The kind of a failure, and what there is to say of it.
fn failed(failure: Failure) -> (&'static str, Value) {
    match failure {
        Failure::Error(text) => ("error", text.into()),
        Failure::Trap(reason) => ("trap", reason.into()),
        Failure::Exit(status) => ("exit", status.into()),
        Failure::TimedOut(limit) => ("timed-out", limit.into()),
        Failure::OutOfMemory(limit) => ("out-of-memory", limit.into()),
        Failure::Stopped => ("stopped", Value::Null),
        Failure::Refused(reason) => ("refused", reason.into()),
    }
}

fn reveal(name: &str) -> Value {
    match secrets::get(name) {
        Ok(secret) => {
            json!({ "name": name, "bytes": secret.reveal(), "version": secret.version() })
        }
        Err(secrets::Error::Unbound) => json!({ "name": name, "error": "unbound" }),
    }
}
