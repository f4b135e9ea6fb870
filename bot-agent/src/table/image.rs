//! A complete table in ordinary memory.

use std::{
    collections::hash_map::RandomState,
    hash::{BuildHasher, Hasher},
};

use bot_common::{
    abi::verdict::VerdictId,
    address::Address,
    table::{
        self, BLOCKS, FilterV6, HEADER, HashedBits, MAGIC, MAX_LINES, Shortcuts, filter_v4,
        root_v4, root_v6, slot,
    },
};

use super::{
    Full,
    build::{Arena, Builder},
    filter::{self, Mark},
    page::Words,
    range::{Range, Ranges, runs_v4, tidy},
    shortcut::{self, Known},
    walk::index_v6,
};

/// The secret that the hashes of a table are keyed with.
#[derive(Clone, Copy)]
pub struct Seed {
    key48: u64,
    key32: u64,
    shortcuts: u64,
}

impl Seed {
    /// A seed of the system's random numbers.
    pub fn random() -> Self {
        let number = |salt: u8| {
            let mut hasher = RandomState::new().build_hasher();
            hasher.write_u8(salt);
            hasher.finish() | 1
        };
        Self {
            key48: number(48),
            key32: number(32),
            shortcuts: number(64),
        }
    }

    /// A seed that anybody knows, for results that can be repeated.
    pub const fn known(number: u64) -> Self {
        Self {
            key48: 0x9e37_79b9_7f4a_7c15_u64.wrapping_add(number.wrapping_mul(2)),
            key32: 0xbf58_476d_1ce4_e5b9_u64.wrapping_add(number.wrapping_mul(2)),
            shortcuts: 0x94d0_49bb_1331_11eb_u64.wrapping_add(number.wrapping_mul(2)),
        }
    }
}

/// Somebody who prints what holds a seed does not print the secret.
impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed")
    }
}

/// A complete table in ordinary memory, to be installed where readers see it.
#[derive(Debug)]
pub struct Image {
    lines: Vec<Words>,
    hashes: Hashes,
    known: Known,
}

/// What the header names: where the hashes of IPv6 addresses lead.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hashes {
    pub(super) filter: FilterV6,
    pub(super) shortcuts: Shortcuts,
}

impl Image {
    /// Makes a table of ranges. Ranges that are out of order, and parts of them that others have
    /// already, are left out.
    ///
    /// # Errors
    /// [`Full`] when they need more lines than a table can have (1 GiB).
    pub fn build(ranges: &Ranges) -> Result<Self, Full> {
        Self::build_seeded(ranges, Seed::random())
    }

    /// [`Self::build`] with a given secret.
    pub fn build_seeded(ranges: &Ranges, seed: Seed) -> Result<Self, Full> {
        let (v4, v6) = (tidy(&ranges.v4), tidy(&ranges.v6));
        // About what random prefixes take; more is found when it is needed.
        let mut lines = Vec::with_capacity(BLOCKS as usize + v4.len() / 6 + v6.len() / 2);
        lines.resize(BLOCKS as usize, Words::default());
        let hashes = hashes_for(&v6, seed);
        let mut image = Self {
            lines,
            hashes,
            known: Known::default(),
        };
        for (_, lines) in hashes.blocks() {
            image.reserve(lines)?;
        }
        let Hashes { filter, shortcuts } = hashes;
        let header = filter.header().into_iter().chain(shortcuts.header());
        for (word, value) in std::iter::once(MAGIC).chain(header).enumerate() {
            image.set((HEADER, word), value);
        }
        add_v4(&mut Builder::new(&mut image), &v4)?;
        add_v6(&mut Builder::new(&mut image), &v6)?;
        image.mark_v6(&v6);
        image.add_shortcuts(&v6);
        Ok(image)
    }

    /// How many lines it has: the least that a table for it must have.
    pub fn lines(&self) -> u32 {
        u32::try_from(self.lines.len()).unwrap_or(u32::MAX)
    }

    /// The verdict of an address.
    pub fn lookup(&self, address: &Address) -> VerdictId {
        table::lookup(&self.lines.as_slice(), address)
    }

    /// The lines.
    pub(super) fn words(&self) -> &[Words] {
        &self.lines
    }

    /// Where the hashes lead, and what has shortcuts.
    pub(super) fn into_hashes(self) -> (Hashes, Known) {
        (self.hashes, self.known)
    }

    fn add_shortcuts(&mut self, ranges: &[Range<u128>]) {
        let lines = self.lines.as_slice();
        let (known, entries) = shortcut::entries(lines, self.hashes.shortcuts, ranges);
        for entry in entries {
            for (word, value) in (entry.word..).zip(entry.words) {
                self.set((entry.line, word), value);
            }
        }
        self.known = known;
    }

    fn mark_v6(&mut self, ranges: &[Range<u128>]) {
        let filter = self.hashes.filter;
        for range in ranges {
            filter::marks(range, |mark| match mark {
                Mark::Bit48(high) => self.set_bit(filter.bit48(high)),
                Mark::Bit32(high) => self.set_bit(filter.bit32(high)),
                Mark::Wide(first, last) => {
                    for index in first..=last {
                        self.change(root_v6(index), |old| old | slot::WIDE);
                    }
                }
            });
        }
    }

