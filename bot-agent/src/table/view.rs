//! A table in memory that somebody else writes.

use std::sync::atomic::AtomicU64;

use bot_common::{
    abi::verdict::VerdictId,
    address::Address,
    table::{
        self, BLOCKS, FilterV6, HEADER, HashedBits, LINE_WORDS, Line, Lines, MAGIC, MAX_LINES,
        Shortcuts,
    },
};

use super::{
    Damaged,
    image::Hashes,
    range::{Ranges, Region},
    walk::Walk,
};
use crate::rules::prefix::Prefix;

/// Reads a table, and whatever else the memory may contain: that gives wrong answers, but nothing worse.
///
/// While a writer changes the table, each address has its old or its new verdict, but ranges are
/// of one state only where nothing has changed meanwhile.
#[derive(Clone, Copy, Debug)]
pub struct View<M> {
    memory: M,
}

impl<M: AsRef<[AtomicU64]>> View<M> {
    /// Views a table.
    ///
    /// # Errors
    /// [`Damaged`] when the memory does not begin as tables of this version do.
    pub fn new(memory: M) -> Result<Self, Damaged> {
        check(memory.as_ref())?;
        Ok(Self { memory })
    }

    /// The verdict of an address.
    pub fn lookup(&self, address: &Address) -> VerdictId {
        table::lookup(&self.memory.as_ref(), address)
    }

    /// Everything the table says.
    pub fn ranges(&self) -> Ranges {
        ranges(self.memory.as_ref())
    }

    /// What the table says about a region, cut to it.
    pub fn ranges_within(&self, region: Prefix) -> Ranges {
        ranges_within(self.memory.as_ref(), region)
    }
}

/// How many lines memory has, as far as slots can lead to them.
pub(super) fn lines_of(words: &[AtomicU64]) -> u32 {
    u32::try_from(words.len() / LINE_WORDS).map_or(MAX_LINES, |lines| lines.min(MAX_LINES))
}

/// Looks at the header: where it says that the hashes lead.
pub(super) fn check(words: &[AtomicU64]) -> Result<Hashes, Damaged> {
    let header = words.line(HEADER).ok_or(Damaged::Size)?;
    if header.word(0) != MAGIC {
        return Err(Damaged::Magic);
    }
    let hashes = Hashes {
        filter: FilterV6::of(header),
        shortcuts: Shortcuts::of(header),
    };
    let total = lines_of(words);
    let FilterV6 { by48, by32 } = hashes.filter;
    let is_sized =
        |bits: HashedBits| (HashedBits::MIN_LOG2..=HashedBits::MAX_LOG2).contains(&bits.log2);
    let has_room = |(line, lines): (u32, u32)| lines > 0 && line.saturating_add(lines) <= total;
    if total < BLOCKS
        || !is_sized(by48)
        || !is_sized(by32)
        || !hashes.blocks().into_iter().all(has_room)
    {
        return Err(Damaged::Size);
    }
    Ok(hashes)
}

pub(super) fn ranges(words: &[AtomicU64]) -> Ranges {
    let mut walk = Walk::new(words, lines_of(words));
    Ranges {
        v4: walk.ranges(Region::V4(0, u32::MAX)).v4,
        v6: walk.ranges(Region::V6(0, u128::MAX)).v6,
    }
}

pub(super) fn ranges_within(words: &[AtomicU64], region: Prefix) -> Ranges {
    Walk::new(words, lines_of(words)).ranges(Region::of(region))
}
