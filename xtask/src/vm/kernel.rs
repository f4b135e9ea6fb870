//! Finding and unpacking a kernel package of Debian.
//!
//! The newest build of a series is looked up in apt's lists at run time.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Series;
use crate::packages;
use crate::process;
use crate::unpacked;
use crate::workspace::Workspace;

/// An unpacked kernel package.
pub(super) struct Kernel {
    pub(super) image: PathBuf,
    /// `lib/modules/VERSION` of the package.
    pub(super) modules: PathBuf,
}

/// Downloads the newest kernel of the series, unless it is there already.
pub(super) fn fetch(workspace: &Workspace, series: Series) -> Result<Kernel> {
    let folder = workspace.target().join("vm");
    let mut names = candidates(series)?;
    if names.is_empty() {
        // A fresh machine has no lists yet.
        packages::apt(workspace, "apt-update", &["update"])?;
        names = candidates(series)?;
    }
    let mut last = None;
    // Lists may still name a build that the archive has dropped.
    for name in names.iter().take(3) {
        match unpack(workspace, &folder, name) {
            Ok(place) => return open(&place),
            Err(error) => last = Some(error),
        }
    }
    match last {
        Some(error) => Err(error),
        None => bail!("this release's archive has no cloud kernel of the series {series}"),
    }
}

fn candidates(series: Series) -> Result<Vec<String>> {
    let prefix = format!("linux-image-{series}.");
    let list = process::capture(Command::new("apt-cache").args(["pkgnames", &prefix]))?;
    Ok(newest_first(&list, &prefix))
}

/// Signed images without debug symbols, the highest version first.
fn newest_first(list: &str, prefix: &str) -> Vec<String> {
    let mut names: Vec<(Vec<u64>, String)> = list
        .lines()
        .filter_map(|name| {
            let version = name.strip_prefix(prefix)?.strip_suffix("-cloud-amd64")?;
            let numbers = version
                .split(|c: char| !c.is_ascii_digit())
                .filter_map(|number| number.parse().ok())
                .collect();
            Some((numbers, name.to_owned()))
        })
        .collect();
    names.sort();
    names.into_iter().rev().map(|(_, name)| name).collect()
}

fn unpack(workspace: &Workspace, folder: &Path, name: &str) -> Result<PathBuf> {
    let place = folder.join(name);
    unpacked::package(workspace, name, &place)?;
    Ok(place)
}

fn open(place: &Path) -> Result<Kernel> {
    let modules = unpacked::only_file(&place.join("lib/modules"))?;
    let version = modules
        .file_name()
        .and_then(|name| name.to_str())
        .with_context(|| format!("no version below {}", place.display()))?;
    let image = place.join("boot").join(format!("vmlinuz-{version}"));
    if !image.is_file() {
        bail!("the package has no {}", image.display());
    }
    Ok(Kernel { image, modules })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_signed_build_comes_first() {
        let list = "linux-image-6.1.0-9-cloud-amd64\nlinux-image-6.1.0-56-cloud-amd64\n\
                    linux-image-6.1.0-60-cloud-amd64-dbg\nlinux-image-6.1.0-56-amd64\n\
                    linux-image-6.1.0-61-cloud-amd64-unsigned\n";
        assert_eq!(
            newest_first(list, "linux-image-6.1."),
            [
                "linux-image-6.1.0-56-cloud-amd64",
                "linux-image-6.1.0-9-cloud-amd64"
            ]
        );
    }

    #[test]
    fn numbers_are_compared_as_numbers() {
        let list =
            "linux-image-6.12.95+deb12-cloud-amd64\nlinux-image-6.12.117+deb12-cloud-amd64\n";
        assert_eq!(
            newest_first(list, "linux-image-6.12.")
                .first()
                .map(String::as_str),
            Some("linux-image-6.12.117+deb12-cloud-amd64")
        );
    }
}
