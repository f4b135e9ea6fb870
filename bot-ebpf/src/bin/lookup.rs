//! Programs that time one lookup: in the verdict table, in the kernel's longest-prefix trie, and in
//! nothing at all. Never shipped.
//!
//! A run walks over [`ADDRESSES`] and looks each one up. Where the next address lies depends on the
//! last answer, so lookups cannot overlap and what is measured is latency, as a packet sees it. The
//! same walk without a lookup is what the measuring side subtracts.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(asm_experimental_arch))]
#![allow(
    unsafe_code,
    reason = "map values are raw pointers on this side, and bpf_loop takes its state as one"
)]
#![allow(
    clippy::needless_pass_by_value,
    reason = "the xdp macro fixes the entry points' form"
)]
#![allow(
    missing_docs,
    reason = "the xdp macro generates undocumented functions"
)]

#[path = "../table.rs"]
mod table;

use aya_ebpf::{
    bindings::{BPF_F_NO_PREALLOC, xdp_action},
    cty::{c_long, c_void},
    helpers::generated::bpf_loop,
    macros::{map, xdp},
    maps::{
        Array,
        lpm_trie::{Key, LpmTrie},
    },
    programs::XdpContext,
};
use bot_common::address::Address;

/// What is looked up: 16 octets each in network order, IPv4 mapped.
#[map]
static ADDRESSES: Array<[u64; 2]> = Array::with_max_entries(1 << 16, 0);

/// Written by the measuring side: where to begin, how many addresses there are, 0, lookups in a run.
/// The program leaves where it ended.
#[map]
static WALK: Array<[u32; 4]> = Array::with_max_entries(1, 0);

#[map]
static TRIE_V4: LpmTrie<[u8; 4], u32> = LpmTrie::with_max_entries(1, BPF_F_NO_PREALLOC);

#[map]
static TRIE_V6: LpmTrie<[u8; 16], u32> = LpmTrie::with_max_entries(1, BPF_F_NO_PREALLOC);

/// Something that answers an address with a number.
trait Store {
    fn lookup(address: [u64; 2]) -> u32;
}

/// The walk itself.
struct Nothing;

impl Store for Nothing {
    #[inline(always)]
    fn lookup(address: [u64; 2]) -> u32 {
        let [_, low] = address;
        (low >> 32) as u32
    }
}

struct TrieV4;

impl Store for TrieV4 {
    #[inline(always)]
    fn lookup(address: [u64; 2]) -> u32 {
        let [_, low] = address;
        let [_, _, _, _, a, b, c, d] = low.to_ne_bytes();
        let key = Aligned(Key::new(32, [a, b, c, d]));
        TRIE_V4.get(&key.0).copied().unwrap_or(0)
    }
}

struct TrieV6;

impl Store for TrieV6 {
    #[inline(always)]
    fn lookup(address: [u64; 2]) -> u32 {
        // SAFETY: sixteen octets, whatever they are.
        let octets = unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>(address) };
        let key = Aligned(Key::new(128, octets));
        TRIE_V6.get(&key.0).copied().unwrap_or(0)
    }
}

struct Table;

impl Store for Table {
    #[inline(always)]
    fn lookup(address: [u64; 2]) -> u32 {
        // SAFETY: sixteen octets, whatever they are.
        let octets = unsafe { core::mem::transmute::<[u64; 2], [u8; 16]>(address) };
        let Some(lines) = table::current() else {
            return 0;
        };
        bot_common::table::lookup(&lines, &Address::from_v6(octets)).get()
    }
}

/// A key that is written word by word.
#[repr(C, align(8))]
struct Aligned<K>(K);

/// What one step leaves to the next.
struct State {
    position: u32,
    count: u32,
    mask: u32,
    answer: u32,
}

/// Walks on from where the last run ended; the last answer is the program's own.
#[inline(always)]
fn walk<S: Store>() -> u32 {
    let Some(walk) = WALK.get_ptr_mut(0) else {
        return xdp_action::XDP_ABORTED;
    };
    // SAFETY: a map value, and no other program runs while this one is timed.
    let [begin, count, mask, lookups] = unsafe { &mut *walk };
    let mut state = State {
        position: *begin,
        count: *count,
        mask: *mask,
        answer: 0,
    };
    let first = step::<S> as extern "C" fn(u32, *mut State) -> c_long;
    // SAFETY: the callback has the form that the helper calls, and the state outlives the call.
    unsafe { bpf_loop(*lookups, first as *mut c_void, (&raw mut state).cast(), 0) };
    *begin = state.position;
    state.answer
}

extern "C" fn step<S: Store>(_index: u32, state: *mut State) -> c_long {
    // SAFETY: `walk` passes its own state.
    let state = unsafe { &mut *state };
    // The mask is 0, which nobody here knows: the address waits for the last answer.
    let index = state.position + (state.answer & state.mask);
    let Some(address) = ADDRESSES.get(index) else {
        return 1;
    };
    state.answer = S::lookup(*address);
    let next = state.position + 1;
    state.position = if next < state.count { next } else { 0 };
    0
}

#[xdp]
pub(crate) fn walk_nothing(_ctx: XdpContext) -> u32 {
    walk::<Nothing>()
}

#[xdp]
pub(crate) fn walk_trie_v4(_ctx: XdpContext) -> u32 {
    walk::<TrieV4>()
}

#[xdp]
pub(crate) fn walk_trie_v6(_ctx: XdpContext) -> u32 {
    walk::<TrieV6>()
}

#[xdp]
pub(crate) fn walk_table(_ctx: XdpContext) -> u32 {
    walk::<Table>()
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
