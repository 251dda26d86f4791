//! Ends with the exit code of its argument through `wasi:cli/exit`'s `exit-with-code`, since the
//! standard library's `exit` knows only success and failure in WASI 0.2.

use anyhow::{Context, Result};

fn main() -> Result<()> {
    let code = std::env::args().nth(1).context("usage: exit CODE")?;
    wasip2::cli::exit::exit_with_code(code.parse()?);
    Ok(())
}
