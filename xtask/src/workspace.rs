//! Where things lie: the workspace root and cargo's target folder.
//!
//! Both come from cargo itself, so `CARGO_TARGET_DIR`, a `target-dir` in some
//! configuration file and being called from a sub-folder all work.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use crate::process;

/// The workspace and the cargo that started us.
pub(crate) struct Workspace {
    root: PathBuf,
    target: PathBuf,
    cargo: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    workspace_root: PathBuf,
    target_directory: PathBuf,
}

impl Workspace {
    /// Asks cargo. The current folder stays as it is while asking: a relative
    /// `CARGO_TARGET_DIR` means relative to where the user stands.
    pub(crate) fn locate() -> Result<Self> {
        let cargo = env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from);
        let mut command = Command::new(&cargo);
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        if let Some(folder) = env::var_os("CARGO_MANIFEST_DIR") {
            command
                .arg("--manifest-path")
                .arg(Path::new(&folder).join("Cargo.toml"));
        }
        let json = process::capture(&mut command)?;
        let metadata: Metadata =
            serde_json::from_str(&json).context("reading the answer of `cargo metadata`")?;
        Ok(Self {
            root: metadata.workspace_root,
            target: metadata.target_directory,
            cargo,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn target(&self) -> &Path {
        &self.target
    }

    /// The kernel program, where `bot-agent/build.rs` looks for it.
    ///
    /// Below the workspace and not below the target folder, because a build
    /// script cannot ask cargo where a moved target folder is.
    pub(crate) fn object(&self) -> PathBuf {
        self.root.join("target/bpf/bot-ebpf.o")
    }

    /// Tools that belong to this checkout only.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// The log of a sub-command that only matters when it fails.
    pub(crate) fn log(&self, name: &str) -> PathBuf {
        self.target.join("xtask-logs").join(format!("{name}.log"))
    }

    /// The agent as `cargo build` leaves it.
    pub(crate) fn agent(&self, profile: Profile) -> PathBuf {
        self.target.join(profile.folder()).join("bot-agent")
    }

    /// A cargo command of the toolchain the user chose, in the workspace.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(&self.cargo);
        process::forget_outer_package(&mut command);
        command
            .current_dir(&self.root)
            .env("CARGO_TARGET_DIR", &self.target);
        command
    }
}

/// cargo's two profiles that matter here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    pub(crate) fn folder(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}
