//! Which /48 have shortcuts, how a whole table gets them, and how changes take them away.

use bot_common::table::{Line, Lines, SHORTCUTS, Shortcuts, root_v6};

use super::{
    cell::Cell,
    filter::{self, Mark},
    range::Range,
    shared::Shared,
    walk::{Walk, root_slot},
};

/// The /48 that have shortcuts, or had some: sorted, each as the first 64 bits of its addresses.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Known(Vec<u64>);

/// An entry to be written: line, first word, and both words.
pub(super) struct Entry {
    pub(super) line: u32,
    pub(super) word: usize,
    pub(super) words: [u64; 2],
}

/// Lines for so many shortcuts: 64 MiB at most. Of three for a line one in ten finds no room, which
/// costs it time only.
pub(super) fn lines_for(shortcuts: u64) -> u32 {
    let lines = shortcuts.div_ceil(3).clamp(1, 1 << 20);
    u32::try_from(lines).unwrap_or(1)
}

/// The entries for a table of these ranges, whose pages are complete. Which of them find room is the
/// caller's business.
pub(super) fn entries<L: Lines + Copy>(
    lines: L,
    shortcuts: Shortcuts,
    ranges: &[Range<u128>],
) -> (Known, Vec<Entry>) {
    let mut known = Vec::new();
    each(ranges, |high| known.push(high));
    known.sort_unstable();
    known.dedup();
    let mut filled = vec![0_u8; shortcuts.count as usize];
    let mut entries = Vec::with_capacity(known.len());
    known.chunk_by(|a, b| a >> 32 == b >> 32).for_each(|same| {
        let [first, ..] = same else {
            return;
        };
        let cells = cells_of(lines, *first);
        for high in same {
            let key = high >> 16 & 0xffff;
            let begun = cells.partition_point(|(start, _)| *start <= key);
            let Some((_, cell)) = begun.checked_sub(1).and_then(|at| cells.get(at)) else {
                continue;
            };
            let base = cell.beside();
            let slot = cell.slot(base).unwrap_or(0);
            let line = shortcuts.bucket(*high);
            let Some(filled) = filled.get_mut((line - shortcuts.line) as usize) else {
                continue;
            };
            // An address of zeros looks like a free entry.
            if slot != 0 && *high != 0 && usize::from(*filled) < SHORTCUTS {
                entries.push(Entry {
                    line,
                    word: usize::from(*filled) * 2,
                    words: [Shortcuts::tag(*high, base), slot],
                });
                *filled += 1;
            }
        }
    });
    (Known(known), entries)
}

impl Known {
    /// What the shortcuts of a table say that somebody else has made.
    pub(super) fn read(lines: &impl Lines, shortcuts: Shortcuts) -> Self {
        let mut known = Vec::new();
        for line in (0..shortcuts.count).filter_map(|nth| lines.line(shortcuts.line + nth)) {
            for entry in 0..SHORTCUTS {
                if line.word(entry * 2 + 1) != 0 {
                    known.push(line.word(entry * 2) & !0xffff);
                }
            }
        }
        known.sort_unstable();
        Self(known)
    }

    /// Takes the shortcuts into a region away: the pages have changed.
    pub(super) fn take_away(
        &self,
        words: Shared<'_>,
        shortcuts: Shortcuts,
        (first, last): (u128, u128),
    ) {
        let high = |address: u128| (address >> 64 & u128::from(u64::MAX)) as u64;
        let from = self.0.partition_point(|known| known | 0xffff < high(first));
        let inside = self.0.get(from..).unwrap_or_default().iter();
        for known in inside.take_while(|known| **known <= high(last)) {
            let line = shortcuts.bucket(*known);
            for entry in 0..SHORTCUTS {
                let (tag, slot) = (entry * 2, entry * 2 + 1);
                if Shortcuts::is_about(words.read(line, tag), *known) && words.read(line, slot) != 0
                {
                    words.publish(line, slot, 0);
                }
            }
        }
    }
}

/// The /48 of ranges that are not over many of them, as the filter knows them.
fn each(ranges: &[Range<u128>], mut found: impl FnMut(u64)) {
    for range in ranges {
        filter::marks(range, |mark| {
            if let Mark::Bit48(high) = mark {
                found(high);
            }
        });
    }
}

/// The cells of the /48 within the /32 of an address: first key and cell.
fn cells_of<L: Lines + Copy>(lines: L, high: u64) -> Vec<(u64, Cell)> {
    let mut walk = Walk::new(lines, u32::MAX);
    let key = high >> 32 & 0xffff;
    let root = Cell::of(root_slot(&lines, root_v6((high >> 48) as u32)), 0);
    let above = walk.cells(root, 16, (key, key));
    let cell = above.first().map_or(Cell::Leaf(0), |run| run.value);
    let runs = walk.cells(cell, 32, (0, 0xffff));
    runs.iter().map(|run| (run.start, run.value)).collect()
}
