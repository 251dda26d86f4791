//! Fetches the URL of its argument, showing the secret `TOKEN` to that host and nobody else.

use anyhow::{Context, Result};
use wstd::http::{Body, Client, HeaderValue, Request};

#[wstd::main]
async fn main() -> Result<()> {
    let url = match std::env::args().nth(1) {
        Some(url) => url,
        None => leyden_guest::env("URL").context("usage: fetch URL")?,
    };
    let token = leyden_guest::secret("TOKEN")?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| anyhow::anyhow!("TOKEN holds what an HTTP header cannot"))?;
    bearer.set_sensitive(true);

    let request = Request::get(&url)
        .header("authorization", bearer)
        .body(Body::empty())?;
    let mut response = Client::new().send(request).await?;
    println!("{}", response.status());
    println!("{}", response.body_mut().str_contents().await?);
    Ok(())
}
