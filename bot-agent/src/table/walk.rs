//! Pages back to ranges, for any lines: malformed ones give some ranges, within bounded time.

use bot_common::{
    abi::verdict::VerdictId,
    table::{
        HALF_DEPTH, Line, Lines, PAGE_DEPTH, ROOT_SLOTS, root_v4, root_v6,
        slot::{self, FAN, FAN_LINES, HALF, PAGES, RUNS},
    },
};

use super::{
    build::last_of,
    cell::Cell,
    lone::inside,
    page::{self, RunPages, Shape, SlotPages, TailPages, Words},
    range::{self, Range, Ranges, Region, cut, low},
    row::{self, Run, Span},
};

/// First and last key, both included.
type Keys = (u64, u64);

/// Reads lines and keeps count of them: each line belongs to one block, so whoever reads more
/// lines than there are goes in circles.
pub(super) struct Walk<L> {
    lines: L,
    left: u32,
}

impl<L: Lines> Walk<L> {
    /// A walk over at most `limit` lines.
    pub(super) fn new(lines: L, limit: u32) -> Self {
        Self { lines, left: limit }
    }

    /// All ranges of a region, cut to it.
    pub(super) fn ranges(&mut self, region: Region) -> Ranges {
        let mut ranges = Ranges::default();
        match region {
            Region::V4(first, last) => {
                for index in first >> 16..=last >> 16 {
                    let keys = cut(first.into(), last.into(), u64::from(index) << 16);
                    let root = root_slot(&self.lines, root_v4(index));
                    self.v4(root, keys, &mut |from, to, id| {
                        range::push(
                            &mut ranges.v4,
                            Range {
                                first: index << 16 | from,
                                last: index << 16 | to,
                                id: verdict(id),
                            },
                        );
                    });
                }
            }
            Region::V6(first, last) => {
                for index in index_v6(first)..=index_v6(last) {
                    let start = u128::from(index) << 112;
                    let root = Cell::of(root_slot(&self.lines, root_v6(index)), 0);
                    self.v6(root, start, 16, (first, last), &mut |range| {
                        range::push(&mut ranges.v6, range);
                    });
                }
            }
        }
        ranges
    }

    /// What a slot of the IPv4 root says about the last 16 bits, in order: first, last, id.
    pub(super) fn v4(&mut self, root: u64, keys: Keys, emit: &mut impl FnMut(u32, u32, u64)) {
        let mut emit = |from: u64, to: u64, id: u64, _| {
            emit((from & 0xffff) as u32, (to & 0xffff) as u32, id);
        };
        match slot::kind(root) {
            slot::LEAF => emit(keys.0, keys.1, slot::id(root).into(), 0),
            RUNS => self.row::<RunPages>(root, keys, &mut emit),
            _ => {}
        }
    }

    /// The ranges of a cell of the prefix of `bits` from `start` on, as far as they lie in a region.
    pub(super) fn v6(
        &mut self,
        cell: Cell,
        start: u128,
        bits: u32,
        region: (u128, u128),
        emit: &mut impl FnMut(Range<u128>),
    ) {
        let first = start.max(region.0);
        let last = last_of(start, bits).min(region.1);
        if first > last {
            return;
        }
        match cell {
            Cell::Leaf(0) => {}
            Cell::Leaf(id) => emit(Range {
                first,
                last,
                id: verdict(id.into()),
            }),
            Cell::Block(slot) if slot::kind(slot) == HALF => {
                if bits == 64 {
                    self.half(slot::line(slot), start, (first, last), emit);
                }
            }
            Cell::Tail { .. } | Cell::Skip { .. } | Cell::Block(_) if bits > 48 => {}
            Cell::Tail { .. } | Cell::Skip { .. } | Cell::Block(_) => {
                let below = 112 - bits;
                let key = |address| range::key(address, below);
                let runs = self.cells(cell, bits, (key(first), key(last)));
                for (nth, run) in runs.iter().enumerate() {
                    let from = start | u128::from(run.start) << below;
                    if let Cell::Leaf(id) = run.value {
                        // One piece, however many cells it has.
                        let next = runs
                            .get(nth + 1)
                            .map(|next| start | u128::from(next.start) << below);
                        let (from, to) = (
                            from.max(first),
                            next.map_or(last, |next| next.saturating_sub(1).min(last)),
                        );
                        // Keys of malformed pages are in any order.
                        if id != 0 && from <= to {
                            emit(Range {
                                first: from,
                                last: to,
                                id: verdict(id.into()),
                            });
                        }
                    } else {
                        self.v6(run.value, from, bits + 16, region, emit);
                    }
                }
            }
        }
    }

