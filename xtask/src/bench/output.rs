//! The files that a benchmark writes, opened before minutes of measuring.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A file to be written; where nothing was, it is not left behind empty.
pub(crate) struct Output {
    path: PathBuf,
    file: File,
}

impl Output {
    /// Opens it, and leaves what is in it for now.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = File::options().create(true).append(true).open(path);
        Ok(Self {
            path: path.to_owned(),
            file: file.with_context(|| format!("cannot write {}", path.display()))?,
        })
    }

    /// Writes it anew.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        // What is no file, such as a pipe, has no length.
        let _ = self.file.set_len(0);
        self.file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let meta = self.file.metadata();
        if meta.is_ok_and(|meta| meta.is_file() && meta.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
