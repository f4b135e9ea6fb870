//! Which lines are in use: blocks that are free, by size, and blocks that rest.

use std::collections::BTreeMap;

use super::Full;

/// How many lines of 64 bytes a table has, and what they are used for.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Usage {
    /// Roots, filters and pages.
    pub used: u32,
    /// Replaced, waiting for readers to leave ([`super::Table::quiesce`]).
    pub limbo: u32,
    /// Free, perhaps in small pieces.
    pub free: u32,
    /// All.
    pub total: u32,
}

/// Accounts for the lines of a table.
#[derive(Debug)]
pub(super) struct Memory {
    /// Free blocks: first lines by number of lines.
    free: BTreeMap<u32, Vec<u32>>,
    free_lines: u32,
    /// All lines from here on are free.
    end: u32,
    total: u32,
    limbo: Vec<(u32, u32)>,
    limbo_lines: u32,
}

impl Memory {
    /// Lines below `end` are used, the others free.
    pub(super) fn new(end: u32, total: u32) -> Self {
        Self {
            free: BTreeMap::new(),
            free_lines: 0,
            end,
            total,
            limbo: Vec::new(),
            limbo_lines: 0,
        }
    }

    /// The account of a table whose blocks (first line, number of lines) are these; `None` when
    /// they overlap or lie beyond the end.
    pub(super) fn of(mut blocks: Vec<(u32, u32)>, total: u32) -> Option<Self> {
        blocks.sort_unstable();
        let mut memory = Self::new(0, total);
        for (line, lines) in blocks {
            let gap = line.checked_sub(memory.end)?;
            memory.release(memory.end, gap);
            memory.end = line.checked_add(lines).filter(|end| *end <= total)?;
        }
        Some(memory)
    }

    /// Finds room: a free block of this size, else lines that were never used, else a piece of a
    /// larger block, else a piece of what free blocks that touch make together.
    pub(super) fn reserve(&mut self, lines: u32) -> Result<u32, Full> {
        if let Some(line) = self.take(lines) {
            return Ok(line);
        }
        if lines <= self.total.saturating_sub(self.end) {
            let line = self.end;
            self.end += lines;
            return Ok(line);
        }
        if let Some(line) = self.split(lines) {
            return Ok(line);
        }
        self.join();
        if let Some(line) = self.take(lines).or_else(|| self.split(lines)) {
            return Ok(line);
        }
        if lines <= self.total.saturating_sub(self.end) {
            let line = self.end;
            self.end += lines;
            return Ok(line);
        }
        Err(Full {
            needed: lines,
            free: self.usage().free,
            lines: self.total,
        })
    }

    fn take(&mut self, lines: u32) -> Option<u32> {
        let same = self.free.get_mut(&lines)?;
        let line = same.pop()?;
        if same.is_empty() {
            self.free.remove(&lines);
        }
        self.free_lines -= lines;
        Some(line)
    }

    fn split(&mut self, lines: u32) -> Option<u32> {
        let (size, _) = self.free.range(lines..).next()?;
        let size = *size;
        let line = self.take(size)?;
        self.release(line + lines, size - lines);
        Some(line)
    }

    /// Makes one block of free blocks that touch.
    fn join(&mut self) {
        let mut blocks: Vec<(u32, u32)> = Vec::new();
        for (size, lines) in std::mem::take(&mut self.free) {
            blocks.extend(lines.into_iter().map(|line| (line, size)));
        }
        self.free_lines = 0;
        blocks.sort_unstable();
        let mut whole = (0, 0);
        for (line, size) in blocks {
            if whole.0 + whole.1 == line {
                whole.1 += size;
            } else {
                self.release(whole.0, whole.1);
                whole = (line, size);
            }
        }
        if whole.0 + whole.1 == self.end {
            self.end = whole.0;
        } else {
            self.release(whole.0, whole.1);
        }
    }

    /// Frees a block that no reader can come to.
    pub(super) fn release(&mut self, line: u32, lines: u32) {
        if lines > 0 {
            self.free.entry(lines).or_default().push(line);
            self.free_lines += lines;
        }
    }

    /// Lays a block aside that readers may still be in.
    pub(super) fn retire(&mut self, line: u32, lines: u32) {
        self.limbo.push((line, lines));
        self.limbo_lines += lines;
    }

    /// Frees what was laid aside.
    pub(super) fn quiesce(&mut self) {
        self.limbo_lines = 0;
        for (line, lines) in std::mem::take(&mut self.limbo) {
            self.release(line, lines);
        }
    }

    pub(super) fn usage(&self) -> Usage {
        let free = self.free_lines + (self.total.saturating_sub(self.end));
        Usage {
            used: self
                .total
                .saturating_sub(free)
                .saturating_sub(self.limbo_lines),
            limbo: self.limbo_lines,
            free,
            total: self.total,
        }
    }
}
