//! Ranges: what a table says, as sorted lists.

use std::borrow::Cow;

use bot_common::{
    abi::verdict::VerdictId,
    address::{Address, MAPPED_BITS},
};

use super::{
    build,
    row::{self, Run},
};
use crate::rules::prefix::Prefix;

/// Addresses from `first` to `last`, both included, and their verdict.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range<A> {
    /// First address.
    pub first: A,
    /// Last address.
    pub last: A,
    /// The verdict.
    pub id: VerdictId,
}

/// Everything a table says, or a region of it: sorted, disjoint, no id is [`VerdictId::NONE`],
/// ranges that touch have different ids.
///
/// IPv4 addresses are in `v4` only; what `v6` says about `::ffff:0:0/96` no lookup ever reads.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ranges {
    /// IPv4.
    pub v4: Vec<Range<u32>>,
    /// IPv6.
    pub v6: Vec<Range<u128>>,
}

/// An address of either family as a number.
pub(super) trait Number: Copy + Ord {
    /// The next address; `None` after the last.
    fn next(self) -> Option<Self>;
    /// The address before; `None` before the first.
    fn previous(self) -> Option<Self>;
}

impl Number for u32 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Number for u128 {
    fn next(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn previous(self) -> Option<Self> {
        self.checked_sub(1)
    }
}

impl Ranges {
    /// The verdict of an address, by search.
    pub fn get(&self, address: &Address) -> VerdictId {
        match v4(address) {
            Some(number) => find(&self.v4, number),
            None => find(&self.v6, u128::from_be_bytes(address.octets())),
        }
    }

    /// What lies in a region, cut to it.
    pub fn within(&self, region: Prefix) -> Self {
        match Region::of(region) {
            Region::V4(first, last) => Self {
                v4: clip(&self.v4, first, last).collect(),
                v6: Vec::new(),
            },
            Region::V6(first, last) => Self {
                v4: Vec::new(),
                v6: clip(&self.v6, first, last).collect(),
            },
        }
    }
}

fn find<A: Number>(ranges: &[Range<A>], address: A) -> VerdictId {
    let after = ranges.partition_point(|range| range.first <= address);
    match after.checked_sub(1).and_then(|at| ranges.get(at)) {
        Some(range) if address <= range.last => range.id,
        _ => VerdictId::NONE,
    }
}

/// An IPv4 address as a number; `None` for IPv6.
fn v4(address: &Address) -> Option<u32> {
    let number = u128::from_be_bytes(address.octets());
    address
        .is_v4()
        .then_some(u32::try_from(number & 0xffff_ffff).ok()?)
}

/// The last 64 bits of an address.
#[allow(
    clippy::cast_possible_truncation,
    reason = "the first 64 bits are to be cut off"
)]
pub(super) const fn low(address: u128) -> u64 {
    address as u64
}

/// The 16 bits of an address that have `below` bits after them.
pub(super) const fn key(address: u128, below: u32) -> u64 {
    low(address >> below) & 0xffff
}

/// The addresses of a prefix: first and last.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Region {
    V4(u32, u32),
    V6(u128, u128),
}

impl Region {
    pub(super) fn of(prefix: Prefix) -> Self {
        let address = prefix.address();
        if prefix.is_v4()
            && let Some(first) = v4(&address)
        {
            let beyond = u32::from(prefix.bits() - MAPPED_BITS);
            let mask = u32::MAX.checked_shr(beyond).unwrap_or(0);
            return Self::V4(first & !mask, first | mask);
        }
        let first = u128::from_be_bytes(address.octets());
        let mask = u128::MAX.checked_shr(prefix.bits().into()).unwrap_or(0);
        Self::V6(first & !mask, first | mask)
    }
}

/// The ranges that intersect `first..=last`, as they are.
pub(super) fn intersecting<A: Number>(ranges: &[Range<A>], first: A, last: A) -> &[Range<A>] {
    let from = ranges.partition_point(|range| range.last < first);
    let to = ranges.partition_point(|range| range.first <= last);
    ranges.get(from..to).unwrap_or_default()
}

/// The ranges that intersect `first..=last`, cut to it.
pub(super) fn clip<A: Number>(
    ranges: &[Range<A>],
    first: A,
    last: A,
) -> impl Iterator<Item = Range<A>> {
    intersecting(ranges, first, last)
        .iter()
        .map(move |range| Range {
            first: range.first.max(first),
            last: range.last.min(last),
            id: range.id,
        })
}

/// Adds a range behind all others; joins it to the last one where both touch and agree.
pub(super) fn push<A: Number>(ranges: &mut Vec<Range<A>>, range: Range<A>) {
    if range.id == VerdictId::NONE {
        return;
    }
    if let Some(last) = ranges.last_mut()
        && last.id == range.id
        && last.last.next() == Some(range.first)
    {
        last.last = range.last;
        return;
    }
    ranges.push(range);
}

/// `old` with `first..=last` replaced by `new`, which lies within.
pub(super) fn splice<A: Number>(
    old: &[Range<A>],
    first: A,
    last: A,
    new: impl Iterator<Item = Range<A>>,
) -> Vec<Range<A>> {
    let mut all = Vec::new();
    if let Some(before) = first.previous() {
        for range in old.iter().filter(|range| range.first < first) {
            let last = range.last.min(before);
            push(&mut all, Range { last, ..*range });
        }
    }
    for range in new {
        push(&mut all, range);
    }
    if let Some(after) = last.next() {
        for range in old.iter().filter(|range| range.last > last) {
            let first = range.first.max(after);
            push(&mut all, Range { first, ..*range });
        }
    }
    all
}

/// The ranges as they should be: in order, disjoint, with ids. What is not is left out.
pub(super) fn tidy<A: Number>(ranges: &[Range<A>]) -> Cow<'_, [Range<A>]> {
    let is_tidy = ranges.iter().all(is_some)
        && ranges
            .windows(2)
            .all(|pair| matches!(pair, [one, other] if one.last < other.first));
    if is_tidy {
        return Cow::Borrowed(ranges);
    }
    let mut tidy: Vec<Range<A>> = Vec::new();
    for range in ranges.iter().filter(|range| is_some(range)) {
        let end = tidy.last().map(|last| last.last);
        let first = match end.map(|end| (end, end.next())) {
            Some((end, next)) if range.first <= end => next,
            _ => Some(range.first),
        };
        if let Some(first) = first.filter(|first| *first <= range.last) {
            push(&mut tidy, Range { first, ..*range });
        }
    }
    Cow::Owned(tidy)
}

fn is_some<A: Number>(range: &Range<A>) -> bool {
    range.first <= range.last && range.id != VerdictId::NONE
}

/// The runs of a /16 of IPv4 by ranges that intersect it.
pub(super) fn runs_v4(
    runs: &mut Vec<Run<u16>>,
    ranges: impl Iterator<Item = Range<u32>>,
    index: u32,
) {
    runs.clear();
    let mut next = 0;
    for range in ranges {
        let (first, last) = cut(
            range.first.into(),
            range.last.into(),
            u64::from(index) << 16,
        );
        if next < first {
            row::push(runs, next, 0);
        }
        row::push(runs, first, build::id(&range));
        next = last + 1;
    }
    if next <= 0xffff {
        row::push(runs, next, 0);
    }
}

/// The keys of `first..=last` that lie in the /16 from `start` on.
pub(super) fn cut(first: u64, last: u64, start: u64) -> (u64, u64) {
    (first.max(start) & 0xffff, last.min(start | 0xffff) & 0xffff)
}
