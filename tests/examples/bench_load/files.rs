//! The same list in the form that each loader reads.

use std::{
    env,
    fs::File,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::Command,
};

use bot_tests::lists::{self, Entry, Family, Space};
use tempfile::TempDir;

const SEED: u64 = 0x10ad;

/// A folder with the files of one size.
pub(crate) struct Files {
    folder: TempDir,
    /// Prefixes in each.
    pub(crate) size: usize,
}

impl Files {
    /// Written by another process, so that this one stays small.
    pub(crate) fn make(size: usize) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let status = Command::new(env::current_exe().expect("this program"))
            .args(["write", &size.to_string()])
            .arg(folder.path())
            .status();
        assert!(
            status.expect("it starts").success(),
            "the files are written"
        );
        Self { folder, size }
    }

    /// One prefix a line.
    pub(crate) fn list(&self) -> PathBuf {
        self.folder.path().join("list.txt")
    }

    /// A ruleset with an interval set and a rule that drops.
    pub(crate) fn nft(&self) -> PathBuf {
        self.folder.path().join("list.nft")
    }

    /// Input of `ipset restore`.
    pub(crate) fn ipset(&self) -> PathBuf {
        self.folder.path().join("list.ipset")
    }
}

/// Writes the files into `folder`.
pub(crate) fn write(size: usize, folder: &Path) {
    let entries = lists::list(&Space::registries(Family::V4), size, SEED);
    file(folder, "list.txt", |out| {
        entries
            .iter()
            .try_for_each(|entry| writeln!(out, "{}", entry.prefix()))
    });
    file(folder, "list.nft", |out| nft(out, &entries));
    file(folder, "list.ipset", |out| {
        writeln!(
            out,
            "create listed hash:net family inet hashsize {size} maxelem {size}"
        )?;
        entries
            .iter()
            .try_for_each(|entry| writeln!(out, "add listed {}", entry.prefix()))
    });
}

/// Networks lie in networks, as in lists of several sources, so the set must merge them.
fn nft(out: &mut dyn Write, entries: &[Entry]) -> std::io::Result<()> {
    writeln!(out, "table inet bench {{")?;
    writeln!(
        out,
        " set listed {{ type ipv4_addr; flags interval; auto-merge; elements = {{"
    )?;
    entries
        .iter()
        .try_for_each(|entry| writeln!(out, "{},", entry.prefix()))?;
    writeln!(out, "}} }}")?;
    writeln!(out, " chain input {{")?;
    writeln!(
        out,
        "  type filter hook input priority filter; policy accept;"
    )?;
    writeln!(out, "  ip saddr @listed drop")?;
    writeln!(out, " }}\n}}")
}

fn file(folder: &Path, name: &str, write: impl FnOnce(&mut dyn Write) -> std::io::Result<()>) {
    let mut out = BufWriter::new(File::create(folder.join(name)).expect("a new file"));
    write(&mut out)
        .and_then(|()| out.flush())
        .expect("the file is written");
}
