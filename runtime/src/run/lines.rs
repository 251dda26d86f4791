//! Cutting what a program writes into lines, to be shown with a name in front.

use std::sync::{Mutex, PoisonError};

use crate::sandbox::Output;

/// A longer line is cut here: nobody ends it.
const MAX_LINE: usize = 8 << 10;

/// An output that calls `show` with each line, without its end, and at the end of the stream with
/// what is left. Bytes that are no text are replaced.
pub(super) fn output(show: impl Fn(String) + Send + Sync + 'static) -> Output {
    let lines = Lines {
        pending: Mutex::default(),
        show,
    };
    Output::to(move |bytes| {
        lines.push(bytes);
        Ok(())
    })
}

struct Lines<F: Fn(String)> {
    pending: Mutex<Vec<u8>>,
    show: F,
}

impl<F: Fn(String)> Lines<F> {
    fn push(&self, bytes: &[u8]) {
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            pending.extend_from_slice(part);
            if part.ends_with(b"\n") || pending.len() > MAX_LINE {
                self.show(&std::mem::take(&mut *pending));
            }
        }
    }

    fn show(&self, line: &[u8]) {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        (self.show)(String::from_utf8_lossy(line).into_owned());
    }
}

impl<F: Fn(String)> Drop for Lines<F> {
    fn drop(&mut self) {
        let rest =
            std::mem::take(&mut *self.pending.lock().unwrap_or_else(PoisonError::into_inner));
        if !rest.is_empty() {
            self.show(&rest);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn lines(writes: &[&[u8]]) -> Vec<String> {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let to = Arc::clone(&seen);
        let lines = Lines {
            pending: Mutex::default(),
            show: move |line| to.lock().unwrap().push(line),
        };
        writes.iter().for_each(|bytes| lines.push(bytes));
        drop(lines);
        Arc::try_unwrap(seen).unwrap().into_inner().unwrap()
    }

    #[test]
    fn lines_are_whole_however_they_are_written() {
        assert_eq!(
            lines(&[b"a\nb", b"c\r\n", b"\n", b"d"]),
            ["a", "bc", "", "d"]
        );
        assert_eq!(lines(&[b"\xff"]), ["\u{fffd}"]);
        assert!(lines(&[]).is_empty());
    }

    #[test]
    fn a_line_that_never_ends_is_cut() {
        let long = vec![b'x'; MAX_LINE + 1];
        let lines = lines(&[&long, b"y\n"]);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[1], "y");
    }
}
