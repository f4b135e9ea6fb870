//! Tools of others that some tests need. Under CI they must be there; elsewhere such tests say that
//! they were skipped.

use std::{
    env,
    process::{Command, Stdio},
};

/// Whether `tool` can be run. If not: `false` with a note, or a panic when `CI` is set.
pub fn is_installed(tool: &str, package: &str) -> bool {
    let ran = Command::new(tool)
        .arg("--version")
        .stdout(Stdio::null())
        .status();
    let installed = ran.is_ok_and(|status| status.success());
    if !installed {
        assert!(
            env::var_os("CI").is_none(),
            "{tool} (package {package}) is missing, and CI is set"
        );
        eprintln!("SKIPPED: {tool} (package {package}) is missing");
    }
    installed
}
