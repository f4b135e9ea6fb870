//! The roots, where a lookup begins, and the filter of IPv4.
//!
//! The filter has lines of its own: a lookup reads root and filter at the same time, and the root
//! alone is small enough to stay in the CPU's caches.

use super::{FILTER_V4, LINE_WORDS, ROOT_V4, ROOT_V6};

/// Words of the IPv4 filter for one /16: a bit for each /24.
pub const FILTER_V4_WORDS: usize = 4;

/// Where the slot of an IPv4 /16 (its first two octets are `index`) is: line and word.
#[inline(always)]
pub const fn root_v4(index: u32) -> (u32, usize) {
    slot_of(ROOT_V4, index)
}

/// Where the slot of an IPv6 /16 is.
#[inline(always)]
pub const fn root_v6(index: u32) -> (u32, usize) {
    slot_of(ROOT_V6, index)
}

#[inline(always)]
const fn slot_of(root: u32, index: u32) -> (u32, usize) {
    (root + (index >> 3), index as usize & (LINE_WORDS - 1))
}

/// Where the filter's words of an IPv4 /16 begin: line and word.
#[inline(always)]
pub const fn filter_v4(index: u32) -> (u32, usize) {
    (
        FILTER_V4 + (index >> 1),
        (index & 1) as usize * FILTER_V4_WORDS,
    )
}

/// Where the filter bit of an IPv4 address is: line, word and bit number.
#[inline(always)]
pub const fn v4_filter_bit(address: u32) -> (u32, usize, u32) {
    let cell = address >> 8;
    let word = (cell >> 6) as usize & (LINE_WORDS - 1);
    (FILTER_V4 + (cell >> 9), word, cell & 63)
}
