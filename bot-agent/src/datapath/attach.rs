//! Putting the programs on interfaces, by BPF link only.
//!
//! A link that this or an earlier agent pinned is taken over: its program is swapped in one step,
//! without a packet in between that no program sees. A program that someone else attached is left
//! alone unless the operator says `replace`.

use std::io;

use aya::programs::{
    Xdp, XdpMode as AyaMode,
    links::{FdLink, PinnedLink},
    xdp::XdpLink,
};

use super::{
    attachment::{self, Attachment, is_on},
    error::AttachError,
    folder::{PinFolder, names_in},
    link::{self, Pin},
    open::Datapath,
    program::{self, EntryPoint},
    reason::{program_errno, program_reason},
};
use crate::host::interface::{self, Interface, Xdp as Occupant, XdpMode};

/// Which XDP mode the operator asks for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum XdpRequest {
    /// Native, or else generic.
    #[default]
    Auto,
    /// In the driver or not at all.
    Native,
    /// In the network stack.
    Generic,
}

/// What [`Datapath::attach`] did.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Attached {
    /// What is in force now.
    pub attachment: Attachment,
    /// Whether the link of an earlier agent (or of this one) was taken over.
    pub adopted: bool,
    /// Why the program does not run in the driver although it was tried.
    pub native_refused: Option<String>,
}

impl Datapath {
    /// Puts the filter on an interface and pins the link. Fill the tables first: from here on they
    /// decide.
    ///
    /// A link of ours that is there already keeps its mode, whatever `request` says: changing it
    /// would leave packets unfiltered. Use `detach` first for that.
    pub fn attach(
        &mut self,
        iface: &str,
        request: XdpRequest,
        replace: bool,
    ) -> Result<Attached, AttachError> {
        self.take(iface, request, replace)
            .map_err(|error| error.shown_by(&self.folder))
    }

    /// What is attached now, by the links pinned under this layout version.
    pub fn attachments(&self) -> Result<Vec<Attachment>, AttachError> {
        attachment::list(&self.folder)
    }

    /// Interfaces of this network namespace that are filtered, by whichever agent of whichever
    /// version; `attach` takes them over.
    pub fn filtered(&self) -> Result<Vec<String>, AttachError> {
        attachment::filtered(&self.folder)
    }

    fn take(
        &mut self,
        iface: &str,
        request: XdpRequest,
        replace: bool,
    ) -> Result<Attached, AttachError> {
        let interface = find(iface)?;
        let mut ours = Vec::new();
        for pin in link::scan(&self.folder)? {
            if pin.ifindex == 0 {
                tracing::debug!(pin = %pin.path.display(), "removing the link of a deleted interface");
                link::unpin(&pin.path)?;
            } else if is_on(&pin, &interface) {
                ours.push(pin);
            }
        }
        if !ours.is_empty() {
            self.adopt(&interface, ours)?;
            self.remove_left_layouts()?;
            return self.attached(iface, true, None);
        }
        if let Some(occupant) = interface.xdp {
            if !replace {
                return Err(foreign(iface, occupant));
            }
            evict(&interface, occupant)?;
        }
        let native_refused = self.attach_anew(&interface, request)?;
        self.attached(iface, false, native_refused)
    }

    /// Swaps the program of an adopted link, and moves its pin here if it lies under another
    /// layout version. At every instant a program is attached and a pin holds it.
    fn adopt(&mut self, interface: &Interface, pins: Vec<Pin>) -> Result<(), AttachError> {
        let version = self.folder.layout().version;
        let mut kept = None;
        // Sorted by layout, newest first. Two pins of one link: an earlier move was interrupted.
        for pin in pins {
            match kept {
                None => {
                    let Pin {
                        path, layout, id, ..
                    } = &pin;
                    let (path, layout, id) = (path.clone(), *layout, *id);
                    let fd_link = self.swap(interface, pin)?;
                    if layout != version {
                        self.pin(fd_link, interface.index)?;
                        link::unpin(&path)?;
                    }
                    kept = Some(id);
                }
                Some(_) => link::unpin(&pin.path)?,
            }
        }
        Ok(())
    }

    /// Removes the tables of other layout versions whose last link was taken over.
    fn remove_left_layouts(&self) -> Result<(), AttachError> {
        let current = self.folder.layout().version;
        for layout in self.folder.layouts()? {
            let links = names_in(&layout.links()).map_err(link::pin_error(&layout.links()))?;
            if layout.version != current && links.is_empty() {
                let removed = layout.remove()?;
                tracing::info!(
                    layout = layout.version,
                    removed,
                    "removed the tables of another version"
                );
            }
        }
        Ok(())
    }

    fn swap(&mut self, interface: &Interface, pin: Pin) -> Result<FdLink, AttachError> {
        let Pin { path, link, .. } = pin;
        let failed = |source| AttachError::Link {
            path: path.clone(),
            source,
        };
        let mut attempts = Vec::new();
        let mut fd_link = Some(link);
        for entry in EntryPoint::ALL {
            let link = match fd_link.take() {
                Some(link) => link,
                // The refusal used the descriptor up; the pin still holds the link.
                None => PinnedLink::from_pin(&path).map_err(failed)?.into(),
            };
            let link = XdpLink::try_from(link).map_err(failed)?;
            let program = self.program(*entry)?;
            match program.attach_to_link(link) {
                Ok(id) => {
                    let link = program
                        .take_link(id)
                        .map_err(|error| refused(interface, vec![program_reason(&error)]))?;
                    return FdLink::try_from(link).map_err(failed);
                }
                Err(error) => {
                    attempts.push(format!(
                        "{} into its link: {}",
                        entry.program(),
                        program_reason(&error)
                    ));
                }
            }
        }
        Err(refused(interface, attempts))
    }

