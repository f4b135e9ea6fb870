//! The reader. Straight code with bounded loops and little state: the kernel's verifier follows it.

use super::{
    FilterV6, HALF_DEPTH, HEADER, LEVELS_V6, Line, Lines, PAGE_DEPTH, Shortcuts,
    filter::is_set,
    root_v4, root_v6,
    slot::{
        self, FAN, HALF, HALF_INDEX_CHILD, INDEX, INDEX_CHILD, LEAF, PAGES, RUNS, SKIP, TAIL, WIDE,
    },
    v4_filter_bit,
};
use crate::{abi::verdict::VerdictId, address::Address, read::part};

/// The verdict of an address: [`VerdictId::NONE`] where no range has it, and where the table is malformed.
#[inline(always)]
pub fn lookup(lines: &impl Lines, address: &Address) -> VerdictId {
    let octets = address.octets();
    let high = u64::from_be_bytes(part(&octets, 0));
    let low = u64::from_be_bytes(part(&octets, 8));
    let id = if high == 0 && low >> 32 == 0xffff {
        v4(lines, (low & 0xffff_ffff) as u32)
    } else {
        v6(lines, high, low)
    };
    match id {
        Some(id) => VerdictId::new(id).unwrap_or(VerdictId::NONE),
        None => VerdictId::NONE,
    }
}

#[inline(always)]
fn v4(lines: &impl Lines, address: u32) -> Option<u32> {
    if !is_set(lines, v4_filter_bit(address)) {
        return None;
    }
    let (line, word) = root_v4(address >> 16);
    let root = lines.line(line)?.pick(word);
    match slot::kind(root) {
        LEAF => Some(slot::id(root)),
        RUNS => runs(lines, root, address & 0xffff),
        _ => None,
    }
}

#[inline(always)]
fn v6(lines: &impl Lines, high: u64, low: u64) -> Option<u32> {
    let header = lines.line(HEADER)?;
    let filter = FilterV6::of(header);
    let has_48 = is_set(lines, filter.bit48(high));
    let shortcut = if has_48 {
        Shortcuts::of(header).find(lines, high)
    } else {
        None
    };
    // The slot, the id beside it, and what it is about: the bits after those that led to it,
    // left-aligned.
    let (mut slot, mut base, mut rest) = if let Some((slot, base)) = shortcut {
        (slot, base, high << 48)
    } else {
        let (line, word) = root_v6((high >> 48) as u32);
        let slot = lines.line(line)?.pick(word);
        if !has_48 && slot & WIDE == 0 && !is_set(lines, filter.bit32(high)) {
            return None;
        }
        (slot, 0, high << 16)
    };
    for _ in 0..LEVELS_V6 {
        let key = (rest >> 48) as u32;
        if slot::kind(slot) == FAN {
            let (line, word) = slot::blade(slot, key);
            slot = lines.line(line)?.pick(word);
        }
        if slot::kind(slot) != PAGES {
            break;
        }
        (slot, base) = step(lines, slot, key)?;
        rest <<= 16;
    }
    let tree = match slot::kind(slot) {
        LEAF => return Some(slot::id(slot)),
        RUNS => return runs(lines, slot, (rest >> 48) as u32),
        TAIL if slot::tail_has(slot, rest) => return Some(slot::id(slot)),
        SKIP if slot::skip_has(slot, rest) => slot::line(slot),
        TAIL | SKIP => return Some(base),
        HALF => slot::line(slot),
        _ => return None,
    };
    half(lines, tree, low)
}

/// The page of a row that `key` belongs to, with its first word.
#[inline(always)]
fn page<L: Lines>(lines: &L, slot: u64, key: u32) -> Option<(L::Line, u64)> {
    let mut at = slot::page(slot, key);
    for _ in 0..PAGE_DEPTH {
        let line = lines.line(at)?;
        let first = line.word(0);
        if first & INDEX == 0 {
            return Some((line, first));
        }
        at = slot::line(line.word(INDEX_CHILD)).wrapping_add(rank_15(line, first, key));
    }
    None
}

