//! Sources known to be good: those that completed connections in this run. Pure: time comes in.
//!
//! Who calls leaves out own addresses, loopback and what is blocked at the moment. The number of
//! sources has a cap; at the cap the one that was not seen for longest goes.

use std::collections::{BTreeMap, BTreeSet};

use bot_common::address::Address;

/// Sources that are kept unless something else is said.
pub const CAPACITY: usize = 65_536;

/// The sources.
#[derive(Clone, Debug)]
pub struct KnownGood {
    capacity: usize,
    sources: BTreeMap<Address, Seen>,
    /// By when they were seen last.
    order: BTreeSet<(u64, Address)>,
}

/// When a source was seen; times are of one monotonic clock, nanoseconds.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Seen {
    /// For the first time.
    pub first_ns: u64,
    /// For the last time.
    pub last_ns: u64,
    /// The most connections that it had at once.
    pub connections: u32,
}

impl KnownGood {
    /// Nobody is known; no more than `capacity` will be.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            sources: BTreeMap::new(),
            order: BTreeSet::new(),
        }
    }

    /// Takes note of a source that has so many completed connections at `now_ns`.
    pub fn saw(&mut self, address: Address, connections: u32, now_ns: u64) {
        let seen = self.sources.entry(address).or_insert(Seen {
            first_ns: now_ns,
            last_ns: now_ns,
            connections,
        });
        self.order.remove(&(seen.last_ns, address));
        seen.last_ns = seen.last_ns.max(now_ns);
        seen.connections = seen.connections.max(connections);
        self.order.insert((seen.last_ns, address));
        if self.sources.len() > self.capacity
            && let Some((_, oldest)) = self.order.pop_first()
        {
            self.sources.remove(&oldest);
        }
    }

    /// Whether a source is known.
    pub fn contains(&self, address: Address) -> bool {
        self.sources.contains_key(&address)
    }

    /// When a source was seen.
    pub fn get(&self, address: Address) -> Option<&Seen> {
        self.sources.get(&address)
    }

    /// All of them, in order of address.
    pub fn iter(&self) -> impl Iterator<Item = (Address, &Seen)> {
        self.sources.iter().map(|(address, seen)| (*address, seen))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.sources.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty()
    }
}

impl Default for KnownGood {
    fn default() -> Self {
        Self::new(CAPACITY)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn address(last: u8) -> Address {
        Address::from_v4([192, 0, 2, last])
    }

    #[test]
    fn a_source_is_remembered_with_its_times() {
        let mut known = KnownGood::default();
        known.saw(address(1), 2, 10);
        known.saw(address(1), 5, 20);
        known.saw(address(1), 1, 30);
        let seen = Seen {
            first_ns: 10,
            last_ns: 30,
            connections: 5,
        };
        assert_eq!(known.get(address(1)), Some(&seen));
        assert!(known.contains(address(1)) && !known.contains(address(2)));
        assert_eq!(known.iter().collect::<Vec<_>>(), [(address(1), &seen)]);
    }

    #[test]
    fn at_the_cap_the_one_goes_that_was_not_seen_for_longest() {
        let mut known = KnownGood::new(3);
        for last in 1..=3 {
            known.saw(address(last), 1, u64::from(last));
        }
        known.saw(address(1), 1, 10);
        known.saw(address(4), 1, 11);
        let left: Vec<Address> = known.iter().map(|(address, _)| address).collect();
        assert_eq!(left, [1, 3, 4].map(address));
    }

    proptest! {
        #[test]
        fn it_never_outgrows_its_cap_and_keeps_those_seen_last(
            seen in prop::collection::vec((any::<u8>(), 0..50_u64), 1..200),
            capacity in 1..20_usize,
        ) {
            let mut known = KnownGood::new(capacity);
            let mut now = 0;
            for (last, later) in &seen {
                now += later + 1;
                known.saw(address(*last), 1, now);
                prop_assert!(known.len() <= capacity);
                prop_assert_eq!(known.order.len(), known.len());
            }
            let mut recent: Vec<u8> = Vec::new();
            for (last, _) in seen.iter().rev() {
                if recent.len() < capacity && !recent.contains(last) {
                    recent.push(*last);
                }
            }
            recent.sort_unstable();
            prop_assert!(known.iter().map(|(at, _)| at).eq(recent.into_iter().map(address)));
        }
    }
}
