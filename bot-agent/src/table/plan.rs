//! What a change in place takes: new blocks, the words to store, and blocks to lay aside.

use std::sync::atomic::AtomicU64;

use bot_common::table::{
    FILTER_V4_WORDS, MAX_LINES, root_v4, root_v6,
    slot::{self, FAN, FAN_LINES},
};

use super::{
    Full,
    build::{Arena, Builder, last_of},
    cell::Cell,
    filter,
    memory::Memory,
    page::Words,
    range::{self, Range, Region, clip, intersecting, runs_v4, splice},
    row::{self, Run, Span},
    shared::Shared,
    walk::{Walk, index_v6, root_slot},
};

/// A change in the making: nothing that readers can come to is written before it is complete.
pub(super) struct Change<'a> {
    words: Shared<'a>,
    lines: &'a mut Memory,
    /// Blocks that it has reserved.
    pub(super) fresh: Vec<(u32, u32)>,
    /// Blocks that nothing leads to once it is published.
    pub(super) retired: Vec<(u32, u32)>,
}

impl Arena for Change<'_> {
    fn reserve(&mut self, lines: u32) -> Result<u32, Full> {
        let line = self.lines.reserve(lines)?;
        self.fresh.push((line, lines));
        Ok(line)
    }

    fn write(&mut self, line: u32, block: &[Words]) {
        self.words.write(line, block);
    }
}

/// A /16 of IPv4 to publish: its root slot and its bits of the filter.
pub(super) struct StepV4 {
    pub(super) index: u32,
    pub(super) root: u64,
    pub(super) bits: [u64; FILTER_V4_WORDS],
}

/// A slot of IPv6 to publish.
pub(super) struct Step {
    pub(super) line: u32,
    pub(super) word: usize,
    pub(super) slot: u64,
}

/// Where a cell has changed.
enum Changed {
    /// The cell is another one: whoever leads to it must be told.
    Here(Cell),
    /// A slot below is another one; the cell stays.
    Below(Step),
}

impl<'a> Change<'a> {
    /// A change of a table in these words, whose lines are accounted for here.
    pub(super) fn new(words: Shared<'a>, lines: &'a mut Memory) -> Self {
        Self {
            words,
            lines,
            fresh: Vec::new(),
            retired: Vec::new(),
        }
    }

