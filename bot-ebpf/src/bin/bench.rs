//! The program that benchmarks compare with: the least an XDP program can do. Never shipped.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![allow(
    unsafe_code,
    reason = "the licence section needs attributes that are unsafe"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the xdp macro fixes the entry point's form"
)]
#![allow(
    missing_docs,
    reason = "the xdp macro generates undocumented functions"
)]

use aya_ebpf::{bindings::xdp_action, macros::xdp, programs::XdpContext};

/// Drops without a look.
#[xdp(frags)]
pub(crate) fn bare_drop(_ctx: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_info: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

#[cfg(not(target_arch = "bpf"))]
fn main() {}
