//! A feed's folder on disk: what is in force, what was before, and what is held.
//!
//! | file | |
//! |---|---|
//! | `current` | the entries in force: they are put into force at the next start, network or not |
//! | `previous` | the entries before them, for `rollback` |
//! | `held` | an update that waits for somebody to accept it |
//! | `next` | an update on its way; what an agent left behind when it died means nothing |
//! | `notes.json` | what else is remembered of the feed |
//!
//! Invariant: each file is a whole one or not there, whenever the agent dies. A file is written under
//! another name, put on the disk, and then renamed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, BufReader, BufWriter, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use super::snapshot::{ReadError, Snapshot};

/// The folder of all feeds, in the state folder.
const FEEDS: &str = "feeds";
const NEXT: &str = "next";
const NOTES: &str = "notes.json";

/// The folder of one feed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Folder {
    path: PathBuf,
}

/// A snapshot in the folder.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Shelf {
    /// In force.
    Current,
    /// In force before the last update.
    Previous,
    /// Waits to be accepted.
    Held,
}

/// An update that is on the disk, and not in force yet. It is gone when it is dropped.
#[derive(Debug)]
#[must_use = "an update that is dropped is gone"]
pub struct Staged {
    path: PathBuf,
    kept: bool,
}

/// Something in the folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// The system said no.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// What was done.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is damaged, or of another agent.
    #[error("{}: {source}; it is not used", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: ReadError,
    },
}

impl Shelf {
    const fn file(self) -> &'static str {
        match self {
            Self::Current => "current",
            Self::Previous => "previous",
            Self::Held => "held",
        }
    }
}

impl Folder {
    /// The folder of the feed `name` in the agent's state folder. What an update on its way left behind is
    /// taken away.
    pub fn open(state_dir: &Path, name: &str) -> Result<Self, FolderError> {
        let path = state_dir.join(FEEDS).join(name);
        let made = DirBuilder::new().recursive(true).mode(0o750).create(&path);
        made.map_err(failed("making", &path))?;
        let folder = Self { path };
        folder.remove(NEXT)?;
        Ok(folder)
    }

