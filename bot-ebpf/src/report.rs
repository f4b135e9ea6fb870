//! Drop reports: one per source and outcome in a second, within a budget, never one per packet.
//!
//! Slots and budgets are per CPU and lossy; the ring's lock is touched only when a report is due
//! and affordable. A report that is lost is counted; a packet never waits for one.

use aya_ebpf::{
    helpers::generated,
    macros::map,
    maps::{PerCpuArray, RingBuf},
    programs::XdpContext,
};
use bot_common::{
    abi::{
        counter::{Channel, Counter, Outcome},
        record::{BUDGET_REPORTS, Budget, DropReport, REPORT_SLOTS as SLOTS, ReportSlot, slot_of},
        settings::Settings,
        verdict::VerdictId,
    },
    hash::report_tag,
    packet::Packet,
    report::{fold, spend},
};

use crate::{clock, counters};

#[map]
static REPORT_SLOTS: PerCpuArray<ReportSlot> = PerCpuArray::with_max_entries(SLOTS, 0);

/// One entry for each ring, see [`bot_common::abi::record`].
#[map]
static BUDGETS: PerCpuArray<Budget> = PerCpuArray::with_max_entries(2, 0);

#[map]
static REPORTS: RingBuf = RingBuf::with_byte_size(1 << 20, 0);

/// Reports a packet, or folds it into the report of its source.
#[inline(always)]
pub(crate) fn send(
    ctx: &XdpContext,
    settings: &Settings,
    packet: &Packet,
    verdict: VerdictId,
    outcome: Outcome,
    wire_len: u64,
) {
    let now = clock::now();
    let tag = report_tag(settings.seed, &packet.src, outcome as u8);
    let Some(slot) = REPORT_SLOTS.get_ptr_mut(slot_of(tag)) else {
        return;
    };
    // SAFETY: a value of a per-CPU map; this CPU alone writes it, and XDP does not nest on a CPU.
    let slot = unsafe { &mut *slot };
    let Some((packets, bytes)) = fold(slot, tag, wire_len, now) else {
        return counters::bump(Counter::Channel(Channel::ReportFolded), wire_len);
    };
    if !affordable(BUDGET_REPORTS, settings.reports_per_second, now) {
        return counters::bump(Counter::Channel(Channel::ReportBudget), wire_len);
    }
    let Some(mut record) = REPORTS.reserve::<DropReport>(0) else {
        return counters::bump(Counter::Channel(Channel::ReportRingFull), wire_len);
    };
    record.write(DropReport {
        time: now,
        packets,
        bytes,
        src: packet.src,
        dst: packet.dst,
        verdict,
        ifindex: ctx.ingress_ifindex() as u32,
        sport: packet.sport,
        dport: packet.dport,
        protocol: packet.protocol,
        outcome: outcome as u8,
        cpu: cpu(),
        reserved: [0; 8],
    });
    record.submit(0);
    counters::bump(Counter::Channel(Channel::ReportSent), wire_len);
}

/// The CPU that this runs on; there are fewer than 65,536.
#[inline(always)]
fn cpu() -> u16 {
    // SAFETY: the helper takes nothing and returns a number.
    unsafe { generated::bpf_get_smp_processor_id() as u16 }
}

/// Takes one record out of this CPU's budget for the ring at `index`.
#[inline(always)]
pub(crate) fn affordable(index: u32, per_second: u32, now: u64) -> bool {
    let Some(budget) = BUDGETS.get_ptr_mut(index) else {
        return false;
    };
    // SAFETY: as above.
    spend(unsafe { &mut *budget }, per_second, now)
}
