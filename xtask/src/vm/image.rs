//! The boot image: an init script, busybox, kernel modules, the test binaries
//! and the shared libraries they need.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::cpio::Archive;
use super::kernel::Kernel;
use super::module;
use crate::process;

const INIT: &str = include_str!("init.sh");

/// Programs of the host that tests start; they come before busybox's.
const TOOLS: [&str; 1] = ["ip"];

/// What goes into an image.
pub(super) struct Image<'a> {
    pub(super) kernel: &'a Kernel,
    /// Name and path of each test binary.
    pub(super) tests: &'a [(String, PathBuf)],
    pub(super) agent: &'a Path,
    /// Files that tests read, under the same absolute paths as on the host.
    pub(super) files: &'a [PathBuf],
    /// Folders that such a path passes through on its way to `..`.
    pub(super) folders: &'a [PathBuf],
    /// Arguments for every test binary.
    pub(super) arguments: &'a [String],
}

impl Image<'_> {
    /// Writes the archive; binaries lose their debug information on the way,
    /// in the folder `stripped`.
    pub(super) fn write(&self, path: &Path, stripped: &Path) -> Result<()> {
        fs::create_dir_all(stripped).with_context(|| format!("creating {}", stripped.display()))?;
        let file = File::create(path).with_context(|| format!("creating {}", path.display()))?;
        let mut archive = Archive::new(BufWriter::new(file));
        // Without it the first process has no output until /dev is mounted.
        archive.device("dev/console", 5, 1)?;
        for folder in ["etc", "proc", "run", "sys", "tmp", "var"] {
            archive.folder(folder)?;
        }
        archive.file("etc/passwd", b"root:x:0:0:root:/tmp:/bin/sh\n")?;
        archive.file("etc/group", b"root:x:0:\n")?;
        archive.file("init", INIT.as_bytes())?;
        archive.file("bin/busybox", &fs::read(find("busybox")?)?)?;
        archive.symlink("bin/sh", "busybox")?;
        self.modules(&mut archive)?;
        let mut binaries = vec![("bin/bot-agent".to_owned(), strip(self.agent, stripped)?)];
        for (name, binary) in self.tests {
            binaries.push((format!("tests/{name}"), strip(binary, stripped)?));
        }
        for tool in TOOLS {
            binaries.push((format!("tools/{tool}"), find(tool)?));
        }
        let mut libraries = BTreeSet::new();
        for (place, binary) in &binaries {
            archive.file(place, &fs::read(binary)?)?;
            libraries.extend(libraries_of(binary)?);
        }
        for library in &libraries {
            archive.file(inside(library), &fs::read(library)?)?;
        }
        for folder in self.folders {
            archive.folder(inside(utf8(folder)?))?;
        }
        for file in self.files {
            archive.file(inside(utf8(file)?), &fs::read(file)?)?;
        }
        archive.file("arguments", self.arguments.join("\n").as_bytes())?;
        archive.finish()?.flush()?;
        Ok(())
    }

    fn modules(&self, archive: &mut Archive<impl Write>) -> Result<()> {
        let mut order = String::new();
        for module in module::load_order(&self.kernel.modules, &module::WANTED)? {
            archive.file(&format!("modules/{}.ko", module.name), &module.bytes)?;
            order.push_str(&module.name);
            order.push('\n');
        }
        archive.file("modules/order", order.as_bytes())?;
        Ok(())
    }
}

fn inside(path: &str) -> &str {
    path.strip_prefix('/').unwrap_or(path)
}

fn utf8(path: &Path) -> Result<&str> {
    path.to_str()
        .with_context(|| format!("the path {} is not UTF-8", path.display()))
}

/// Debug information is most of a test binary and would only fill memory.
fn strip(binary: &Path, folder: &Path) -> Result<PathBuf> {
    let name = binary
        .file_name()
        .with_context(|| format!("{} names no file", binary.display()))?;
    let smaller = folder.join(name);
    let mut command = Command::new("strip");
    command
        .arg("--strip-debug")
        .arg("-o")
        .arg(&smaller)
        .arg(binary);
    process::capture(&mut command)?;
    Ok(smaller)
}

/// Where a program is; `sbin` folders are not on everybody's `PATH`.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from))
        .map(|folder| folder.join(program))
        .find(|candidate| candidate.is_file())
        .with_context(|| format!("{program} is not installed; run `cargo xtask setup`"))
}

fn libraries_of(binary: &Path) -> Result<Vec<String>> {
    let answer = process::capture(Command::new("ldd").arg(binary))?;
    parse_ldd(&answer).with_context(|| format!("libraries of {}", binary.display()))
}

/// Absolute paths in the answer of ldd; the kernel's own vdso has none.
fn parse_ldd(answer: &str) -> Result<Vec<String>> {
    let mut paths = Vec::new();
    for line in answer.lines() {
        if line.contains("not found") {
            bail!("{}", line.trim());
        }
        let path = line.split_whitespace().find(|word| word.starts_with('/'));
        paths.extend(path.map(str::to_owned));
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_but_not_the_vdso() {
        let answer = "\tlinux-vdso.so.1 (0x00007ffc)\n\
            \tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007f)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f)\n";
        assert_eq!(
            parse_ldd(answer).unwrap(),
            [
                "/lib/x86_64-linux-gnu/libc.so.6",
                "/lib64/ld-linux-x86-64.so.2"
            ]
        );
    }

    #[test]
    fn a_missing_library_is_an_error() {
        assert!(parse_ldd("\tlibelf.so.1 => not found\n").is_err());
    }
}
