//! The tables that the programs decide by, and the counters they keep.
//!
//! Values cross as the bytes of bot-common's zerocopy types. Used by the daemon through
//! [`super::Datapath`] and by commands without a daemon through [`super::Pinned`].

use std::{io, path::Path};

use aya::maps::{Array, Map, MapData, MapError, PerCpuArray, PerCpuValues};
use bot_common::{
    abi::{
        counter::{COUNTERS, Counter, Hits},
        names,
        ports::{GroupLine, PORT_WORDS, PortWord},
        record::{REPORT_SLOTS, ReportSlot},
        settings::Settings,
        verdict::{MAX_CHAIN, MAX_FORKS, Verdict, VerdictId},
    },
    address::Address,
};
use zerocopy::transmute;

use super::{
    error::Error,
    ports::Written,
    prefixes::PrefixStore,
    reason::{map_errno, map_reason},
};
use crate::{
    rules::prefix::Prefix,
    table::{Full, Image, Ranges, Usage},
};

/// The typed maps.
pub struct Tables {
    prefixes: PrefixStore,
    verdicts: Array<MapData, [u8; size_of::<Verdict>()]>,
    hits: PerCpuArray<MapData, [u8; size_of::<Hits>()]>,
    counters: PerCpuArray<MapData, [u8; size_of::<Hits>()]>,
    report_slots: PerCpuArray<MapData, [u8; size_of::<ReportSlot>()]>,
    pub(super) settings: Array<MapData, [u8; size_of::<Settings>()]>,
    pub(super) ports: Array<MapData, [u8; size_of::<PortWord>()]>,
    pub(super) port_groups: Array<MapData, [u8; size_of::<GroupLine>()]>,
    pub(super) written: Written,
}

/// A report slot of one CPU: the CPU and the slot's index.
pub type SlotPlace = (u16, u32);

/// Why a table could not be read or written.
#[derive(Debug, thiserror::Error)]
pub enum TableError {
    /// A policy needs more than a generation of the prefix store can hold.
    #[error("{full}; the old table stays in force")]
    Room {
        /// What is needed, and what there is.
        full: Full,
    },
    /// The generation in force could not be pinned.
    #[error("pinning {}: {source}", names::MAP_GENERATION)]
    Pin {
        /// The kernel's reason.
        source: io::Error,
    },
    /// The kernel refused.
    #[error("{action} {table}: {}", map_reason(source))]
    Access {
        /// Reading or writing.
        action: &'static str,
        /// The table.
        table: &'static str,
        /// The kernel's reason.
        source: MapError,
    },
}

impl TableError {
    /// The kernel's error number, if there is one.
    pub fn errno(&self) -> Option<i32> {
        match self {
            Self::Room { .. } => Some(libc::ENOSPC),
            Self::Pin { source } => source.raw_os_error(),
            Self::Access { source, .. } => map_errno(source),
        }
    }
}

