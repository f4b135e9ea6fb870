//! What a start has made, to be taken back when it fails.
//!
//! Only what was not there before is in here: nothing that is adopted is ever removed. After the
//! privileges are dropped an empty folder may stay in a parent that only root may change.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::datapath::FreshPins;

/// Removes it all when dropped, unless [`Made::keep`] was called.
#[derive(Debug, Default)]
pub(super) struct Made(Vec<Item>);

#[derive(Debug)]
enum Item {
    File(PathBuf),
    Folder(PathBuf),
    Pins(FreshPins),
}

impl Made {
    /// The start has worked.
    pub(super) fn keep(&mut self) {
        self.0.clear();
    }

    /// Makes a folder, with those above it; one that is there keeps its mode. Whether it was missing.
    pub(super) fn folder(&mut self, path: &Path, mode: u32) -> anyhow::Result<bool> {
        let missing = path.ancestors().take_while(|path| !path.exists());
        let missing: Vec<&Path> = missing.collect();
        let was_missing = !missing.is_empty();
        let result = DirBuilder::new().recursive(true).mode(mode).create(path);
        self.0.extend(
            missing
                .into_iter()
                .rev()
                .map(|path| Item::Folder(path.to_owned())),
        );
        result.with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(was_missing)
    }

    /// A file that will be made; one that is there is somebody else's.
    pub(super) fn file(&mut self, path: PathBuf) {
        if !path.exists() {
            self.0.push(Item::File(path));
        }
    }

    /// A file that is made anew each time.
    pub(super) fn new_file(&mut self, path: PathBuf) {
        self.0.push(Item::File(path));
    }

    /// What will be pinned.
    pub(super) fn pins(&mut self, pins: FreshPins) {
        self.0.push(Item::Pins(pins));
    }
}

impl Drop for Made {
    fn drop(&mut self) {
        while let Some(item) = self.0.pop() {
            let (path, removed) = match &item {
                Item::File(path) => (path.as_path(), fs::remove_file(path)),
                Item::Folder(path) => (path.as_path(), fs::remove_dir(path)),
                Item::Pins(pins) => (
                    pins.shown(),
                    pins.remove()
                        .map_err(|error| io::Error::other(error.to_string())),
                ),
            };
            if let Err(error) = removed
                && error.kind() != io::ErrorKind::NotFound
            {
                tracing::debug!("{} stays: {error}", path.display());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_made_is_removed() {
        let root = tempfile::tempdir().unwrap();
        let there = root.path().join("there");
        fs::create_dir(&there).unwrap();
        fs::write(there.join("old"), "").unwrap();
        let start = |fails: bool| {
            let mut made = Made::default();
            made.folder(&there, 0o750).unwrap();
            made.folder(&root.path().join("a/b"), 0o750).unwrap();
            for file in ["there/old", "there/new", "a/b/file"] {
                let path = root.path().join(file);
                made.file(path.clone());
                fs::write(path, "").unwrap();
            }
            if !fails {
                made.keep();
            }
        };
        start(true);
        assert!(there.join("old").exists() && !there.join("new").exists());
        assert!(!root.path().join("a").exists());
        start(false);
        start(true);
        assert!(root.path().join("a/b/file").exists() && there.join("new").exists());
    }
}
