//! Uses every function of `leyden-guest` and prints what came of each, one line each.

use std::fmt::Debug;

use leyden_guest::{Error, Secret, env, env_as, from_env, secret};
use serde::Deserialize;

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

fn main() {
    show("env FOO", env("FOO"));
    show("env_as PORT", env_as::<u16>("PORT"));
    show("env_as FOO", env_as::<u16>("FOO"));
    show("secret MY_APP_SECRET", secret("MY_APP_SECRET"));
    show(
        "secret MY_APP_SECRET length",
        secret("MY_APP_SECRET").map(|secret| secret.expose().len()),
    );
    show("secret NOT_BOUND", secret("NOT_BOUND"));
    show("from_env", from_env::<Config>());
}

fn show(what: &str, result: Result<impl Debug, Error>) {
    match result {
        Ok(value) => println!("{what}: {value:?}"),
        Err(error) => println!("{what}: error: {error}"),
    }
}