    fn set_bit(&mut self, (line, word, bit): (u32, usize, u32)) {
        self.change((line, word), |old| old | 1 << bit);
    }

    fn set(&mut self, place: (u32, usize), value: u64) {
        self.change(place, |_| value);
    }

    fn change(&mut self, (line, word): (u32, usize), change: impl FnOnce(u64) -> u64) {
        let line = self.lines.get_mut(line as usize);
        if let Some(word) = line.and_then(|line| line.get_mut(word)) {
            *word = change(*word);
        }
    }
}

/// An IPv6 filter and shortcuts in the first blocks. Of what has no verdict, one address in ten or so
/// gets through the filter by chance. The bits of /48 are most of it, and the fewer they are, the
/// more of them are in the CPU's cache; those of /32 are few anyway.
fn hashes_for(ranges: &[Range<u128>], seed: Seed) -> Hashes {
    let (mut by48, mut by32) = (0, 0);
    let (mut different, mut before) = (0, None);
    for range in ranges {
        filter::marks(range, |mark| match mark {
            Mark::Bit48(high) => {
                by48 += 8;
                different += u64::from(before != Some(high));
                before = Some(high);
            }
            Mark::Bit32(_) => by32 += 16,
            Mark::Wide(..) => {}
        });
    }
    let by48 = hashed_bits(BLOCKS, by48, 19, seed.key48);
    let by32 = hashed_bits(BLOCKS + by48.lines(), by32, 15, seed.key32);
    let shortcuts = Shortcuts {
        line: by32.line + by32.lines(),
        count: shortcut::lines_for(different),
        key: seed.shortcuts,
    };
    Hashes {
        filter: FilterV6 { by48, by32 },
        shortcuts,
    }
}

impl Hashes {
    /// First line and number of lines of each part.
    pub(super) fn blocks(&self) -> [(u32, u32); 3] {
        let FilterV6 { by48, by32 } = self.filter;
        let bits = |bits: HashedBits| (bits.line, bits.lines());
        [
            bits(by48),
            bits(by32),
            (self.shortcuts.line, self.shortcuts.count),
        ]
    }
}

/// At least `bits` bits, and `1 << least` where a table can grow in place.
fn hashed_bits(line: u32, bits: u64, least: u32, key: u64) -> HashedBits {
    let log2 = bits.next_power_of_two().ilog2();
    HashedBits {
        line,
        log2: log2.clamp(least, HashedBits::MAX_LOG2),
        key,
    }
}

impl Arena for Image {
    fn reserve(&mut self, lines: u32) -> Result<u32, Full> {
        let line = self.lines();
        let end = line.checked_add(lines).filter(|end| *end <= MAX_LINES);
        let end = end.ok_or(Full {
            needed: lines,
            free: MAX_LINES.saturating_sub(line),
            lines: MAX_LINES,
        })?;
        self.lines.resize(end as usize, Words::default());
        Ok(line)
    }

    fn write(&mut self, line: u32, block: &[Words]) {
        let to = self.lines.get_mut(line as usize..);
        for (to, from) in to.into_iter().flatten().zip(block) {
            *to = *from;
        }
    }
}

fn add_v4(builder: &mut Builder<'_, Image>, ranges: &[Range<u32>]) -> Result<(), Full> {
    let mut runs = Vec::new();
    let mut rest = ranges;
    let mut next = 0;
    while let [range, ..] = rest {
        let index = (range.first >> 16).max(next);
        let among = rest.iter().take_while(|range| range.first >> 16 <= index);
        let among = rest.get(..among.count()).unwrap_or_default();
        runs_v4(&mut runs, among.iter().copied(), index);
        let slot = builder.v4(&runs)?;
        builder.arena.set(root_v4(index), slot);
        let (line, word) = filter_v4(index);
        for (word, bits) in (word..).zip(filter::v4(&runs)) {
            builder.arena.set((line, word), bits);
        }
        let done = rest.iter().take_while(|range| range.last >> 16 <= index);
        rest = rest.get(done.count()..).unwrap_or_default();
        next = index + 1;
    }
    Ok(())
}

fn add_v6(builder: &mut Builder<'_, Image>, ranges: &[Range<u128>]) -> Result<(), Full> {
    let mut rest = ranges;
    let mut next = 0;
    while let [range, ..] = rest {
        let index = index_v6(range.first).max(next);
        let among = rest
            .iter()
            .take_while(|range| index_v6(range.first) <= index);
        let among = rest.get(..among.count()).unwrap_or_default();
        let cell = builder.v6(among, u128::from(index) << 112, 16)?;
        let slot = cell.slot(0).unwrap_or(0);
        builder.arena.set(root_v6(index), slot);
        let done = rest
            .iter()
            .take_while(|range| index_v6(range.last) <= index);
        rest = rest.get(done.count()..).unwrap_or_default();
        next = index + 1;
    }
    Ok(())
}
