//! The filter of IPv6: where its bits are 0 there is surely no verdict.

use super::{Line, Lines, slot};

/// The filter of IPv6: bits by the hash of a /48, and fewer of them by the hash of a /32.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct FilterV6 {
    /// One for each /48 with a verdict, unless another part knows.
    pub by48: HashedBits,
    /// One for each /32 with ranges over many of its /48.
    pub by32: HashedBits,
}

/// `1 << log2` bits from a line on, and the key of the hash that leads to one of them.
///
/// The hash is multiply-shift with a secret odd factor, which is universal: without the factor
/// nobody can aim at bits that are set.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct HashedBits {
    /// First line.
    pub line: u32,
    /// Log2 of the number of bits, at least 9 (one line).
    pub log2: u32,
    /// Secret factor; odd.
    pub key: u64,
}

impl FilterV6 {
    /// The filter that a table's header names.
    #[inline(always)]
    pub fn of(header: impl Line) -> Self {
        Self {
            by48: HashedBits::of(header.word(1), header.word(2)),
            by32: HashedBits::of(header.word(3), header.word(4)),
        }
    }

    /// The words of the header after the magic number.
    pub const fn header(&self) -> [u64; 4] {
        let (place48, place32) = (self.by48.place(), self.by32.place());
        [place48, self.by48.key, place32, self.by32.key]
    }

    /// Where the bit of a /48 is (its address in the first 48 bits of `high`): line, word and bit number.
    #[inline(always)]
    pub const fn bit48(&self, high: u64) -> (u32, usize, u32) {
        self.by48.bit(high >> 16)
    }

    /// Where the bit of a /32 is, likewise.
    #[inline(always)]
    pub const fn bit32(&self, high: u64) -> (u32, usize, u32) {
        self.by32.bit(high >> 32)
    }
}

impl HashedBits {
    /// Least [`Self::log2`]: one line.
    pub const MIN_LOG2: u32 = 9;
    /// Highest [`Self::log2`]: 16 MiB.
    pub const MAX_LOG2: u32 = 27;

    #[inline(always)]
    const fn of(place: u64, key: u64) -> Self {
        Self {
            line: slot::line(place),
            log2: (place & 0x3f) as u32,
            key,
        }
    }

    const fn place(&self) -> u64 {
        slot::at(self.line) | (self.log2 & 0x3f) as u64
    }

    /// How many lines it takes.
    pub const fn lines(&self) -> u32 {
        1 << (self.log2.saturating_sub(Self::MIN_LOG2) & 31)
    }

    #[inline(always)]
    const fn bit(&self, value: u64) -> (u32, usize, u32) {
        let hash = value.wrapping_mul(self.key);
        let bit = hash >> (64u32.wrapping_sub(self.log2) & 63);
        let line = self.line.wrapping_add((bit >> 9 & 0xffff_ffff) as u32);
        (line, (bit >> 6 & 7) as usize, (bit & 63) as u32)
    }
}

/// Whether a bit of a filter is set.
#[inline(always)]
pub(super) fn is_set(lines: &impl Lines, (line, word, bit): (u32, usize, u32)) -> bool {
    match lines.line(line) {
        Some(line) => line.pick(word) >> bit & 1 != 0,
        None => false,
    }
}
