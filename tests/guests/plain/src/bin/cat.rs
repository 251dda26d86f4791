//! A program as a Work: copies its input to its output, and ends with the exit status that the
//! first line asks for, as in `exit 3`. (In WASI 0.2, the standard library knows only 0 and 1.)

use std::io;
use std::process::ExitCode;

fn main() -> io::Result<ExitCode> {
    plain::cat().map(ExitCode::from)
}
