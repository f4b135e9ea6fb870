//! A BPF file system of the test's own.

use std::path::{Path, PathBuf};

use bot_agent::datapath::{Options, object::OBJECT};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use tempfile::TempDir;

/// Tables as small as tests need them: loading stays quick.
pub const SMALL_TABLES: Options<'static> = Options {
    object: OBJECT,
    debug: false,
    verdicts: 256,
    report_ring: 1 << 16,
    hello_ring: 1 << 18,
};

/// A mounted BPF file system in a temporary folder; unmounted with everything in it when dropped.
#[derive(Debug)]
pub struct BpfFs {
    folder: TempDir,
}

impl BpfFs {
    /// Mounts one that only root can walk through, as systemd does with `/sys/fs/bpf`.
    pub fn mount() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (flags, options) = (MountFlags::empty(), Some(c"mode=0700"));
        mount("bpf", folder.path(), "bpf", flags, options).expect("mounting bpf");
        Self { folder }
    }

    /// Its root.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// A folder for pins in it, not made yet.
    pub fn pin_dir(&self) -> PathBuf {
        self.path().join("bot-agent")
    }
}

impl Drop for BpfFs {
    fn drop(&mut self) {
        if let Err(error) = unmount(self.folder.path(), UnmountFlags::DETACH) {
            eprintln!("unmounting {}: {error}", self.folder.path().display());
        }
    }
}
