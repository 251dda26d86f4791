//! A line typed on the terminal that is not shown: exactly what was typed, or nothing.

use std::fs::File;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};

use leyden::secrets::MAX_VALUE_BYTES;
use rustix::process::getpgrp;
use rustix::termios::{LocalModes, OptionalActions, QueueSelector, SpecialCodeIndex, Termios};
use rustix::termios::{tcflush, tcgetattr, tcgetpgrp, tcsetattr};
use zeroize::Zeroizing;

const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const CTRL_U: u8 = 0x15;
const CTRL_W: u8 = 0x17;
const DELETE: u8 = 0x7f;

/// Whether the question was asked again since the last byte was read, as after a stop.
static ASKED_AGAIN: AtomicBool = AtomicBool::new(false);

/// Asks on this terminal, whatever the standard streams are.
///
/// # Errors
///
/// [`ErrorKind::Interrupted`] after Ctrl-C, [`ErrorKind::UnexpectedEof`] after Ctrl-D,
/// [`ErrorKind::InvalidData`], saying why, where it is no text; any other of the terminal's.
pub(crate) fn read(mut terminal: &File, question: &str) -> io::Result<Zeroizing<String>> {
    ASKED_AGAIN.store(false, Ordering::Relaxed);
    terminal.write_all(question.as_bytes())?;
    #[expect(
        clippy::unbuffered_bytes,
        reason = "what comes after the line is the next question's"
    )]
    let typed = line(terminal.bytes(), &ASKED_AGAIN);
    terminal.write_all(b"\n")?;
    typed
}

/// The controlling terminal, which shows nothing of what is typed until this is dropped.
pub(crate) struct Hidden {
    file: File,
    before: Termios,
    hidden: Termios,
    question: String,
}

impl Hidden {
    /// For this question.
    ///
    /// # Errors
    ///
    /// The operating system's, where there is no terminal.
    pub(crate) fn new(question: &str) -> io::Result<Self> {
        let file = File::options().read(true).write(true).open("/dev/tty")?;
        let before = tcgetattr(&file)?;
        let mut hidden = before.clone();
        // Not by lines either, of which the terminal keeps no more than 4 KiB; and no key is a signal:
        // one in what is pasted would leave the rest of it to the shell.
        hidden.local_modes -=
            LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        hidden.special_codes[SpecialCodeIndex::VMIN] = 1;
        hidden.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&file, OptionalActions::Now, &hidden)?;
        Ok(Self {
            file,
            before,
            hidden,
            question: question.to_owned(),
        })
    }

    /// The terminal, to ask on.
    ///
    /// # Errors
    ///
    /// The operating system's.
    pub(crate) fn terminal(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    /// Hides what is typed again, and asks anew: what was typed before is forgotten.
    pub(crate) fn ask_again(&self) {
        if self.is_ours() {
            let _ = tcsetattr(&self.file, OptionalActions::Now, &self.hidden);
            ASKED_AGAIN.store(true, Ordering::Relaxed);
            let _ = (&self.file).write_all(self.question.as_bytes());
        }
    }

    /// Puts the terminal back. It may be gone: nothing is left to do then.
    pub(crate) fn put_back(&self) {
        if self.is_ours() {
            let _ = tcsetattr(&self.file, OptionalActions::Now, &self.before);
            // What else was pasted is of the value, too: no shell is to read it.
            let _ = tcflush(&self.file, QueueSelector::IFlush);
        }
    }

    /// Puts the terminal back, and leaves the question's line.
    pub(crate) fn leave(self) {
        self.put_back();
        if self.is_ours() {
            let _ = (&self.file).write_all(b"\n");
        }
    }

    /// Whether no other program of the shell has the terminal: who sets it nevertheless is stopped.
    fn is_ours(&self) -> bool {
        tcgetpgrp(&self.file).is_ok_and(|group| group == getpgrp())
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        self.put_back();
    }
}

