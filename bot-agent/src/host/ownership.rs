//! Giving the agent's own files to the user that it runs as.
//!
//! Everything goes through descriptors and never through a symbolic link, and only plain files of
//! one name are given: nobody who may write to a folder can have a file elsewhere given to him.

use std::{ffi::CStr, io, os::fd::OwnedFd, path::Path};

use rustix::{
    fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, Stat, chownat, fstat, openat},
    io::Errno,
    process::{Gid, Uid},
};

/// A user and a group.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Ids {
    /// User.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
}

/// What a name in a folder of the agent's is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Belongs {
    /// The agent's: given.
    Ours,
    /// Left as it is, but no sign that the folder has other uses.
    Beside,
    /// Somebody else's: it and the folder stay as they are.
    Foreign,
}

/// Gives the files in `folder` that are [`Belongs::Ours`], and the folder too if nothing foreign is
/// in it and not everybody may write to it. An empty folder is given if it is `dedicated`. A folder
/// that is missing or a symbolic link is left alone.
pub fn give(
    folder: &Path,
    owner: Ids,
    dedicated: bool,
    belongs: impl Fn(&str) -> Belongs,
) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = match openat(CWD, folder, flags, Mode::empty()) {
        Ok(handle) => handle,
        Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let (mut ours, mut foreign) = (dedicated, false);
    for entry in Dir::read_from(&handle)? {
        let entry = entry?;
        let name = entry.file_name();
        if [c".", c".."].contains(&name) {
            continue;
        }
        match name.to_str().map_or(Belongs::Foreign, &belongs) {
            Belongs::Ours => {
                ours = true;
                give_file(&handle, name, owner)?;
            }
            Belongs::Beside => {}
            Belongs::Foreign => foreign = true,
        }
    }
    let status = fstat(&handle)?;
    let shared = Mode::from_raw_mode(status.st_mode).contains(Mode::WOTH);
    if ours && !foreign && !shared {
        give_open(&handle, &status, owner)?;
    }
    Ok(())
}

fn give_file(folder: &OwnedFd, name: &CStr, owner: Ids) -> io::Result<()> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let handle = match openat(folder, name, flags, Mode::empty()) {
        Ok(handle) => handle,
        Err(Errno::NOENT) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let status = fstat(&handle)?;
    let plain = FileType::from_raw_mode(status.st_mode) == FileType::RegularFile;
    if plain && status.st_nlink == 1 {
        give_open(&handle, &status, owner)?;
    }
    Ok(())
}

fn give_open(handle: &OwnedFd, status: &Stat, owner: Ids) -> io::Result<()> {
    if (status.st_uid, status.st_gid) != (owner.uid.as_raw(), owner.gid.as_raw()) {
        let (uid, gid) = (Some(owner.uid), Some(owner.gid));
        chownat(handle, c"", uid, gid, AtFlags::EMPTY_PATH)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{
        fs,
        os::unix::fs::{MetadataExt as _, symlink},
    };

    use super::*;

    fn belongs(name: &str) -> Belongs {
        match name {
            "ours" | "link" | "hard" => Belongs::Ours,
            "beside" => Belongs::Beside,
            _ => Belongs::Foreign,
        }
    }

    fn owner(path: &Path) -> u32 {
        fs::symlink_metadata(path).unwrap().uid()
    }

    /// Only root gives files away.
    #[test]
    fn only_our_own_plain_files_are_given() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let someone = Ids {
            uid: Uid::from_raw(12_345),
            gid: Gid::from_raw(12_345),
        };
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("folder");
        let elsewhere = root.path().join("elsewhere");
        fs::create_dir(&folder).unwrap();
        fs::write(&elsewhere, "secret").unwrap();
        fs::write(folder.join("ours"), "").unwrap();
        fs::write(folder.join("beside"), "").unwrap();
        symlink(&elsewhere, folder.join("link")).unwrap();
        fs::hard_link(&elsewhere, folder.join("hard")).unwrap();
        give(&folder, someone, false, belongs).unwrap();
        assert_eq!(owner(&folder.join("ours")), 12_345);
        assert_eq!(owner(&folder), 12_345);
        for other in [&elsewhere, &folder.join("link"), &folder.join("beside")] {
            assert_eq!(owner(other), 0, "{}", other.display());
        }

        let other = root.path().join("other");
        fs::create_dir(&other).unwrap();
        give(&other, someone, false, belongs).unwrap();
        assert_eq!(owner(&other), 0, "an empty folder may be anybody's");
        fs::write(other.join("ours"), "").unwrap();
        fs::write(other.join("foreign"), "").unwrap();
        give(&other, someone, true, belongs).unwrap();
        assert_eq!((owner(&other), owner(&other.join("ours"))), (0, 12_345));
        let link = root.path().join("symlink");
        symlink(&other, &link).unwrap();
        give(&link, someone, true, |_| Belongs::Ours).unwrap();
        assert_eq!(owner(&other.join("foreign")), 0);
    }
}