    /// A snapshot, and what was written with it; nothing: there is none.
    pub fn load(&self, from: Shelf) -> Result<Option<(Snapshot, Value)>, FolderError> {
        let path = self.path.join(from.file());
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(failed("reading", &path)(error)),
        };
        let read = Snapshot::read(BufReader::with_capacity(1 << 18, file));
        read.map(Some)
            .map_err(|source| FolderError::Damaged { path, source })
    }

    /// Puts an update on the disk.
    pub fn stage(&self, snapshot: &Snapshot, extra: &Value) -> Result<Staged, FolderError> {
        let path = self.path.join(NEXT);
        let staged = Staged { path, kept: false };
        let written = create(&staged.path).and_then(|file| {
            let mut out = BufWriter::with_capacity(1 << 18, file);
            snapshot.write(extra, &mut out)?;
            out.into_inner()?.sync_all()
        });
        written.map_err(failed("writing", &staged.path))?;
        Ok(staged)
    }

    /// The update is in force: what was before is the previous one. What was held is out of date.
    pub fn promote(&self, staged: Staged) -> Result<(), FolderError> {
        self.put_in_force(&staged.keep())?;
        self.remove(Shelf::Held.file())
    }

    /// The update names the same as what is in force, which is not a previous one.
    pub fn renew(&self, staged: Staged) -> Result<(), FolderError> {
        self.rename(&staged.keep(), &self.path.join(Shelf::Current.file()))?;
        self.remove(Shelf::Held.file())
    }

    /// The update waits.
    pub fn hold(&self, staged: Staged) -> Result<(), FolderError> {
        self.rename(&staged.keep(), &self.path.join(Shelf::Held.file()))
    }

    /// What was held is in force.
    pub fn accept(&self) -> Result<(), FolderError> {
        self.put_in_force(&self.path.join(Shelf::Held.file()))
    }

    /// Nothing is held any more.
    pub fn release(&self) -> Result<(), FolderError> {
        self.remove(Shelf::Held.file())
    }

    /// What was before is in force again, and what was in force is the previous one.
    pub fn roll_back(&self) -> Result<(), FolderError> {
        let current = self.path.join(Shelf::Current.file());
        exchange(&self.path.join(Shelf::Previous.file()), &current)?;
        self.sync()
    }

    /// What is remembered; nothing of what cannot be read.
    pub fn notes<N: DeserializeOwned + Default>(&self) -> N {
        let notes = fs::read(self.path.join(NOTES)).ok();
        let notes = notes.and_then(|notes| serde_json::from_slice(&notes).ok());
        notes.unwrap_or_default()
    }

    /// Remembers something.
    pub fn note(&self, notes: &impl Serialize) -> Result<(), FolderError> {
        let path = self.path.join(NOTES);
        let fresh = path.with_extension("new");
        let written = create(&fresh).and_then(|mut file| {
            file.write_all(&serde_json::to_vec(notes)?)?;
            file.sync_all()
        });
        written.map_err(failed("writing", &fresh))?;
        self.rename(&fresh, &path)
    }

    fn put_in_force(&self, next: &Path) -> Result<(), FolderError> {
        let current = self.path.join(Shelf::Current.file());
        if current.exists() {
            // At no time there is no current one.
            exchange(next, &current)?;
            self.rename(next, &self.path.join(Shelf::Previous.file()))
        } else {
            self.rename(next, &current)
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<(), FolderError> {
        fs::rename(from, to).map_err(failed("renaming", from))?;
        self.sync()
    }

    fn remove(&self, file: &str) -> Result<(), FolderError> {
        let path = self.path.join(file);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(failed("removing", &path)(error))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Renames are on the disk when it returns.
    fn sync(&self) -> Result<(), FolderError> {
        let synced = File::open(&self.path).and_then(|folder| folder.sync_all());
        synced.map_err(failed("writing", &self.path))
    }
}

impl Staged {
    fn keep(mut self) -> PathBuf {
        self.kept = true;
        std::mem::take(&mut self.path)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if !self.kept {
            // If it stays, the next start takes it away.
            drop(fs::remove_file(&self.path));
        }
    }
}

fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true).mode(0o640);
    options.open(path)
}

