//! bpf-linker, built once into the target folder for the LLVM that rustc has.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::process;
use crate::workspace::Workspace;

/// The version that was tried with this kernel program.
pub(crate) const VERSION: &str = "0.13.0";

/// Where it is, or will be. `BOT_BPF_LINKER` names another one, for packagers
/// and caches; then nothing is built and its version is the user's business.
pub(crate) fn path(workspace: &Workspace) -> PathBuf {
    chosen_by_user().unwrap_or_else(|| workspace.tools().join("bin/bpf-linker"))
}

/// Is the right one there already?
pub(crate) fn is_installed(workspace: &Workspace, llvm: u32) -> bool {
    if let Some(chosen) = chosen_by_user() {
        return chosen.is_file();
    }
    let record = std::fs::read(workspace.tools().join(".crates2.json")).unwrap_or_default();
    path(workspace).is_file() && records(&record, llvm)
}

/// Builds it; one to two minutes on two cores.
pub(crate) fn install(workspace: &Workspace, llvm: u32) -> Result<()> {
    if let Some(chosen) = chosen_by_user() {
        bail!(
            "BOT_BPF_LINKER names {}, which is no file",
            chosen.display()
        );
    }
    let mut command = workspace.cargo();
    process::isolate(&mut command);
    command
        .args(["install", "bpf-linker", "--version", VERSION, "--locked"])
        .args(["--force", "--no-default-features"])
        .args(["--features", &feature(llvm)])
        .arg("--root")
        .arg(workspace.tools())
        .env("CARGO_TARGET_DIR", workspace.target().join("tools-build"));
    // Without it the linker of bpf-linker itself does not find -lLLVM.
    if let Some(prefix) = llvm_prefix(llvm) {
        command.env("LLVM_PREFIX", prefix);
    }
    process::logged(&mut command, &workspace.log("bpf-linker"))?;
    // A few hundred megabytes that nothing needs again.
    std::fs::remove_dir_all(workspace.target().join("tools-build"))
        .context("removing the build folder of bpf-linker")
}

fn chosen_by_user() -> Option<PathBuf> {
    env::var_os("BOT_BPF_LINKER").map(PathBuf::from)
}

fn feature(llvm: u32) -> String {
    format!("llvm-{llvm}")
}

/// The user's choice, Debian's place, or else whatever `llvm-config` says.
fn llvm_prefix(llvm: u32) -> Option<PathBuf> {
    if let Some(prefix) = env::var_os("LLVM_PREFIX") {
        return Some(PathBuf::from(prefix));
    }
    let debian = Path::new("/usr/lib").join(format!("llvm-{llvm}"));
    debian.is_dir().then_some(debian)
}

/// cargo's own record of an install folder names version and features.
fn records(json: &[u8], llvm: u32) -> bool {
    let Ok(record) = serde_json::from_slice::<Value>(json) else {
        return false;
    };
    let Some(installs) = record.get("installs").and_then(Value::as_object) else {
        return false;
    };
    installs.iter().any(|(id, install)| {
        let features = install.get("features").and_then(Value::as_array);
        id.starts_with(&format!("bpf-linker {VERSION} "))
            && features.is_some_and(|list| list.contains(&Value::from(feature(llvm))))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RECORD: &[u8] = br#"{"installs":{"bpf-linker 0.13.0 (registry+https://example)":
        {"bins":["bpf-linker"],"features":["llvm-22"],"profile":"release"}}}"#;

    #[test]
    fn version_and_llvm_must_both_match() {
        assert!(records(RECORD, 22));
        assert!(!records(RECORD, 23));
        let older = String::from_utf8_lossy(RECORD).replace("0.13.0", "0.12.0");
        assert!(!records(older.as_bytes(), 22));
    }

    #[test]
    fn an_unreadable_record_means_build_again() {
        for record in [&b""[..], b"{}", b"[]", b"{\"installs\":[]}"] {
            assert!(!records(record, 22));
        }
    }
}
