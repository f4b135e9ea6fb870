//! Ranges to pages: one cell of a root at a time.

use std::mem;

use bot_common::table::slot::{self, FAN_LINES, PAGES, RUNS};

use super::{
    Full,
    cell::Cell,
    lone::{LAST_CELL, inside, lone},
    page::{self, Entry, RunPages, SlotPages, TailPages, Words},
    range::{self, Range, low},
    row::{self, Part, Run, Span},
};

/// Where blocks go.
pub(super) trait Arena {
    /// Finds room for a block; it is the caller's from now on.
    fn reserve(&mut self, lines: u32) -> Result<u32, Full>;
    /// Writes a block that nobody can come to yet.
    fn write(&mut self, line: u32, block: &[Words]);
}

/// Pages in a row that cost as many lines make room for a fan: what a fan takes itself, and as
/// much again. It also bounds what is written anew for a change.
const FAN_FROM: usize = 512;

/// Makes blocks of ranges. The memory for lines in the making is used again and again.
pub(super) struct Builder<'a, A> {
    pub(super) arena: &'a mut A,
    block: Vec<Words>,
    entries: Vec<Entry>,
}

impl<'a, A: Arena> Builder<'a, A> {
    pub(super) fn new(arena: &'a mut A) -> Self {
        Self {
            arena,
            block: Vec::new(),
            entries: Vec::new(),
        }
    }

    /// The root slot of the runs of a /16 of IPv4.
    pub(super) fn v4(&mut self, runs: &[Run<u16>]) -> Result<u64, Full> {
        if let [run] = runs {
            return Ok(slot::leaf(run.value));
        }
        let n = row::best::<_, RunPages>(runs, Span::ALL).n;
        let mut block = mem::take(&mut self.block);
        block.clear();
        row::write::<_, RunPages, Full>(&mut block, runs, Span::ALL, n, |id, _| Ok(id.into()))?;
        let placed = self.place::<RunPages>(&mut block);
        self.block = block;
        let (line, count) = placed?;
        Ok(slot::pages(RUNS, line, count, n, Span::ALL.shift(n)))
    }

    /// The cell of an IPv6 prefix of `bits` (16, 32, 48 or 64) from `start` on. `ranges` are those
    /// that intersect it.
    pub(super) fn v6(
        &mut self,
        ranges: &[Range<u128>],
        start: u128,
        bits: u32,
    ) -> Result<Cell, Full> {
        let end = last_of(start, bits);
        match ranges {
            [] => return Ok(Cell::Leaf(0)),
            [range] if range.first <= start && end <= range.last => {
                return Ok(Cell::Leaf(id(range)));
            }
            _ => {}
        }
        if bits >= 64 {
            return self.half(ranges, start);
        }
        let runs = self.cells(ranges, start, bits)?;
        self.node(&runs, bits)
    }

    /// The cells of 16 bits more within an IPv6 prefix of `bits` (at most 48) from `start` on.
    pub(super) fn cells(
        &mut self,
        ranges: &[Range<u128>],
        start: u128,
        bits: u32,
    ) -> Result<Vec<Run<Cell>>, Full> {
        let below = 112 - bits;
        let first_of = |cell: u64| start | u128::from(cell) << below;
        let cell_of = |address| range::key(address, below);
        let end = last_of(start, bits);
        let mut runs = Vec::new();
        // The first cell nothing is said about yet.
        let mut next = 0;
        let mut rest = ranges;
        while let [range, ..] = rest
            && next <= LAST_CELL
        {
            let first = range.first.max(first_of(next));
            let last = range.last.min(end);
            let cell = cell_of(first);
            if next < cell {
                row::push(&mut runs, next, Cell::Leaf(0));
            }
            let cell_end = last_of(first_of(cell), bits + 16);
            if first == first_of(cell) && cell_end <= last {
                row::push(&mut runs, cell, Cell::Leaf(id(range)));
                // Without the cell at its end, if that has something else, too.
                let reached = cell_of(last);
                next = if last == last_of(first_of(reached), bits + 16) {
                    reached + 1
                } else {
                    reached
                };
            } else {
                let among = rest.iter().take_while(|range| range.first <= cell_end);
                let among = rest.get(..among.count()).unwrap_or_default();
                let value = self.v6(among, first_of(cell), bits + 16)?;
                row::push(&mut runs, cell, value);
                next = cell + 1;
            }
            let begun = next > LAST_CELL;
            let done = rest
                .iter()
                .take_while(|range| begun || range.last < first_of(next))
                .count();
            rest = rest.get(done..).unwrap_or_default();
        }
        if next <= LAST_CELL {
            row::push(&mut runs, next, Cell::Leaf(0));
        }
        Ok(runs)
    }

    /// The cell of the cells within an IPv6 prefix of `bits`.
    pub(super) fn node(&mut self, runs: &[Run<Cell>], bits: u32) -> Result<Cell, Full> {
        if let [run] = runs
            && let Cell::Leaf(_) = run.value
        {
            return Ok(run.value);
        }
        match lone(runs, bits) {
            Some(lone) => Ok(lone),
            None => Ok(Cell::Block(self.pages_or_fan(runs, bits)?)),
        }
    }

    /// The slot of a block for the cells within an IPv6 prefix of `bits`: pages, or a fan with
    /// pages where they are many.
    fn pages_or_fan(&mut self, runs: &[Run<Cell>], bits: u32) -> Result<u64, Full> {
        match self.pages(runs, Span::ALL, bits, FAN_FROM)? {
            Some(slot) => Ok(slot),
            None => self.fan(runs, bits),
        }
    }