    /// The cells inside a cell of `bits` (at most 48), over `keys`.
    pub(super) fn cells(&mut self, cell: Cell, bits: u32, keys: Keys) -> Vec<Run<Cell>> {
        let mut runs = Vec::new();
        match cell {
            Cell::Block(slot) if slot::kind(slot) == FAN => {
                let Some(left) = self.left.checked_sub(FAN_LINES) else {
                    return runs;
                };
                self.left = left;
                for nth in keys.0 >> 8..=keys.1 >> 8 {
                    let span = Span::blade(nth);
                    let keys = (keys.0.max(span.first), keys.1.min(span.last()));
                    match Cell::of(self.blade(slot, nth), 0) {
                        Cell::Block(slot) => self.rows(slot, keys, &mut runs),
                        leaf @ Cell::Leaf(_) => row::push(&mut runs, keys.0, leaf),
                        Cell::Tail { .. } | Cell::Skip { .. } => {}
                    }
                }
            }
            Cell::Block(slot) => self.rows(slot, keys, &mut runs),
            Cell::Leaf(_) | Cell::Tail { .. } | Cell::Skip { .. } => {
                let all = inside(cell, bits);
                let begun = all.iter().take_while(|run| run.start <= keys.0).count();
                for run in all.get(begun.saturating_sub(1)..).unwrap_or_default() {
                    if run.start <= keys.1 {
                        runs.push(Run {
                            start: run.start.max(keys.0),
                            ..*run
                        });
                    }
                }
            }
        }
        runs
    }

    /// Slot `nth` of a fan.
    pub(super) fn blade(&self, fan: u64, nth: u64) -> u64 {
        let (line, word) = slot::blade(fan, (nth << 8 & 0xffff) as u32);
        self.lines.line(line).map_or(0, |line| line.word(word))
    }

    /// Adds the cells of a row of pages over `keys`.
    fn rows(&mut self, slot: u64, keys: Keys, runs: &mut Vec<Run<Cell>>) {
        match slot::kind(slot) {
            PAGES => self.row::<SlotPages>(slot, keys, &mut |from, _, word, base| {
                row::push(runs, from, Cell::of(word, base));
            }),
            RUNS => self.row::<RunPages>(slot, keys, &mut |from, _, id, _| {
                row::push(runs, from, Cell::Leaf((id & 0xffff) as u16));
            }),
            _ => row::push(runs, keys.0, Cell::Leaf(0)),
        }
    }

    /// The ranges of a tree over the last 64 bits, within `first..=last` of the /64 from `start` on.
    fn half(
        &mut self,
        line: u32,
        start: u128,
        (first, last): (u128, u128),
        emit: &mut impl FnMut(Range<u128>),
    ) {
        self.page::<TailPages>(
            line,
            (low(first), low(last)),
            HALF_DEPTH,
            &mut |from, to, id, _| {
                emit(Range {
                    first: start | u128::from(from),
                    last: start | u128::from(to),
                    id: verdict(id),
                });
            },
        );
    }

    /// What a row of pages says about `keys`, in order and without gaps: first key, last key,
    /// word, base id of the page.
    fn row<S: Shape>(&mut self, slot: u64, keys: Keys, emit: &mut impl FnMut(u64, u64, u64, u16)) {
        let shift = if slot::row(slot) == 0 {
            16
        } else {
            slot::shift(slot)
        };
        for nth in keys.0 >> shift..=keys.1 >> shift {
            if self.left == 0 {
                return;
            }
            let start = nth << shift;
            let part = (keys.0.max(start), keys.1.min(start | ((1 << shift) - 1)));
            let line = slot::page(slot, (part.0 & 0xffff) as u32);
            self.page::<S>(line, part, PAGE_DEPTH, emit);
        }
    }