    /// A walk over what is there, which can be trusted not to lead in circles.
    fn walk(&self) -> Walk<&'a [AtomicU64]> {
        Walk::new(self.words.0, MAX_LINES)
    }

    fn retire(&mut self, cell: Cell, bits: u32) {
        let mut walk = self.walk();
        walk.blocks(cell, bits, &mut |line, count| {
            self.retired.push((line, count));
        });
    }

    /// What makes IPv4 addresses from `first` to `last` say what `ranges` say.
    pub(super) fn plan_v4(
        &mut self,
        ranges: &[Range<u32>],
        first: u32,
        last: u32,
    ) -> Result<Vec<StepV4>, Full> {
        let mut steps = Vec::new();
        let mut runs = Vec::new();
        for index in first >> 16..=last >> 16 {
            let start = index << 16;
            let end = start | 0xffff;
            let old = root_slot(&self.words.0, root_v4(index));
            if first <= start && end <= last {
                runs_v4(&mut runs, clip(ranges, start, end), index);
            } else {
                let there = self.walk().ranges(Region::V4(start, end)).v4;
                let all = splice(&there, first, last, ranges.iter().copied());
                runs_v4(&mut runs, all.into_iter(), index);
            }
            let root = Builder::new(self).v4(&runs)?;
            if root != old {
                self.retire(Cell::of(old, 0), 16);
                let bits = filter::v4(&runs);
                steps.push(StepV4 { index, root, bits });
            }
        }
        Ok(steps)
    }

    /// The same for IPv6.
    pub(super) fn plan_v6(
        &mut self,
        ranges: &[Range<u128>],
        first: u128,
        last: u128,
    ) -> Result<Vec<Step>, Full> {
        let mut steps = Vec::new();
        for index in index_v6(first)..=index_v6(last) {
            let old = root_slot(&self.words.0, root_v6(index));
            let start = u128::from(index) << 112;
            match self.rewrite(Cell::of(old, 0), start, 16, (first, last), ranges)? {
                Changed::Below(step) => steps.push(step),
                Changed::Here(cell) => {
                    // What made it wide may be gone, but the bits of what is there instead are set later.
                    let slot = cell.slot(0).unwrap_or(0) | old & slot::WIDE;
                    if slot != old {
                        let (line, word) = root_v6(index);
                        steps.push(Step { line, word, slot });
                    }
                }
            }
        }
        Ok(steps)
    }

    /// Changes a cell of the prefix of `bits` from `start` on, where it lies in the region.
    fn rewrite(
        &mut self,
        cell: Cell,
        start: u128,
        bits: u32,
        region: (u128, u128),
        ranges: &[Range<u128>],
    ) -> Result<Changed, Full> {
        let end = last_of(start, bits);
        let (first, last) = (region.0.max(start), region.1.min(end));
        if (first, last) == (start, end) {
            self.retire(cell, bits);
            let ranges = intersecting(ranges, start, end);
            return Ok(Changed::Here(Builder::new(self).v6(ranges, start, bits)?));
        }
        if bits >= 64 {
            let mut there = Vec::new();
            self.walk()
                .v6(cell, start, bits, (start, end), &mut |range| {
                    range::push(&mut there, range);
                });
            let all = splice(&there, first, last, ranges.iter().copied());
            self.retire(cell, bits);
            return Ok(Changed::Here(Builder::new(self).v6(&all, start, bits)?));
        }
        let below = 112 - bits;
        let key = |address| range::key(address, below);
        let keys = (key(first), key(last));
        let old = self.walk().cells(cell, bits, keys);
        let new = if keys.0 == keys.1 {
            let old = old.first().map_or(Cell::Leaf(0), |run| run.value);
            let start = start | u128::from(keys.0) << below;
            let new = match self.rewrite(old, start, bits + 16, region, ranges)? {
                Changed::Below(step) => return Ok(Changed::Below(step)),
                Changed::Here(new) => new,
            };
            if let Some(step) = self.in_place(cell, bits, keys.0, new)? {
                return Ok(Changed::Below(step));
            }
            vec![Run {
                start: keys.0,
                value: new,
            }]
        } else {
            for run in old {
                self.retire(run.value, bits + 16);
            }
            let mut new = Builder::new(self).cells(ranges, start, bits)?;
            new.retain(|run| run.start <= keys.1);
            let outside = new.iter().take_while(|run| run.start <= keys.0).count();
            new.drain(..outside.saturating_sub(1));
            new
        };
        if let Cell::Block(fan) = cell
            && slot::kind(fan) == FAN
        {
            return self.rewrite_fan(fan, bits, keys, &new);
        }
        let there = self.walk().cells(cell, bits, (0, 0xffff));
        let all = with_runs(&there, keys, &new, 0xffff);
        let node = Builder::new(self).node(&all, bits)?;
        // The page of a skip is now what one of the cells leads to, or was retired with it.
        if let Cell::Block(_) = cell {
            self.retired.extend(cell.block());
        }
        Ok(Changed::Here(node))
    }

    /// Writes the rows of a fan anew that have `keys`, which are cells of a prefix of `bits`.
    fn rewrite_fan(
        &mut self,
        fan: u64,
        bits: u32,
        keys: (u64, u64),
        new: &[Run<Cell>],
    ) -> Result<Changed, Full> {
        let mut changed = Vec::new();
        for nth in keys.0 >> 8..=keys.1 >> 8 {
            let span = Span::blade(nth);
            let all = (span.first, span.last());
            let there = self.walk().cells(Cell::Block(fan), bits, all);
            let keys = (keys.0.max(all.0), keys.1.min(all.1));
            let new = row::between(new, keys.0, keys.1);
            let runs = with_runs(&there, keys, new, all.1);
            let old = self.walk().blade(fan, nth);
            self.retired.extend(Cell::of(old, 0).block());
            let slot = Builder::new(self).blade(&runs, span, bits)?;
            let (line, word) = slot::blade(fan, (nth << 8 & 0xffff) as u32);
            changed.push(Step { line, word, slot });
        }
        if changed.len() == 1
            && let Some(step) = changed.pop()
        {
            return Ok(Changed::Below(step));
        }
        // More than one word to store: another fan.
        let first = slot::line(fan);
        let mut lines: Vec<Words> = (0..FAN_LINES)
            .map(|line| std::array::from_fn(|word| self.words.read(first + line, word)))
            .collect();
        for step in changed {
            let line = lines.get_mut((step.line - first) as usize);
            if let Some(word) = line.and_then(|line| line.get_mut(step.word)) {
                *word = step.slot;
            }
        }
        let line = self.reserve(FAN_LINES)?;
        self.write(line, &lines);
        self.retired.push((first, FAN_LINES));
        Ok(Changed::Here(Cell::Block(slot::fan(line))))
    }

    /// The slot to store if a cell of the pages of `cell` has an exact entry, which can be changed without writing the pages anew.
    fn in_place(
        &mut self,
        cell: Cell,
        bits: u32,
        key: u64,
        new: Cell,
    ) -> Result<Option<Step>, Full> {
        let Some((line, word, base)) = self.walk().exact_slot(cell, key) else {
            return Ok(None);
        };
        // An entry that says nothing any more had better go, together with what leads to it.
        if new == Cell::Leaf(base) {
            return Ok(None);
        }
        let slot = Builder::new(self).slot(new, base, bits + 16)?;
        Ok(Some(Step { line, word, slot }))
    }
}

/// `all`, which end at `last`, with `new` instead of the runs over `keys`.
fn with_runs(all: &[Run<Cell>], keys: (u64, u64), new: &[Run<Cell>], last: u64) -> Vec<Run<Cell>> {
    let mut runs = Vec::with_capacity(all.len() + new.len() + 1);
    for run in all.iter().take_while(|run| run.start < keys.0) {
        row::push(&mut runs, run.start, run.value);
    }
    for run in new {
        row::push(&mut runs, run.start.max(keys.0), run.value);
    }
    let after = keys.1 + 1;
    if after <= last {
        let begun = all.iter().take_while(|run| run.start <= after).count();
        for run in all.get(begun.saturating_sub(1)..).unwrap_or_default() {
            row::push(&mut runs, run.start.max(after), run.value);
        }
    }
    runs
}
