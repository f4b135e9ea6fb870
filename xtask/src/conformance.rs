//! `cargo xtask conformance [DIR]`: the JA4 of every capture in a folder
//! against the list that the folder carries.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::test;
use crate::workspace::Workspace;

/// Where the captures lie beside a development checkout.
const BESIDE: &str = "../shared/data/ja4";

/// JA4 of every capture of a folder against the folder's own list.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Folder with captures; default: `$BOT_DATA`, then ../shared/data/ja4
    dir: Option<PathBuf>,
}

pub(crate) fn run(workspace: &Workspace, args: &Args) -> Result<ExitCode> {
    let chosen = match &args.dir {
        // The test runs in its own crate's folder.
        Some(folder) => Some(std::path::absolute(folder)?),
        None => folder(workspace),
    };
    let Some(folder) = chosen.filter(|folder| folder.is_dir()) else {
        bail!("no folder of captures: name one, or set BOT_DATA");
    };
    let status = test::runner(workspace)
        .args(["--package", "bot-tests", "--test", "conformance"])
        .env("BOT_DATA", folder)
        .status()?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The folder that `cargo xtask test` uses, if there is one.
pub(crate) fn folder(workspace: &Workspace) -> Option<PathBuf> {
    let chosen = std::env::var_os("BOT_DATA").map(PathBuf::from);
    chosen.or_else(|| {
        let beside = workspace.root().join(BESIDE).canonicalize().ok()?;
        beside.is_dir().then_some(beside)
    })
}
