//! Pinned XDP links: finding them, and knowing what they hold.
//!
//! A link is known by the interface index in its own information, never by its pin's name: after
//! an interface is deleted the index is 0 and the link is dead, while a new interface may have got
//! the old one's name, or its index in another network namespace.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use aya::programs::links::{FdLink, LinkError, PinnedLink};

use super::{
    error::AttachError,
    folder::{Layout, PinFolder, names_in},
};

/// A pinned link.
#[derive(Debug)]
pub(super) struct Pin {
    /// Where.
    pub(super) path: PathBuf,
    /// Under which layout version.
    pub(super) layout: u32,
    /// The link's id.
    pub(super) id: u32,
    /// Index of its interface; 0: the interface is gone.
    pub(super) ifindex: u32,
    /// Id of the program it runs.
    pub(super) program: u32,
    /// The open link.
    pub(super) link: FdLink,
}

/// Every pinned link of every layout version, newest layout first.
pub(super) fn scan(folder: &PinFolder) -> Result<Vec<Pin>, AttachError> {
    let mut pins = Vec::new();
    for layout in folder.layouts()?.iter().rev() {
        let names = names_in(&layout.links()).map_err(pin_error(&layout.links()))?;
        for name in names {
            pins.push(open(layout, &layout.links().join(name))?);
        }
    }
    Ok(pins)
}

fn open(layout: &Layout, path: &Path) -> Result<Pin, AttachError> {
    let failed = |source| AttachError::Link {
        path: path.to_owned(),
        source,
    };
    let link = FdLink::from(PinnedLink::from_pin(path).map_err(failed)?);
    let info = link.info().map_err(failed)?;
    let ifindex = ifindex(info.id())
        .map_err(pin_error(path))?
        .ok_or_else(|| failed(LinkError::InvalidLink))?;
    Ok(Pin {
        path: path.to_owned(),
        layout: layout.version,
        id: info.id(),
        ifindex,
        program: info.program_id(),
        link,
    })
}

/// Removes a pin; one that is gone already is no error.
pub(super) fn unpin(path: &Path) -> Result<(), AttachError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(pin_error(path)(error)),
        _ => Ok(()),
    }
}

pub(super) fn pin_error(path: &Path) -> impl FnOnce(io::Error) -> AttachError {
    move |source| AttachError::Pin {
        path: path.to_owned(),
        source,
    }
}

/// The interface index of an XDP link that this process has open; `None` when no descriptor is
/// that link. aya 0.14 keeps the index to itself, the kernel shows it in `/proc/self/fdinfo`.
fn ifindex(link: u32) -> io::Result<Option<u32>> {
    for entry in fs::read_dir("/proc/self/fdinfo")? {
        // Other threads close descriptors meanwhile.
        let Ok(text) = fs::read_to_string(entry?.path()) else {
            continue;
        };
        if field(&text, "link_type") == Some("xdp")
            && field(&text, "link_id").and_then(|id| id.parse().ok()) == Some(link)
        {
            return Ok(field(&text, "ifindex").and_then(|index| index.parse().ok()));
        }
    }
    Ok(None)
}

fn field<'a>(fdinfo: &'a str, name: &str) -> Option<&'a str> {
    fdinfo.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fdinfo_of_a_link() {
        let text = "pos:\t0\nflags:\t02000000\nlink_type:\txdp\nlink_id:\t7\n\
                    prog_tag:\t3b185187f1855c4c\nprog_id:\t12\nifindex:\t5\n";
        assert_eq!(field(text, "link_type"), Some("xdp"));
        assert_eq!(field(text, "ifindex"), Some("5"));
        assert_eq!(field(text, "index"), None);
        assert_eq!(ifindex(u32::MAX).unwrap(), None);
    }
}
