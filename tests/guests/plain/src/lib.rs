//! What several guests do, with the standard library alone.

use std::hint::black_box;
use std::io::{self, BufRead, Write};

/// Computes for ever, without a call to the host.
pub fn spin() -> ! {
    let mut count = 0u64;
    loop {
        count = black_box(count.wrapping_add(1));
    }
}

/// Takes memory, and writes to it, until there is none.
pub fn hoard() -> ! {
    let mut kept = Vec::new();
    loop {
        kept.push(black_box(vec![1u8; 1 << 20]));
    }
}

/// Copies standard input to standard output. Gives the exit status that the input's first line
/// asks for, as in `exit 3`; else 0.
pub fn cat() -> io::Result<u8> {
    let mut input = io::stdin().lock();
    let mut out = io::stdout().lock();
    let mut first = Vec::new();
    input.read_until(b'\n', &mut first)?;
    out.write_all(&first)?;
    io::copy(&mut input, &mut out)?;
    // Whoever exits in its own way does not come to do it.
    out.flush()?;
    let asked = str::from_utf8(&first)
        .ok()
        .and_then(|line| line.trim_end().strip_prefix("exit "));
    Ok(asked.and_then(|status| status.parse().ok()).unwrap_or(0))
}