    /// Tries modes and programs in order; returns why native was given up for generic.
    fn attach_anew(
        &mut self,
        interface: &Interface,
        request: XdpRequest,
    ) -> Result<Option<String>, AttachError> {
        let modes: &[XdpMode] = match request {
            XdpRequest::Auto => &[XdpMode::Native, XdpMode::Generic],
            XdpRequest::Native => &[XdpMode::Native],
            XdpRequest::Generic => &[XdpMode::Generic],
        };
        let mut attempts = Vec::new();
        for mode in modes {
            let native_refused = (!attempts.is_empty()).then(|| attempts.join("; "));
            for entry in EntryPoint::ALL {
                match self.attach_one(interface, *entry, *mode)? {
                    Ok(link) => {
                        self.pin(link, interface.index)?;
                        return Ok(native_refused);
                    }
                    Err(why) => attempts.push(format!("{mode}, {}: {why}", entry.program())),
                }
            }
        }
        Err(refused(interface, attempts))
    }

    /// One way to attach. The outer error ends all attempts, the inner one this attempt.
    fn attach_one(
        &mut self,
        interface: &Interface,
        entry: EntryPoint,
        mode: XdpMode,
    ) -> Result<Result<FdLink, String>, AttachError> {
        let aya_mode = match mode {
            XdpMode::Native => AyaMode::Driver,
            XdpMode::Generic => AyaMode::Skb,
            XdpMode::Offloaded => AyaMode::Hardware,
        };
        let program = self.program(entry)?;
        let id = match program.attach_to_if_index(interface.index, aya_mode) {
            Ok(id) => id,
            Err(error) => {
                // Someone attached a program since we looked.
                if matches!(program_errno(&error), Some(libc::EBUSY | libc::EEXIST))
                    && let Some(occupant) = find(&interface.name)?.xdp
                {
                    return Err(foreign(&interface.name, occupant));
                }
                return Ok(Err(program_reason(&error)));
            }
        };
        let link = program
            .take_link(id)
            .map_err(|error| refused(interface, vec![program_reason(&error)]))?;
        let Ok(link) = FdLink::try_from(link) else {
            // aya attaches by netlink when the kernel answers EINVAL to a link; such a program
            // has no owner, cannot be swapped in one step, and is taken off at once.
            interface::remove_xdp(interface.index, mode)?;
            return Ok(Err("the kernel makes no BPF link for it".to_owned()));
        };
        Ok(Ok(link))
    }

    /// Pins a link under the interface's index; where that name is taken (by the link of another
    /// network namespace) under the index and a number.
    fn pin(&self, link: FdLink, ifindex: u32) -> Result<(), AttachError> {
        let links = self.folder.layout().links();
        let taken = names_in(&links).map_err(link::pin_error(&links))?;
        let name = std::iter::once(ifindex.to_string())
            .chain((1..=u32::MAX).map(|n| format!("{ifindex}_{n}")))
            .find(|name| !taken.contains(name))
            .unwrap_or_default();
        let path = links.join(name);
        link.pin(&path)
            .map(drop)
            .map_err(|error| link::pin_error(&path)(io::Error::other(error)))
    }

    fn attached(
        &self,
        iface: &str,
        adopted: bool,
        native_refused: Option<String>,
    ) -> Result<Attached, AttachError> {
        let attachment = self
            .attachments()?
            .into_iter()
            .find(|attachment| attachment.iface == iface)
            .ok_or_else(|| AttachError::NoSuchInterface(iface.to_owned()))?;
        Ok(Attached {
            attachment,
            adopted,
            native_refused,
        })
    }

    fn program(&mut self, entry: EntryPoint) -> Result<&mut Xdp, AttachError> {
        Ok(program::find(&mut self.ebpf, entry)?)
    }
}

/// The XDP program on an interface that is not ours, with its name where it may be asked for (root
/// only). For a look before the privileges are dropped; without a pin folder nothing is ours.
pub fn foreign_program(
    iface: &str,
    folder: Option<&PinFolder>,
) -> Result<Option<AttachError>, AttachError> {
    let interface = find(iface)?;
    let Some(occupant) = interface.xdp else {
        return Ok(None);
    };
    let pins = folder.map(link::scan).transpose()?.unwrap_or_default();
    let ours = pins.iter().any(|pin| is_on(pin, &interface));
    Ok((!ours).then(|| foreign(iface, occupant)))
}

fn find(iface: &str) -> Result<Interface, AttachError> {
    interface::by_name(iface)?.ok_or_else(|| AttachError::NoSuchInterface(iface.to_owned()))
}

fn foreign(iface: &str, occupant: Occupant) -> AttachError {
    AttachError::Foreign {
        iface: iface.to_owned(),
        program: occupant.program,
        name: program::name_of(occupant.program),
        mode: occupant.mode,
    }
}

fn evict(interface: &Interface, occupant: Occupant) -> Result<(), AttachError> {
    match interface::remove_xdp(interface.index, occupant.mode) {
        Err(error) if error.errno() == Some(libc::EBUSY) => Err(AttachError::ForeignLink {
            iface: interface.name.clone(),
            program: occupant.program,
        }),
        other => Ok(other?),
    }
}

fn refused(interface: &Interface, attempts: Vec<String>) -> AttachError {
    AttachError::Refused {
        iface: interface.name.clone(),
        attempts,
    }
}
