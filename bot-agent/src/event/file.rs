//! The log file: JSON lines, rotated by size.
//!
//! Nothing that the disk does ends the agent: a line that cannot be written is counted, and the
//! count is handed back once, when writing works again. A line is there as a whole or not at all: what
//! was written of one that did not fit is cut off again. A file moved away by somebody else
//! (logrotate) is noticed by [`LogFile::reopen_if_moved`].

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use super::Event;

/// Where lines go and when a file is full.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct FileOptions {
    /// The current file; older ones are `PATH.1` (newest) to `PATH.N`.
    pub path: PathBuf,
    /// Rotates before the file grows beyond this; 0 never rotates.
    pub max_bytes: u64,
    /// Older files to keep.
    pub keep: u32,
}

/// What the owner should tell people.
#[derive(Debug)]
pub enum Trouble {
    /// Lines are being lost from now on.
    Began(io::Error),
    /// Writing works again.
    Over {
        /// Lines that were not written.
        lost: u64,
    },
}

/// An open log file.
#[derive(Debug)]
pub struct LogFile {
    options: FileOptions,
    file: Option<File>,
    size: u64,
    lost: u64,
    torn: bool,
}

impl LogFile {
    /// Opens the file for appending; makes it (mode 0640) if there is none.
    pub fn open(options: FileOptions) -> io::Result<Self> {
        let file = open(&options.path)?;
        let size = file.metadata()?.len();
        Ok(Self {
            torn: !ends_in_newline(&options.path, size),
            options,
            file: Some(file),
            size,
            lost: 0,
        })
    }

    /// Where it writes to.
    pub fn options(&self) -> &FileOptions {
        &self.options
    }

    /// Writes one line.
    pub fn write_line(&mut self, line: &str) -> Option<Trouble> {
        match self.append(line) {
            Ok(()) => {
                let lost = std::mem::take(&mut self.lost);
                (lost > 0).then_some(Trouble::Over { lost })
            }
            Err(error) => {
                self.lost += 1;
                (self.lost == 1).then_some(Trouble::Began(error))
            }
        }
    }

    /// Opens the path again if it is not the open file any more.
    pub fn reopen_if_moved(&mut self) {
        let here = fs::metadata(&self.options.path).ok();
        let ours = self.file.as_ref().and_then(|file| file.metadata().ok());
        let same = match (&here, &ours) {
            (Some(here), Some(ours)) => here.dev() == ours.dev() && here.ino() == ours.ino(),
            _ => false,
        };
        if !same {
            // The next line opens it, and reports if that is impossible.
            self.file = None;
        }
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        let length = bytes_of(line.len()) + 1 + u64::from(self.torn);
        if self.options.max_bytes > 0
            && self.size > 0
            && self.size.saturating_add(length) > self.options.max_bytes
        {
            self.rotate();
        }
        let file = if let Some(file) = &mut self.file {
            file
        } else {
            let file = open(&self.options.path)?;
            self.size = file.metadata()?.len();
            self.torn = !ends_in_newline(&self.options.path, self.size);
            self.file.insert(file)
        };
        let fresh_line = if self.torn { "\n" } else { "" };
        let bytes = format!("{fresh_line}{line}\n").into_bytes();
        match write_counted(file, &bytes) {
            Ok(()) => {
                self.size += bytes_of(bytes.len());
                self.torn = false;
                Ok(())
            }
            Err((written, error)) => {
                if written > 0 && take_back(file, written).is_err() {
                    self.size += written;
                    self.torn = true;
                }
                Err(error)
            }
        }
    }

    /// Moves every file one number on. What cannot be moved is overwritten or kept; lines go on.
    fn rotate(&mut self) {
        let path = &self.options.path;
        for number in (1..self.options.keep).rev() {
            move_quietly(&numbered(path, number), &numbered(path, number + 1));
        }
        if self.options.keep > 0 {
            move_quietly(path, &numbered(path, 1));
        } else {
            match fs::remove_file(path) {
                Ok(()) => {}
                Err(error) => tracing::warn!("cannot remove {}: {error}", path.display()),
            }
        }
        self.file = None;
        self.size = 0;
    }
}

/// Every event in the file and its older files, oldest first. Lines that are no events (torn by a
/// crash or a full disk) are left out.
pub fn read_events(
    path: &Path,
    keep: u32,
    mut each: impl FnMut(Event) -> io::Result<()>,
) -> io::Result<()> {
    let older = (1..=keep).rev().map(|number| numbered(path, number));
    for path in older.chain([path.to_owned()]) {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        for line in BufReader::new(file).split(b'\n') {
            if let Ok(event) = serde_json::from_slice(&line?) {
                each(event)?;
            }
        }
    }
    Ok(())
}

fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .open(path)
}

fn ends_in_newline(path: &Path, size: u64) -> bool {
    use std::os::unix::fs::FileExt;

    let Some(last) = size.checked_sub(1) else {
        return true;
    };
    let mut byte = [0];
    File::open(path)
        .and_then(|file| file.read_exact_at(&mut byte, last))
        .is_ok_and(|()| byte == [b'\n'])
}

