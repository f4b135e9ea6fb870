//! A disk so small that a test can fill it.

use std::{
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

/// A tmpfs on a folder; unmounted when dropped.
#[derive(Debug)]
pub struct Disk<'a>(&'a Path);

impl<'a> Disk<'a> {
    /// Mounts it; `size` as tmpfs takes it (`8m`).
    pub fn mount(path: &'a Path, size: &str) -> Self {
        let options = std::ffi::CString::new(format!("size={size}")).expect("no zero byte");
        let flags = MountFlags::empty();
        mount("tmpfs", path, "tmpfs", flags, Some(options.as_c_str())).expect("mounting tmpfs");
        Self(path)
    }

    /// Takes all the space that is left; the file that does.
    pub fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).expect("a file");
        let block = [0; 4096];
        while file.write_all(&block).is_ok() {}
        path
    }
}

impl Drop for Disk<'_> {
    fn drop(&mut self) {
        if let Err(error) = unmount(self.0, UnmountFlags::DETACH) {
            eprintln!("unmounting {}: {error}", self.0.display());
        }
    }
}
