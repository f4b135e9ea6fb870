//! Pages: sorted entries to lines and back. What a page means is in [`bot_common::table`].

use bot_common::table::{
    LINE_WORDS,
    slot::{
        self, HALF_ENTRIES, HALF_INDEX_CHILD, HALF_INDEX_KEYS, INDEX, INDEX_CHILD, INDEX_KEYS,
        RUN_ENTRIES, SLOT_ENTRIES,
    },
};

/// A line in the making.
pub(super) type Words = [u64; LINE_WORDS];

/// An entry of a page.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    /// First key it holds for.
    pub(super) key: u64,
    /// It holds for its key alone.
    pub(super) is_exact: bool,
    /// An id, or a slot in a slot page.
    pub(super) word: u64,
}

/// Where a field of a page is, that has one value for each entry.
#[derive(Clone, Copy)]
pub(super) enum Place {
    /// 16 bits each, from this lane on.
    Lanes(usize),
    /// 64 bits each, from this word on.
    Words(usize),
}

impl Place {
    fn get(self, page: &Words, entry: usize) -> u64 {
        match self {
            Self::Lanes(first) => {
                let lane = first + entry;
                word(page, lane / 4) >> (lane % 4 * 16) & 0xffff
            }
            Self::Words(first) => word(page, first + entry),
        }
    }

    fn put(self, page: &mut Words, entry: usize, value: u64) {
        let (at, shift, mask) = match self {
            Self::Lanes(first) => {
                let lane = first + entry;
                (lane / 4, lane % 4 * 16, 0xffff)
            }
            Self::Words(first) => (first + entry, 0, u64::MAX),
        };
        if let Some(word) = page.get_mut(at) {
            *word = *word & !(mask << shift) | (value & mask) << shift;
        }
    }
}

fn word(page: &Words, index: usize) -> u64 {
    page.get(index).copied().unwrap_or(0)
}

/// A kind of page: where its fields are.
pub(super) trait Shape {
    /// Entries of a page.
    const ENTRIES: usize;
    /// The highest key there is.
    const LAST_KEY: u64;
    /// The base id.
    const BASE: Place;
    /// The keys.
    const KEYS: Place;
    /// What the entries say.
    const WORDS: Place;
    /// Keys of an index; it has one child more.
    const INDEX_KEYS: usize;
    /// The keys of an index.
    const SEPARATORS: Place;
    /// The word of an index that leads to its first child.
    const INDEX_CHILD: usize;

    /// The base id as the word of an entry.
    fn base_word(base: u16) -> u64;
}

/// Pages of nothing but ids, over 16 bits.
pub(super) enum RunPages {}

impl Shape for RunPages {
    const ENTRIES: usize = RUN_ENTRIES;
    const LAST_KEY: u64 = 0xffff;
    const BASE: Place = Place::Lanes(16);
    const KEYS: Place = Place::Lanes(1);
    const WORDS: Place = Place::Lanes(17);
    const INDEX_KEYS: usize = INDEX_KEYS;
    const SEPARATORS: Place = Place::Lanes(1);
    const INDEX_CHILD: usize = INDEX_CHILD;

    fn base_word(base: u16) -> u64 {
        base.into()
    }
}

/// Pages of slots, over 16 bits.
pub(super) enum SlotPages {}

/// Lane 1, where slot and tail pages have their base id.
const BASE: Place = Place::Lanes(1);

impl Shape for SlotPages {
    const ENTRIES: usize = SLOT_ENTRIES;
    const LAST_KEY: u64 = 0xffff;
    const BASE: Place = BASE;
    const KEYS: Place = Place::Lanes(2);
    const WORDS: Place = Place::Words(2);
    const INDEX_KEYS: usize = INDEX_KEYS;
    const SEPARATORS: Place = Place::Lanes(1);
    const INDEX_CHILD: usize = INDEX_CHILD;

    fn base_word(base: u16) -> u64 {
        slot::leaf(base)
    }
}

/// Pages of ids, over the last 64 bits of an IPv6 address.
pub(super) enum TailPages {}

impl Shape for TailPages {
    const ENTRIES: usize = HALF_ENTRIES;
    const LAST_KEY: u64 = u64::MAX;
    const BASE: Place = BASE;
    const KEYS: Place = Place::Words(2);
    const WORDS: Place = Place::Lanes(2);
    const INDEX_KEYS: usize = HALF_INDEX_KEYS;
    const SEPARATORS: Place = Place::Words(2);
    const INDEX_CHILD: usize = HALF_INDEX_CHILD;

    fn base_word(base: u16) -> u64 {
        base.into()
    }
}

/// How many pages `entries` entries take, indexes included.
pub(super) fn pages_for<S: Shape>(entries: usize) -> usize {
    let mut level = entries.div_ceil(S::ENTRIES).max(1);
    let mut all = level;
    while level > 1 {
        level = level.div_ceil(S::INDEX_KEYS + 1);
        all += level;
    }
    all
}

/// Writes entries as a page at `top` of the block, which is there already. If one page does not
/// hold them it becomes an index; further pages go to the end. Indexes count lines from the
/// block's start until [`relocate`].
pub(super) fn write<S: Shape>(block: &mut Vec<Words>, top: usize, base: u16, entries: &[Entry]) {
    let chunks = entries.chunks(S::ENTRIES);
    if chunks.len() <= 1 {
        set(block, top, leaf::<S>(base, entries));
        return;
    }
    let mut separators: Vec<u64> = Vec::with_capacity(chunks.len());
    let mut first = block.len();
    for chunk in chunks {
        separators.push(chunk.first().map_or(0, |entry| entry.key));
        block.push(leaf::<S>(base, chunk));
    }
    // The pages of one level follow one another; above each index are those of the next level.
    while separators.len() > S::INDEX_KEYS + 1 {
        let level = block.len();
        let mut above = Vec::with_capacity(separators.len().div_ceil(S::INDEX_KEYS + 1));
        for (nth, group) in separators.chunks(S::INDEX_KEYS + 1).enumerate() {
            above.push(group.first().copied().unwrap_or(0));
            block.push(index::<S>(first + nth * (S::INDEX_KEYS + 1), group));
        }
        (first, separators) = (level, above);
    }
    set(block, top, index::<S>(first, &separators));
}

