//! Rules and lists of one family as one stream of prefixes, each before all that it covers.

use std::{cmp::Reverse, collections::BinaryHeap, ops::Range};

use bot_common::abi::verdict::Action;

use super::{
    candidate::Candidate,
    column::Column,
    family::Family,
    list::{Score, Tiers},
    states::Voice,
};

/// A prefix that somebody names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'a, A> {
    pub(super) first: A,
    pub(super) bits: u8,
    pub(super) says: Says<'a>,
}

/// What is said about it.
#[derive(Clone, Copy, Debug)]
pub(super) enum Says<'a> {
    /// By rules.
    Rules(&'a [Candidate]),
    /// By an entry of a list; `None`: nothing.
    Entry(Option<Voice>),
}

/// Rules of one family, in order of prefix.
#[derive(Debug)]
pub(super) struct Rules<A> {
    prefixes: Vec<(A, u8, Range<usize>)>,
    candidates: Vec<Candidate>,
}

/// A part of a list.
#[derive(Debug)]
pub(super) struct Part<'a, A> {
    pub(super) column: &'a Column<A>,
    pub(super) places: Range<usize>,
    pub(super) voices: &'a Voices,
}

/// How the entries of a list speak.
#[derive(Debug)]
pub(super) enum Voices {
    /// All alike.
    Same(Option<Voice>),
    /// By the tier of their score.
    ByTier(Tiers, [(Action, Option<Voice>); 5]),
}

impl Voices {
    /// How an entry of this score speaks; `None`: not at all.
    pub(super) fn of(&self, score: Score) -> Option<Voice> {
        match self {
            Self::Same(voice) => *voice,
            Self::ByTier(tiers, voices) => {
                let tier = tiers.action(score);
                let voice = voices.iter().find(|(other, _)| *other == tier);
                voice.and_then(|(_, voice)| *voice)
            }
        }
    }
}

impl<A: Family> Rules<A> {
    /// Rules with the first address and the length of their prefixes, in any order.
    pub(super) fn new(rules: impl Iterator<Item = (A, u8, Candidate)>) -> Self {
        let (mut places, mut unsorted) = (Vec::new(), Vec::new());
        for (first, bits, candidate) in rules {
            places.push((first, bits, unsorted.len()));
            unsorted.push(candidate);
        }
        places.sort_unstable();
        let mut prefixes: Vec<(A, u8, Range<usize>)> = Vec::with_capacity(places.len());
        let mut candidates = Vec::with_capacity(places.len());
        for (first, bits, place) in places {
            let start = candidates.len();
            candidates.extend(unsorted.get(place));
            let end = candidates.len();
            let same = |last: &&mut (A, u8, Range<usize>)| (last.0, last.1) == (first, bits);
            match prefixes.last_mut().filter(same) {
                Some((.., range)) => range.end = end,
                None => prefixes.push((first, bits, start..end)),
            }
        }
        Self {
            prefixes,
            candidates,
        }
    }

    fn named(&self, place: usize) -> Option<Named<'_, A>> {
        let (first, bits, range) = self.prefixes.get(place)?;
        Some(Named {
            first: *first,
            bits: *bits,
            says: Says::Rules(self.candidates.get(range.clone())?),
        })
    }
}

impl<A: Family> Part<'_, A> {
    fn named(&self, place: usize) -> Option<Named<'_, A>> {
        let entry = self
            .column
            .entry(place)
            .filter(|_| place < self.places.end)?;
        let voice = self.voices.of(entry.score);
        Some(Named {
            first: entry.first,
            bits: entry.bits,
            says: Says::Entry(voice),
        })
    }
}

/// Hands everything to `each`, in order. Who is next is asked again only when the one whose turn it
/// is has gone past the next.
pub(super) fn merge<'a, A: Family>(
    rules: &'a Rules<A>,
    lists: &'a [Part<'a, A>],
    mut each: impl FnMut(Named<'a, A>),
) {
    let named = |stream: usize, place: usize| match stream.checked_sub(1) {
        None => rules.named(place),
        Some(list) => lists.get(list).and_then(|list| list.named(place)),
    };
    let starts = lists.iter().map(|list| list.places.start);
    let starts = std::iter::once(0).chain(starts).enumerate();
    let mut waiting: BinaryHeap<Reverse<(A, u8, usize, usize)>> = starts
        .filter_map(|(stream, place)| {
            let next = named(stream, place)?;
            Some(Reverse((next.first, next.bits, stream, place)))
        })
        .collect();
    while let Some(Reverse((.., stream, mut place))) = waiting.pop() {
        let until = waiting
            .peek()
            .map(|Reverse((first, bits, ..))| (*first, *bits));
        while let Some(next) = named(stream, place) {
            let key = (next.first, next.bits);
            if until.is_some_and(|until| key > until) {
                waiting.push(Reverse((next.first, next.bits, stream, place)));
                break;
            }
            each(next);
            place += 1;
        }
    }
}
