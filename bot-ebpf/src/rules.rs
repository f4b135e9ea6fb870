//! The rule tables: the verdicts behind the ids of the prefix store, and the hits of each verdict.
//!
//! The agent writes a verdict before the store refers to it and never changes it while it does.

use aya_ebpf::{
    macros::map,
    maps::{Array, PerCpuArray},
};
use bot_common::{
    abi::{
        counter::Hits,
        verdict::{Verdict, VerdictId},
    },
    address::Address,
};

use crate::{counters, table};

/// Sizes are defaults; the agent sets those of its configuration when it makes the maps.
#[map]
static VERDICTS: Array<Verdict> = Array::with_max_entries(1 << 16, 0);

#[map]
static VERDICT_HITS: PerCpuArray<Hits> = PerCpuArray::with_max_entries(1 << 16, 0);

/// The verdict id of an address; [`VerdictId::NONE`] where no rule covers it.
#[inline(always)]
pub(crate) fn lookup(address: &Address) -> VerdictId {
    match table::current() {
        Some(lines) => bot_common::table::lookup(&lines, address),
        None => VerdictId::NONE,
    }
}

/// The terms of a verdict id.
#[inline(always)]
pub(crate) fn verdict(id: VerdictId) -> Option<Verdict> {
    VERDICTS.get(id.get()).copied()
}

/// Counts a packet that a verdict covers.
#[inline(always)]
pub(crate) fn hit(id: VerdictId, bytes: u64) {
    if let Some(hits) = VERDICT_HITS.get_ptr_mut(id.get()) {
        counters::add(hits, bytes);
    }
}