/// What the run pages of `slot` say about `key`.
#[inline(always)]
fn runs(lines: &impl Lines, slot: u64, key: u32) -> Option<u32> {
    let (line, first) = page(lines, slot, key)?;
    let entry = rank_15(line, first, key);
    // Lane 0 is not a key, but entry 0 is not exact in a page either.
    let is_exact = first >> entry & 1 != 0;
    let entry = if is_exact && lane(line, entry) != key {
        0
    } else {
        entry
    };
    Some(lane(line, entry + 16))
}

/// The slot that the slot pages of `slot` have for `key`, and the base id.
#[inline(always)]
fn step(lines: &impl Lines, slot: u64, key: u32) -> Option<(u64, u32)> {
    let (line, first) = page(lines, slot, key)?;
    let second = line.word(1);
    let keys = spread(key);
    let found = (at_most(first, keys) & 0x8000_8000_0000_0000).count_lanes()
        + at_most(second, keys).count_lanes();
    let base = (first >> 16 & 0xffff) as u32;
    let is_exact = first >> found & 1 != 0;
    if found == 0 || is_exact && lane(line, found + 1) != key {
        return Some((u64::from(base) << 8, base));
    }
    Some((line.pick((found + 1) as usize), base))
}

/// What the tree of tail pages from line `at` on says about the last 64 bits of an address.
#[inline(always)]
fn half(lines: &impl Lines, at: u32, low: u64) -> Option<u32> {
    let mut at = at;
    for _ in 0..HALF_DEPTH {
        let line = lines.line(at)?;
        let first = line.word(0);
        let above = is_above(line.word(2), low)
            + is_above(line.word(3), low)
            + is_above(line.word(4), low)
            + is_above(line.word(5), low)
            + is_above(line.word(6), low)
            + is_above(line.word(7), low);
        let entry = 6 - above;
        if first & INDEX == 0 {
            let is_exact = first >> entry & 1 != 0;
            let entry = if is_exact && line.pick(entry as usize + 1) != low {
                0
            } else {
                entry
            };
            return Some(lane(line, entry + 1));
        }
        at = slot::line(line.word(HALF_INDEX_CHILD)).wrapping_add(entry);
    }
    None
}

/// How many of the 15 keys in words 0 to 3 are at most `key`.
#[inline(always)]
fn rank_15(line: impl Line, first: u64, key: u32) -> u32 {
    let keys = spread(key);
    // Each lane of the sum is at most 4.
    let sum = ((at_most(first, keys) & !0xffff) >> 15)
        + (at_most(line.word(1), keys) >> 15)
        + (at_most(line.word(2), keys) >> 15)
        + (at_most(line.word(3), keys) >> 15);
    (sum.wrapping_mul(ONE_A_LANE) >> 48) as u32 & 0xf
}

/// Lane 0 to 31 of a line.
#[inline(always)]
fn lane(line: impl Line, index: u32) -> u32 {
    (line.pick((index >> 2) as usize) >> ((index & 3) * 16) & 0xffff) as u32
}

const ONE_A_LANE: u64 = 0x0001_0001_0001_0001;
const TOP_OF_LANES: u64 = 0x8000_8000_8000_8000;

/// `key`, below 65,536, in every lane.
#[inline(always)]
fn spread(key: u32) -> u64 {
    u64::from(key).wrapping_mul(ONE_A_LANE)
}

/// The top bit of each lane says whether the lane of `keys` is at most the lane of `key`.
#[inline(always)]
fn at_most(keys: u64, key: u64) -> u64 {
    // Without their top bits, lanes subtract without borrowing from each other.
    let without_top = (key | TOP_OF_LANES).wrapping_sub(keys & !TOP_OF_LANES);
    ((without_top & !(keys ^ key)) | (key & !keys)) & TOP_OF_LANES
}

trait CountLanes {
    /// How many top bits of lanes are set, where no other bits are.
    fn count_lanes(self) -> u32;
}

impl CountLanes for u64 {
    #[inline(always)]
    fn count_lanes(self) -> u32 {
        ((self >> 15).wrapping_mul(ONE_A_LANE) >> 48) as u32
    }
}

/// 1 where `key` is above `low`, else 0, without a branch: the borrow of a subtraction.
#[inline(always)]
fn is_above(key: u64, low: u64) -> u32 {
    (((!low & key) | (!(low ^ key) & low.wrapping_sub(key))) >> 63) as u32
}
