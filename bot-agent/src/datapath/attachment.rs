//! What is attached: the links pinned under this layout version, seen from this network namespace.

use super::{
    error::AttachError,
    folder::PinFolder,
    link::{self, Pin},
    program::{self, EntryPoint},
};
use crate::host::interface::{self, Interface, XdpMode};

/// The filter on an interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attachment {
    /// Name of the interface; empty when it is in another network namespace.
    pub iface: String,
    /// Its index.
    pub ifindex: u32,
    /// Where the program runs; `None` when the interface is in another network namespace.
    pub mode: Option<XdpMode>,
    /// Which program; `None` when it is one of another layout version.
    pub program: Option<EntryPoint>,
}

/// Every interface with the filter; works without a daemon.
pub(super) fn list(folder: &PinFolder) -> Result<Vec<Attachment>, AttachError> {
    let layout = folder.layout();
    let programs = program::pinned(&layout);
    let interfaces = interface::list()?;
    Ok(link::scan(folder)?
        .iter()
        .filter(|pin| pin.layout == layout.version && pin.ifindex != 0)
        .map(|pin| {
            let interface = interfaces.iter().find(|interface| is_on(pin, interface));
            let program = programs.iter().find(|(_, id)| *id == pin.program);
            Attachment {
                iface: interface.map(|it| it.name.clone()).unwrap_or_default(),
                ifindex: pin.ifindex,
                mode: interface.and_then(|it| it.xdp).map(|xdp| xdp.mode),
                program: program.map(|(entry, _)| *entry),
            }
        })
        .collect())
}

/// Whether a link is the one on an interface: an index alone may mean an interface of another
/// network namespace, a program's id does not.
pub(super) fn is_on(pin: &Pin, interface: &Interface) -> bool {
    pin.ifindex == interface.index && interface.xdp.is_some_and(|xdp| xdp.program == pin.program)
}