fn set(block: &mut [Words], at: usize, page: Words) {
    if let Some(line) = block.get_mut(at) {
        *line = page;
    }
}

fn leaf<S: Shape>(base: u16, entries: &[Entry]) -> Words {
    let mut page = [0; LINE_WORDS];
    S::BASE.put(&mut page, 0, base.into());
    let mut spare = S::base_word(base);
    let mut flags = 0;
    for (place, entry) in entries.iter().enumerate() {
        S::KEYS.put(&mut page, place, entry.key);
        S::WORDS.put(&mut page, place, entry.word);
        flags |= u64::from(entry.is_exact) << (place + 1);
        // What the highest key has: spare entries stand there.
        spare = if entry.is_exact && entry.key != S::LAST_KEY {
            S::base_word(base)
        } else {
            entry.word
        };
    }
    for place in entries.len()..S::ENTRIES {
        S::KEYS.put(&mut page, place, S::LAST_KEY);
        S::WORDS.put(&mut page, place, spare);
    }
    FLAGS.put(&mut page, 0, flags);
    page
}

const FLAGS: Place = Place::Lanes(0);

/// An index over children from line `first` of the block on; `firsts` are their first keys.
fn index<S: Shape>(first: usize, firsts: &[u64]) -> Words {
    let mut page = [0; LINE_WORDS];
    FLAGS.put(&mut page, 0, INDEX);
    // Spare separators are 0, which every key has passed: they stand in front, and the place
    // of the first child is moved back by their number.
    let separators = firsts.get(1..).unwrap_or_default();
    let spare = S::INDEX_KEYS.saturating_sub(separators.len());
    for (place, separator) in separators.iter().enumerate() {
        S::SEPARATORS.put(&mut page, spare + place, *separator);
    }
    let child = (first as u64).wrapping_sub(spare as u64) << 40;
    if let Some(word) = page.get_mut(S::INDEX_CHILD) {
        *word = child;
    }
    page
}

/// Moves the indexes of a block to where it is placed.
pub(super) fn relocate<S: Shape>(block: &mut [Words], line: u32) {
    for page in block {
        if is_index(page)
            && let Some(child) = page.get_mut(S::INDEX_CHILD)
        {
            *child = child.wrapping_add(slot::at(line));
        }
    }
}

/// Whether a page is an index.
pub(super) fn is_index(page: &Words) -> bool {
    word(page, 0) & INDEX != 0
}

/// The child `nth` of an index, and the keys that belong to it among `first..=last`.
pub(super) fn child<S: Shape>(
    page: &Words,
    nth: usize,
    (first, last): (u64, u64),
) -> Option<(u32, (u64, u64))> {
    let from = match nth.checked_sub(1) {
        Some(before) => S::SEPARATORS.get(page, before).max(first),
        None => first,
    };
    let to = if nth < S::INDEX_KEYS {
        S::SEPARATORS.get(page, nth).checked_sub(1)?.min(last)
    } else {
        last
    };
    let line = slot::line(word(page, S::INDEX_CHILD)).wrapping_add(u32::try_from(nth).ok()?);
    (from <= to).then_some((line, (from, to)))
}

/// The base id of a page that is no index.
pub(super) fn base<S: Shape>(page: &Words) -> u16 {
    (S::BASE.get(page, 0) & 0xffff) as u16
}

/// What a page that is no index says about the keys `first..=last`, in order and without gaps:
/// first key, last key, word.
pub(super) fn segments<S: Shape>(
    page: &Words,
    (first, last): (u64, u64),
    mut emit: impl FnMut(u64, u64, u64),
) {
    let base = S::base_word(base::<S>(page));
    let mut emit = |from: u64, to: Option<u64>, word: u64| {
        let (from, to) = (from.max(first), to.map(|to| to.min(last)));
        if let Some(to) = to
            && from <= to
        {
            emit(from, to, word);
        }
    };
    emit(0, S::KEYS.get(page, 0).checked_sub(1), base);
    for entry in 0..S::ENTRIES {
        let key = S::KEYS.get(page, entry);
        // Entries end before the next one, of equal keys the last one holds.
        let end = if entry + 1 < S::ENTRIES {
            S::KEYS.get(page, entry + 1).checked_sub(1)
        } else {
            Some(S::LAST_KEY)
        };
        let Some(end) = end.filter(|end| *end >= key) else {
            continue;
        };
        let word = S::WORDS.get(page, entry);
        if FLAGS.get(page, 0) >> (entry + 1) & 1 == 0 {
            emit(key, Some(end), word);
        } else {
            emit(key, Some(key), word);
            if key < end {
                emit(key + 1, Some(end), base);
            }
        }
    }
}

/// The entry of a slot page that is exact and of this very key: the number of its word.
pub(super) fn exact_word(page: &Words, key: u64) -> Option<usize> {
    let passed = (0..SLOT_ENTRIES)
        .filter(|entry| SlotPages::KEYS.get(page, *entry) <= key)
        .count();
    let entry = passed.checked_sub(1)?;
    let is_exact = FLAGS.get(page, 0) >> (entry + 1) & 1 != 0;
    (is_exact && SlotPages::KEYS.get(page, entry) == key).then_some(entry + 2)
}
