//! Finding a Rust toolchain that can compile the kernel program.
//!
//! Two kinds qualify: a rustup nightly with the rust-src component, and the
//! distribution's own rustc, cargo and library sources (Debian: rustc-web,
//! cargo-web, rust-web-src), which is made to accept `-Z build-std` by
//! `RUSTC_BOOTSTRAP=1`. Both are called by absolute path: the user's default
//! toolchain is neither used nor changed, and nothing is linked into rustup.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::process;

/// LLVM versions that bpf-linker 0.13 has a feature for.
pub(crate) const LINKER_LLVM: std::ops::RangeInclusive<u32> = 21..=23;

/// The oldest rustc that compiles the kernel program (`rust-version` of the
/// workspace).
const OLDEST: (u32, u32) = (1, 95);

/// A toolchain that has everything.
#[derive(Debug)]
pub(crate) struct Toolchain {
    pub(crate) name: String,
    pub(crate) cargo: PathBuf,
    pub(crate) rustc: PathBuf,
    /// Major version of LLVM inside rustc; bpf-linker must have the same one.
    pub(crate) llvm: u32,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nightly,
    Stable,
}

impl Toolchain {
    /// A cargo command that uses this toolchain and nothing of the outer one.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        process::isolate(&mut command);
        command.env("RUSTC", &self.rustc);
        if self.kind == Kind::Stable {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
        command
    }
}

/// What was looked at, and why each candidate was not good enough.
pub(crate) struct Search {
    pub(crate) found: Option<Toolchain>,
    rejected: Vec<String>,
}

impl Search {
    /// Looks at rustup's nightlies first, then at the system's own rustc.
    pub(crate) fn new() -> Self {
        let mut rejected = Vec::new();
        let candidates = nightlies()
            .into_iter()
            .map(|name| (name.clone(), from_rustup(&name)))
            .chain(std::iter::once_with(|| {
                let rustc = Path::new("/usr/bin/rustc");
                let cargo = Path::new("/usr/bin/cargo");
                (rustc.display().to_string(), inspect("system", rustc, cargo))
            }));
        for (name, result) in candidates {
            match result {
                Ok(found) => {
                    return Self {
                        found: Some(found),
                        rejected,
                    };
                }
                Err(reason) => rejected.push(format!("  {name}: {reason:#}")),
            }
        }
        Self {
            found: None,
            rejected,
        }
    }

    /// The toolchain, or an error that says what was tried.
    pub(crate) fn require(self) -> Result<Toolchain> {
        let Some(found) = self.found else {
            bail!(
                "no toolchain can compile the kernel program; looked at\n{}\n`cargo xtask setup` \
                 installs one, or: rustup toolchain install nightly --component rust-src",
                self.rejected.join("\n")
            );
        };
        Ok(found)
    }
}

/// rustup's nightlies, the plain `nightly` before dated ones.
fn nightlies() -> Vec<String> {
    let Some(rustup) = rustup() else {
        return Vec::new();
    };
    let mut command = Command::new(rustup);
    process::isolate(&mut command);
    process::capture(command.args(["toolchain", "list"]))
        .map(|list| nightly_names(&list))
        .unwrap_or_default()
}

fn nightly_names(list: &str) -> Vec<String> {
    let mut names: Vec<String> = list
        .lines()
        .filter_map(|line| line.split_whitespace().next())
        .filter(|name| name.starts_with("nightly"))
        .map(str::to_owned)
        .collect();
    // Dated names continue with a digit, the moving one with the host's name.
    names.sort_by_key(|name| {
        let dated = name
            .strip_prefix("nightly-")
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        (dated, std::cmp::Reverse(name.clone()))
    });
    names
}

fn rustup() -> Option<PathBuf> {
    if process::on_path("rustup") {
        return Some(PathBuf::from("rustup"));
    }
    let home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))?;
    Some(home.join("bin/rustup")).filter(|path| path.is_file())
}

fn from_rustup(name: &str) -> Result<Toolchain> {
    let path_of = |tool: &str| -> Result<PathBuf> {
        let rustup = rustup().context("rustup has gone")?;
        let mut command = Command::new(rustup);
        process::isolate(&mut command);
        let answer = process::capture(command.args(["which", "--toolchain", name, tool]))?;
        Ok(PathBuf::from(answer.trim()))
    };
    inspect(name, &path_of("rustc")?, &path_of("cargo")?)
}