impl Tables {
    /// Types the maps that `map` finds by name; `pins` is the folder of their pins.
    pub(super) fn new(
        map: &mut dyn FnMut(&'static str) -> Result<Map, Error>,
        pins: &Path,
    ) -> Result<Self, Error> {
        fn typed<M: TryFrom<Map, Error = MapError>>(
            map: &mut dyn FnMut(&'static str) -> Result<Map, Error>,
            name: &'static str,
        ) -> Result<M, Error> {
            M::try_from(map(name)?).map_err(|source| Error::Map { name, source })
        }
        Ok(Self {
            prefixes: PrefixStore::new(map(names::MAP_TABLE)?, pins)?,
            verdicts: typed(map, names::MAP_VERDICTS)?,
            hits: typed(map, names::MAP_VERDICT_HITS)?,
            counters: typed(map, names::MAP_COUNTERS)?,
            report_slots: typed(map, names::MAP_REPORT_SLOTS)?,
            settings: typed(map, names::MAP_SETTINGS)?,
            ports: typed(map, names::MAP_PORTS)?,
            port_groups: typed(map, names::MAP_PORT_GROUPS)?,
            written: Written::default(),
        })
    }

    /// How many verdict ids the tables hold, [`VerdictId::NONE`] included.
    pub fn verdict_ids(&self) -> u32 {
        self.verdicts.len()
    }

    /// Everything that the generation in force says: disjoint ranges, in order.
    pub fn ranges(&self) -> Ranges {
        self.prefixes.ranges()
    }

    /// The same within a prefix.
    pub fn ranges_within(&self, region: Prefix) -> Ranges {
        self.prefixes.ranges_within(region)
    }

    /// The verdict id of an address, as the kernel finds it.
    pub fn verdict_id(&self, address: Address) -> VerdictId {
        self.prefixes.lookup(&address)
    }

    /// How much of the generation in force is used; nothing before this agent put one there.
    pub fn usage(&self) -> Option<Usage> {
        self.prefixes.usage()
    }

    /// The terms of every id that are not all zero.
    pub fn verdicts(&self) -> Result<Vec<(VerdictId, Verdict)>, TableError> {
        let mut found = Vec::new();
        for id in (0..self.verdicts.len()).filter_map(VerdictId::new) {
            let bytes = self.verdict_bytes(id)?;
            if bytes != [0; size_of::<Verdict>()] {
                found.push((id, transmute!(bytes)));
            }
        }
        Ok(found)
    }

    /// What the kernel's own table says about an address: its id with its terms, then all that lie
    /// beneath, those of other ports after those that expiry uncovers. Terms that apply already
    /// or no more are for the caller to judge: the kernel does, packet by packet.
    pub fn lookup(&self, address: Address) -> Result<Vec<(VerdictId, Verdict)>, TableError> {
        let mut found: Vec<(VerdictId, Verdict)> = Vec::new();
        let mut waiting = vec![self.prefixes.lookup(&address)];
        while let Some(next) = waiting.pop() {
            let is_known = found.iter().any(|(id, _)| *id == next);
            if next == VerdictId::NONE || is_known || found.len() == MAX_FORKS * MAX_CHAIN {
                continue;
            }
            let verdict: Verdict = transmute!(self.verdict_bytes(next)?);
            found.push((next, verdict));
            waiting.extend([verdict.otherwise, verdict.then]);
        }
        Ok(found)
    }

    /// The terms of an id as they stand in the kernel.
    pub fn verdict(&self, id: VerdictId) -> Result<Verdict, TableError> {
        Ok(transmute!(self.verdict_bytes(id)?))
    }

    /// Every counter, summed over the CPUs.
    pub fn counters(&self) -> Result<Vec<(Counter, Hits)>, TableError> {
        debug_assert_eq!(self.counters.len(), COUNTERS);
        Counter::all()
            .map(|counter| {
                let values = self
                    .counters
                    .get(&counter.index(), 0)
                    .map_err(reading(names::MAP_COUNTERS))?;
                Ok((counter, sum(&values)))
            })
            .collect()
    }

    /// The slots in which drops are folded, of every CPU, with CPU and index; those in use.
    pub fn report_slots(&self) -> Result<Vec<(SlotPlace, ReportSlot)>, TableError> {
        let mut slots = Vec::new();
        for index in 0..REPORT_SLOTS {
            let values = self
                .report_slots
                .get(&index, 0)
                .map_err(reading(names::MAP_REPORT_SLOTS))?;
            for (cpu, bytes) in (0..).zip(values.iter()) {
                let slot: ReportSlot = transmute!(*bytes);
                if slot.tag != 0 {
                    slots.push(((cpu, index), slot));
                }
            }
        }
        Ok(slots)
    }

    /// Hits of each id, summed over the CPUs, in the order asked.
    pub fn hits(&self, ids: &[VerdictId]) -> Result<Vec<Hits>, TableError> {
        ids.iter()
            .map(|id| {
                let values = self
                    .hits
                    .get(&id.get(), 0)
                    .map_err(reading(names::MAP_VERDICT_HITS))?;
                Ok(sum(&values))
            })
            .collect()
    }

    /// Sets the hits of an id to zero. A packet that counts at the same moment may survive it.
    pub fn reset_hits(&mut self, id: VerdictId) -> Result<(), TableError> {
        let cpus = aya::util::nr_cpus().map_err(|(_, error)| error);
        let zeros = cpus
            .and_then(|cpus| PerCpuValues::try_from(vec![[0; size_of::<Hits>()]; cpus]))
            .map_err(|error| writing(names::MAP_VERDICT_HITS)(error.into()))?;
        self.hits
            .set(id.get(), zeros, 0)
            .map_err(writing(names::MAP_VERDICT_HITS))
    }

    /// Writes the terms of an id, to which nothing in force may refer.
    pub fn write_verdict(&mut self, id: VerdictId, verdict: Verdict) -> Result<(), TableError> {
        let bytes: [u8; size_of::<Verdict>()] = transmute!(verdict);
        self.verdicts
            .set(id.get(), bytes, 0)
            .map_err(writing(names::MAP_VERDICTS))
    }

    /// Puts a new generation of the prefix store in force, all at once.
    pub fn swap(&mut self, image: Image) -> Result<(), TableError> {
        self.prefixes.swap(image)
    }

    /// Stores `ranges` as all that `region` says, in place. `false`: that takes a new generation.
    pub fn update(&mut self, region: Prefix, ranges: &Ranges) -> Result<bool, TableError> {
        self.prefixes.update(region, ranges)
    }

    fn verdict_bytes(&self, id: VerdictId) -> Result<[u8; size_of::<Verdict>()], TableError> {
        self.verdicts
            .get(&id.get(), 0)
            .map_err(reading(names::MAP_VERDICTS))
    }

    /// Entries of the port table.
    pub(super) fn port_words() -> std::ops::Range<u32> {
        0..PORT_WORDS
    }
}

pub(super) fn reading(table: &'static str) -> impl FnOnce(MapError) -> TableError {
    move |source| TableError::Access {
        action: "reading",
        table,
        source,
    }
}

pub(super) fn writing(table: &'static str) -> impl FnOnce(MapError) -> TableError {
    move |source| TableError::Access {
        action: "writing",
        table,
        source,
    }
}

fn sum(values: &[[u8; size_of::<Hits>()]]) -> Hits {
    values.iter().fold(Hits::default(), |total, bytes| {
        let hits: Hits = transmute!(*bytes);
        Hits {
            packets: total.packets.saturating_add(hits.packets),
            bytes: total.bytes.saturating_add(hits.bytes),
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_summed_over_the_cpus() {
        let cpu = |packets, bytes| transmute!(Hits { packets, bytes });
        let total = sum(&[cpu(1, 60), cpu(2, 120), cpu(u64::MAX, 0)]);
        assert_eq!((total.packets, total.bytes), (u64::MAX, 180));
    }
}