fn write_counted(file: &mut File, mut bytes: &[u8]) -> Result<(), (u64, io::Error)> {
    let mut written = 0;
    while !bytes.is_empty() {
        match file.write(bytes) {
            Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
            Ok(count) => {
                written += bytes_of(count);
                bytes = bytes.get(count..).unwrap_or_default();
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err((written, error)),
        }
    }
    Ok(())
}

/// Cuts off what there is of a line that did not fit.
fn take_back(file: &File, written: u64) -> io::Result<()> {
    // Asked for anew: logrotate's `copytruncate` shortens the file behind our back.
    let size = file.metadata()?.len();
    file.set_len(size.saturating_sub(written))
}

fn bytes_of(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

fn numbered(path: &Path, number: u32) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(format!(".{number}"));
    name.into()
}

fn move_quietly(from: &Path, to: &Path) {
    match fs::rename(from, to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(
                "cannot rotate {} to {}: {error}",
                from.display(),
                to.display()
            );
        }
        Ok(()) | Err(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Body, tests::at};

    fn options(dir: &Path, max_bytes: u64, keep: u32) -> FileOptions {
        FileOptions {
            path: dir.join("events.log"),
            max_bytes,
            keep,
        }
    }

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn a_full_file_is_rotated_and_the_oldest_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(options(dir.path(), 10, 2)).unwrap();
        for line in ["aaaaaa", "bbbbbb", "cccccc", "dddddd"] {
            assert!(log.write_line(line).is_none());
        }
        let path = dir.path().join("events.log");
        assert_eq!(text(&path), "dddddd\n");
        assert_eq!(text(&numbered(&path, 1)), "cccccc\n");
        assert_eq!(text(&numbered(&path, 2)), "bbbbbb\n");
        assert!(!numbered(&path, 3).exists());
    }

    #[test]
    fn a_file_that_was_moved_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(options(dir.path(), 0, 0)).unwrap();
        log.write_line("one");
        let path = dir.path().join("events.log");
        fs::rename(&path, dir.path().join("elsewhere")).unwrap();
        log.reopen_if_moved();
        log.write_line("two");
        assert_eq!(text(&path), "two\n");
    }

    #[test]
    fn a_full_disk_is_reported_once_and_the_loss_when_it_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let mut log = LogFile::open(options(dir.path(), 0, 0)).unwrap();
        log.file = Some(OpenOptions::new().write(true).open("/dev/full").unwrap());
        assert!(matches!(log.write_line("a"), Some(Trouble::Began(_))));
        assert!(log.write_line("b").is_none());
        log.file = None;
        assert!(matches!(
            log.write_line("c"),
            Some(Trouble::Over { lost: 2 })
        ));
        assert_eq!(text(&dir.path().join("events.log")), "c\n");
    }

    #[test]
    fn a_torn_last_line_does_not_spoil_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), 0, 1);
        fs::write(&options.path, "{\"ts\":\"20").unwrap();
        let event = at("2026-11-22T18:00:00Z", Body::error("x"));
        LogFile::open(options.clone())
            .unwrap()
            .write_line(&event.to_json());
        let mut events = Vec::new();
        read_events(&options.path, 1, |event| {
            events.push(event);
            Ok(())
        })
        .unwrap();
        assert_eq!(events, [event]);
    }

    #[test]
    fn a_new_file_does_not_begin_with_the_end_of_a_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), 10, 1);
        fs::write(&options.path, "torn").unwrap();
        let mut log = LogFile::open(options.clone()).unwrap();
        log.write_line("aaaaaa");
        assert_eq!(text(&options.path), "aaaaaa\n");
        assert_eq!(text(&numbered(&options.path, 1)), "torn");
    }

    /// The kernel's limit on the size of files (`RLIMIT_FSIZE`) stands for a full disk: it cuts a
    /// write short in the same way. It holds for a whole process, so this runs in one of its own.
    #[test]
    fn a_line_that_fits_in_part_leaves_nothing_behind() {
        const INSIDE: &str = "BOT_AGENT_TEST_FILE_LIMIT";
        if std::env::var_os(INSIDE).is_none() {
            let status = std::process::Command::new("bash")
                .args(["-c", r#"trap "" XFSZ; ulimit -f 1; exec "$@""#, "bash"])
                .arg(std::env::current_exe().unwrap())
                .args([
                    "--exact",
                    "event::file::tests::a_line_that_fits_in_part_leaves_nothing_behind",
                ])
                .env(INSIDE, "1")
                .status()
                .unwrap();
            assert!(status.success());
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let options = options(dir.path(), 0, 0);
        let mut log = LogFile::open(options.clone()).unwrap();
        let (first, second) = ("a".repeat(600), "b".repeat(600));
        assert!(log.write_line(&first).is_none());
        assert!(matches!(log.write_line(&second), Some(Trouble::Began(_))));
        assert_eq!(text(&options.path), format!("{first}\n"));
        let third = log.write_line("c");
        assert!(matches!(third, Some(Trouble::Over { lost: 1 })));
        assert_eq!(text(&options.path), format!("{first}\nc\n"));
    }
}
