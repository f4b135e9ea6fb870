//! The prefix store: the generation in force, read line by line.
//!
//! A generation is one array of 64-byte lines, made, filled and mapped by the agent; [`TABLE`] holds
//! the one in force, and replacing it there swaps everything at once. A program run takes the
//! generation once, so it reads one policy from beginning to end; the kernel keeps a replaced
//! generation until no run can hold it. Within a generation the agent publishes changes by single
//! 64-bit stores, which is why every word is read exactly once.

use core::{ffi::c_void, ptr::NonNull};

use aya_ebpf::helpers::generated::bpf_map_lookup_elem;
use bot_common::{
    abi::names::GENERATION_FLAGS,
    table::{LINE_WORDS, Line, Lines},
};

/// The map of maps, as the loader reads it from BTF (`libbpf`'s conventions): numbers are lengths of arrays.
#[repr(C)]
struct Outer {
    r#type: *const [i32; ARRAY_OF_MAPS],
    key_size: *const [i32; size_of::<u32>()],
    value_size: *const [i32; size_of::<u32>()],
    max_entries: *const [i32; 1],
    values: [*const Generation; 0],
}

/// What an inner map must be like. Sizes of key and value instead of types: kernels before 6.3 refuse
/// a map without BTF where the template has some, and generations are made without.
#[repr(C)]
struct Generation {
    r#type: *const [i32; ARRAY],
    key_size: *const [i32; size_of::<u32>()],
    value_size: *const [i32; size_of::<[u64; LINE_WORDS]>()],
    max_entries: *const [i32; 1],
    map_flags: *const [i32; GENERATION_FLAGS as usize],
}

/// `BPF_MAP_TYPE_ARRAY_OF_MAPS` and `BPF_MAP_TYPE_ARRAY` of `linux/bpf.h`.
const ARRAY_OF_MAPS: usize = 12;
const ARRAY: usize = 2;

// SAFETY: never read; the loader knows it by its type and the program by its address.
unsafe impl Sync for Outer {}

#[unsafe(link_section = ".maps")]
#[unsafe(export_name = "TABLE")]
static TABLE: Outer = Outer {
    r#type: core::ptr::null(),
    key_size: core::ptr::null(),
    value_size: core::ptr::null(),
    max_entries: core::ptr::null(),
    values: [],
};

/// The generation in force, for this run of the program; none before the agent has put one there.
#[inline(always)]
pub(crate) fn current() -> Option<Current> {
    let outer = (&raw const TABLE).cast_mut().cast();
    find(outer, 0).map(Current)
}

/// A generation that is kept as long as this run lasts.
#[derive(Clone, Copy)]
pub(crate) struct Current(NonNull<c_void>);

impl Lines for Current {
    type Line = CacheLine;

    #[inline(always)]
    fn line(&self, index: u32) -> Option<CacheLine> {
        find(self.0.as_ptr(), index).map(|line| CacheLine(line.cast()))
    }
}

/// One line of a generation.
#[derive(Clone, Copy)]
pub(crate) struct CacheLine(NonNull<u64>);

impl Line for CacheLine {
    #[inline(always)]
    fn word(self, index: usize) -> u64 {
        // SAFETY: an array value of LINE_WORDS words; the mask keeps the word within.
        let word = unsafe { self.0.add(index & (LINE_WORDS - 1)) };
        // SAFETY: aligned and valid for the run; the agent stores whole words, so read once, whole.
        unsafe { word.read_volatile() }
    }

    #[inline(always)]
    fn pick(self, index: usize) -> u64 {
        self.word(masked(index))
    }
}

/// `index` within a line: a mask that the compiler cannot drop where it knows better than the
/// verifier of 6.1 does.
#[cfg(target_arch = "bpf")]
#[inline(always)]
fn masked(index: usize) -> usize {
    let mut masked = index;
    // SAFETY: arithmetic on one register.
    unsafe {
        core::arch::asm!(
            "{0} &= {1}",
            inout(reg) masked,
            const LINE_WORDS - 1,
            options(nostack, nomem, pure)
        );
    }
    masked
}

#[cfg(not(target_arch = "bpf"))]
fn masked(index: usize) -> usize {
    index & (LINE_WORDS - 1)
}

/// The value of a key, or the map of an index.
#[inline(always)]
fn find(map: *mut c_void, index: u32) -> Option<NonNull<c_void>> {
    // SAFETY: a map of this program or of TABLE, and a key of the four bytes that it has.
    NonNull::new(unsafe { bpf_map_lookup_elem(map, (&raw const index).cast()) })
}
