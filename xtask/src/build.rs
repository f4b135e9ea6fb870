//! `cargo xtask build`: the kernel program first, always; then the agent with
//! the program inside.
//!
//! cargo decides whether the program must be compiled again, so an agent built
//! here never carries an old one. The object is copied only when its bytes
//! change: an unchanged program does not rebuild the agent.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};

use crate::bpf_linker;
use crate::process;
use crate::progress::Progress;
use crate::setup::{self, Purpose};
use crate::toolchain::Toolchain;
use crate::workspace::{Profile, Workspace};

/// Little-endian hosts, which is where this runs so far.
const TARGET: &str = "bpfel-unknown-none";

/// Build the kernel program, then the agent with the program inside.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Build the agent with optimisation (the kernel program always is)
    #[arg(long)]
    release: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let profile = if args.release {
        Profile::Release
    } else {
        Profile::Dev
    };
    let toolchain = setup::prepare(workspace, Purpose::Build)?;
    let agent = everything(workspace, &toolchain, profile)?;
    println!("{}", agent.display());
    Ok(ExitCode::SUCCESS)
}

/// Builds program and agent; returns where the agent is.
pub(crate) fn everything(
    workspace: &Workspace,
    toolchain: &Toolchain,
    profile: Profile,
) -> Result<PathBuf> {
    let mut progress = Progress::new(2);
    progress.step("kernel program", || program(workspace, toolchain))?;
    progress.step("agent", || {
        agent(workspace, profile)?;
        Ok(profile.folder().to_owned())
    })?;
    Ok(workspace.agent(profile))
}

/// Compiles bot-ebpf and puts the object where the agent's build script looks;
/// beside it the programs that benches compare with.
fn program(workspace: &Workspace, toolchain: &Toolchain) -> Result<String> {
    let target = workspace.target().join("ebpf");
    let mut command = toolchain.cargo();
    command
        .current_dir(workspace.root())
        .args(["build", "--package", "bot-ebpf", "--release"])
        .args(["--target", TARGET, "-Z", "build-std=core"])
        .env("CARGO_TARGET_DIR", &target)
        .env(
            "CARGO_ENCODED_RUSTFLAGS",
            flags(&bpf_linker::path(workspace))?,
        )
        // bpf-linker does the link-time optimisation.
        .env("CARGO_PROFILE_RELEASE_LTO", "off");
    let log = workspace.log("bot-ebpf");
    process::logged(&mut command, &log)?;
    let built = target.join(TARGET).join("release");
    for name in ["bot-ebpf-bench", "bot-ebpf-lookup"] {
        let place = workspace.object().with_file_name(format!("{name}.o"));
        publish(&built.join(name), &place)?;
    }
    let (changed, size) = publish(&built.join("bot-ebpf"), &workspace.object())?;
    let mut remark = format!("{} KiB", size / 1024);
    if !changed {
        remark.push_str(", unchanged");
    }
    let said = fs::read_to_string(&log).unwrap_or_default();
    if said.lines().any(|line| line.starts_with("warning: ")) {
        // The host's clippy does not see what is only compiled for BPF.
        remark += ", with warnings in ";
        remark += &log.display().to_string();
    }
    Ok(remark)
}

fn agent(workspace: &Workspace, profile: Profile) -> Result<()> {
    let mut command = workspace.cargo();
    command.args(["build", "--package", "bot-agent"]);
    if profile == Profile::Release {
        command.arg("--release");
    }
    process::logged(&mut command, &workspace.log("bot-agent"))
}

/// Flags joined the way cargo wants them, so that a path may hold spaces.
fn flags(linker: &Path) -> Result<String> {
    let Some(linker) = linker.to_str() else {
        bail!("the path {} is not UTF-8", linker.display());
    };
    Ok([
        format!("-Clinker={linker}").as_str(),
        // Types for the verifier's messages, map keys and global data.
        "-Clink-arg=--btf",
        "-Cdebuginfo=2",
        // 32-bit subregisters and the newer atomics; every kernel since 5.12.
        "-Ctarget-cpu=v3",
    ]
    .join("\x1f"))
}

/// Copies a built object to where others look for it: whether it changed, and
/// its size in bytes.
fn publish(built: &Path, place: &Path) -> Result<(bool, usize)> {
    let bytes = fs::read(built).with_context(|| format!("reading {}", built.display()))?;
    Ok((replace_if_changed(place, &bytes)?, bytes.len()))
}

/// True when the file was written.
fn replace_if_changed(path: &Path, bytes: &[u8]) -> Result<bool> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(false);
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    }
    // Renamed into place: a build that runs meanwhile sees one or the other.
    let fresh = path.with_extension("o.new");
    fs::write(&fresh, bytes).with_context(|| format!("writing {}", fresh.display()))?;
    fs::rename(&fresh, path).with_context(|| format!("writing {}", path.display()))?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_bytes_leave_the_file_alone() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bpf/object.o");
        assert!(replace_if_changed(&path, b"one").unwrap());
        assert!(!replace_if_changed(&path, b"one").unwrap());
        assert!(replace_if_changed(&path, b"two").unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"two");
    }

    #[test]
    fn a_linker_path_with_spaces_stays_one_flag() {
        let joined = flags(Path::new("/a folder/bpf-linker")).unwrap();
        assert_eq!(
            joined.split('\x1f').next(),
            Some("-Clinker=/a folder/bpf-linker")
        );
    }
}
