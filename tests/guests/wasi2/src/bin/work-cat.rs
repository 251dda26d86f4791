//! A program as a Work: copies its input to its output, and ends with the exit status that the
//! first line asks for, as in `exit 3`.

use std::io;

fn main() -> io::Result<()> {
    let status = plain::cat()?;
    wasip2::cli::exit::exit_with_code(status);
    Ok(())
}
