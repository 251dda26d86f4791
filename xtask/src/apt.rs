//! Debian's packages, where what is needed is not there and somebody who may install them asks.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Result, bail};

use crate::step;

/// Whether all of these are installed.
pub(crate) fn has(packages: &[&str]) -> bool {
    packages.iter().all(|package| {
        let mut dpkg = Command::new("dpkg-query");
        dpkg.args(["--show", "--showformat=${db:Status-Status}", package]);
        step::output(dpkg.stderr(Stdio::null())).is_ok_and(|status| status == "installed")
    })
}

/// Installs Debian packages; where that fails, once more after reading the package lists.
pub(crate) fn install(packages: &[&str]) -> Result<()> {
    if !Path::new("/etc/debian_version").exists() || !rustix::process::geteuid().is_root() {
        bail!(
            "`apt-get install {}` would help, but takes Debian and root",
            packages.join(" ")
        );
    }
    let apt_get = |arguments: &[&str]| {
        let mut apt_get = Command::new("apt-get");
        step::run(
            apt_get
                .env("DEBIAN_FRONTEND", "noninteractive")
                .args(arguments),
        )
    };
    let install = [&["install", "--yes", "--no-install-recommends"], packages].concat();
    if apt_get(&install).is_ok() {
        return Ok(());
    }
    apt_get(&["update"])?;
    apt_get(&install)
}
