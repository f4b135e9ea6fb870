//! The table that readers see, and its changes in place.

use std::sync::atomic::AtomicU64;

use bot_common::{abi::verdict::VerdictId, address::Address, table};

use super::{
    Damaged, Full, Image, Usage,
    image::Hashes,
    memory::Memory,
    plan::Change,
    publish,
    range::{Ranges, Region, clip, tidy},
    shared::Shared,
    shortcut::Known,
    view,
    walk::Walk,
};
use crate::rules::prefix::Prefix;

/// A table in memory that readers see. There is one writer.
#[derive(Debug)]
pub struct Table<M> {
    memory: M,
    lines: Memory,
    hashes: Hashes,
    known: Known,
}

impl<M: AsRef<[AtomicU64]>> Table<M> {
    /// Writes a table to memory that nobody reads yet. What the image does not need is room for updates.
    ///
    /// # Errors
    /// [`Full`] when the memory is too small for the image.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "an image is of no use once it is installed"
    )]
    pub fn install(memory: M, image: Image) -> Result<Self, Full> {
        let total = view::lines_of(memory.as_ref());
        let end = image.lines();
        if total < end {
            return Err(Full {
                needed: end,
                free: total,
                lines: total,
            });
        }
        Shared(memory.as_ref()).write(0, image.words());
        let (hashes, known) = image.into_hashes();
        Ok(Self {
            memory,
            lines: Memory::new(end, total),
            hashes,
            known,
        })
    }

    /// Takes over a table that was installed before, by a writer that is gone.
    ///
    /// # Errors
    /// [`Damaged`] when the memory is no table, or its blocks overlap.
    pub fn adopt(memory: M) -> Result<Self, Damaged> {
        let words = memory.as_ref();
        let hashes = view::check(words)?;
        let total = view::lines_of(words);
        let mut blocks = vec![(0, table::BLOCKS)];
        blocks.extend(hashes.blocks());
        Walk::new(words, total).all_blocks(&mut |line, count| blocks.push((line, count)));
        let lines = Memory::of(blocks, total).ok_or(Damaged::Blocks)?;
        let known = Known::read(&words, hashes.shortcuts);
        Ok(Self {
            memory,
            lines,
            hashes,
            known,
        })
    }

    /// Makes everything in a region what `ranges` say: all ranges that intersect it. What they
    /// say about addresses outside of it is not looked at.
    ///
    /// # Errors
    /// [`Full`] when there is no room for the new pages; then nothing was changed.
    pub fn update(&mut self, region: Prefix, ranges: &Ranges) -> Result<(), Full> {
        let words = Shared(self.memory.as_ref());
        let mut change = Change::new(words, &mut self.lines);
        let result = match Region::of(region) {
            Region::V4(first, last) => {
                let ranges: Vec<_> = clip(&tidy(&ranges.v4), first, last).collect();
                let steps = change.plan_v4(&ranges, first, last);
                steps.map(|steps| publish::v4(words, &steps))
            }
            Region::V6(first, last) => {
                let ranges: Vec<_> = clip(&tidy(&ranges.v6), first, last).collect();
                let steps = change.plan_v6(&ranges, first, last);
                steps.map(|steps| {
                    publish::v6(words, &self.hashes.filter, &steps, &ranges);
                    // They lead to what was there before, which no other change will find.
                    if !steps.is_empty() {
                        let shortcuts = self.hashes.shortcuts;
                        self.known.take_away(words, shortcuts, (first, last));
                    }
                })
            }
        };
        let Change { fresh, retired, .. } = change;
        match result {
            Ok(()) => {
                for (line, count) in retired {
                    self.lines.retire(line, count);
                }
                Ok(())
            }
            Err(full) => {
                for (line, count) in fresh {
                    self.lines.release(line, count);
                }
                Err(full)
            }
        }
    }

    /// Frees the lines that updates have replaced. The caller vouches that no lookup that began
    /// before this call still runs.
    pub fn quiesce(&mut self) {
        self.lines.quiesce();
    }

    /// The verdict of an address.
    pub fn lookup(&self, address: &Address) -> VerdictId {
        table::lookup(&self.memory.as_ref(), address)
    }

    /// Everything the table says.
    pub fn ranges(&self) -> Ranges {
        view::ranges(self.memory.as_ref())
    }

    /// What the table says about a region, cut to it.
    pub fn ranges_within(&self, region: Prefix) -> Ranges {
        view::ranges_within(self.memory.as_ref(), region)
    }

    /// How many lines are used, waiting and free.
    pub fn usage(&self) -> Usage {
        self.lines.usage()
    }

    /// The memory.
    pub fn memory(&self) -> &M {
        &self.memory
    }
}
