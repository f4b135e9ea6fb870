//! The XDP program: entry points, and nothing else.
//!
//! Two entry points share one body. `bot_filter_frags` is for drivers that deliver packets in
//! several buffers, `bot_filter` for those that refuse such programs; the agent picks. What
//! happens to a packet reads top to bottom in [`filter`]; every map is private to the module that
//! explains it. All logic that can be tested on the host lives in bot-common.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(
    unsafe_code,
    reason = "map values and packet bytes are raw pointers on this side"
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "packet lengths and interface indexes are below 2^32"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the xdp macro fixes the entry points' form"
)]
#![allow(
    missing_docs,
    reason = "the xdp macro generates undocumented functions"
)]

mod access;
mod clock;
mod counters;
mod filter;
mod hello;
mod ports;
mod report;
mod rules;
mod scratch;
mod settings;
mod table;

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};
use bot_common::abi::counter::Outcome;

/// Entry point for packets in one or several buffers.
#[xdp(frags)]
pub(crate) fn bot_filter_frags(ctx: XdpContext) -> u32 {
    action(filter::run(&ctx))
}

/// Entry point for packets in a single buffer.
#[xdp]
pub(crate) fn bot_filter(ctx: XdpContext) -> u32 {
    action(filter::run(&ctx))
}

/// What each fate of a packet means to the driver. `None`: a packet without a readable source.
#[inline(always)]
const fn action(fate: Option<Outcome>) -> u32 {
    match fate {
        Some(Outcome::Dropped) => xdp_action::XDP_DROP,
        None
        | Some(
            Outcome::NoRule
            | Outcome::Allowed
            | Outcome::OutOfScope
            | Outcome::LaterFragment
            | Outcome::Unreadable
            | Outcome::FailsafePort
            | Outcome::IcmpError
            | Outcome::NeighbourDiscovery
            | Outcome::Bypass
            | Outcome::Monitored
            | Outcome::WouldDropMode
            | Outcome::WouldDropRule,
        ) => xdp_action::XDP_PASS,
    }
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    // Unreachable: a program with a path to here does not load.
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
fn main() {}
