//! Slots: the words that lead from one place of the table to the next, and the flags of pages.
//!
//! ```text
//! bit   63        40 39            32 31      24 23          8 7    0
//! LEAF  .........................................|    id     | kind |
//! PAGES |   line    |          count            16|15..12|  n 11..8 |   (RUNS alike; bits 12 to 15 are the shift)
//! FAN   |   line    |          count            16|         | kind |
//! TAIL  | value of the next 32 bits  | length 24-29| id     | kind |
//! SKIP  |   line    | value of the next 32 bits 39..8       | kind |
//! HALF  |   line    |          count            16|         | kind |
//! ```
//!
//! Everything here is total: any word is some slot, and reading it cannot fail.

/// Kind of a slot: one id for all below. The slot 0 is "no verdict".
pub const LEAF: u64 = 0;
/// Kind of a slot: slot pages over the next 16 bits.
pub const PAGES: u64 = 1;
/// Kind of a slot: run pages over the next 16 bits; nothing but ids below.
pub const RUNS: u64 = 2;
/// Kind of a slot: one prefix below, not longer than /64; beside it the base id of the page.
pub const TAIL: u64 = 3;
/// Kind of a slot: one /64 below and one tail page for it; beside it the base id of the page.
pub const SKIP: u64 = 4;
/// Kind of a slot: the tree of tail pages over the last 64 bits.
pub const HALF: u64 = 5;

/// Kind of a slot: 256 slots by the first half of the next 16 bits; each is a leaf or leads to pages over the same 16 bits.
pub const FAN: u64 = 6;

/// Flag of a root slot of IPv6, beside its kind: the filter does not know all ranges below.
pub const WIDE: u64 = 1 << 7;

/// Bit 0 of the flags of a page: it is an index.
pub const INDEX: u64 = 1;

/// Entries of a run page.
pub const RUN_ENTRIES: usize = 15;
/// Entries of a slot page.
pub const SLOT_ENTRIES: usize = 6;
/// Entries of a tail page.
pub const HALF_ENTRIES: usize = 6;
/// Keys of an index over 16 bits; it has one child more.
pub const INDEX_KEYS: usize = 15;
/// Keys of an index over the last 64 bits; it has one child more.
pub const HALF_INDEX_KEYS: usize = 6;

/// The word of an index over 16 bits that has its first child.
pub const INDEX_CHILD: usize = 4;
/// The word of an index over the last 64 bits that has its first child.
pub const HALF_INDEX_CHILD: usize = 1;

/// Longest `n` of a row of `1 << n` pages.
pub const MAX_ROW: u32 = 15;
/// Lines of a [`FAN`].
pub const FAN_LINES: u32 = 32;

/// What to do with a slot.
#[inline(always)]
pub const fn kind(slot: u64) -> u64 {
    slot & 0x7f
}

/// The slot of an id for all below.
#[inline(always)]
pub const fn leaf(id: u16) -> u64 {
    (id as u64) << 8 | LEAF
}

/// The id of [`LEAF`] and [`TAIL`].
#[inline(always)]
pub const fn id(slot: u64) -> u32 {
    (slot >> 8 & 0xffff) as u32
}

/// The line of [`PAGES`], [`RUNS`], [`FAN`], [`SKIP`] and [`HALF`], and of the child word of an index.
#[inline(always)]
pub const fn line(slot: u64) -> u32 {
    (slot >> 40) as u32
}

/// The word of a place: what [`line()`] reads. `line` is below [`super::MAX_LINES`].
#[inline(always)]
pub const fn at(line: u32) -> u64 {
    (line as u64) << 40
}

/// Log2 of the length of the row of [`PAGES`] or [`RUNS`].
#[inline(always)]
pub const fn row(slot: u64) -> u32 {
    (slot >> 8 & 0xf) as u32
}

/// By how much the 16 bits are shifted to give the number of the page in the row (modulo its length).
#[inline(always)]
pub const fn shift(slot: u64) -> u32 {
    (slot >> 12 & 0xf) as u32
}

/// The page of a row of [`PAGES`] or [`RUNS`] that has the key.
#[inline(always)]
pub const fn page(slot: u64, key: u32) -> u32 {
    line(slot) + (key >> shift(slot) & ((1 << row(slot)) - 1))
}

/// The slot of a [`FAN`] that has the key: line and word.
#[inline(always)]
pub const fn blade(slot: u64, key: u32) -> (u32, usize) {
    (line(slot) + (key >> 11), (key >> 8 & 7) as usize)
}

/// All lines of the block of [`PAGES`], [`RUNS`], [`FAN`] or [`HALF`], indexes included.
#[inline(always)]
pub const fn count(slot: u64) -> u32 {
    (slot >> 16 & 0xff_ffff) as u32
}

/// A slot of `kind` [`PAGES`] or [`RUNS`]: a block of `count` lines that begins with a row of `1 << row` pages.
#[inline(always)]
pub const fn pages(kind: u64, first: u32, count: u32, row: u32, shift: u32) -> u64 {
    let place = at(first) | ((count & 0xff_ffff) as u64) << 16;
    place | ((shift & 0xf) as u64) << 12 | ((row & 0xf) as u64) << 8 | kind
}

/// A slot of kind [`FAN`].
#[inline(always)]
pub const fn fan(first: u32) -> u64 {
    at(first) | (FAN_LINES as u64) << 16 | FAN
}

/// A slot of kind [`TAIL`]: the prefix that is the first `length` (1 to 32) bits of `value`, left-aligned.
#[inline(always)]
pub const fn tail(value: u32, length: u32, id: u16) -> u64 {
    (value as u64) << 32 | ((length & 0x3f) as u64) << 24 | (id as u64) << 8 | TAIL
}

/// Whether the rest of an address (what follows the page's 16 bits, left-aligned) is in the
/// prefix of a [`TAIL`].
#[inline(always)]
pub const fn tail_has(slot: u64, rest: u64) -> bool {
    let length = (slot >> 24 & 0x3f) as u32;
    // A length of 0 or above 32 is malformed; the shift is masked, the answer is any.
    (rest ^ slot & 0xffff_ffff_0000_0000) >> (64u32.wrapping_sub(length) & 63) == 0
}

/// A slot of kind [`SKIP`]: the /64 whose bits below the page are `value` (left-aligned), with one tail page.
#[inline(always)]
pub const fn skip(value: u32, line: u32) -> u64 {
    at(line) | (value as u64) << 8 | SKIP
}

/// Whether the rest of an address, as for [`tail_has`], is the /64 of a [`SKIP`].
#[inline(always)]
pub const fn skip_has(slot: u64, rest: u64) -> bool {
    (slot >> 8) & 0xffff_ffff == rest >> 32
}

/// The prefix of a [`TAIL`]: left-aligned value and length.
#[inline(always)]
pub const fn tail_prefix(slot: u64) -> (u32, u32) {
    ((slot >> 32) as u32, (slot >> 24 & 0x3f) as u32)
}

/// The value of a [`SKIP`], left-aligned.
#[inline(always)]
pub const fn skip_value(slot: u64) -> u32 {
    (slot >> 8 & 0xffff_ffff) as u32
}

/// A slot of kind [`HALF`].
#[inline(always)]
pub const fn half(first: u32, count: u32) -> u64 {
    at(first) | ((count & 0xff_ffff) as u64) << 16 | HALF
}
