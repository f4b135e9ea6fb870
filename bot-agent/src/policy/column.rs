//! Columns: the entries of a list in one family.
//!
//! Entries are sorted, each before all that it covers, and know the entry next above them: 12 bytes
//! for an IPv4 prefix, 24 for an IPv6 one.

use std::{cmp::Reverse, ops::Range};

use super::{family::Family, list::Score};
use crate::rules::prefix::Prefix;

/// The entries of one family, sorted by first address, then length.
#[derive(Clone, Debug)]
pub(super) struct Column<A> {
    firsts: Vec<A>,
    rest: Vec<Rest>,
}

/// What an entry has besides its first address.
#[derive(Clone, Copy, Debug)]
struct Rest {
    /// One more than the index of the narrowest entry that covers this one; 0: none does.
    above: u32,
    bits: u8,
    score: Score,
}

/// An entry of one family.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Entry<A> {
    pub(super) first: A,
    pub(super) bits: u8,
    pub(super) score: Score,
}

impl<A: Family> Entry<A> {
    pub(super) fn prefix(self) -> (Prefix, Score) {
        (self.first.prefix(self.bits), self.score)
    }

    pub(super) fn last(&self) -> A {
        self.first.last_of(self.bits)
    }
}

impl<A: Family> Column<A> {
    /// The column of entries in any order. Of a prefix that is there twice the higher score counts.
    pub(super) fn new(mut entries: Vec<Entry<A>>) -> Self {
        entries.sort_unstable_by_key(|entry| (entry.first, entry.bits, Reverse(entry.score)));
        entries.dedup_by_key(|entry| (entry.first, entry.bits));
        let mut rest = Vec::with_capacity(entries.len());
        let mut above: Vec<(A, u32)> = Vec::new();
        for (entry, place) in entries.iter().zip(1u32..) {
            while above.pop_if(|(last, _)| *last < entry.first).is_some() {}
            rest.push(Rest {
                above: above.last().map_or(0, |(_, place)| *place),
                bits: entry.bits,
                score: entry.score,
            });
            above.push((entry.last(), place));
        }
        Self {
            firsts: entries.into_iter().map(|entry| entry.first).collect(),
            rest,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.firsts.len()
    }

    /// The entries at these places, in order.
    pub(super) fn entries(&self, places: Range<usize>) -> impl Iterator<Item = Entry<A>> {
        let firsts = self.firsts.get(places.clone()).unwrap_or_default();
        let rest = self.rest.get(places).unwrap_or_default();
        let both = firsts.iter().zip(rest);
        both.map(|(first, rest)| Entry {
            first: *first,
            bits: rest.bits,
            score: rest.score,
        })
    }

    pub(super) fn entry(&self, place: usize) -> Option<Entry<A>> {
        self.entries(place..place.checked_add(1)?).next()
    }

    /// The entries that cover all of the prefix, itself included, narrowest first.
    pub(super) fn covering(&self, first: A, bits: u8) -> impl Iterator<Item = Entry<A>> {
        let last = first.last_of(bits);
        // What comes before the prefix covers it, or has everything above itself that does.
        let before = self.after(first, bits);
        let above = |place: &usize| {
            self.rest
                .get(place.checked_sub(1)?)
                .map(|rest| to_index(rest.above))
        };
        std::iter::successors(Some(before), above)
            .map_while(|place| self.entry(place.checked_sub(1)?))
            .filter(move |entry| entry.last() >= last)
    }

    /// The places of the entries inside of the prefix, itself not included.
    pub(super) fn within(&self, first: A, bits: u8) -> Range<usize> {
        let start = self.after(first, bits);
        let last = first.last_of(bits);
        let end = self.firsts.partition_point(|first| *first <= last);
        start..end.max(start)
    }

    /// The places of the entries inside of the prefix, itself included.
    pub(super) fn in_all_of(&self, first: A, bits: u8) -> Range<usize> {
        let inside = self.within(first, bits);
        let itself = inside.start.checked_sub(1).filter(|place| {
            self.entry(*place)
                .is_some_and(|entry| (entry.first, entry.bits) == (first, bits))
        });
        itself.unwrap_or(inside.start)..inside.end
    }

    /// How many entries come up to the prefix, itself included.
    pub(super) fn after(&self, first: A, bits: u8) -> usize {
        let start = self.firsts.partition_point(|other| *other < first);
        let same = self.firsts.get(start..).unwrap_or_default();
        let same = same.iter().zip(self.rest.get(start..).unwrap_or_default());
        let up_to = same.take_while(|(other, rest)| **other == first && rest.bits <= bits);
        start + up_to.count()
    }
}

fn to_index(place: u32) -> usize {
    usize::try_from(place).unwrap_or(usize::MAX)
}
