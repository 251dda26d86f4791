//! Fetches the URL of its argument through `wasi:http`, and prints the status and the body.

use anyhow::{Context, Result};
use wstd::http::{Body, Client, Request};

#[wstd::main]
async fn main() -> Result<()> {
    let url = std::env::args().nth(1).context("usage: http-get URL")?;
    let request = Request::get(&url).body(Body::empty())?;
    let mut response = Client::new().send(request).await?;
    println!("{}", response.status().as_u16());
    print!("{}", response.body_mut().str_contents().await?);
    Ok(())
}
