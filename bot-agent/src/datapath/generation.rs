//! Generations of the prefix store: maps that the agent writes as memory.
//!
//! A generation is an array map of 64-byte lines ([`bot_common::table`]), mapped into the agent. Its
//! memory lives as long as the mapping or the map of maps refers to it, whatever becomes of the other.
#![allow(
    unsafe_code,
    reason = "a map's memory can be reached by mmap(2) only, which hands out a raw pointer"
)]

use std::{
    io,
    os::fd::{AsFd as _, BorrowedFd},
    ptr::NonNull,
    sync::atomic::AtomicU64,
};

use aya::maps::{MapData, MapError, MapType};
use aya_obj::{
    EbpfSectionKind,
    maps::{LegacyMap, PinningType, bpf_map_def},
};
use bot_common::{abi::names, table::LINE_WORDS};
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};

/// Bytes of a line and of its index.
const LINE: u32 = 64;
const INDEX: u32 = 4;
const _: () = assert!(LINE as usize == size_of::<[u64; LINE_WORDS]>());

/// A map of lines, and its memory.
#[derive(Debug)]
pub struct Generation {
    map: MapData,
    memory: Mapping,
}

impl Generation {
    /// Makes one of `lines` lines, all zero, that nothing refers to yet.
    pub fn make(lines: u32) -> Result<Self, MapError> {
        let map = MapData::create(declared(lines), names::MAP_GENERATION, None)?;
        Self::of(map, lines, ProtFlags::READ | ProtFlags::WRITE)
    }

    /// Maps one that an earlier agent made, to be read only.
    pub(super) fn adopt(map: MapData) -> Result<Self, MapError> {
        let lines = map.info()?.max_entries();
        Self::of(map, lines, ProtFlags::READ)
    }

    fn of(map: MapData, lines: u32, access: ProtFlags) -> Result<Self, MapError> {
        let words = usize::try_from(lines)
            .unwrap_or(usize::MAX)
            .saturating_mul(LINE_WORDS);
        let memory = Mapping::of(map.fd().as_fd(), words, access).map_err(MapError::IoError)?;
        Ok(Self { map, memory })
    }

    /// The map, for pinning and for the map of maps.
    pub fn map(&self) -> &MapData {
        &self.map
    }

    /// Bytes of kernel memory.
    pub fn bytes(&self) -> usize {
        self.memory.words * size_of::<u64>()
    }
}

impl AsRef<[AtomicU64]> for Generation {
    fn as_ref(&self) -> &[AtomicU64] {
        self.memory.words()
    }
}

/// What bot-ebpf declares as the inner map, of a size of its own.
fn declared(lines: u32) -> aya_obj::Map {
    aya_obj::Map::Legacy(LegacyMap {
        def: bpf_map_def {
            map_type: MapType::Array as u32,
            key_size: INDEX,
            value_size: LINE,
            max_entries: lines,
            map_flags: names::GENERATION_FLAGS,
            id: 0,
            pinning: PinningType::None,
        },
        inner_def: None,
        section_index: 0,
        section_kind: EbpfSectionKind::Maps,
        symbol_index: None,
        data: Vec::new(),
    })
}

/// A map's memory in this process.
#[derive(Debug)]
struct Mapping {
    start: NonNull<AtomicU64>,
    words: usize,
}

impl Mapping {
    fn of(fd: BorrowedFd<'_>, words: usize, access: ProtFlags) -> io::Result<Self> {
        let bytes = words * size_of::<u64>();
        // SAFETY: a new mapping at a place of the kernel's choice touches no memory of ours.
        let start = unsafe { mmap(std::ptr::null_mut(), bytes, access, MapFlags::SHARED, fd, 0) }?;
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, words })
    }

    fn words(&self) -> &[AtomicU64] {
        // SAFETY: mapped, page-aligned and `words` long until drop; every access is atomic, on both
        // sides. Whoever holds a mapping that is read only (`adopt`) does not store.
        unsafe { std::slice::from_raw_parts(self.start.as_ptr(), self.words) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        let bytes = self.words * size_of::<u64>();
        // SAFETY: the mapping made in `of`; no reference into it outlives `self`.
        let unmapped = unsafe { munmap(self.start.as_ptr().cast(), bytes) };
        debug_assert!(unmapped.is_ok(), "{unmapped:?}");
    }
}

// SAFETY: the memory is shared between CPUs by nature and accessed atomically only.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}
