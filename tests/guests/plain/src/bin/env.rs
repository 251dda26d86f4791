//! Prints its whole environment, one `NAME=VALUE` a line, sorted, then its arguments.

use std::io::{self, Write};

fn main() -> io::Result<()> {
    let mut entries: Vec<_> = std::env::vars_os().collect();
    entries.sort();
    let mut out = io::stdout().lock();
    for (name, value) in entries {
        out.write_all(name.as_encoded_bytes())?;
        out.write_all(b"=")?;
        out.write_all(value.as_encoded_bytes())?;
        out.write_all(b"\n")?;
    }
    for (place, argument) in std::env::args_os().enumerate() {
        write!(out, "argument {place}: ")?;
        out.write_all(argument.as_encoded_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}