    fn fan(&mut self, runs: &[Run<Cell>], bits: u32) -> Result<u64, Full> {
        let mut fan = [Words::default(); FAN_LINES as usize];
        for (nth, word) in (0..).zip(fan.iter_mut().flatten()) {
            *word = self.blade(runs, Span::blade(nth), bits)?;
        }
        let line = self.arena.reserve(FAN_LINES)?;
        self.arena.write(line, &fan);
        Ok(slot::fan(line))
    }

    /// The slot of a fan for the cells of a span within an IPv6 prefix of `bits`.
    pub(super) fn blade(&mut self, runs: &[Run<Cell>], span: Span, bits: u32) -> Result<u64, Full> {
        let runs = row::between(runs, span.first, span.last());
        if let [run] = runs
            && let Cell::Leaf(id) = run.value
        {
            return Ok(slot::leaf(id));
        }
        Ok(self.pages(runs, span, bits, usize::MAX)?.unwrap_or(0))
    }

    /// The slot of a row of pages for the cells of a span within an IPv6 prefix of `bits`, unless
    /// it costs `limit` lines or more.
    fn pages(
        &mut self,
        runs: &[Run<Cell>],
        span: Span,
        bits: u32,
        limit: usize,
    ) -> Result<Option<u64>, Full> {
        let is_plain = runs.iter().all(|run| matches!(run.value, Cell::Leaf(_)));
        let plan = if is_plain {
            row::best::<_, RunPages>(runs, span)
        } else {
            row::best::<_, SlotPages>(runs, span)
        };
        let n = plan.n;
        if plan.cost >= limit {
            return Ok(None);
        }
        let mut block = mem::take(&mut self.block);
        block.clear();
        let (kind, placed) = if is_plain {
            row::write::<_, RunPages, _>(&mut block, runs, span, n, |cell, _| match cell {
                Cell::Leaf(id) => Ok(id.into()),
                Cell::Tail { .. } | Cell::Skip { .. } | Cell::Block(_) => Ok(0),
            })?;
            (RUNS, self.place::<RunPages>(&mut block))
        } else {
            row::write::<_, SlotPages, _>(&mut block, runs, span, n, |cell, base| {
                self.slot(cell, base, bits + 16)
            })?;
            (PAGES, self.place::<SlotPages>(&mut block))
        };
        self.block = block;
        let (line, count) = placed?;
        Ok(Some(slot::pages(kind, line, count, n, span.shift(n))))
    }

    /// The slot of a cell of an IPv6 prefix of `bits` in a page with this base id. Where the page's base id is not
    /// what the cell has beside itself, that takes a page more.
    pub(super) fn slot(&mut self, cell: Cell, base: u16, bits: u32) -> Result<u64, Full> {
        if let Some(slot) = cell.slot(base) {
            return Ok(slot);
        }
        let runs = inside(cell, bits);
        self.pages_or_fan(&runs, bits)
    }

    /// The cell of a /64 from `start` on.
    fn half(&mut self, ranges: &[Range<u128>], start: u128) -> Result<Cell, Full> {
        let runs = tails(ranges, start);
        if let [run] = *runs {
            return Ok(Cell::Leaf(run.value));
        }
        let (line, count) = self.tree(&Part::new(&runs, 0, u64::MAX))?;
        Ok(Cell::Block(slot::half(line, count)))
    }

    fn tree(&mut self, part: &Part<'_, u16>) -> Result<(u32, u32), Full> {
        let mut entries = mem::take(&mut self.entries);
        entries.clear();
        part.each(|key, is_exact, id| {
            let word = id.unwrap_or(part.base()).into();
            entries.push(Entry {
                key,
                is_exact,
                word,
            });
        });
        let mut block = mem::take(&mut self.block);
        block.clear();
        block.push(Words::default());
        page::write::<TailPages>(&mut block, 0, part.base(), &entries);
        let placed = self.place::<TailPages>(&mut block);
        (self.entries, self.block) = (entries, block);
        placed
    }

    /// Moves a block to its place: first line and number of lines.
    fn place<S: page::Shape>(&mut self, block: &mut [Words]) -> Result<(u32, u32), Full> {
        let count = u32::try_from(block.len()).unwrap_or(u32::MAX);
        let line = self.arena.reserve(count)?;
        page::relocate::<S>(block, line);
        self.arena.write(line, block);
        Ok((line, count))
    }
}

/// The id of a range as tables have it.
pub(super) fn id<T>(range: &Range<T>) -> u16 {
    u16::try_from(range.id.get()).unwrap_or(0)
}

/// The last address of the prefix of `bits` from `start` on.
pub(super) fn last_of(start: u128, bits: u32) -> u128 {
    start | u128::MAX.checked_shr(bits).unwrap_or(0)
}

/// The runs of a /64 over its last 64 bits.
fn tails(ranges: &[Range<u128>], start: u128) -> Vec<Run<u16>> {
    let mut runs = Vec::new();
    let mut next = Some(0);
    for range in range::clip(ranges, start, last_of(start, 64)) {
        if let Some(at) = next
            && at < low(range.first)
        {
            row::push(&mut runs, at, 0);
        }
        row::push(&mut runs, low(range.first), id(&range));
        next = low(range.last).checked_add(1);
    }
    if let Some(at) = next {
        row::push(&mut runs, at, 0);
    }
    runs
}