fn exchange(one: &Path, other: &Path) -> Result<(), FolderError> {
    let exchanged = renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE);
    exchanged.map_err(|error| failed("renaming", one)(error.into()))
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> FolderError {
    let path = path.to_owned();
    move |source| FolderError::Io {
        doing,
        path,
        source,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::feeds::entry::{Entry, Parsed};

    struct World {
        state_dir: tempfile::TempDir,
        folder: Folder,
    }

    impl World {
        fn new() -> Self {
            let state_dir = tempfile::tempdir().unwrap();
            let folder = Folder::open(state_dir.path(), "a").unwrap();
            Self { state_dir, folder }
        }

        fn stage(&self, address: &str) -> Staged {
            self.folder.stage(&snapshot(address), &Value::Null).unwrap()
        }

        /// The addresses on the shelves: current, previous, held.
        fn shelves(&self) -> [String; 3] {
            [Shelf::Current, Shelf::Previous, Shelf::Held].map(|shelf| {
                let found = self.folder.load(shelf).unwrap();
                found.map_or(String::new(), |(snapshot, _)| {
                    let subjects = snapshot.entries().map(|known| known.subject.to_string());
                    subjects.collect::<Vec<_>>().join(" ")
                })
            })
        }
    }

    fn snapshot(address: &str) -> Snapshot {
        let parsed = Parsed {
            entries: vec![Entry::sure(address.parse().unwrap())],
            ..Parsed::default()
        };
        let now = "2026-11-28T12:00:00Z".parse().unwrap();
        Snapshot::next(None, &parsed, now, Duration::ZERO).0
    }

    #[test]
    fn updates_take_each_others_place_and_can_be_taken_back() {
        let world = World::new();
        assert_eq!(world.shelves(), ["", "", ""]);
        for address in ["192.0.2.1", "192.0.2.2", "192.0.2.3"] {
            world.folder.promote(world.stage(address)).unwrap();
        }
        assert_eq!(world.shelves(), ["192.0.2.3", "192.0.2.2", ""]);
        world.folder.roll_back().unwrap();
        assert_eq!(world.shelves(), ["192.0.2.2", "192.0.2.3", ""]);
        world.folder.roll_back().unwrap();
        assert_eq!(world.shelves(), ["192.0.2.3", "192.0.2.2", ""]);
    }

    #[test]
    fn what_names_the_same_is_no_update() {
        let world = World::new();
        for address in ["192.0.2.1", "192.0.2.2"] {
            world.folder.promote(world.stage(address)).unwrap();
        }
        world.folder.renew(world.stage("192.0.2.2")).unwrap();
        assert_eq!(world.shelves(), ["192.0.2.2", "192.0.2.1", ""]);
    }

    #[test]
    fn an_update_waits_until_it_is_accepted_or_a_later_one_is_in_force() {
        let world = World::new();
        world.folder.promote(world.stage("192.0.2.1")).unwrap();
        world.folder.hold(world.stage("192.0.2.2")).unwrap();
        assert_eq!(world.shelves(), ["192.0.2.1", "", "192.0.2.2"]);
        world.folder.accept().unwrap();
        assert_eq!(world.shelves(), ["192.0.2.2", "192.0.2.1", ""]);
        world.folder.hold(world.stage("192.0.2.3")).unwrap();
        world.folder.promote(world.stage("192.0.2.4")).unwrap();
        assert_eq!(world.shelves(), ["192.0.2.4", "192.0.2.2", ""]);
        world.folder.hold(world.stage("192.0.2.5")).unwrap();
        world.folder.release().unwrap();
        assert_eq!(world.shelves()[2], "");
        // Without anything before, the first update may be held too.
        let fresh = World::new();
        fresh.folder.hold(fresh.stage("192.0.2.1")).unwrap();
        fresh.folder.accept().unwrap();
        assert_eq!(fresh.shelves(), ["192.0.2.1", "", ""]);
    }

    #[test]
    fn what_was_on_its_way_when_the_agent_died_means_nothing() {
        let world = World::new();
        world.folder.promote(world.stage("192.0.2.1")).unwrap();
        std::mem::forget(world.stage("192.0.2.2"));
        let next = world.folder.path.join(NEXT);
        assert!(next.exists());
        let folder = Folder::open(world.state_dir.path(), "a").unwrap();
        assert!(!next.exists());
        let (found, _) = folder.load(Shelf::Current).unwrap().unwrap();
        assert_eq!(found, snapshot("192.0.2.1"));
        drop(world.stage("192.0.2.3"));
        assert!(!next.exists());
    }

    #[test]
    fn a_damaged_file_is_named_and_notes_are_forgotten() {
        let world = World::new();
        world.folder.promote(world.stage("192.0.2.1")).unwrap();
        let current = world.folder.path.join("current");
        let text = fs::read(&current).unwrap();
        fs::write(&current, &text[..text.len() - 3]).unwrap();
        let error = world.folder.load(Shelf::Current).unwrap_err().to_string();
        assert!(error.contains("/feeds/a/current: "), "{error}");

        assert_eq!(world.folder.notes::<Vec<u32>>(), [0; 0]);
        world.folder.note(&vec![1, 2]).unwrap();
        assert_eq!(world.folder.notes::<Vec<u32>>(), [1, 2]);
        fs::write(world.folder.path.join(NOTES), "[1, ").unwrap();
        assert_eq!(world.folder.notes::<Vec<u32>>(), [0; 0]);
    }
}
