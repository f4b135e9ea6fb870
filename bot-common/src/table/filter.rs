//! The filters: where a bit of 0 says that there is surely no verdict.

use super::{FILTER_V4, HEADER, Line, Lines, slot};

/// Where the bit of an IPv4 address is: line, word and bit number.
#[inline(always)]
pub const fn v4_filter_bit(address: u32) -> (u32, usize, u32) {
    let cell = address >> 8;
    (FILTER_V4 + (cell >> 9), (cell >> 6 & 7) as usize, cell & 63)
}

/// The IPv6 filter of a table: `1 << log2` bits from a line on, and the key of its hashes.
///
/// The hash is multiply-shift with secret odd factors, which is universal: without the factors
/// nobody can aim at bits that are set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FilterV6 {
    /// First line.
    pub line: u32,
    /// Log2 of the number of bits, at least 9 (one line).
    pub log2: u32,
    /// Secret factor for the hash of a /48; odd.
    pub key48: u64,
    /// Secret factor for the hash of a /32; odd.
    pub key32: u64,
}

impl FilterV6 {
    /// Least [`Self::log2`]: one line.
    pub const MIN_LOG2: u32 = 9;
    /// Highest [`Self::log2`]: 16 MiB.
    pub const MAX_LOG2: u32 = 27;

    /// The filter that a table's header names.
    #[inline(always)]
    pub fn of(lines: &impl Lines) -> Option<Self> {
        let header = lines.line(HEADER)?;
        let place = header.word(1);
        Some(Self {
            line: slot::line(place),
            log2: (place & 0x3f) as u32,
            key48: header.word(2),
            key32: header.word(3),
        })
    }

    /// The words of the header after the magic number.
    pub const fn header(&self) -> [u64; 3] {
        [
            slot::at(self.line) | (self.log2 & 0x3f) as u64,
            self.key48,
            self.key32,
        ]
    }

    /// How many lines it takes.
    pub const fn lines(&self) -> u32 {
        1 << (self.log2.saturating_sub(Self::MIN_LOG2) & 31)
    }

    /// Where the bit of a /48 is (its address in the first 48 bits of `high`): line, word and bit number.
    #[inline(always)]
    pub const fn bit48(&self, high: u64) -> (u32, usize, u32) {
        self.bit((high >> 16).wrapping_mul(self.key48))
    }

    /// Where the bit of a /32 is.
    #[inline(always)]
    pub const fn bit32(&self, high: u64) -> (u32, usize, u32) {
        self.bit((high >> 32).wrapping_mul(self.key32))
    }

    #[inline(always)]
    const fn bit(&self, hash: u64) -> (u32, usize, u32) {
        let bit = hash >> (64u32.wrapping_sub(self.log2) & 63);
        let line = self.line.wrapping_add((bit >> 9 & 0xffff_ffff) as u32);
        (line, (bit >> 6 & 7) as usize, (bit & 63) as u32)
    }

    /// Whether the bit of the /48 or of the /32 of an address is set.
    #[inline(always)]
    pub(super) fn has(&self, lines: &impl Lines, high: u64) -> bool {
        is_set(lines, self.bit48(high)) || is_set(lines, self.bit32(high))
    }
}

/// Whether a bit of a filter is set.
#[inline(always)]
pub(super) fn is_set(lines: &impl Lines, (line, word, bit): (u32, usize, u32)) -> bool {
    match lines.line(line) {
        Some(line) => line.word(word) >> bit & 1 != 0,
        None => false,
    }
}
