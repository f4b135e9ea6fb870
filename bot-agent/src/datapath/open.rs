//! Loading: the programs against tables that are adopted where they are pinned, made where not.

use std::ops::{Deref, DerefMut};

use aya::{
    Ebpf, EbpfLoader,
    maps::Map,
    programs::{ProgramError, Xdp},
};
use bot_common::abi::{
    names,
    record::{DropReport, HelloSegment},
};

use super::{
    attach::EntryPoint,
    debug_log::{self, DebugLog},
    error::{Error, folder},
    folder::{Layout, PinFolder},
    ring::Ring,
    shape,
    tables::Tables,
};
use crate::host::{kernel, privilege};

/// What to load, and how large.
#[derive(Debug)]
pub struct Options<'a> {
    /// The BPF object; `None` when the binary was built without it.
    pub object: Option<&'a [u8]>,
    /// Turns on the programs' debug channel.
    pub debug: bool,
    /// Prefixes that the tables shall hold.
    pub prefixes: u32,
    /// Verdict ids, [`bot_common::abi::verdict::VerdictId::NONE`] included, at most 65,536.
    pub verdicts: u32,
    /// Bytes of the ring of drop reports; rounded up to a power of two of pages.
    pub report_ring: u32,
    /// Bytes of the ring of hello segments; rounded up likewise.
    pub hello_ring: u32,
}

/// The loaded programs and their tables.
#[derive(Debug)]
pub struct Datapath {
    pub(super) ebpf: Ebpf,
    pub(super) folder: PinFolder,
    tables: Tables,
    reports: Option<Map>,
    hellos: Option<Map>,
    debug: bool,
}

/// What [`Datapath::open`] gives.
#[derive(Debug)]
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
        let bytes = options.object.ok_or(Error::NotBuilt)?;
        check_host()?;
        let layout = folder.layout();
        layout.make()?;
        let sizes = sizes(options);
        let object = aya_obj::Object::parse(bytes)?;
        shape::check_pins(&object, &sizes, &layout.maps()).map_err(|error| shown(error, &folder))?;

        let mut ebpf = load(bytes, options.debug, &sizes, &layout)?;
        // Programs first: one whose maps were taken and dropped does not load any more.
        for entry in EntryPoint::ALL {
            load_program(&mut ebpf, *entry, &layout)?;
        }
        let mut take = |name| {
            ebpf.take_map(name).ok_or(Error::Missing {
                kind: "table",
                name,
            })
        };
        let mut tables = Tables::new(&mut take)?;
        let reports = take(names::MAP_REPORTS)?;
        let hellos = take(names::MAP_HELLOS)?;
        let adopted = tables.ensure_seed()?;
        Ok(Opened {
            datapath: Self {
                ebpf,
                folder,
                tables,
                reports: Some(reports),
                hellos: Some(hellos),
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

/// Refuses kernels and privileges with which loading would fail further down, less clearly.
fn check_host() -> Result<(), Error> {
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

fn sizes(options: &Options<'_>) -> [(&'static str, u32); 5] {
    [
        (names::MAP_PREFIXES, options.prefixes),
        (names::MAP_VERDICTS, options.verdicts),
        (names::MAP_VERDICT_HITS, options.verdicts),
        (names::MAP_REPORTS, options.report_ring),
        (names::MAP_HELLOS, options.hello_ring),
    ]
}

fn load(
    object: &[u8],
    debug: bool,
    sizes: &[(&'static str, u32)],
    layout: &Layout,
) -> Result<Ebpf, Error> {
    let level = if debug { debug_log::LEVEL } else { 0 };
    let mut loader = EbpfLoader::new();
    loader.override_global(names::GLOBAL_LOG_LEVEL, &level, true);
    for (name, entries) in sizes {
        loader.map_max_entries(name, *entries);
    }
    for name in names::PINNED_MAPS {
        loader.map_pin_path(name, layout.maps().join(name));
    }
    loader.load(object).map_err(Error::Load)
}

/// Loads a program and pins it, so that `status` knows it without the agent.
fn load_program(ebpf: &mut Ebpf, entry: EntryPoint, layout: &Layout) -> Result<(), Error> {
    let name = entry.program();
    let program = program(ebpf, entry)?;
    let refused = |error: ProgramError| Error::Program {
        name,
        reason: verifier_reason(&error),
    };
    program.load().map_err(refused)?;

    // Pinning does not replace, renaming does: a reader finds the old program or the new one.
    let (fresh, path) = (
        layout.programs().join(format!("{name}-new")),
        layout.programs().join(name),
    );
    match std::fs::remove_file(&fresh) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(folder("removing", &fresh)(error));
        }
        _ => {}
    }
    program.pin(&fresh).map_err(|error| Error::Program {
        name,
        reason: format!("pinning at {}: {error}", path.display()),
    })?;
    std::fs::rename(&fresh, &path).map_err(folder("pinning at", &path))
}

/// The program of an entry point.
pub(super) fn program(ebpf: &mut Ebpf, entry: EntryPoint) -> Result<&mut Xdp, Error> {
    let name = entry.program();
    let missing = Error::Missing {
        kind: "program",
        name,
    };
    match ebpf.program_mut(name).map(TryInto::try_into) {
        Some(Ok(program)) => Ok(program),
        Some(Err(_)) | None => Err(missing),
    }
}

/// The kernel's reason and the last lines of the verifier's log, where its complaint stands.
fn verifier_reason(error: &ProgramError) -> String {
    const LINES: usize = 12;
    let ProgramError::LoadError {
        io_error,
        verifier_log,
    } = error
    else {
        return error.to_string();
    };
    let log = verifier_log.to_string();
    let lines: Vec<&str> = log.lines().filter(|line| !line.is_empty()).collect();
    let tail = lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default()
        .join("\n");
    format!("{io_error}; the verifier's last words:\n{tail}")
}

/// The error with the path as people know it.
fn shown(error: Error, pins: &PinFolder) -> Error {
    match error {
        Error::Shape {
            name,
            path,
            pinned,
            wanted,
        } => Error::Shape {
            name,
            path: pins.show(&path),
            pinned,
            wanted,
        },
        error => error,
    }
}
