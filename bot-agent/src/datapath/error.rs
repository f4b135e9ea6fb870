//! Why the kernel side could not be set up or attached: one variant a stage, each with what to do.

use std::{
    io,
    path::{Path, PathBuf},
};

use aya::{EbpfError, maps::MapError, programs::links::LinkError};
use aya_obj::ParseError;

use super::{folder::PinFolder, object};
use crate::host::{NetlinkError, interface::XdpMode, kernel::MINIMUM};

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
    /// The pin folder belongs to someone else.
    #[error("no permission to look into {}; run as root", path.display())]
    Denied {
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
        "table {name}, pinned at {}, has {differences}; set the old size, or run \
         `bot-agent detach` (nothing is filtered until the next start) and start again",
        path.display()
    )]
    Shape {
        /// The table.
        name: &'static str,
        /// Its pin.
        path: PathBuf,
        /// What is pinned, and what the object and the options say.
        differences: String,
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

/// Why the filter is not on an interface.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// No interface has this name.
    #[error("there is no interface `{0}` (`ip link` lists them)")]
    NoSuchInterface(String),
    /// Another program is attached, and it is not ours.
    #[error(
        "interface {iface} runs another XDP program: id {program}{}, {mode}; stop its owner, or \
         replace it with `--replace`",
        name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default()
    )]
    Foreign {
        /// The interface.
        iface: String,
        /// The program's id.
        program: u32,
        /// The program's name, where it may be asked for (root only).
        name: Option<String>,
        /// How it runs.
        mode: XdpMode,
    },
    /// Another program is attached by a BPF link: only who holds the link can take it off.
    #[error(
        "interface {iface} runs XDP program {program}, which a BPF link holds: it cannot be \
         replaced, only its owner can take it off (`bpftool link` shows it)"
    )]
    ForeignLink {
        /// The interface.
        iface: String,
        /// The program's id.
        program: u32,
    },
    /// The kernel or the driver refused every way.
    #[error("interface {iface} takes no XDP program: {}", attempts.join("; "))]
    Refused {
        /// The interface.
        iface: String,
        /// Each way that was tried, with the reason.
        attempts: Vec<String>,
    },
    /// A link could not be opened or read.
    #[error("reading the link pinned at {}: {source}", path.display())]
    Link {
        /// The pin.
        path: PathBuf,
        /// The kernel's reason.
        source: LinkError,
    },
    /// A pin could not be made, listed or removed.
    #[error("pin {}: {source}", path.display())]
    Pin {
        /// The pin or its folder.
        path: PathBuf,
        /// The kernel's reason.
        source: io::Error,
    },
    /// Interfaces could not be listed or changed.
    #[error(transparent)]
    Netlink(#[from] NetlinkError),
    /// The pin folder or the programs are not what they were.
    #[error(transparent)]
    Folder(#[from] Error),
}

impl AttachError {
    /// The error with the pins' paths as the operator knows them.
    pub(super) fn shown_by(mut self, folder: &PinFolder) -> Self {
        if let Self::Pin { path, .. } | Self::Link { path, .. } = &mut self {
            *path = folder.show(path);
        }
        if let Self::Folder(error) = self {
            return Self::Folder(error.shown_by(folder));
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
