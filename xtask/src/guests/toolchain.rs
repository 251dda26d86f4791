//! A Rust compiler for WebAssembly: the usual one where it has the targets or can get them,
//! Debian's where not.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{apt, step};

/// Debian's compiler, its source (to build the standard library from), linker and C library.
const PACKAGES: [&str; 5] = [
    "rustc-web",
    "cargo-web",
    "rust-web-src",
    "lld-22",
    "wasi-libc",
];

/// Links components where the Rust toolchain brings no linker for them.
const COMPONENT_LINKER: &str = "wasm-component-ld@0.5.31";

pub(super) enum Toolchain {
    /// The cargo that runs this, whose compiler has the targets.
    Own,
    /// Debian's, which builds the standard library too, with these two linkers.
    Debian {
        wasm_ld: PathBuf,
        component_ld: PathBuf,
    },
}

impl Toolchain {
    /// Finds a toolchain for the targets, or installs one: by rustup, else, as root, by apt.
    pub(super) fn prepare(work: &Path, targets: &[&str]) -> Result<Self> {
        if has_targets(targets)? {
            return Ok(Self::Own);
        }
        if !apt::has(&PACKAGES) {
            let mut rustup = Command::new("rustup");
            rustup.args(["target", "add"]).args(targets);
            match step::run(&mut rustup) {
                Ok(()) => return Ok(Self::Own),
                Err(error) => eprintln!("{error:#}: trying Debian's packages"),
            }
            apt::install(&PACKAGES).with_context(|| {
                format!(
                    "no compiler for {0}: run `rustup target add {0}`",
                    targets.join(" ")
                )
            })?;
        }
        Self::debian(work)
    }

    fn debian(work: &Path) -> Result<Self> {
        let wasm_ld = work.join("wasm-ld");
        fs::write(&wasm_ld, include_str!("wasm-ld.sh"))?;
        fs::set_permissions(&wasm_ld, fs::Permissions::from_mode(0o755))?;
        Ok(Self::Debian {
            wasm_ld,
            component_ld: component_linker(work)?,
        })
    }

    /// `cargo build` for a target, to which packages and folders are to be added.
    pub(super) fn build(&self, target: &str) -> Command {
        let mut command = match self {
            Self::Own => Command::new(cargo()),
            Self::Debian { .. } => Command::new("/usr/bin/cargo"),
        };
        // Flags for the host are not the target's.
        command
            .env_remove("RUSTFLAGS")
            .env_remove("CARGO_ENCODED_RUSTFLAGS")
            .args(["build", "--target", target]);
        if let Self::Debian {
            wasm_ld,
            component_ld,
        } = self
        {
            let mut flags = vec![
                "-Clink-self-contained=no".into(),
                "-L/usr/lib/wasm32-wasi".into(),
            ];
            if target == "wasm32-wasip1" {
                flags.push(format!("-Clinker={}", wasm_ld.display()));
            } else {
                flags.push(format!("-Clinker={}", component_ld.display()));
                flags.push(format!("-Clink-arg=--wasm-ld-path={}", wasm_ld.display()));
            }
            command
                // Building the standard library is unstable: Debian's source fits its compiler.
                .env("RUSTC_BOOTSTRAP", "1")
                .env("RUSTC", "/usr/bin/rustc")
                // Set for the libraries of the compiler that built this program.
                .env_remove("LD_LIBRARY_PATH")
                .arg("-Zbuild-std=std,panic_abort")
                .arg("--config")
                .arg(format!("target.{target}.rustflags={flags:?}"));
        }
        command
    }
}

/// The cargo that runs this program.
fn cargo() -> String {
    env::var("CARGO").unwrap_or_else(|_| "cargo".into())
}

/// Whether the compiler in use has these targets' standard library.
fn has_targets(targets: &[&str]) -> Result<bool> {
    for target in targets {
        let folder = library_folder(Some(target))?;
        if !fs::read_dir(folder).is_ok_and(|mut files| files.next().is_some()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Where the compiler in use keeps a target's standard library; the host's where none is named.
fn library_folder(target: Option<&str>) -> Result<PathBuf> {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "target-libdir"]);
    if let Some(target) = target {
        rustc.args(["--target", target]);
    }
    step::output(&mut rustc).map(PathBuf::from)
}

/// The program that makes components: rustup's compilers bring it; else it is built, once.
fn component_linker(work: &Path) -> Result<PathBuf> {
    let own = library_folder(None)?.with_file_name("bin/wasm-component-ld");
    if own.exists() {
        return Ok(own);
    }
    let built = work.join("bin/wasm-component-ld");
    if !built.exists() {
        step::run(
            Command::new(cargo())
                .args(["install", "--locked", COMPONENT_LINKER, "--root"])
                .arg(work),
        )?;
    }
    Ok(built)
}
