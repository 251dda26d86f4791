//! Fetches the URL of its argument, showing the secret `TOKEN` to that host and nobody else.

use std::io::Write;

use anyhow::{Context, Result, anyhow};
use leyden_guest::Secret;
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{Fields, OutgoingRequest, Scheme};
use wasip2::io::streams::StreamError;

fn main() -> Result<()> {
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => leyden_guest::env("URL").context("usage: fetch URL")?,
    };
    let token = leyden_guest::secret("TOKEN")?;
    let (status, body) = get(&url.parse()?, &token)?;
    let mut out = std::io::stdout();
    writeln!(out, "{status}")?;
    out.write_all(&body)?;
    Ok(())
}

/// Sends `GET` with a bearer token, and waits for the whole answer: its status and body.
fn get(url: &http::Uri, token: &Secret) -> Result<(u16, Vec<u8>)> {
    let bearer = format!("Bearer {}", token.expose());
    let headers = [("authorization".to_owned(), bearer.into_bytes())];
    let headers = Fields::from_list(&headers).context("TOKEN is not fit for an HTTP header")?;

    let scheme = match url.scheme_str() {
        Some("http") => Scheme::Http,
        _ => Scheme::Https,
    };
    let request = OutgoingRequest::new(headers);
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
