//! Sets of addresses as ranges: how many they are, and how many two of them share.

use std::net::IpAddr;

use super::{extent::Extent, range::Bound};
use crate::rules::prefix::Prefix;

/// A set of addresses of both families. In order and disjoint once [`Spans::of`] has made it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Spans {
    v4: Vec<(u32, u32)>,
    v6: Vec<(u128, u128)>,
}

impl Spans {
    /// The addresses in any of the prefixes and extents.
    pub fn of<'a>(
        prefixes: impl IntoIterator<Item = Prefix>,
        extents: impl IntoIterator<Item = Extent<'a>>,
    ) -> Self {
        let mut spans = Self::default();
        for prefix in prefixes {
            spans.add(prefix);
        }
        for extent in extents {
            spans.v4.extend(extent.v4());
            spans.v6.extend(extent.v6());
        }
        Self {
            v4: disjoint(spans.v4),
            v6: disjoint(spans.v6),
        }
    }

    /// How many addresses it has; saturates.
    pub fn addresses(&self) -> u128 {
        self.addresses_v4().saturating_add(self.addresses_v6())
    }

    /// How many of IPv4.
    pub fn addresses_v4(&self) -> u128 {
        count(&self.v4)
    }

    /// How many of IPv6; saturates.
    pub fn addresses_v6(&self) -> u128 {
        count(&self.v6)
    }

    /// The addresses that are in both.
    #[must_use]
    pub fn common(&self, other: &Self) -> Self {
        Self {
            v4: common(&self.v4, &other.v4),
            v6: common(&self.v6, &other.v6),
        }
    }

    /// The addresses that are in one of them at least.
    #[must_use]
    pub fn union(mut self, other: Self) -> Self {
        self.v4.extend(other.v4);
        self.v6.extend(other.v6);
        Self {
            v4: disjoint(self.v4),
            v6: disjoint(self.v6),
        }
    }

    /// Whether any address of `prefix` is in it.
    pub fn meets(&self, prefix: Prefix) -> bool {
        let mut one = Self::default();
        one.add(prefix);
        one.v4.iter().any(|span| meets(&self.v4, *span))
            || one.v6.iter().any(|span| meets(&self.v6, *span))
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }

    fn add(&mut self, prefix: Prefix) {
        let rest = prefix.size().saturating_sub(1);
        match prefix.address().to_ip() {
            IpAddr::V4(ip) if prefix.is_v4() => {
                let first = u32::from(ip);
                let rest = u32::try_from(rest).unwrap_or(u32::MAX);
                self.v4.push((first, first.saturating_add(rest)));
            }
            IpAddr::V4(_) | IpAddr::V6(_) => {
                let first = u128::from_be_bytes(prefix.address().octets());
                self.v6.push((first, first.saturating_add(rest)));
            }
        }
    }
}

fn disjoint<A: Bound>(mut spans: Vec<(A, A)>) -> Vec<(A, A)> {
    spans.sort_unstable();
    spans.dedup_by(|next, span| {
        let meets = span.1.next().is_none_or(|behind| next.0 <= behind);
        if meets {
            span.1 = span.1.max(next.1);
        }
        meets
    });
    spans
}

fn count<A: Bound>(spans: &[(A, A)]) -> u128 {
    let sizes = spans.iter().map(|(first, last)| first.up_to(*last));
    sizes.fold(0, u128::saturating_add)
}

fn meets<A: Bound>(spans: &[(A, A)], (first, last): (A, A)) -> bool {
    let next = spans.partition_point(|span| span.1 < first);
    spans.get(next).is_some_and(|span| span.0 <= last)
}

fn common<A: Bound>(one: &[(A, A)], other: &[(A, A)]) -> Vec<(A, A)> {
    let mut both = Vec::new();
    let (mut one, mut other) = (one.iter().peekable(), other.iter().peekable());
    while let (Some(a), Some(b)) = (one.peek(), other.peek()) {
        let (first, last) = (a.0.max(b.0), a.1.min(b.1));
        if first <= last {
            both.push((first, last));
        }
        if a.1 < b.1 {
            one.next();
        } else {
            other.next();
        }
    }
    both
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn spans(texts: &[&str]) -> Spans {
        Spans::of(texts.iter().map(|text| text.parse().unwrap()), [])
    }

    #[test]
    fn families_stay_apart() {
        let all = spans(&["::/0", "0.0.0.0/0"]);
        assert_eq!(all.addresses(), u128::MAX);
        let hosts = spans(&["192.0.2.1", "2001:db8::1"]);
        assert_eq!(all.common(&hosts), hosts);
        assert_eq!(spans(&["::/0"]).common(&hosts).addresses(), 1);
        assert!(spans(&["10.0.0.0/8"]).common(&hosts).is_empty());
    }

    #[test]
    fn what_overlaps_or_touches_is_counted_once() {
        let set = spans(&["10.0.0.0/31", "10.0.0.0/30", "10.0.0.4", "10.0.0.6"]);
        assert_eq!((set.addresses(), set.v4.len()), (6, 2));
        let edge = spans(&["255.255.255.255", "255.255.255.254/31"]);
        assert_eq!((edge.addresses(), edge.v4.len()), (2, 1));
    }

    fn any_spans() -> impl Strategy<Value = Vec<(u32, u32)>> {
        proptest::collection::vec((0u32..50, 0u32..50), 0..8)
            .prop_map(|pairs| disjoint(pairs.iter().map(|(a, b)| (*a.min(b), *a.max(b))).collect()))
    }

    proptest! {
        #[test]
        fn common_is_what_is_in_both(one in any_spans(), other in any_spans()) {
            let within = |spans: &[(u32, u32)], at: u32| {
                spans.iter().any(|(first, last)| (*first..=*last).contains(&at))
            };
            let both = common(&one, &other);
            prop_assert!(both.is_sorted_by(|a, b| a.1 < b.0));
            let sets = [&one, &other].map(|v4| Spans { v4: v4.clone(), v6: Vec::new() });
            let [any, second] = sets;
            let any = any.union(second).v4;
            prop_assert!(any.is_sorted_by(|a, b| a.1 + 1 < b.0));
            for at in 0..51 {
                prop_assert_eq!(within(&both, at), within(&one, at) && within(&other, at));
                prop_assert_eq!(within(&any, at), within(&one, at) || within(&other, at));
                prop_assert_eq!(within(&one, at), meets(&one, (at, at)));
            }
            let met = other.iter().any(|span| meets(&one, *span));
            prop_assert_eq!(met, !both.is_empty());
        }
    }
}
