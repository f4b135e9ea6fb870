//! The control socket: how the command line, and scripts, talk to a running agent.
//!
//! Newline-delimited JSON over a unix stream socket: one request object a line, answered by zero or more
//! item lines and exactly one final line. `docs/control.md` is the reference.

pub mod client;
pub mod entries;
pub mod feeds;
mod gather;
pub mod line;
pub mod list;
pub mod network;
mod places;
pub mod protocol;
pub mod server;
pub mod view;

use std::path::{Path, PathBuf};

/// The socket in a run folder.
pub fn socket_in(run_dir: &Path) -> PathBuf {
    run_dir.join("control.sock")
}

#[cfg(test)]
mod server_tests;
