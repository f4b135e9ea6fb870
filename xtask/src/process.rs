//! Running other programs: captured, logged, or shown line by line; and which
//! environment variables they must not inherit.

use std::env;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};

/// How much of a log is worth a screen.
const TAIL_LINES: usize = 40;

/// Standard output of a command that must succeed.
pub(crate) fn capture(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {}", name(command)))?;
    if !output.status.success() {
        let complaint = String::from_utf8_lossy(&output.stderr);
        bail!(
            "{} failed ({}): {}",
            name(command),
            output.status,
            complaint.trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Runs a command with all output in `log`; the end of the log is part of the
/// error when it fails.
pub(crate) fn logged(command: &mut Command, log: &Path) -> Result<()> {
    if let Some(folder) = log.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    let file = File::create(log).with_context(|| format!("creating {}", log.display()))?;
    let status = command
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {}", name(command)))?;
    if !status.success() {
        let text = fs::read(log).unwrap_or_default();
        bail!(
            "{} failed ({status}); the end of {}:\n{}",
            name(command),
            log.display(),
            tail(&String::from_utf8_lossy(&text), TAIL_LINES)
        );
    }
    Ok(())
}

/// Runs a command and hands every line of its output and error stream, in
/// order, to `line`.
pub(crate) fn lines(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let (reader, writer) = std::io::pipe().context("creating a pipe")?;
    let started = command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .spawn();
    // The command keeps its ends of the pipe until it gets others; while it
    // does, the reader never sees the end.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = started.with_context(|| format!("cannot start {}", name(command)))?;
    let mut reader = BufReader::new(reader);
    let mut bytes = Vec::new();
    while reader.read_until(b'\n', &mut bytes)? > 0 {
        line(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']));
        bytes.clear();
    }
    Ok(child.wait()?)
}

/// Like [`lines`], also shown on standard output.
pub(crate) fn shown(command: &mut Command, mut line: impl FnMut(&str)) -> Result<ExitStatus> {
    let mut out = std::io::stdout();
    lines(command, |text| {
        // A closed terminal must not stop the run half-way.
        drop(writeln!(out, "{text}"));
        line(text);
    })
}

/// Is there a program of that name on `PATH`?
pub(crate) fn on_path(program: &str) -> bool {
    env::var_os("PATH")
        .is_some_and(|path| env::split_paths(&path).any(|folder| folder.join(program).is_file()))
}

/// `cargo run` describes the package it runs in the environment. Build scripts
/// that watch these variables would build again for nothing.
pub(crate) fn forget_outer_package(command: &mut Command) {
    for (key, _) in env::vars_os() {
        if key.to_str().is_some_and(describes_outer_package) {
            command.env_remove(key);
        }
    }
}

/// Removes what would bring another toolchain, other flags or a wrapper into
/// the build of the kernel program.
pub(crate) fn isolate(command: &mut Command) {
    for (key, _) in env::vars_os() {
        if key.to_str().is_some_and(leaks_into_inner_build) {
            command.env_remove(key);
        }
    }
    // Set, not only removed: these also come from cargo's configuration files.
    command.env("RUSTC_WRAPPER", "");
    command.env("RUSTC_WORKSPACE_WRAPPER", "");
}

fn describes_outer_package(name: &str) -> bool {
    [
        "CARGO_PKG_",
        "CARGO_MANIFEST_",
        "CARGO_BIN_",
        "CARGO_PRIMARY_",
    ]
    .iter()
    .any(|prefix| name.starts_with(prefix))
        || name == "CARGO"
        || name == "CARGO_CRATE_NAME"
        || name == "OUT_DIR"
}

fn leaks_into_inner_build(name: &str) -> bool {
    /// Where crates come from, and how cargo looks, is the user's business.
    const KEPT: [&str; 8] = [
        "CARGO_BUILD_JOBS",
        "CARGO_HOME",
        "CARGO_HTTP_",
        "CARGO_NET_",
        "CARGO_REGISTRIES_",
        "CARGO_REGISTRY_",
        "CARGO_SOURCE_",
        "CARGO_TERM_",
    ];
    const DROPPED: [&str; 9] = [
        "CARGO",
        "LD_LIBRARY_PATH",
        "OUT_DIR",
        "RUSTC",
        "RUSTDOC",
        "RUSTFLAGS",
        "RUSTUP_TOOLCHAIN",
        "RUST_RECURSION_COUNT",
        "__CARGO",
    ];
    !KEPT.iter().any(|prefix| name.starts_with(prefix))
        && DROPPED.iter().any(|prefix| name.starts_with(prefix))
}

fn name(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(
        command
            .get_args()
            .take(3)
            .map(|word| word.to_string_lossy().into_owned()),
    );
    format!("`{}`", words.join(" "))
}

fn tail(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(count);
    lines.get(from..).unwrap_or_default().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_outer_toolchain_does_not_reach_the_kernel_build() {
        for name in [
            "CARGO",
            "CARGO_BUILD_RUSTFLAGS",
            "CARGO_BUILD_TARGET",
            "CARGO_ENCODED_RUSTFLAGS",
            "CARGO_INCREMENTAL",
            "CARGO_MANIFEST_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
            "CARGO_TARGET_DIR",
            "LD_LIBRARY_PATH",
            "RUSTC",
            "RUSTC_BOOTSTRAP",
            "RUSTC_WRAPPER",
            "RUSTFLAGS",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(leaks_into_inner_build(name), "{name}");
        }
    }

    #[test]
    fn registry_and_terminal_settings_stay() {
        for name in [
            "CARGO_HOME",
            "CARGO_HTTP_PROXY",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_X_INDEX",
            "CARGO_TERM_COLOR",
            "HOME",
            "PATH",
            "RUSTUP_HOME",
            "RUST_BACKTRACE",
        ] {
            assert!(!leaks_into_inner_build(name), "{name}");
        }
    }

    #[test]
    fn both_streams_arrive_and_the_end_is_seen() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; printf three; exit 3"]);
        let status = lines(&mut command, |line| seen.push(line.to_owned())).unwrap();
        assert_eq!(seen, ["one", "two", "three"]);
        assert_eq!(status.code(), Some(3));
    }

    #[test]
    fn a_failure_carries_the_end_of_the_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo the reason; exit 1"]);
        let error = logged(&mut command, &folder.path().join("a/b.log")).unwrap_err();
        assert!(error.to_string().contains("the reason"), "{error}");
    }
}
