//! A home folder of its own, so that no test sees another's store, cache or environment.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::{Ran, run};

/// What the values of secrets in these tests begin with, and nothing else that is written.
/// `cargo xtask test` searches all that the tests leave for it.
const SENTINEL: &str = "some-value";

/// A value of several lines that is not ASCII, for which it searches, too.
pub const LINES: &str = "first line\nother välue\n";

/// A user's home with nothing in it.
pub struct Home(TempDir);

impl Home {
    pub fn new() -> Self {
        let mut folder = TempDir::new().unwrap();
        folder.disable_cleanup(super::are_files_kept());
        Self(folder)
    }

    /// A home with the secret `my-secret`, whose value is `some-value`.
    pub fn with_my_secret() -> Self {
        let home = Self::new();
        home.create_secret("my-secret", SENTINEL);
        home
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn store(&self) -> PathBuf {
        self.path().join("data/leyden/store.db")
    }

    pub fn key_file(&self) -> PathBuf {
        self.path().join("config/leyden/root.key")
    }

    /// The command, with nothing in its environment but this home.
    pub fn leyden(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_leyden"));
        command
            .env_clear()
            .current_dir(self.path())
            .env("HOME", self.path())
            .env("TMPDIR", self.path())
            .env("XDG_DATA_HOME", self.path().join("data"))
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env("XDG_STATE_HOME", self.path().join("state"));
        command
    }

    /// The command under a shell, which lets no file grow beyond so many blocks of 512 bytes.
    pub fn limited(&self, blocks: u32) -> Command {
        let leyden = self.leyden();
        let variables = leyden.get_envs();
        let mut shell = Command::new("sh");
        shell
            .args(["-c", &format!("ulimit -f {blocks}; exec \"$@\""), "sh"])
            .arg(leyden.get_program())
            .current_dir(self.path())
            .env_clear()
            .envs(variables.filter_map(|(name, value)| Some((name, value?))));
        shell
    }

    /// A shell's script on a terminal of its own, which script(1) makes; the command is `$LEYDEN`
    /// there. What is written to its standard input is typed, which is Ctrl-D once that is closed.
    pub fn on_terminal(&self, script: &str) -> Command {
        let leyden = self.leyden();
        let variables = leyden.get_envs();
        let mut terminal = Command::new("script");
        terminal
            .args(["-q", "-e", "-c", script, "/dev/null"])
            .current_dir(self.path())
            .envs(variables.filter_map(|(name, value)| Some((name, value?))))
            .env("SHELL", "/bin/sh")
            .env("LEYDEN", leyden.get_program())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        terminal
    }

    /// Runs the command with these arguments and nothing on its standard input.
    pub fn run<S: AsRef<std::ffi::OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Ran {
        run(self.leyden().args(arguments), b"")
    }

    /// `leyden run app APP` with these arguments after it.
    pub fn run_app(&self, app: &Path, arguments: &[&str]) -> Ran {
        run(
            self.leyden().args(["run", "app"]).arg(app).args(arguments),
            b"",
        )
    }

    pub fn create_secret(&self, name: &str, value: impl AsRef<[u8]>) {
        run(
            self.leyden().args(["secret", "create", name]),
            value.as_ref(),
        )
        .succeeded();
    }

    /// All files under this home.
    pub fn files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    folders.push(path);
                } else {
                    found.push(path);
                }
            }
        }
        found
    }
}
