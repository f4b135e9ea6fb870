//! Taking the filter off again.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use super::{
    attachment::is_on,
    error::{AttachError, folder},
    folder::{PinFolder, names_in, remove_if_empty},
    link::{self, Pin},
    open::Datapath,
};
use crate::host::interface;

/// The kernel releases a link some milliseconds after its last pin is gone.
const RELEASE: Duration = Duration::from_secs(2);

/// What [`detach_all`] removed and what it left.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Detached {
    /// Interfaces that are free now; indexes where the name is not known here.
    pub interfaces: Vec<String>,
    /// Pinned tables and programs removed.
    pub pins: usize,
    /// Paths in the pin folder that are not ours and were left.
    pub left: Vec<PathBuf>,
}

impl Datapath {
    /// Takes the filter off one interface. `false`: it was not on it.
    pub fn detach(&mut self, iface: &str) -> Result<bool, AttachError> {
        let Some(interface) = interface::by_name(iface)? else {
            return Ok(false);
        };
        let pins: Vec<Pin> = link::scan(&self.folder)?
            .into_iter()
            .filter(|pin| is_on(pin, &interface))
            .collect();
        let found = !pins.is_empty();
        release(pins)?;
        Ok(found)
    }
}

impl Datapath {
    /// Takes the filter off every interface, those of other network namespaces included, and
    /// removes the links of interfaces that are gone. Names, or indexes where no name is known here.
    pub fn detach_every(&mut self) -> Result<Vec<String>, AttachError> {
        release_all(&self.folder)
    }
}

/// Takes the filter off one interface or all of them, and leaves programs and tables: for when an
/// agent uses them that does not answer. Returns the names of the interfaces that are free now.
pub fn detach_links(pin_dir: &Path, iface: Option<&str>) -> Result<Vec<String>, AttachError> {
    let Some(folder) = PinFolder::find(pin_dir)? else {
        return Ok(Vec::new());
    };
    let Some(iface) = iface else {
        return release_all(&folder);
    };
    let interfaces = interface::list()?;
    let mut names = Vec::new();
    let mut pins = Vec::new();
    for pin in link::scan(&folder)? {
        let on = interfaces.iter().find(|interface| is_on(&pin, interface));
        let Some(on) = on.filter(|on| on.name == iface) else {
            continue;
        };
        if !names.contains(&on.name) {
            names.push(on.name.clone());
        }
        pins.push(pin);
    }
    release(pins)?;
    Ok(names)
}

/// Removes everything that any agent of any layout version pinned under `pin_dir`: links first,
/// so that nothing filters by tables that go, then programs and tables, then the folders. Works
/// with no daemon; one that runs must be stopped first.
pub fn detach_all(pin_dir: &Path) -> Result<Detached, AttachError> {
    let Some(pins) = PinFolder::find(pin_dir)? else {
        return Ok(Detached::default());
    };
    let mut detached = Detached {
        interfaces: release_all(&pins)?,
        ..Detached::default()
    };

    for layout in pins.layouts()? {
        detached.pins += layout.remove()?;
    }
    remove_if_empty(pin_dir)?;
    if pin_dir.exists() {
        let left = names_in(pin_dir).map_err(folder("listing", pin_dir))?;
        detached.left = left.iter().map(|name| pin_dir.join(name)).collect();
    }
    Ok(detached)
}

/// Removes every link; returns what was filtered.
fn release_all(folder: &PinFolder) -> Result<Vec<String>, AttachError> {
    let interfaces = interface::list()?;
    let links = link::scan(folder)?;
    let mut names = Vec::new();
    for pin in links.iter().filter(|pin| pin.ifindex != 0) {
        let interface = interfaces.iter().find(|it| is_on(pin, it));
        let name = interface.map_or_else(|| format!("#{}", pin.ifindex), |it| it.name.clone());
        if !names.contains(&name) {
            names.push(name);
        }
    }
    release(links)?;
    Ok(names)
}

/// Removes pins and closes their links, then waits until the kernel has let go of the interfaces:
/// who attaches next must not find the old program there.
fn release(pins: Vec<Pin>) -> Result<(), AttachError> {
    let mut programs = Vec::new();
    for Pin {
        path,
        ifindex,
        program,
        link,
        ..
    } in pins
    {
        link::unpin(&path)?;
        drop(link);
        programs.push((ifindex, program));
    }
    let deadline = Instant::now() + RELEASE;
    while !programs.is_empty() && Instant::now() < deadline {
        let interfaces = interface::list()?;
        let held = |(ifindex, program): &(u32, u32)| {
            interfaces.iter().any(|interface| {
                interface.index == *ifindex
                    && interface.xdp.is_some_and(|xdp| xdp.program == *program)
            })
        };
        programs.retain(held);
        if !programs.is_empty() {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
    Ok(())
}
