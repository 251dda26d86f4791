//! Uses every function of `leyden-guest` and prints what came of each, one line each; those that
//! start Works where its argument is `works`, in an app whose Works are `work-probe` and `work-echo`
//! by the names `probe` and `echo`.

use std::fmt::{Debug, Display};

use leyden_guest::{
    Secret, Status, WorkError, as_completed, env, env_as, from_env, secret, secret_bytes, wait_any,
    work,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Level {
    Quiet,
    Loud,
}

#[derive(Debug, Deserialize)]
#[allow(dead_code)]
struct Config {
    foo: String,
    port: u16,
    ratio: f64,
    debug: bool,
    level: Level,
    tags: Vec<String>,
    absent: Option<u32>,
    my_app_secret: Secret,
}

fn main() -> Result<(), WorkError> {
    if std::env::args().nth(1).is_some_and(|what| what == "works") {
        return works();
    }
    show("env FOO", env("FOO"));
    show("env_as PORT", env_as::<u16>("PORT"));
    show("env_as FOO", env_as::<u16>("FOO"));
    show("secret MY_APP_SECRET", secret("MY_APP_SECRET"));
    show(
        "secret MY_APP_SECRET length",
        secret("MY_APP_SECRET").map(|secret| secret.expose().len()),
    );
    show("secret NOT_BOUND", secret("NOT_BOUND"));
    show("secret_bytes MY_APP_SECRET", secret_bytes("MY_APP_SECRET"));
    show(
        "secret_bytes MY_APP_SECRET length and version",
        secret_bytes("MY_APP_SECRET").map(|secret| (secret.expose().len(), secret.version())),
    );
    show("secret_bytes NOT_BOUND", secret_bytes("NOT_BOUND"));
    show("from_env", from_env::<Config>());
    Ok(())
}

fn works() -> Result<(), WorkError> {
    show("work prob", work("prob"));
    let probe = work("probe")?;
    let slow = probe.start(&json!({ "sleep": 3_600_000 }))?;
    let quick = probe.start(&json!({ "return": 1 }))?;
    println!("wait_any: {:?}", wait_any(&[&slow, &quick]));
    println!("again: {:?}", wait_any(&[&slow, &quick]));
    println!("of none: {:?}", wait_any(&[] as &[&leyden_guest::Started]));
    println!("slow has ended: {}", ended(slow.status()));
    slow.stop();
    let failing = [
        json!({ "error": "as asked" }),
        json!("trap"),
        json!({ "exit": 3 }),
        json!("no such action"),
    ];
    let mut started = vec![slow, quick];
    for input in &failing {
        started.push(probe.start(input)?);
    }
    let mut lines: Vec<(usize, String)> = as_completed(started)
        .map(|(place, done)| (place, format!("{:?}, {}", done.status(), told(done.wait()))))
        .collect();
    lines.sort();
    for (place, line) in lines {
        println!("{place}: {line}");
    }
    show(
        "a number as text",
        probe.start(&json!({ "return": 1 }))?.wait::<String>(),
    );
    let bytes = work("echo")?.start_bytes([0, 255]).wait_bytes();
    show("bytes", bytes);

    // More than are started ahead, of which one fails.
    let inputs = (0..3000).map(|n| match n {
        7 => json!({ "error": "seven" }),
        _ => json!({ "return": n }),
    });
    let results: Vec<Result<u64, WorkError>> = probe.map(inputs).collect();
    let right = (0..).zip(&results).filter(|(n, result)| *result == &Ok(*n));
    println!("map: {} of {}", right.count(), results.len());
    show("map at 7", results.into_iter().nth(7).unwrap_or(Ok(0)));

    // While one runs, all others are given.
    let mut many = vec![probe.start(&json!({ "sleep": 3_600_000 }))?];
    for n in 1..1000 {
        many.push(probe.start(&json!({ "return": n }))?);
    }
    let mut ends = as_completed(many);
    let first: usize = ends.by_ref().take(999).map(|(place, _)| place).sum();
    println!("as_completed: {first}, {} left", ends.len());
    Ok(())
}

fn ended(status: Status) -> bool {
    !matches!(status, Status::Pending | Status::Running)
}

fn told(result: Result<Value, WorkError>) -> String {
    match result {
        Ok(value) => value.to_string(),
        Err(error) => error.to_string(),
    }
}

fn show(what: &str, result: Result<impl Debug, impl Display>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: error: {error}"),
    }
}
