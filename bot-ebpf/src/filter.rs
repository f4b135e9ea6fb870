//! The data's way: walk, look up, decide, count, report, copy the hello.

use aya_ebpf::programs::XdpContext;
use aya_log_ebpf::debug;
use bot_common::{
    abi::{
        counter::{Counter, Outcome},
        verdict::VerdictId,
    },
    decide::{decide, groups_of, in_force, is_hit, is_reported},
    packet::walk_ethernet,
    read::Read as _,
};

use crate::{access::Frame, clock, counters, hello, ports, report, rules, scratch, settings};

/// The fate of one packet; `None` when it has no readable source address.
#[inline(always)]
pub(crate) fn run(ctx: &XdpContext) -> Option<Outcome> {
    let frame = Frame::new(ctx);
    let bytes = frame.wire_len();
    let packet = scratch::packet()?;
    if let Err(reject) = walk_ethernet(&frame, packet) {
        counters::bump(Counter::Reject(reject), bytes);
        return None;
    }
    let packet = scratch::settled(packet);
    if let Some(reject) = packet.reject() {
        counters::bump(Counter::Reject(reject), bytes);
    }
    let settings = settings::current();
    if settings.bypassed_by(clock::now) {
        counters::bump(Counter::Outcome(Outcome::Bypass), bytes);
        return Some(Outcome::Bypass);
    }
    // The table has many ways to an answer; to the verifier all answers shall be one, or it would
    // follow what comes next once for each of them.
    let first = VerdictId::new(frame.forget(rules::lookup(&packet.src).get() as usize) as u32);
    let first = first.unwrap_or(VerdictId::NONE);
    let groups = || groups_of(packet, ports::groups);
    let (id, verdict) = in_force(first, rules::verdict, groups, clock::now);
    let outcome = if id == VerdictId::NONE {
        Outcome::NoRule
    } else {
        decide(&verdict, packet, ports::word, || {
            settings.mode_by(clock::now)
        })
    };
    if is_hit(outcome) {
        rules::hit(id, bytes);
    }
    counters::bump(Counter::Outcome(outcome), bytes);
    if is_reported(outcome) {
        debug!(ctx, "verdict {} outcome {}", id.get(), outcome as u8);
        report::send(ctx, settings, packet, id, outcome, bytes);
    }
    if outcome != Outcome::Dropped {
        hello::follow(ctx, &frame, settings, packet);
    }
    Some(outcome)
}
