//! Ranges of addresses and what is known about them: from any pile of them to sorted, disjoint ones.
//!
//! Where ranges of one file overlap, the narrower one is the more precise statement and wins; of
//! two alike the later one. Where files overlap, the earlier file wins, for what it knows.

use std::{cmp::Reverse, collections::BinaryHeap, fmt::Debug};

use crate::rules::subject::{Asn, Country};

/// An address of one family as a number.
pub trait Bound: Copy + Debug + Ord {
    /// The next address, unless it is the last.
    fn next(self) -> Option<Self>;
    /// The address before, unless it is the first.
    fn previous(self) -> Option<Self>;
    /// Addresses from `self` up to `last`; saturates for all of IPv6.
    fn up_to(self, last: Self) -> u128;
    /// The fewest prefixes that cover exactly `self` up to `last`.
    fn prefixes(self, last: Self) -> u64;
}

/// Addresses, both ends included, of which the same is known.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AsRange<A> {
    /// The first address.
    pub first: A,
    /// The last address, not before the first.
    pub last: A,
    /// Who announces them; nothing: nobody, or only the country is known.
    pub asn: Option<Asn>,
    /// The country that the database gives.
    pub country: Option<Country>,
}

macro_rules! bound {
    ($number:ty) => {
        impl Bound for $number {
            fn next(self) -> Option<Self> {
                self.checked_add(1)
            }

            fn previous(self) -> Option<Self> {
                self.checked_sub(1)
            }

            fn up_to(self, last: Self) -> u128 {
                u128::from(last.saturating_sub(self)).saturating_add(1)
            }

            fn prefixes(self, last: Self) -> u64 {
                let (mut first, mut count) = (self, 0);
                while first <= last {
                    // The longest step that the alignment and the end allow.
                    let aligned = first.trailing_zeros();
                    let left = last - first;
                    let fits = match left.checked_add(1) {
                        Some(size) => Self::BITS - 1 - size.leading_zeros(),
                        None => Self::BITS,
                    };
                    count += 1;
                    let step = (1 as Self).checked_shl(aligned.min(fits));
                    match step.and_then(|step| first.checked_add(step)) {
                        Some(next) => first = next,
                        None => break,
                    }
                }
                count
            }
        }
    };
}
bound!(u32);
bound!(u128);

impl<A: Bound> AsRange<A> {
    fn width(&self) -> u128 {
        self.first.up_to(self.last)
    }

    /// Whether `next` goes on where this one ends, and says the same.
    fn continues_as(&self, next: &Self) -> bool {
        self.asn == next.asn && self.country == next.country && self.last.next() == Some(next.first)
    }
}

/// Sorted, disjoint ranges that say of each address what the narrowest of `ranges` says.
pub(super) fn resolve<A: Bound>(mut ranges: Vec<AsRange<A>>) -> Vec<AsRange<A>> {
    if !is_disjoint(&ranges) {
        // Stable: of ranges alike the later one stays behind the earlier one.
        ranges.sort_by_key(|range| range.first);
        if !is_disjoint(&ranges) {
            return narrowest(&ranges);
        }
    }
    let mut merged = Merged::new(ranges.len());
    for range in ranges {
        merged.push(range);
    }
    merged.finish()
}

fn is_disjoint<A: Bound>(ranges: &[AsRange<A>]) -> bool {
    ranges.is_sorted_by(|one, next| one.last < next.first)
}

/// One sweep over sorted ranges. Those that have begun are in a heap, the narrowest on top.
fn narrowest<A: Bound>(ranges: &[AsRange<A>]) -> Vec<AsRange<A>> {
    let mut merged = Merged::new(ranges.len());
    let mut open = BinaryHeap::new();
    let mut coming = ranges.iter().enumerate().peekable();
    let mut at = coming.peek().map(|(_, range)| range.first);
    while let Some(here) = at {
        while let Some((index, range)) = coming.next_if(|(_, range)| range.first <= here) {
            open.push((Reverse(range.width()), index));
        }
        let top = loop {
            let range = open.peek().and_then(|(_, index)| ranges.get(*index));
            match range {
                Some(range) if range.last < here => drop(open.pop()),
                top => break top,
            }
        };
        let next = coming.peek().map(|(_, range)| range.first);
        let Some(top) = top else {
            at = next;
            continue;
        };
        let until = next.and_then(A::previous).unwrap_or(top.last);
        let last = top.last.min(until);
        merged.push(AsRange {
            first: here,
            last,
            ..*top
        });
        at = last.next();
        if open.is_empty() {
            at = next;
        }
    }
    merged.finish()
}

/// What `over` says and, where it says nothing, what `under` does; ASN and country apart. Both
/// sorted and disjoint.
pub(super) fn overlay<A: Bound>(over: Vec<AsRange<A>>, under: Vec<AsRange<A>>) -> Vec<AsRange<A>> {
    if over.is_empty() {
        return under;
    }
    if under.is_empty() {
        return over;
    }
    let mut merged = Merged::new(over.len() + under.len());
    let (mut over, mut under) = (over.iter().peekable(), under.iter().peekable());
    let firsts = [over.peek(), under.peek()];
    let mut at = firsts.into_iter().flatten().map(|range| range.first).min();
    while let Some(here) = at {
        while over.next_if(|range| range.last < here).is_some() {}
        while under.next_if(|range| range.last < here).is_some() {}
        let both = [over.peek().copied(), under.peek().copied()];
        let ends = both.iter().flatten().filter_map(|range| {
            if range.first <= here {
                Some(range.last)
            } else {
                range.first.previous()
            }
        });
        let Some(last) = ends.min() else {
            break;
        };
        let [over, under] = both.map(|range| range.filter(|range| range.first <= here));
        if over.is_some() || under.is_some() {
            merged.push(AsRange {
                first: here,
                last,
                asn: over
                    .and_then(|range| range.asn)
                    .or(under.and_then(|range| range.asn)),
                country: over
                    .and_then(|range| range.country)
                    .or(under.and_then(|range| range.country)),
            });
        }
        at = last.next();
    }
    merged.finish()
}

/// Ranges in order, neighbours that say the same made one.
struct Merged<A>(Vec<AsRange<A>>);

impl<A: Bound> Merged<A> {
    fn new(capacity: usize) -> Self {
        Self(Vec::with_capacity(capacity))
    }

    fn push(&mut self, range: AsRange<A>) {
        match self.0.last_mut() {
            Some(last) if last.continues_as(&range) => last.last = range.last,
            Some(_) | None => self.0.push(range),
        }
    }

    fn finish(mut self) -> Vec<AsRange<A>> {
        self.0.shrink_to_fit();
        self.0
    }
}
