//! The two entry points into the filter.

use std::{fs, io};

use aya::{
    Ebpf,
    programs::{ProgramError, ProgramInfo, Xdp, loaded_programs},
};
use bot_common::abi::names;

use super::{
    error::{Error, folder},
    folder::Layout,
    reason::program_reason,
};

/// One of the programs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum EntryPoint {
    /// For drivers that deliver packets in several buffers.
    Frags,
    /// For drivers that deliver single buffers only.
    Plain,
}

impl EntryPoint {
    /// Both, in the order in which they are tried.
    pub const ALL: &'static [Self] = &[Self::Frags, Self::Plain];

    /// Name of the program.
    pub const fn program(self) -> &'static str {
        match self {
            Self::Frags => names::PROGRAM_FRAGS,
            Self::Plain => names::PROGRAM_PLAIN,
        }
    }
}

/// Loads a program and pins it, so that `status` knows it without the agent.
pub(super) fn load(ebpf: &mut Ebpf, entry: EntryPoint, layout: &Layout) -> Result<(), Error> {
    let name = entry.program();
    let program = find(ebpf, entry)?;
    program
        .load()
        .map_err(|error: ProgramError| Error::Program {
            name,
            reason: program_reason(&error),
        })?;

    // Pinning does not replace, renaming does: a reader finds the old program or the new one.
    let path = layout.programs().join(name);
    let fresh = layout.programs().join(format!("{name}-new"));
    if let Err(error) = fs::remove_file(&fresh)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(folder("removing", &fresh)(error));
    }
    program.pin(&fresh).map_err(|error| Error::Program {
        name,
        reason: format!("pinning: {error}"),
    })?;
    fs::rename(&fresh, &path).map_err(folder("pinning at", &path))
}

/// The program of an entry point.
pub(super) fn find(ebpf: &mut Ebpf, entry: EntryPoint) -> Result<&mut Xdp, Error> {
    let name = entry.program();
    match ebpf.program_mut(name).map(TryInto::try_into) {
        Some(Ok(program)) => Ok(program),
        Some(Err(_)) | None => Err(Error::Missing {
            kind: "program",
            name,
        }),
    }
}

/// The programs pinned under a layout version, with their ids.
pub(super) fn pinned(layout: &Layout) -> Vec<(EntryPoint, u32)> {
    EntryPoint::ALL
        .iter()
        .filter_map(|entry| {
            let path = layout.programs().join(entry.program());
            Some((*entry, ProgramInfo::from_pin(path).ok()?.id()))
        })
        .collect()
}

/// The name of any loaded program; `None` without `CAP_SYS_ADMIN`, which asking by id needs.
pub(super) fn name_of(id: u32) -> Option<String> {
    loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(str::to_owned))
        .filter(|name| !name.is_empty())
}
