//! A file of this host: whole, or not at all.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use super::{
    Fetched, blocking,
    error::{FetchError, Why},
    validators::{Stamp, Validators},
};

/// Longest file. The largest lists have 30 MB.
const LONGEST: u64 = 256 << 20;

/// Reads a file, unless it is the one that `validators` are of.
pub(super) async fn fetch(
    path: PathBuf,
    validators: Option<Validators>,
) -> Result<Fetched, FetchError> {
    let place = path.display().to_string();
    let result = blocking(move || read(&path, validators.as_ref(), LONGEST)).await;
    result.map_err(|why| FetchError::new(place, why))
}

fn read(path: &Path, known: Option<&Validators>, longest: u64) -> Result<Fetched, Why> {
    let mut file = open(path).map_err(Why::Io)?;
    let before = stamp(&file)?;
    let validators = Validators::of_file(path, before);
    if known == Some(&validators) {
        return Ok(Fetched::NotModified);
    }
    let mut bytes = Vec::new();
    // One byte more than may be there tells what is too long.
    let mut content = (&mut file).take(longest.saturating_add(1));
    content.read_to_end(&mut bytes).map_err(Why::Io)?;
    if content.limit() == 0 {
        return Err(Why::TooLong(longest));
    }
    if stamp(&file)? != before {
        return Err(Why::Changing);
    }
    Ok(Fetched::Body { bytes, validators })
}

/// Opens a file without waiting for whoever might write into a pipe.
pub(super) fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).custom_flags(libc::O_NONBLOCK).open(path)
}

fn stamp(file: &File) -> Result<Stamp, Why> {
    let metadata = file.metadata().map_err(Why::Io)?;
    if !metadata.is_file() {
        return Err(Why::NoFile);
    }
    Ok(Stamp::from(&metadata))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn world(content: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("list");
        fs::write(&path, content).unwrap();
        (folder, path)
    }

    fn body(fetched: Fetched) -> (Vec<u8>, Validators) {
        let Fetched::Body { bytes, validators } = fetched else {
            panic!("{fetched:?}");
        };
        (bytes, validators)
    }

    #[test]
    fn a_file_is_read_when_it_is_another_one() {
        let (folder, path) = world("192.0.2.1\n");
        let (bytes, validators) = body(read(&path, None, 100).unwrap());
        assert_eq!(bytes, b"192.0.2.1\n");
        let again = read(&path, Some(&validators), 100).unwrap();
        assert_eq!(again, Fetched::NotModified);

        let fresh = folder.path().join("fresh");
        fs::write(&fresh, "192.0.2.2\n").unwrap();
        let (_, other) = body(read(&fresh, Some(&validators), 100).unwrap());
        fs::rename(&fresh, &path).unwrap();
        let (bytes, validators) = body(read(&path, Some(&validators), 100).unwrap());
        assert_eq!(bytes, b"192.0.2.2\n");
        assert_ne!(validators, other, "the same file by another path");
    }

    #[test]
    fn what_is_no_file_is_refused_at_once() {
        let (folder, _) = world("");
        let pipe = folder.path().join("pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::RWXU).unwrap();
        for path in [&pipe, folder.path(), Path::new("/dev/zero")] {
            let error = read(path, None, 100).unwrap_err();
            assert!(matches!(error, Why::NoFile), "{}: {error}", path.display());
        }
        let error = read(&folder.path().join("missing"), None, 100).unwrap_err();
        assert!(error.to_string().contains("No such file"), "{error}");
    }

    #[test]
    fn what_is_too_long_is_refused() {
        let (_folder, path) = world("12345");
        assert!(matches!(read(&path, None, 4).unwrap_err(), Why::TooLong(4)));
        assert_eq!(body(read(&path, None, 5).unwrap()).0, b"12345");
    }
}
