//! Privileged tests run as root. Under CI they must; elsewhere they say that they were skipped.

use std::{env, fs};

/// Whether the caller may go on. Not root: `false` with a note, or a panic when `CI` is set.
pub fn is_root(test: &str) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let root = status.lines().any(|line| line.starts_with("Uid:\t0\t"));
    if !root {
        assert!(
            env::var_os("CI").is_none(),
            "{test} needs root, and CI is set"
        );
        eprintln!("SKIPPED {test}: needs root");
    }
    root
}
