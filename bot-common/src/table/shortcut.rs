//! Shortcuts: a hash that leads from an IPv6 /48 to what the pages above would have led to.

use super::{Line, Lines, slot};

/// Entries of one line.
pub const SHORTCUTS: usize = 4;

/// Lines of entries, and the key of the hash that leads to one of them (see [`super::HashedBits`]).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Shortcuts {
    /// First line.
    pub line: u32,
    /// How many lines, at least one.
    pub count: u32,
    /// Secret factor; odd.
    pub key: u64,
}

impl Shortcuts {
    /// The shortcuts that a table's header names.
    #[inline(always)]
    pub fn of(header: impl Line) -> Self {
        let place = header.word(5);
        Self {
            line: slot::line(place),
            count: (place & 0xff_ffff) as u32,
            key: header.word(6),
        }
    }

    /// The words of the header after those of the filter.
    pub const fn header(&self) -> [u64; 2] {
        let place = slot::at(self.line) | (self.count & 0xff_ffff) as u64;
        [place, self.key]
    }

    /// The line for a /48 (its address in the first 48 bits of `high`).
    #[inline(always)]
    pub const fn bucket(&self, high: u64) -> u32 {
        let hash = (high >> 16).wrapping_mul(self.key) >> 32;
        // Below `count`, because the hash has 32 bits.
        let nth = hash.wrapping_mul(self.count as u64) >> 32;
        self.line.wrapping_add((nth & 0xffff_ffff) as u32)
    }

    /// The first word of an entry for a /48 with what holds beside its slot.
    pub const fn tag(high: u64, base: u16) -> u64 {
        high & !0xffff | base as u64
    }

    /// Whether the first word of an entry is about the /48 of an address.
    #[inline(always)]
    pub const fn is_about(tag: u64, high: u64) -> bool {
        (tag ^ high) >> 16 == 0
    }

    /// The slot for the /48 of an address, and its base id.
    #[inline(always)]
    pub(super) fn find(&self, lines: &impl Lines, high: u64) -> Option<(u64, u32)> {
        let line = lines.line(self.bucket(high))?;
        for entry in 0..SHORTCUTS {
            let tag = line.word(entry * 2);
            if Self::is_about(tag, high) {
                let slot = line.word(entry * 2 + 1);
                return (slot != 0).then_some((slot, (tag & 0xffff) as u32));
            }
        }
        None
    }
}
