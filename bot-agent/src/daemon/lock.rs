//! One agent per run folder and per pin folder.
//!
//! The locks are `flock(2)`: the kernel takes them back when the process ends, however it ends.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, flock};

/// The file in a run folder.
pub(super) const FILE: &str = "lock";

/// A held lock.
#[derive(Debug)]
pub struct Lock(#[expect(dead_code, reason = "held, not read")] File);

/// Why there is no lock.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Another agent has it.
    #[error("another agent{} uses {}; stop it, or give this one its own --run-dir and --pin-dir", holder(.pid.as_deref()), path.display())]
    Held {
        /// The folder.
        path: PathBuf,
        /// Its process, if it told.
        pid: Option<String>,
    },
    /// The folder or file is not usable.
    #[error("cannot lock {}: {source}", path.display())]
    Io {
        /// What was to be locked.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Locks a run folder by the file `lock` in it, which names this process.
pub fn run_dir(dir: &Path) -> Result<Lock, LockError> {
    let path = dir.join(FILE);
    let failed = |source| LockError::Io {
        path: path.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o640)
        .open(&path)
        .map_err(failed)?;
    if !take(&file).map_err(failed)? {
        let mut pid = String::new();
        let read = file.read_to_string(&mut pid);
        let pid = read.ok().map(|_| pid.trim().to_owned());
        return Err(LockError::Held {
            path: dir.to_owned(),
            pid: pid.filter(|pid| !pid.is_empty()),
        });
    }
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(failed)?;
    Ok(Lock(file))
}

/// Locks a pin folder itself: nothing but pins can be made on a bpffs. `None` if it is not there.
pub fn pin_dir(dir: &Path) -> Result<Option<Lock>, LockError> {
    let failed = |source| LockError::Io {
        path: dir.to_owned(),
        source,
    };
    let file = match File::open(dir) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    if take(&file).map_err(failed)? {
        Ok(Some(Lock(file)))
    } else {
        Err(LockError::Held {
            path: dir.to_owned(),
            pid: None,
        })
    }
}

fn take(file: &File) -> io::Result<bool> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

fn holder(pid: Option<&str>) -> String {
    pid.map(|pid| format!(" (pid {pid})")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_agent_is_told_who_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = run_dir(dir.path()).unwrap();
        let error = run_dir(dir.path()).unwrap_err().to_string();
        let pid = std::process::id();
        assert!(error.contains(&format!("(pid {pid})")), "{error}");
        drop(first);
        run_dir(dir.path()).unwrap();
    }

    #[test]
    fn a_pin_folder_is_locked_if_it_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let first = pin_dir(dir.path()).unwrap().unwrap();
        assert!(matches!(pin_dir(dir.path()), Err(LockError::Held { .. })));
        drop(first);
        assert!(pin_dir(dir.path()).unwrap().is_some());
        assert!(pin_dir(&dir.path().join("missing")).unwrap().is_none());
    }
}
