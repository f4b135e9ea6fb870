//! The roots: where a lookup begins, and the filter that ends most of them there.

use super::{LINE_WORDS, ROOT_V4, ROOT_V6};

/// Words of the IPv4 filter for one /16: 192 bits, one for every 4/3 of a /24.
pub const FILTER_V4_WORDS: usize = 3;

/// Words for one /16 of IPv4: its part of the filter, and its slot after that.
const CELL_V4_WORDS: u32 = 4;

/// Where the words of an IPv4 /16 (its first two octets are `index`) begin: line and word. Two of
/// them share a line.
#[inline(always)]
pub const fn cell_v4(index: u32) -> (u32, usize) {
    let word = (index & 1) * CELL_V4_WORDS;
    (ROOT_V4 + (index >> 1), word as usize)
}

/// Where the slot of an IPv4 /16 is.
#[inline(always)]
pub const fn root_v4(index: u32) -> (u32, usize) {
    let (line, word) = cell_v4(index);
    (line, word + FILTER_V4_WORDS)
}

/// Where the slot of an IPv6 /16 is.
#[inline(always)]
pub const fn root_v6(index: u32) -> (u32, usize) {
    (ROOT_V6 + (index >> 3), index as usize & (LINE_WORDS - 1))
}

/// Which bit of its /16 stands for the /24 of an address: bits 8 to 15 of `address`, scaled.
#[inline(always)]
pub const fn bit_v4(address: u32) -> u32 {
    ((address >> 8 & 0xff) * 3) >> 2
}

/// Where the filter bit of an IPv4 address is: line, word and bit number.
#[inline(always)]
pub const fn v4_filter_bit(address: u32) -> (u32, usize, u32) {
    let (line, word) = cell_v4(address >> 16);
    let bit = bit_v4(address);
    (line, word + (bit >> 6) as usize, bit & 63)
}
