//! Why the kernel side could not be set up: one variant a stage, each with what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use aya::{EbpfError, maps::MapError};
use aya_obj::ParseError;

use super::{folder::PinFolder, object, shape::Shape};
use crate::host::{NetlinkError, kernel::MINIMUM};

/// Why the programs and tables could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary carries no BPF object.
    #[error("{}", object::MISSING)]
    NotBuilt,
    /// The kernel is older than what is supported.
    #[error("kernel {found} is too old; bot-agent needs {MINIMUM} or newer")]
    KernelTooOld {
        /// The release that runs.
        found: String,
    },
    /// Capabilities are missing.
    #[error(
        "missing {}; run as root, or give the service these capabilities (AmbientCapabilities=)",
        capabilities.join(", ")
    )]
    MissingPrivilege {
        /// Their names.
        capabilities: Vec<&'static str>,
    },
    /// The pin folder is not on a BPF file system.
    #[error(
        "{} is not on a BPF file system; mount one: `mount -t bpf bpf {}`",
        path.display(),
        mount_point.display()
    )]
    NotBpffs {
        /// The pin folder.
        path: PathBuf,
        /// Where one belongs.
        mount_point: PathBuf,
    },
    /// The BPF file system is visible in this mount namespace only.
    #[error(
        "the BPF file system of {} belongs to a private mount namespace: its pins, and the filter \
         with them, would vanish with this process (`ip netns exec` makes such a namespace); \
         enter a network namespace with `nsenter --net=/run/netns/NAME bot-agent ...`",
        path.display()
    )]
    PrivateBpffs {
        /// The pin folder.
        path: PathBuf,
    },
    /// A folder or pin could not be made, read or removed.
    #[error("{step} {}: {source}", path.display())]
    Folder {
        /// What was tried.
        step: &'static str,
        /// The folder or pin.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The BPF object cannot be read.
    #[error("the BPF object is damaged ({0}); build it anew with `cargo xtask build`")]
    Object(#[from] ParseError),
    /// The object lacks something that the agent needs.
    #[error(
        "the BPF object has no {kind} `{name}`: it is of another version than the agent; build it anew with `cargo xtask build`"
    )]
    Missing {
        /// Map or program.
        kind: &'static str,
        /// Its name.
        name: &'static str,
    },
    /// A pinned table differs from what is to be loaded.
    #[error(
        "table {name}, pinned at {}, has {pinned}, but {wanted} is asked for; run `bot-agent detach` \
         (filtering stops until the next start) or set the old size",
        path.display()
    )]
    Shape {
        /// The table.
        name: &'static str,
        /// Its pin.
        path: PathBuf,
        /// What is pinned.
        pinned: Shape,
        /// What the object and the options say.
        wanted: Shape,
    },
    /// The kernel refused to make the tables.
    #[error("making the tables: {0}")]
    Load(EbpfError),
    /// The kernel refused a program.
    #[error("loading program {name}: {reason}")]
    Program {
        /// The program.
        name: &'static str,
        /// The kernel's reason with the end of the verifier's log.
        reason: String,
    },
    /// A table or its pin could not be opened.
    #[error("opening table {name}: {source}")]
    Map {
        /// The table.
        name: &'static str,
        /// The kernel's reason.
        source: MapError,
    },
    /// Nothing is pinned: no agent ever ran here, or `detach` removed it.
    #[error(
        "nothing is loaded under {}; start the agent with `bot-agent run`",
        path.display()
    )]
    NothingPinned {
        /// The pin folder.
        path: PathBuf,
    },
    /// A ring was handed out before.
    #[error("ring {0} is already being read")]
    RingTaken(&'static str),
    /// A ring or the debug channel cannot be waited for.
    #[error("waiting for ring {name}: {source}")]
    Ring {
        /// The ring.
        name: &'static str,
        /// The kernel's reason.
        source: io::Error,
    },
    /// The debug channel could not be opened.
    #[error("opening the debug channel: {0}")]
    DebugLog(aya_log::Error),
    /// The kernel's source of random numbers failed.
    #[error("drawing the seed: {0}")]
    Seed(io::Error),
    /// A table could not be read or written.
    #[error(transparent)]
    Table(#[from] super::tables::TableError),
    /// Interfaces could not be listed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
}

impl Error {
    /// The error with the pins' paths as the operator knows them.
    pub(super) fn shown_by(mut self, folder: &PinFolder) -> Self {
        if let Self::Folder { path, .. } | Self::Shape { path, .. } = &mut self {
            *path = folder.show(path);
        }
        self
    }
}

/// Shorthand for [`Error::Folder`].
pub(super) fn folder<E: Into<io::Error>>(
    step: &'static str,
    path: &Path,
) -> impl FnOnce(E) -> Error {
    move |source| Error::Folder {
        step,
        path: path.to_owned(),
        source: source.into(),
    }
}
