//! What the tests share: a home folder of its own for each, guests, and running the command.

mod admin;
mod app;
pub mod browser;
mod home;
pub mod http;
mod ran;

pub use admin::{Admin, Session, between};
pub use app::{App, last_run, lines};
pub use home::{Home, LINES};
pub use ran::{Ran, run, wait};

use std::path::{Path, PathBuf};

/// Whether what the tests leave is kept, in the folder for temporary files, to be searched.
fn are_files_kept() -> bool {
    std::env::var_os("LEYDEN_KEEP_TEST_FILES").is_some()
}

/// A guest that `cargo xtask guests` built.
pub fn guest(name: &str) -> PathBuf {
    let path = target().join("guests").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "{} is not there: run `cargo xtask guests` first",
        path.display()
    );
    path
}

/// An example of several components, with its `leyden.toml`, that `cargo xtask guests` built.
pub fn example(name: &str) -> PathBuf {
    let path = target().join("guests").join(name);
    assert!(
        path.join("leyden.toml").is_file(),
        "{} is not there: run `cargo xtask guests` first",
        path.display()
    );
    path
}

/// The folder in which cargo builds.
pub fn target() -> PathBuf {
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    repository.join("target")
}

/// The three flavours of the guest that prints its environment and arguments.
pub const ENV_GUESTS: [&str; 3] = ["env-p1", "env-p2", "env-p3"];
