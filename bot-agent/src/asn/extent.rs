//! The addresses of an ASN or a country: an index that is built once, and what it finds.

use super::range::{AsRange, Bound};

/// Positions in a list of ranges, ordered by what the ranges say.
#[derive(Debug)]
pub(super) struct Index(Box<[u32]>);

impl Index {
    /// The index of `ranges` by `key`; ranges without one are left out.
    pub(super) fn new<A, K: Ord>(
        ranges: &[AsRange<A>],
        key: impl Fn(&AsRange<A>) -> Option<K>,
    ) -> Self {
        let keyed = ranges.iter().zip(0u32..);
        let mut keyed: Vec<(K, u32)> = keyed
            .filter_map(|(range, place)| Some((key(range)?, place)))
            .collect();
        keyed.sort_unstable();
        Self(keyed.into_iter().map(|(_, place)| place).collect())
    }

    /// The ranges with this key, in order. `ranges` and `key` are those of [`Self::new`].
    pub(super) fn of<'a, A, K: Ord>(
        &'a self,
        ranges: &'a [AsRange<A>],
        key: impl Fn(&AsRange<A>) -> Option<K>,
        wanted: &K,
    ) -> Part<'a, A> {
        let key = |place: &u32| ranges.get(*place as usize).and_then(&key);
        let start = self
            .0
            .partition_point(|place| key(place).as_ref() < Some(wanted));
        let rest = self.0.get(start..).unwrap_or_default();
        let count = rest.partition_point(|place| key(place).as_ref() == Some(wanted));
        Part {
            ranges,
            places: rest.get(..count).unwrap_or_default(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.0)
    }
}

/// All that a database has of an ASN or a country, in order of address; maybe nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extent<'a> {
    pub(super) v4: Part<'a, u32>,
    pub(super) v6: Part<'a, u128>,
}

/// One family of an [`Extent`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Part<'a, A> {
    pub(super) ranges: &'a [AsRange<A>],
    pub(super) places: &'a [u32],
}

/// How much an [`Extent`] is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Reach {
    /// The fewest IPv4 prefixes that cover it.
    pub prefixes_v4: u64,
    /// The fewest IPv6 prefixes that cover it.
    pub prefixes_v6: u64,
    /// IPv4 addresses.
    pub addresses_v4: u128,
    /// IPv6 addresses; saturates.
    pub addresses_v6: u128,
}

impl<'a> Extent<'a> {
    /// IPv4 ranges, disjoint and in order; first and last address.
    pub fn v4(self) -> impl Iterator<Item = (u32, u32)> + 'a {
        self.v4.spans()
    }

    /// IPv6 ranges, disjoint and in order; first and last address.
    pub fn v6(self) -> impl Iterator<Item = (u128, u128)> + 'a {
        self.v6.spans()
    }

    /// Whether the database has no address of it.
    pub fn is_empty(self) -> bool {
        self.v4.places.is_empty() && self.v6.places.is_empty()
    }

    /// How much it is.
    pub fn reach(self) -> Reach {
        let mut reach = Reach::default();
        for (first, last) in self.v4() {
            reach.prefixes_v4 += first.prefixes(last);
            reach.addresses_v4 += first.up_to(last);
        }
        for (first, last) in self.v6() {
            reach.prefixes_v6 += first.prefixes(last);
            reach.addresses_v6 = reach.addresses_v6.saturating_add(first.up_to(last));
        }
        reach
    }
}

impl<'a, A: Bound> Part<'a, A> {
    /// The ranges, neighbours made one.
    fn spans(self) -> impl Iterator<Item = (A, A)> + 'a {
        let ranges = self.places.iter();
        let mut ranges = ranges
            .filter_map(move |place| self.ranges.get(*place as usize))
            .peekable();
        std::iter::from_fn(move || {
            let AsRange {
                first, mut last, ..
            } = *ranges.next()?;
            while let Some(next) = ranges.next_if(|next| last.next() == Some(next.first)) {
                last = next.last;
            }
            Some((first, last))
        })
    }
}
