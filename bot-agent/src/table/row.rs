//! Rows of pages: how many pages the runs over 16 bits are spread over, and their block.

use super::page::{self, Entry, Shape, Words};

/// Keys that have the same value, from `start` up to the next run (or the last key).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Run<V> {
    pub(super) start: u64,
    pub(super) value: V,
}

/// What runs are made of.
pub(super) trait Value: Copy + Eq {
    /// The id that would serve best as the page's base id, as far as this value goes.
    fn vote(self) -> u16;
    /// Whether the value is this id and nothing else.
    fn is(self, id: u16) -> bool;
}

impl Value for u16 {
    fn vote(self) -> u16 {
        self
    }

    fn is(self, id: u16) -> bool {
        self == id
    }
}

/// Adds a run; equal ids that follow one another become one.
pub(super) fn push<V: Value>(runs: &mut Vec<Run<V>>, start: u64, value: V) {
    let continues = runs
        .last()
        .is_some_and(|last| last.value == value && value.is(value.vote()));
    if !continues {
        runs.push(Run { start, value });
    }
}

/// The runs that hold for one page, the keys of the page, and its base id.
#[derive(Clone, Copy)]
pub(super) struct Part<'a, V> {
    runs: &'a [Run<V>],
    first: u64,
    last: u64,
    base: u16,
}

impl<'a, V: Value> Part<'a, V> {
    /// A part of runs that begin at or before `first`.
    pub(super) fn new(runs: &'a [Run<V>], first: u64, last: u64) -> Self {
        let mut part = Self {
            runs,
            first,
            last,
            base: runs.first().map_or(0, |run| run.value.vote()),
        };
        // The majority, if there is one (Boyer and Moore). The first run is the other candidate:
        // it needs no entry if it is the base.
        let mut lead = 0_u32;
        let mut majority = part.base;
        for run in runs {
            let vote = run.value.vote();
            if lead == 0 {
                majority = vote;
            }
            lead = if vote == majority { lead + 1 } else { lead - 1 };
        }
        if majority != part.base {
            let other = Self {
                base: majority,
                ..part
            };
            if other.len() < part.len() {
                part = other;
            }
        }
        part
    }

    /// The base id.
    pub(super) fn base(&self) -> u16 {
        self.base
    }

    /// Calls for each entry that the page needs: key, whether it is exact, the value (`None`: the base id).
    pub(super) fn each(&self, mut entry: impl FnMut(u64, bool, Option<V>)) {
        // Whether the entry before goes on until the next one.
        let mut is_open = false;
        for (nth, run) in self.runs.iter().enumerate() {
            let start = run.start.max(self.first);
            let end = match self.runs.get(nth + 1) {
                Some(next) => next.start - 1,
                None => self.last,
            };
            if run.value.is(self.base) {
                if is_open {
                    entry(start, false, None);
                }
                is_open = false;
            } else {
                is_open = start != end;
                entry(start, !is_open, Some(run.value));
            }
        }
    }

    /// How many entries the page needs.
    pub(super) fn len(&self) -> usize {
        let mut entries = 0;
        self.each(|_, _, _| entries += 1);
        entries
    }
}

/// The keys that a row is about: all of the 16 bits, or those of one slot of a fan.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    pub(super) first: u64,
    /// Log2 of their number.
    pub(super) bits: u32,
}

impl Span {
    /// All keys of 16 bits.
    pub(super) const ALL: Self = Self { first: 0, bits: 16 };

    /// The keys of slot `nth` of a fan.
    pub(super) fn blade(nth: u64) -> Self {
        Self {
            first: nth << 8,
            bits: 8,
        }
    }

    /// The last key.
    pub(super) fn last(self) -> u64 {
        self.first + (1 << self.bits) - 1
    }

    /// By how much keys are shifted to give the page in a row of `1 << n`.
    pub(super) fn shift(self, n: u32) -> u32 {
        // Where there is one page, every shift will do.
        if n == 0 { 0 } else { self.bits - n }
    }

