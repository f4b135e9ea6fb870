//! Packages of Debian that are unpacked below the target folder, not installed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::packages;
use crate::process;
use crate::workspace::Workspace;

/// A real `CrowdSec` for tests. Installed, its package would start a service, register this host at
/// a third party, and fail without the Internet. Tests that want it say so when it is not there.
pub(crate) fn crowdsec(workspace: &Workspace) -> String {
    let place = workspace.tools().join("crowdsec");
    if place.is_dir() {
        return "present".to_owned();
    }
    if !packages::is_debian() {
        return "not available: not Debian".to_owned();
    }
    let unpacked = package(workspace, "crowdsec", &place).or_else(|_| {
        // A fresh machine has no lists yet, an old one has lists of what is gone.
        packages::apt(workspace, "apt-update", &["update"])?;
        package(workspace, "crowdsec", &place)
    });
    match unpacked {
        Ok(()) => "unpacked".to_owned(),
        Err(error) => format!("not available: {error:#}"),
    }
}

/// Downloads and unpacks a package, unless it is at its place already.
pub(crate) fn package(workspace: &Workspace, name: &str, place: &Path) -> Result<()> {
    if place.is_dir() {
        return Ok(());
    }
    let mut fresh = place.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = PathBuf::from(fresh);
    if fresh.exists() {
        fs::remove_dir_all(&fresh)?;
    }
    fs::create_dir_all(&fresh)?;
    let mut download = Command::new("apt-get");
    download
        .args(["-q", "-o", "APT::Sandbox::User=root", "download", name])
        .current_dir(&fresh);
    process::logged(&mut download, &workspace.log(&format!("{name}-download")))?;
    let package = only_file(&fresh)?;
    process::capture(Command::new("dpkg-deb").arg("-x").arg(&package).arg(&fresh))?;
    fs::remove_file(package)?;
    // Under its final name only when it is whole.
    fs::rename(&fresh, place)?;
    Ok(())
}

/// The one thing that is in a folder.
pub(crate) fn only_file(folder: &Path) -> Result<PathBuf> {
    let entry = fs::read_dir(folder)?
        .next()
        .with_context(|| format!("nothing was downloaded into {}", folder.display()))?;
    Ok(entry?.path())
}
