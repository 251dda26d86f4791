//! A run's log: lines of text in two files of bounded size.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::secrets::open_regular;

/// The size, in bytes, at which the file becomes the older one, and the older one goes.
const MAX_SIZE: u64 = 8 << 20;

/// Where lines go. Made with the first of them.
pub(super) struct Log {
    path: PathBuf,
    open: Mutex<Option<(File, u64)>>,
}

impl Log {
    pub(super) fn new(folder: &Path) -> Self {
        Self {
            path: folder.join("log"),
            open: Mutex::default(),
        }
    }

    /// Adds a line. Where that fails, the run goes on without.
    pub(super) fn line(&self, of: &dyn std::fmt::Display, text: &str) {
        let now = Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ");
        // One line stays one line, whatever is in it.
        let text = text.replace(['\n', '\r'], " ");
        let _ = self.write(format!("{now} {of} {text}\n").as_bytes());
    }

    fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.as_ref().is_some_and(|(_, size)| *size >= MAX_SIZE) {
            fs::rename(&self.path, older(&self.path))?;
            *open = None;
        }
        let (file, size) = match &mut *open {
            Some(open) => open,
            None => {
                let mut options = File::options();
                options.append(true).create(true).mode(0o600);
                let file = open_regular(&mut options, &self.path)?;
                let size = file.metadata()?.len();
                open.insert((file, size))
            }
        };
        file.write_all(line)?;
        *size += line.len() as u64;
        Ok(())
    }
}

/// All lines that are still there, oldest first.
pub(super) fn read(folder: &Path) -> io::Result<String> {
    let path = folder.join("log");
    let mut all = Vec::new();
    for path in [older(&path), path] {
        match open_regular(File::options().read(true), &path) {
            Ok(mut file) => drop(file.read_to_end(&mut all)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(String::from_utf8_lossy(&all).into_owned())
}

fn older(path: &Path) -> PathBuf {
    path.with_extension("1")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_bounded_and_keeps_the_newest_lines() {
        let folder = tempfile::tempdir().unwrap();
        let log = Log::new(folder.path());
        assert_eq!(read(folder.path()).unwrap(), "");
        let text = "x".repeat(64 << 10);
        for number in 0..300 {
            log.line(&number, &text);
        }
        log.line(&"last", "one\ntwo");
        let lines = read(folder.path()).unwrap();
        assert!(lines.len() as u64 <= 2 * MAX_SIZE + (128 << 10));
        assert!(lines.ends_with(" last one two\n"));
        assert!(lines.contains(" 299 x") && !lines.contains(" 0 x"));
    }
}
