//! System packages: what is needed, why, and how each package manager calls it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;
use crate::toolchain::LINKER_LLVM;
use crate::workspace::Workspace;

/// One thing that is needed; `{llvm}` in a name stands for LLVM's major version.
pub(crate) struct Package {
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    reason: &'static str,
}

/// A toolchain of the distribution, for hosts without a suitable rustup nightly.
pub(crate) const TOOLCHAIN: &[Package] = &[
    package("rustc-web", "rust", "rust", "compiles the kernel program"),
    package("cargo-web", "cargo", "rust", "of the same version as rustc"),
    package("rust-web-src", "rust-src", "rust-src", "sources of `core`"),
];

/// What bpf-linker is built from.
pub(crate) const LINKER: &[Package] = &[
    package("llvm-{llvm}-dev", "llvm-devel", "llvm", "bpf-linker"),
    package("libpolly-{llvm}-dev", "polly-devel", "polly", "bpf-linker"),
    package("g++", "gcc-c++", "gcc", "LLVM is C++"),
    package("zlib1g-dev", "zlib-devel", "zlib", "LLVM links it"),
    package("libzstd-dev", "libzstd-devel", "zstd", "LLVM links it"),
    package("libxml2-dev", "libxml2-devel", "libxml2", "LLVM links it"),
];

/// What the demo and tests run.
pub(crate) const DEMO: &[Package] = &[
    package("iproute2", "iproute", "iproute2", "network namespaces"),
    package(
        "ethtool",
        "ethtool",
        "ethtool",
        "interfaces without offloads",
    ),
    package("openssl", "openssl", "openssl", "TLS client and server"),
    package("curl", "curl", "curl", "TLS client"),
    package("python3", "python3", "python", "TLS client"),
    package("python3-venv", "python3", "python", "browser-like client"),
    package("util-linux", "util-linux", "util-linux", "nsenter, setsid"),
];

/// What the agent is compared with, in the demo and in benches.
pub(crate) const COMPARED: &[Package] = &[
    package("nftables", "nftables", "nftables", "interval sets"),
    package("ipset", "ipset", "ipset", "hash:net sets"),
];

/// What only tests run.
pub(crate) const TESTING: &[Package] = &[
    package("binutils", "binutils", "binutils", "small boot images"),
    package("xz-utils", "xz", "xz", "kernel modules"),
    package("libsqlite3-0", "sqlite-libs", "sqlite", "CrowdSec"),
    package("busybox-static", "busybox", "busybox", "boot images"),
    package(
        "qemu-system-x86",
        "qemu-system-x86-core",
        "qemu-system-x86",
        "other kernels",
    ),
];

const fn package(
    apt: &'static str,
    dnf: &'static str,
    pacman: &'static str,
    reason: &'static str,
) -> Package {
    Package {
        apt,
        dnf,
        pacman,
        reason,
    }
}

/// The package managers that have names in the lists above.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Manager {
    Apt,
    Dnf,
    Pacman,
}

impl Manager {
    /// The manager of this host.
    pub(crate) fn of_host() -> Result<Self> {
        for (program, manager) in [
            ("apt-get", Self::Apt),
            ("dnf", Self::Dnf),
            ("pacman", Self::Pacman),
        ] {
            if process::on_path(program) {
                return Ok(manager);
            }
        }
        bail!(
            "no apt-get, dnf or pacman here; install by hand what these Debian packages hold: {}",
            every_apt_name(*LINKER_LLVM.end()).join(" ")
        )
    }

    fn name_of(self, package: &Package, llvm: u32) -> String {
        let name = match self {
            Self::Apt => package.apt,
            Self::Dnf => package.dnf,
            Self::Pacman => package.pacman,
        };
        name.replace("{llvm}", &llvm.to_string())
    }

    /// Names of the packages that are not installed.
    pub(crate) fn missing(self, wanted: &[&Package], llvm: u32) -> Result<Vec<String>> {
        let mut names: Vec<String> = wanted
            .iter()
            .map(|package| self.name_of(package, llvm))
            .collect();
        names.dedup();
        let installed = self.installed(&names)?;
        names.retain(|name| !installed.contains(name));
        Ok(names)
    }

