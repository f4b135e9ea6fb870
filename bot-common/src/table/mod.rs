//! The verdict table: disjoint ranges of addresses, each with a [`VerdictId`], in an array of
//! cache lines. One lookup answers for all rules and lists.
//!
//! [`lookup()`] is the reader; the kernel program and the host run the same code over their own
//! [`Lines`]. The agent builds the lines ([`slot`] has the words that both must agree on).
//!
//! # Layout
//!
//! The table is an array of lines of 64 bytes, eight little words of 64 bits in the machine's byte
//! order. A word of eight bytes holds four *lanes* of 16 bits, lane 0 lowest.
//!
//! | lines | what |
//! |---|---|
//! | [`HEADER`] | words: [`MAGIC`], then for each part of the IPv6 filter its place (line << 40, log2 of its bits) and its secret, then place (line << 40, number of lines) and secret of the shortcuts |
//! | [`ROOT_V4`] | 65,536 slots by the first two octets |
//! | [`ROOT_V6`] | the same for IPv6 |
//! | [`FILTER_V4`] | 2^24 bits, one for each /24; 0: surely no verdict in it |
//! | [`BLOCKS`] and on | blocks of lines, anywhere; the parts of the IPv6 filter and the shortcuts are among them |
//!
//! A root slot leads to *pages*. A page is one line with a sorted list of keys over the next 16
//! bits of the address. IPv4 therefore is root, page. IPv6 is root, up to three levels of pages
//! (bits 16 to 63), and a tree over the last 64 bits where a /64 has longer prefixes.
//!
//! - *Run page* ([`slot::RUNS`]): lanes 1 to 15 (words 0 to 3) are keys, lane 16 is the base id, lanes 17 to 31
//!   the ids of the keys.
//! - *Slot page* ([`slot::PAGES`]): lane 1 is the base id, lanes 2 to 7 (words 0 and 1) are keys, words 2 to 7
//!   their slots. Levels of IPv6 with something below.
//! - *Tail page* (in [`slot::HALF`]): words 2 to 7 are keys, the last 64 bits of the address; lane 1 is the base
//!   id, lanes 2 to 7 the ids of the keys.
//!
//! In all of them entry i holds from its key up to the next key; below the first key the base id
//! holds. Lane 0 is flags: bit i says that entry i is *exact*, it holds for its key alone and
//! beyond it the base id holds. Spare entries repeat the highest key there is, so that sorting
//! needs no count. Bit 0 of the flags says that the page is an *index*: its keys separate further pages, which
//! follow one another from the line in the index's child word.
//!
//! A slot names `1 << n` pages in a row; some of the 16 bits say which one to read. Where
//! entries are spread evenly, that is the only page a lookup reads; crowded ones become indexes.
//! Where there are very many, a [`slot::FAN`] is in between: 256 slots by the first eight of the
//! 16 bits, each with a row of its own, so that little must be written anew for a change.
//!
//! # Filters
//!
//! Both only save time: what they let through is answered exactly by the pages. The IPv6 filter
//! has a bit for the hash of each /48 and each /32 that contains a verdict; a range too wide to
//! set a bit for each of its /32 sets [`slot::WIDE`] in the root slot. Hashes are keyed: see [`HashedBits`].
//!
//! # Shortcuts
//!
//! Most of what an IPv6 list names lies deep. A hash of a /48 leads to a line of [`SHORTCUTS`] entries, each
//! of two words: the first 48 bits of the address with the base id after them, and the slot that
//! the pages above would have led to. So a lookup begins at the /48. Shortcuts only save time, too:
//! where there is none (a slot of 0), the pages are followed from the root.
//!
//! # Publishing
//!
//! Lines are never changed while readers may come to them, with the exception of single words: a
//! root slot, a slot of an exact entry of a slot page, words of the filters, and the slot of a
//! shortcut when it becomes 0. New pages are
//! written first, then one word is stored that leads to them. So a reader sees the old answer or
//! the new one. Shortcuts to what was changed are then taken away: until then they lead to the old
//! answer. Replaced pages must rest until no reader from before remains.
//!
//! Whatever the lines contain, [`lookup()`] ends and does not panic. What is malformed has no verdict.

mod filter;
mod lookup;
mod root;
mod shortcut;
pub mod slot;
#[cfg(test)]
mod tests;
mod words;

pub use filter::{FilterV6, HashedBits};
pub use lookup::lookup;
pub use root::{FILTER_V4_WORDS, filter_v4, root_v4, root_v6, v4_filter_bit};
pub use shortcut::{SHORTCUTS, Shortcuts};

#[cfg(doc)]
use crate::abi::verdict::VerdictId;

/// Words of a line: 64 bytes, one cache line.
pub const LINE_WORDS: usize = 8;

/// Lines of the largest table there can be (1 GiB): slots have 24 bits for a line.
pub const MAX_LINES: u32 = 1 << 24;

/// First word of the header: "verdict" and the version of this layout.
pub const MAGIC: u64 = u64::from_be_bytes(*b"verdict\x01");

/// The line with the magic number, the places and the keys of the IPv6 filter.
pub const HEADER: u32 = 0;

/// Slots of one root: one for each value of the first 16 bits.
pub const ROOT_SLOTS: u32 = 1 << 16;

/// First line of the IPv4 root. The header has a page of memory (4 KiB) of its own.
pub const ROOT_V4: u32 = 64;

/// First line of the IPv6 root.
pub const ROOT_V6: u32 = ROOT_V4 + ROOT_SLOTS / 8;

/// First line of the IPv4 filter.
pub const FILTER_V4: u32 = ROOT_V6 + ROOT_SLOTS / 8;

/// First line that blocks may use.
pub const BLOCKS: u32 = FILTER_V4 + (1 << 24) / 512;

/// Levels of pages below the IPv6 root: bits 16 to 63, 16 at a time.
pub const LEVELS_V6: usize = 3;

/// Pages a lookup reads at most within one level: indexes and the page itself. 65,536 entries
/// need no more.
pub const PAGE_DEPTH: usize = 5;

/// Pages a lookup reads at most in the tree over the last 64 bits.
pub const HALF_DEPTH: usize = 10;

/// Access to the lines of a table.
pub trait Lines {
    /// One line.
    type Line: Line;

    /// The line at `index`; `None` beyond the end of the table.
    fn line(&self, index: u32) -> Option<Self::Line>;
}

/// One line, wherever it is.
pub trait Line: Copy {
    /// The word at `index & 7`, read once from memory for each call. Where another thread may
    /// store it, the read must not be torn and what it leads to must be read after it.
    fn word(self, index: usize) -> u64;

    /// The same for an index that is worked out while the program runs.
    #[inline(always)]
    fn pick(self, index: usize) -> u64 {
        self.word(index)
    }
}
