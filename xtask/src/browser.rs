//! A browser for the tests of the admin page, and what looks there for barriers to people.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::{apt, step};

/// Debian's browser, the program that drives it, and a font.
const PACKAGES: [&str; 3] = ["chromium", "chromium-driver", "fonts-dejavu-core"];

/// By name and version, so that its rules change when somebody says so.
const AXE: &str = "axe-core@4.14.1";

/// Finds both, or installs them: by apt, as root, and by npm under `target/`.
pub(crate) fn prepare(root: &Path) -> Result<()> {
    let mut driver = Command::new("chromedriver");
    let driver = driver.arg("--version").stderr(Stdio::null());
    if step::output(driver).is_err() {
        apt::install(&PACKAGES).context("Chromium and its ChromeDriver are needed")?;
    }
    let folder = root.join("target/axe");
    let installed = folder.join(format!("{AXE}.installed"));
    if installed.exists() {
        return Ok(());
    }
    std::fs::create_dir_all(&folder)?;
    if step::output(Command::new("npm").arg("--version").stderr(Stdio::null())).is_err() {
        apt::install(&["npm"]).context("npm is needed, which fetches axe-core")?;
    }
    let mut npm = Command::new("npm");
    let options = [
        "install",
        "--no-save",
        "--no-audit",
        "--no-fund",
        "--ignore-scripts",
    ];
    step::run(npm.args(options).arg("--prefix").arg(&folder).arg(AXE))?;
    Ok(std::fs::write(installed, "")?)
}
