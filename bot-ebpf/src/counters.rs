//! Counters of outcomes, rejects and the way to the agent. One copy a CPU: no shared line is written.

use aya_ebpf::{macros::map, maps::PerCpuArray};
use bot_common::abi::counter::{COUNTERS as ENTRIES, Counter, Hits};

#[map]
static COUNTERS: PerCpuArray<Hits> = PerCpuArray::with_max_entries(ENTRIES, 0);

/// Counts one packet (or event) of `bytes`.
#[inline(always)]
pub(crate) fn bump(counter: Counter, bytes: u64) {
    if let Some(hits) = COUNTERS.get_ptr_mut(counter.index()) {
        add(hits, bytes);
    }
}

/// Adds one packet to a per-CPU value.
#[inline(always)]
pub(crate) fn add(hits: *mut Hits, bytes: u64) {
    // SAFETY: a value of a per-CPU map; this CPU alone writes it, and XDP does not nest on a CPU.
    let hits = unsafe { &mut *hits };
    hits.packets += 1;
    hits.bytes += bytes;
}
