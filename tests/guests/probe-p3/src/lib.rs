//! Does what its first argument says, through WASI 0.3: each command is one way to behave.

use std::error::Error;

use http_body_util::{BodyExt, Empty};
use wasip3::cli::{environment, exit, stderr, stdin, stdout};
use wasip3::clocks::monotonic_clock;
use wasip3::http_compat::{http_from_wasi_response, http_into_wasi_request};
use wasip3::wit_bindgen::StreamResult;

const USAGE: &str = "probe-p3 COMMAND: echo | exit N | sleep SECONDS | stderr TEXT | http-get URL";

struct Probe;

wasip3::cli::command::export!(Probe);

impl wasip3::exports::cli::run::Guest for Probe {
    async fn run() -> Result<(), ()> {
        let arguments = environment::get_arguments();
        let arguments: Vec<&str> = arguments.iter().skip(1).map(String::as_str).collect();
        match run(&arguments).await {
            Ok(()) => Ok(()),
            Err(error) => {
                complain(format!("probe-p3: {error}\n")).await;
                Err(())
            }
        }
    }
}

async fn run(arguments: &[&str]) -> Result<(), Box<dyn Error>> {
    match *arguments {
        ["echo"] => print(read_all().await?).await,
        ["exit", code] => {
            exit::exit_with_code(code.parse()?);
            Ok(())
        }
        ["sleep", seconds] => {
            let seconds: f64 = seconds.parse()?;
            monotonic_clock::wait_for((seconds * 1e9) as u64).await;
            print(format!("slept {seconds}\n").into_bytes()).await
        }
        ["stderr", text] => {
            complain(format!("{text}\n")).await;
            Ok(())
        }
        ["http-get", url] => http_get(url).await,
        _ => Err(USAGE.into()),
    }
}

async fn print(bytes: Vec<u8>) -> Result<(), Box<dyn Error>> {
    let (mut writer, reader) = wasip3::wit_stream::new();
    let written = stdout::write_via_stream(reader);
    let rest = writer.write_all(bytes).await;
    drop(writer);
    written
        .await
        .map_err(|error| format!("standard output: {error:?}"))?;
    if rest.is_empty() {
        Ok(())
    } else {
        Err("standard output closed".into())
    }
}

/// A failure to complain has nowhere to go.
async fn complain(text: String) {
    let (mut writer, reader) = wasip3::wit_stream::new();
    let written = stderr::write_via_stream(reader);
    writer.write_all(text.into_bytes()).await;
    drop(writer);
    let _ = written.await;
}

async fn read_all() -> Result<Vec<u8>, Box<dyn Error>> {
    let (mut reader, read) = stdin::read_via_stream();
    let mut all = Vec::new();
    loop {
        let (result, bytes) = reader.read(Vec::with_capacity(65536)).await;
        all.extend(bytes);
        if !matches!(result, StreamResult::Complete(_)) {
            read.await
                .map_err(|error| format!("standard input: {error:?}"))?;
            return Ok(all);
        }
    }
}

async fn http_get(url: &str) -> Result<(), Box<dyn Error>> {
    let request = http::Request::get(url).body(Empty::<&'static [u8]>::new())?;
    let response = wasip3::http::client::send(http_into_wasi_request(request)?).await?;
    let response = http_from_wasi_response(response)?;
    let mut text = format!("{}\n", response.status().as_u16()).into_bytes();
    text.extend(response.into_body().collect().await?.to_bytes());
    print(text).await
}
