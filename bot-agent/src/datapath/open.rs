//! Loading: the programs against tables that are adopted where they are pinned, made where not.

use std::ops::{Deref, DerefMut};

use aya::{Ebpf, EbpfLoader, maps::Map};
use bot_common::abi::{
    names,
    record::{DropReport, HelloSegment},
};

use super::{
    debug_log::{self, DebugLog},
    error::Error,
    folder::{Layout, PinFolder},
    program::{self, EntryPoint},
    ring::Ring,
    shape,
    tables::Tables,
};
use crate::host::{kernel, privilege};

/// What to load, and how large.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The BPF object; `None` when the binary was built without it.
    pub object: Option<&'a [u8]>,
    /// Turns on the programs' debug channel.
    pub debug: bool,
    /// Verdict ids, [`bot_common::abi::verdict::VerdictId::NONE`] included, at most 65,536.
    pub verdicts: u32,
    /// Bytes of the ring of drop reports; rounded up to a power of two of pages.
    pub report_ring: u32,
    /// Bytes of the ring of hello segments; rounded up likewise.
    pub hello_ring: u32,
}

/// The loaded programs and their tables.
pub struct Datapath {
    pub(super) ebpf: Ebpf,
    pub(super) folder: PinFolder,
    tables: Tables,
    reports: Option<Map>,
    hellos: Option<Map>,
    debug: bool,
}

/// What [`Datapath::open`] gives.
pub struct Opened {
    /// The loaded programs and their tables.
    pub datapath: Datapath,
    /// Whether the tables are those of an earlier agent; else they are new and empty.
    pub adopted: bool,
}

impl Datapath {
    /// Loads both programs. Tables pinned in `folder` under this layout version are adopted, after
    /// a check of their shapes; missing ones are made and pinned. Attaches nothing.
    pub fn open(options: &Options<'_>, folder: PinFolder) -> Result<Opened, Error> {
        let object = options.object.ok_or(Error::NotBuilt)?;
        check_host()?;
        let mut ebpf =
            load(object, options, &folder.layout()).map_err(|error| error.shown_by(&folder))?;
        let mut take = |name| {
            ebpf.take_map(name).ok_or(Error::Missing {
                kind: "table",
                name,
            })
        };
        let mut tables = Tables::new(&mut take, &folder.layout().maps())?;
        let reports = Some(take(names::MAP_REPORTS)?);
        let hellos = Some(take(names::MAP_HELLOS)?);
        let adopted = tables.ensure_seed()?;
        Ok(Opened {
            datapath: Self {
                ebpf,
                folder,
                tables,
                reports,
                hellos,
                debug: options.debug,
            },
            adopted,
        })
    }

    /// The ring of drop reports; once, within a tokio runtime.
    pub fn take_reports(&mut self) -> Result<Ring<DropReport>, Error> {
        let name = names::MAP_REPORTS;
        Ring::new(name, self.reports.take().ok_or(Error::RingTaken(name))?)
    }

    /// The ring of hello segments; once, within a tokio runtime.
    pub fn take_hellos(&mut self) -> Result<Ring<HelloSegment>, Error> {
        let name = names::MAP_HELLOS;
        Ring::new(name, self.hellos.take().ok_or(Error::RingTaken(name))?)
    }

    /// The debug channel, if it was asked for; once, within a tokio runtime.
    pub fn take_debug_log(&mut self) -> Result<Option<DebugLog>, Error> {
        if std::mem::take(&mut self.debug) {
            DebugLog::new(&mut self.ebpf).map(Some)
        } else {
            Ok(None)
        }
    }
}

impl Deref for Datapath {
    type Target = Tables;

    fn deref(&self) -> &Tables {
        &self.tables
    }
}

impl DerefMut for Datapath {
    fn deref_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }
}

/// Refuses kernels and privileges with which everything would fail further down, less clearly. The
/// first thing to ask, before the pin folder is touched.
pub fn check_host() -> Result<(), Error> {
    if kernel::version().is_none_or(|version| version < kernel::MINIMUM) {
        let found = rustix::system::uname().release().to_string_lossy().into();
        return Err(Error::KernelTooOld { found });
    }
    let capabilities = privilege::missing();
    if capabilities.is_empty() {
        Ok(())
    } else {
        Err(Error::MissingPrivilege { capabilities })
    }
}

/// Makes or adopts the maps and loads the programs against them. Programs are loaded while all
/// maps are still there: one whose map was taken and dropped does not load any more.
fn load(object: &[u8], options: &Options<'_>, layout: &Layout) -> Result<Ebpf, Error> {
    layout.make()?;
    let sizes = [
        (names::MAP_VERDICTS, options.verdicts),
        (names::MAP_VERDICT_HITS, options.verdicts),
        (names::MAP_REPORTS, options.report_ring),
        (names::MAP_HELLOS, options.hello_ring),
    ];
    shape::check_pins(&aya_obj::Object::parse(object)?, &sizes, &layout.maps())?;

    let level = if options.debug { debug_log::LEVEL } else { 0 };
    let mut loader = EbpfLoader::new();
    loader.override_global(names::GLOBAL_LOG_LEVEL, &level, true);
    for (name, entries) in sizes {
        loader.map_max_entries(name, entries);
    }
    for name in names::PINNED_MAPS {
        loader.map_pin_path(name, layout.maps().join(name));
    }
    let mut ebpf = loader.load(object).map_err(Error::Load)?;
    for entry in EntryPoint::ALL {
        program::load(&mut ebpf, *entry, layout)?;
    }
    Ok(ebpf)
}
