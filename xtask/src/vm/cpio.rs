//! Writer of the `newc` archive that the kernel unpacks as its first file
//! system (Documentation/driver-api/early-userspace/buffer-format.rst).

use std::collections::BTreeSet;
use std::io::{self, Write};

const FOLDER: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;
const SYMLINK: u32 = 0o120_777;

/// An archive being written. Folders above a file are made when needed.
pub(super) struct Archive<W> {
    out: W,
    folders: BTreeSet<String>,
    inode: u32,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self {
            out,
            folders: BTreeSet::new(),
            inode: 0,
        }
    }

    /// A regular file, executable by everybody. Paths have no leading slash.
    pub(super) fn file(&mut self, path: &str, bytes: &[u8]) -> io::Result<()> {
        self.folders_above(path)?;
        self.entry(path, EXECUTABLE, (0, 0), bytes)
    }

    pub(super) fn folder(&mut self, path: &str) -> io::Result<()> {
        self.folders_above(path)?;
        if self.folders.insert(path.to_owned()) {
            self.entry(path, FOLDER, (0, 0), &[])?;
        }
        Ok(())
    }

    pub(super) fn symlink(&mut self, path: &str, to: &str) -> io::Result<()> {
        self.folders_above(path)?;
        self.entry(path, SYMLINK, (0, 0), to.as_bytes())
    }

    pub(super) fn device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        self.folders_above(path)?;
        self.entry(path, CHARACTER_DEVICE, (major, minor), &[])
    }

    /// Writes the end mark; without it the kernel takes the archive for cut.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.out)
    }

    fn folders_above(&mut self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((folder, _)) => self.folder(folder),
            None => Ok(()),
        }
    }

    fn entry(&mut self, path: &str, mode: u32, device: (u32, u32), bytes: &[u8]) -> io::Result<()> {
        let field = |length: usize| {
            u32::try_from(length).map_err(|_| io::Error::other(format!("{path} is too long")))
        };
        self.inode += 1;
        write!(self.out, "070701")?;
        for value in [
            self.inode,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // modification time: equal input gives an equal archive
            field(bytes.len())?,
            0,
            0,
            device.0,
            device.1,
            field(path.len() + 1)?,
            0, // checksum, unused in this variant
        ] {
            write!(self.out, "{value:08X}")?;
        }
        self.out.write_all(path.as_bytes())?;
        self.out.write_all(b"\0")?;
        // The header is 110 bytes long; names and contents end on multiples of 4.
        self.pad(110 + path.len() + 1)?;
        self.out.write_all(bytes)?;
        self.pad(bytes.len())
    }

    fn pad(&mut self, length: usize) -> io::Result<()> {
        let missing = length.next_multiple_of(4) - length;
        self.out
            .write_all([0; 3].get(..missing).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_ends_on_a_multiple_of_four() {
        let mut archive = Archive::new(Vec::new());
        for (name, bytes) in [
            ("a", &b"1"[..]),
            ("bb", b"22"),
            ("ccc", b"333"),
            ("d/e", b""),
        ] {
            archive.file(name, bytes).unwrap();
        }
        archive.device("dev/console", 5, 1).unwrap();
        assert_eq!(archive.finish().unwrap().len() % 4, 0);
    }

    #[test]
    fn folders_come_before_their_files_and_once() {
        let mut archive = Archive::new(Vec::new());
        archive.file("lib/x/one", b"").unwrap();
        archive.symlink("lib/x/two", "one").unwrap();
        let bytes = archive.finish().unwrap();
        let text = String::from_utf8_lossy(&bytes);
        let names: Vec<&str> = text
            .split('\0')
            .filter_map(|part| part.get(part.find("070701")? + 110..))
            .collect();
        assert_eq!(
            names,
            ["lib", "lib/x", "lib/x/one", "lib/x/two", "TRAILER!!!"]
        );
    }
}