/// Says why a compiler cannot be used, or makes it a toolchain.
fn inspect(name: &str, rustc: &Path, cargo: &Path) -> Result<Toolchain> {
    for tool in [rustc, cargo] {
        if !tool.is_file() {
            bail!("no {}", tool.display());
        }
        if tool.canonicalize()?.ends_with("rustup") {
            bail!("{} is rustup's proxy", tool.display());
        }
    }
    let ask = |arguments: &[&str]| {
        let mut command = Command::new(rustc);
        process::isolate(&mut command);
        process::capture(command.args(arguments))
    };
    let version = RustcVersion::parse(&ask(&["-vV"])?)?;
    if version.release < OLDEST {
        let (major, minor) = version.release;
        bail!("is {major}.{minor}, needs {}.{}", OLDEST.0, OLDEST.1);
    }
    if !LINKER_LLVM.contains(&version.llvm) {
        bail!(
            "has LLVM {}, bpf-linker knows {} to {}",
            version.llvm,
            LINKER_LLVM.start(),
            LINKER_LLVM.end()
        );
    }
    let sysroot = ask(&["--print", "sysroot"])?;
    let library = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library");
    if !library.join("core/src/lib.rs").is_file() {
        bail!("has no library sources (rust-src)");
    }
    Ok(Toolchain {
        name: name.to_owned(),
        cargo: cargo.to_owned(),
        rustc: rustc.to_owned(),
        llvm: version.llvm,
        kind: version.kind,
    })
}

/// The part of `rustc -vV` that decides.
#[derive(Debug, PartialEq, Eq)]
struct RustcVersion {
    release: (u32, u32),
    llvm: u32,
    kind: Kind,
}

impl RustcVersion {
    fn parse(text: &str) -> Result<Self> {
        let field = |key: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(key)?.strip_prefix(": "))
                .with_context(|| format!("`rustc -vV` names no {key}"))
        };
        let release = field("release")?;
        let mut numbers = release.split(['.', '-']).map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            bail!("cannot read the release `{release}`");
        };
        let llvm = field("LLVM version")?;
        let Some(Ok(llvm)) = llvm.split('.').next().map(str::parse) else {
            bail!("cannot read the LLVM version `{llvm}`");
        };
        Ok(Self {
            release: (major, minor),
            llvm,
            kind: if release.contains("nightly") {
                Kind::Nightly
            } else {
                Kind::Stable
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rustc_says_release_and_llvm() {
        let text = "rustc 1.97.0-nightly (e50aa6fba 2026-05-19)\nbinary: rustc\n\
                    host: x86_64-unknown-linux-gnu\nrelease: 1.97.0-nightly\nLLVM version: 22.1.4\n";
        assert_eq!(
            RustcVersion::parse(text).unwrap(),
            RustcVersion {
                release: (1, 97),
                llvm: 22,
                kind: Kind::Nightly
            }
        );
    }

    #[test]
    fn a_distribution_release_is_stable() {
        let text = "release: 1.96.0\nLLVM version: 22.1.8\n";
        assert_eq!(RustcVersion::parse(text).unwrap().kind, Kind::Stable);
    }

    #[test]
    fn unreadable_versions_are_errors() {
        for text in [
            "",
            "release: 1.96.0\n",
            "release: one\nLLVM version: 22.1\n",
            "release: 1.96.0\nLLVM version: x\n",
        ] {
            assert!(RustcVersion::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_moving_nightly_comes_before_dated_ones() {
        let list = "stable-x86_64-unknown-linux-gnu (active, default)\n\
                    nightly-2026-01-05-x86_64-unknown-linux-gnu\n\
                    nightly-2026-03-01-x86_64-unknown-linux-gnu\n\
                    nightly-x86_64-unknown-linux-gnu\n1.95.0-x86_64-unknown-linux-gnu\n";
        assert_eq!(
            nightly_names(list),
            [
                "nightly-x86_64-unknown-linux-gnu",
                "nightly-2026-03-01-x86_64-unknown-linux-gnu",
                "nightly-2026-01-05-x86_64-unknown-linux-gnu",
            ]
        );
    }
}