/// What is typed up to the end of the line, with the usual keys to correct it, since it was asked for
/// last.
fn line(
    mut bytes: impl Iterator<Item = io::Result<u8>>,
    asked_again: &AtomicBool,
) -> io::Result<Zeroizing<String>> {
    let mut next = || bytes.next().unwrap_or(Err(ErrorKind::UnexpectedEof.into()));
    // The whole capacity at once: a vector that grows leaves copies behind.
    let mut typed = Zeroizing::new(Vec::with_capacity(MAX_VALUE_BYTES + 1));
    loop {
        let byte = next()?;
        if asked_again.swap(false, Ordering::Relaxed) {
            typed.clear();
        }
        match byte {
            b'\n' | b'\r' => break,
            CTRL_C => return Err(ErrorKind::Interrupted.into()),
            CTRL_D if typed.is_empty() => return Err(ErrorKind::UnexpectedEof.into()),
            CTRL_D => {}
            BACKSPACE | DELETE => {
                // The bytes after a character's first begin with the bits 10.
                while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            CTRL_U => typed.clear(),
            CTRL_W => {
                let kept = typed.trim_ascii_end();
                let word = kept.iter().rposition(|byte| *byte == b' ');
                let length = word.map_or(0, |space| space + 1);
                typed.truncate(length);
            }
            // One more than can be stored is refused, and so never kept.
            byte if typed.len() <= MAX_VALUE_BYTES => typed.push(byte),
            _ => {}
        }
    }
    let refused = |problem| Err(io::Error::new(ErrorKind::InvalidData, problem));
    match String::from_utf8(std::mem::take(&mut *typed)) {
        Ok(text) => match Zeroizing::new(text) {
            // Of arrows and the like, too.
            text if text.contains(|c: char| c.is_control() && c != '\t') => refused(
                "a control character was typed (Ctrl-C ends a question; Ctrl-Z and Ctrl-\\ do \
                     nothing there)",
            ),
            text => Ok(text),
        },
        Err(error) => {
            drop(Zeroizing::new(error.into_bytes()));
            refused("what was typed is not UTF-8")
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn typed(bytes: &[u8]) -> Result<String, ErrorKind> {
        let typed = line(bytes.iter().map(|byte| Ok(*byte)), &AtomicBool::new(false));
        typed
            .map(|text| text.to_string())
            .map_err(|error| error.kind())
    }

    #[test]
    fn what_is_typed_is_kept_exactly_up_to_the_end_of_the_line() {
        let long = "x".repeat(5000);
        for text in ["", "a b", "\tx\t", "naïve 🚲", "\u{fffd}", &long] {
            for end in ["\n", "\r", "\nmore\n"] {
                let line = [text, end].concat();
                assert_eq!(typed(line.as_bytes()).unwrap(), text);
            }
        }
        let too_long = "x".repeat(MAX_VALUE_BYTES + 5) + "\n";
        let kept = typed(too_long.as_bytes()).unwrap();
        assert_eq!(kept.len(), MAX_VALUE_BYTES + 1);
    }

    #[test]
    fn keys_that_correct_it_do() {
        for (line, text) in [
            (&b"ab\x7fc\x08d\n"[..], "ad"),
            ("aï🚲\x7f\x7fb\n".as_bytes(), "ab"),
            (b"\x7f\x7fa\n", "a"),
            (b"wrong\x15right\n", "right"),
            (b"one two \x17three\n", "one three"),
            (b"one\x17two\n", "two"),
            (b"a\x1b[D\x15b\n", "b"),
            (b"a\x04b\n", "ab"),
        ] {
            assert_eq!(typed(line).unwrap(), text, "{line:?}");
        }
    }

    #[test]
    fn what_was_typed_before_it_was_asked_for_again_is_forgotten() {
        let again = AtomicBool::new(false);
        let bytes = b"abcd\n".iter().map(|byte| {
            again.fetch_or(*byte == b'c', Ordering::Relaxed);
            Ok(*byte)
        });
        assert_eq!(*line(bytes, &again).unwrap(), "cd");
    }

    #[test]
    fn what_is_no_text_and_what_has_no_end_is_refused() {
        for (line, kind) in [
            (&b"caf\xe9\n"[..], ErrorKind::InvalidData),
            (b"\xff\n", ErrorKind::InvalidData),
            (b"\xc3\n", ErrorKind::InvalidData),
            (b"a\0b\n", ErrorKind::InvalidData),
            (b"a\x01b\n", ErrorKind::InvalidData),
            (b"a\x1b[Db\n", ErrorKind::InvalidData),
            (b"a\x1b\n", ErrorKind::InvalidData),
            ("a\u{9b}b\n".as_bytes(), ErrorKind::InvalidData),
            (b"ab\x03c\n", ErrorKind::Interrupted),
            (b"\x04\n", ErrorKind::UnexpectedEof),
            (b"ab", ErrorKind::UnexpectedEof),
        ] {
            assert_eq!(typed(line), Err(kind), "{line:?}");
        }
    }
}