    fn page<S: Shape>(
        &mut self,
        line: u32,
        keys: Keys,
        depth: usize,
        emit: &mut impl FnMut(u64, u64, u64, u16),
    ) {
        let Some(depth) = depth.checked_sub(1) else {
            return;
        };
        let Some(page) = self.line(line) else {
            return;
        };
        if page::is_index(&page) {
            for nth in 0..=S::INDEX_KEYS {
                if let Some((line, keys)) = page::child::<S>(&page, nth, keys) {
                    self.page::<S>(line, keys, depth, emit);
                }
            }
            return;
        }
        let base = page::base::<S>(&page);
        page::segments::<S>(&page, keys, |from, to, word| emit(from, to, word, base));
    }

    fn line(&mut self, index: u32) -> Option<Words> {
        self.left = self.left.checked_sub(1)?;
        let line = self.lines.line(index)?;
        Some(std::array::from_fn(|word| line.word(word)))
    }

    /// Every block that a cell of `bits` leads to: first line and number of lines.
    pub(super) fn blocks(&mut self, cell: Cell, bits: u32, found: &mut impl FnMut(u32, u32)) {
        self.own_blocks(cell, found);
        if let Cell::Block(slot) = cell
            && matches!(slot::kind(slot), PAGES | FAN)
            && bits <= 48
        {
            for run in self.cells(cell, bits, (0, 0xffff)) {
                self.blocks(run.value, bits + 16, found);
            }
        }
    }

    /// The blocks of a cell alone: not those that its cells lead to.
    pub(super) fn own_blocks(&mut self, cell: Cell, found: &mut impl FnMut(u32, u32)) {
        let Some((line, count)) = cell.block() else {
            return;
        };
        found(line, count);
        if let Cell::Block(slot) = cell
            && slot::kind(slot) == FAN
        {
            for nth in 0..256 {
                if let Some((line, count)) = Cell::of(self.blade(slot, nth), 0).block() {
                    found(line, count);
                }
            }
        }
    }

    /// Every block of the table.
    pub(super) fn all_blocks(&mut self, found: &mut impl FnMut(u32, u32)) {
        for index in 0..ROOT_SLOTS {
            // Below the IPv4 root there is one level: bits do not matter to it.
            for root in [root_v4(index), root_v6(index)] {
                let cell = Cell::of(root_slot(&self.lines, root), 0);
                self.blocks(cell, 16, found);
            }
        }
    }

    /// The place of the slot that an exact entry of the pages of `cell` has for `key`: line, word, and the
    /// base id of its page.
    pub(super) fn exact_slot(&mut self, cell: Cell, key: u64) -> Option<(u32, usize, u16)> {
        let Cell::Block(mut slot) = cell else {
            return None;
        };
        if slot::kind(slot) == FAN {
            slot = self.blade(slot, key >> 8);
        }
        if slot::kind(slot) != PAGES {
            return None;
        }
        let mut at = slot::page(slot, (key & 0xffff) as u32);
        for _ in 0..PAGE_DEPTH {
            let page = self.line(at)?;
            if !page::is_index(&page) {
                let word = page::exact_word(&page, key)?;
                return Some((at, word, page::base::<SlotPages>(&page)));
            }
            let mut children = 0..=SlotPages::INDEX_KEYS;
            (at, _) = children.find_map(|nth| page::child::<SlotPages>(&page, nth, (key, key)))?;
        }
        None
    }
}

/// The slot at a place of a root: line and word.
pub(super) fn root_slot(lines: &impl Lines, (line, word): (u32, usize)) -> u64 {
    lines.line(line).map_or(0, |line| line.word(word))
}

/// The slot of the IPv6 root that an address belongs to.
pub(super) fn index_v6(address: u128) -> u32 {
    (address >> 112) as u32
}

fn verdict(id: u64) -> VerdictId {
    u32::try_from(id)
        .ok()
        .and_then(VerdictId::new)
        .unwrap_or(VerdictId::NONE)
}
