//! Fetches the URL of its argument through `wasi:http`, and prints the status and the body.

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("usage: http-get URL")?;
    let (status, body) = get(&url.parse()?)?;
    let mut out = std::io::stdout();
    writeln!(out, "{status}")?;
    out.write_all(&body)?;
    Ok(())
}

fn get(url: &http::Uri) -> Result<(u16, Vec<u8>)> {
    let scheme = match url.scheme_str() {
        Some("http") => Scheme::Http,
        _ => Scheme::Https,
    };
    let request = OutgoingRequest::new(Fields::new());
    request
        .set_scheme(Some(&scheme))
        .and_then(|()| request.set_authority(url.authority().map(|part| part.as_str())))
        .and_then(|()| request.set_path_with_query(url.path_and_query().map(|part| part.as_str())))
        .map_err(|()| anyhow!("the host refuses the URL {url}"))?;

    let answer = handle(request, None)?;
    answer.subscribe().block();
    let response = answer
        .get()
        .context("no answer after waiting for it")?
        .map_err(|()| anyhow!("the answer was taken twice"))??;
    let body = response
        .consume()
        .map_err(|()| anyhow!("the body was taken twice"))?;
    let stream = body
        .stream()
        .map_err(|()| anyhow!("the body was read twice"))?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(65536) {
            Ok(more) => bytes.extend(more),
            Err(StreamError::Closed) => return Ok((response.status(), bytes)),
            Err(error) => return Err(error).context("the body broke off"),
        }
    }
}