    /// Log2 of the longest row.
    fn longest(self) -> u32 {
        // Pages of eight keys.
        self.bits - 3
    }
}

/// The parts of runs that a row of `1 << n` pages has. The runs begin at or before the span.
fn parts<V: Value>(runs: &[Run<V>], span: Span, n: u32) -> impl Iterator<Item = Part<'_, V>> {
    let width = 1_u64 << (span.bits - n);
    let mut rest = runs;
    (0..1_u64 << n).map(move |nth| {
        let first = span.first + nth * width;
        let last = first + width - 1;
        let begun = rest.iter().take_while(|run| run.start <= last).count();
        let part = Part::new(rest.get(..begun).unwrap_or_default(), first, last);
        // The last run goes on in the next part, unless one begins there.
        let next_begins = rest.get(begun).is_some_and(|run| run.start == last + 1);
        let done = if next_begins {
            begun
        } else {
            begun.saturating_sub(1)
        };
        rest = rest.get(done..).unwrap_or_default();
        part
    })
}

/// A way to write runs: a row of `1 << n` pages.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Plan {
    pub(super) n: u32,
    /// Lines that it takes, and then some.
    pub(super) cost: usize,
}

/// The row that costs least.
pub(super) fn best<V: Value, S: Shape>(runs: &[Run<V>], span: Span) -> Plan {
    // Rows of less than an eighth of the pages needed are not worth a look.
    let least = runs.len() / (S::ENTRIES * 8);
    let mut best = Plan {
        n: 0,
        cost: usize::MAX,
    };
    let least = least.checked_ilog2().unwrap_or(0).min(span.longest());
    for n in least..=span.longest() {
        if 1 << n >= best.cost {
            break;
        }
        let cost = cost::<V, S>(runs, span, n, best.cost);
        if cost < best.cost {
            best = Plan { n, cost };
        }
    }
    best
}

/// What a row costs, in lines: those it takes, and one more for each entry that a lookup reaches
/// only through an index, which is a cache line more each time.
fn cost<V: Value, S: Shape>(runs: &[Run<V>], span: Span, n: u32, limit: usize) -> usize {
    let mut cost = 0;
    for part in parts(runs, span, n) {
        let entries = part.len();
        cost += page::pages_for::<S>(entries);
        if entries > S::ENTRIES {
            cost += entries;
        }
        if cost >= limit {
            break;
        }
    }
    cost
}

/// Writes runs as a row of `1 << n` pages to `block`, which is empty. `word` makes the word of an
/// entry from a value and the page's base id.
pub(super) fn write<V: Value, S: Shape, E>(
    block: &mut Vec<Words>,
    runs: &[Run<V>],
    span: Span,
    n: u32,
    mut word: impl FnMut(V, u16) -> Result<u64, E>,
) -> Result<(), E> {
    block.resize(1 << n, Words::default());
    let mut entries = Vec::new();
    for (top, part) in parts(runs, span, n).enumerate() {
        entries.clear();
        let mut failed = None;
        part.each(|key, is_exact, value| {
            let word = match value.map(|value| word(value, part.base)) {
                Some(Ok(word)) => word,
                Some(Err(error)) => {
                    failed.get_or_insert(error);
                    0
                }
                None => S::base_word(part.base),
            };
            entries.push(Entry {
                key,
                is_exact,
                word,
            });
        });
        if let Some(error) = failed {
            return Err(error);
        }
        page::write::<S>(block, top, part.base, &entries);
    }
    Ok(())
}

/// The runs that hold for `first..=last`: the first begins at or before it.
pub(super) fn between<V>(runs: &[Run<V>], first: u64, last: u64) -> &[Run<V>] {
    let from = runs.partition_point(|run| run.start <= first);
    let to = runs.partition_point(|run| run.start <= last);
    runs.get(from.saturating_sub(1)..to).unwrap_or_default()
}