    fn installed(self, names: &[String]) -> Result<Vec<String>> {
        let mut command = match self {
            Self::Apt => {
                let mut command = Command::new("dpkg-query");
                command.args(["-W", "-f", "${Package} ${db:Status-Status}\\n"]);
                command
            }
            Self::Dnf => {
                let mut command = Command::new("rpm");
                command.args(["-q", "--qf", "%{NAME} installed\\n"]);
                command
            }
            Self::Pacman => {
                let mut command = Command::new("pacman");
                command.arg("-Q");
                command
            }
        };
        // These exit with 1 when one of the names is unknown; the answer for
        // the others is on standard output all the same.
        let output = command
            .args(names)
            .output()
            .with_context(|| format!("asking {self:?} what is installed"))?;
        Ok(installed_names(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The command a person would type, with the reason for every package.
    pub(crate) fn advice(self, wanted: &[&Package], missing: &[String], llvm: u32) -> String {
        let reasons: Vec<String> = wanted
            .iter()
            .map(|package| (self.name_of(package, llvm), package.reason))
            .filter(|(name, _)| missing.contains(name))
            .map(|(name, reason)| format!("  {name:<22} {reason}\n"))
            .collect();
        let install = match self {
            Self::Apt => "apt-get install --no-install-recommends",
            Self::Dnf => "dnf install",
            Self::Pacman => "pacman -S --needed",
        };
        format!("{}  sudo {install} {}", reasons.concat(), missing.join(" "))
    }
}

/// Installs through apt; everything it says goes to a log.
pub(crate) fn apt_install(workspace: &Workspace, names: &[String]) -> Result<()> {
    apt(workspace, "apt-update", &["update"])?;
    let known = process::capture(Command::new("apt-cache").arg("pkgnames"))?;
    let unknown: Vec<&str> = names
        .iter()
        .map(String::as_str)
        .filter(|name| !known.lines().any(|line| line == *name))
        .collect();
    if !unknown.is_empty() {
        bail!(
            "this release has no package {}; add an archive that does (for LLVM: apt.llvm.org) or \
             use a rustup nightly: rustup toolchain install nightly --component rust-src",
            unknown.join(", ")
        );
    }
    let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
    arguments.extend(names.iter().map(String::as_str));
    apt(workspace, "apt-install", &arguments)
}

/// `apt-get` without questions.
pub(crate) fn apt(workspace: &Workspace, log: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("apt-get");
    command
        .args(["-q", "-o", "DPkg::Lock::Timeout=300"])
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("NEEDRESTART_SUSPEND", "1");
    process::logged(&mut command, &workspace.log(log))
}

/// Is this a host whose archive holds Debian's kernels?
pub(crate) fn is_debian() -> bool {
    Path::new("/etc/debian_version").is_file() && process::on_path("apt-get")
}

fn every_apt_name(llvm: u32) -> Vec<String> {
    [TOOLCHAIN, LINKER, DEMO, COMPARED, TESTING]
        .iter()
        .flat_map(|list| list.iter())
        .map(|package| Manager::Apt.name_of(package, llvm))
        .collect()
}

/// Names on lines `NAME STATE`, where dpkg's state may also be a leftover.
fn installed_names(answer: &str) -> Vec<String> {
    answer
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter(|(_, state)| !["not-installed", "config-files"].contains(state))
        .filter(|(_, state)| !state.ends_with("is not installed"))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removed_packages_with_leftover_configuration_are_missing() {
        let answer = "curl installed\nnginx config-files\nqemu not-installed\n";
        assert_eq!(installed_names(answer), ["curl"]);
    }

    #[test]
    fn rpm_and_pacman_answers_are_read_too() {
        assert_eq!(
            installed_names("curl installed\npackage foo is not installed\n"),
            ["curl"]
        );
        assert_eq!(installed_names("curl 8.5.0-1\n"), ["curl"]);
    }

    #[test]
    fn names_follow_the_llvm_version() {
        assert!(every_apt_name(22).contains(&"llvm-22-dev".to_owned()));
        assert!(every_apt_name(23).contains(&"libpolly-23-dev".to_owned()));
    }

    #[test]
    fn advice_names_the_reason_and_only_what_is_missing() {
        let wanted: Vec<&Package> = DEMO.iter().collect();
        let advice = Manager::Dnf.advice(&wanted, &["curl".to_owned()], 22);
        assert!(advice.contains("TLS client"), "{advice}");
        assert!(advice.ends_with("sudo dnf install curl"), "{advice}");
    }
}
