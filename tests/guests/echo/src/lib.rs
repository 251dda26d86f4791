//! The smallest Work: returns its input.

use std::convert::Infallible;

#[leyden_guest::work(bytes)]
fn echo(input: Vec<u8>) -> Result<Vec<u8>, Infallible> {
    Ok(input)
}
