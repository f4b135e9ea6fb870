//! The rule tables: the prefix store, the verdicts behind its ids, and the hits of each verdict.
//!
//! The agent writes a verdict before the store refers to it and never changes it while it does.
//! A later store replaces [`lookup`] and nothing else.

use aya_ebpf::{
    bindings::BPF_F_NO_PREALLOC,
    macros::map,
    maps::{
        Array, PerCpuArray,
        lpm_trie::{Key, LpmTrie},
    },
};
use bot_common::{
    abi::{
        counter::Hits,
        verdict::{Verdict, VerdictId},
    },
    address::Address,
};

use crate::counters;

/// Sizes are defaults; the agent sets those of its configuration when it makes the maps.
#[map]
static PREFIXES: LpmTrie<Address, VerdictId> =
    LpmTrie::with_max_entries(1 << 20, BPF_F_NO_PREALLOC);

#[map]
static VERDICTS: Array<Verdict> = Array::with_max_entries(1 << 16, 0);

#[map]
static VERDICT_HITS: PerCpuArray<Hits> = PerCpuArray::with_max_entries(1 << 16, 0);

/// The verdict id of an address; [`VerdictId::NONE`] where no rule covers it.
#[inline(always)]
pub(crate) fn lookup(address: &Address) -> VerdictId {
    PREFIXES
        .get(Key::new(128, *address))
        .copied()
        .unwrap_or(VerdictId::NONE)
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
