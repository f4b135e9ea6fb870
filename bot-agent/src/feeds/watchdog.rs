//! The watchdog: takes notice when an update of a feed drops sources known to be good. Pure: time
//! comes in, and with it what was dropped, or would be in monitor mode.
//!
//! Sources that are dropped within a window after a swap are compared with those of a window before
//! it. Each swap is watched for itself and raises the alarm once at most. What is remembered has caps:
//! beyond them nothing new is noticed, which is long after any alarm.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::Arc,
    time::Duration,
};

use bot_common::address::Address;

use super::known_good::KnownGood;

/// Dropped sources that are remembered.
const REMEMBERED: usize = 65_536;
/// Swaps that are watched at once; with more the oldest is let go.
const SWAPS: usize = 16;
const SECOND_NS: u64 = 1_000_000_000;

/// When the alarm is raised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// How long is looked, before a swap and after it.
    pub window: Duration,
    /// More sources than this must be dropped, and more than twice as many as before.
    pub sources: usize,
}

/// Watches the swaps.
#[derive(Clone, Debug)]
pub struct Watchdog {
    limits: Limits,
    /// Sources known to be good that were dropped, and when last.
    dropped: BTreeMap<Address, u64>,
    /// When the old ones of those were let go.
    forgot_ns: u64,
    watched: VecDeque<Watched>,
}

/// A table that should come back.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct RollBack {
    /// The feeds that changed with the swap.
    pub feeds: Vec<Arc<str>>,
    /// The sources known to be good that were dropped since, in order of address.
    pub sources: Vec<Address>,
    /// Their packets.
    pub packets: u64,
    /// How many such sources were dropped in the window before.
    pub before: usize,
}

/// A swap.
#[derive(Clone, Debug)]
struct Watched {
    feeds: Vec<Arc<str>>,
    until_ns: u64,
    before: usize,
    since: BTreeSet<Address>,
    packets: u64,
}

impl Watchdog {
    /// Nothing was swapped yet.
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            dropped: BTreeMap::new(),
            forgot_ns: 0,
            watched: VecDeque::new(),
        }
    }

    /// A table took the place of another one, with these feeds changed. The first table of a run is
    /// no swap: there is none to go back to.
    pub fn swapped(&mut self, feeds: Vec<Arc<str>>, now_ns: u64) {
        self.forget(now_ns);
        if self.watched.len() == SWAPS {
            self.watched.pop_front();
        }
        self.watched.push_back(Watched {
            feeds,
            until_ns: now_ns.saturating_add(self.window_ns()),
            before: self.dropped.len(),
            since: BTreeSet::new(),
            packets: 0,
        });
    }

    /// Packets of a source were dropped because of a feed, or would have been. Says to go back when
    /// that makes too many sources known to be good.
    pub fn dropped(
        &mut self,
        address: Address,
        packets: u64,
        known_good: &KnownGood,
        now_ns: u64,
    ) -> Option<RollBack> {
        if packets == 0 || !known_good.contains(address) {
            return None;
        }
        self.remember(address, now_ns);
        self.watched.retain(|swap| now_ns < swap.until_ns);
        for swap in &mut self.watched {
            swap.since.insert(address);
            swap.packets = swap.packets.saturating_add(packets);
        }
        let limit = self.limits.sources;
        let alarming = |swap: &Watched| swap.since.len() > limit.max(swap.before * 2);
        // Of several the last: what an earlier one did would have raised its alarm earlier.
        let at = self.watched.iter().rposition(alarming)?;
        let swap = self.watched.remove(at)?;
        Some(RollBack {
            feeds: swap.feeds,
            sources: swap.since.into_iter().collect(),
            packets: swap.packets,
            before: swap.before,
        })
    }

    /// Nothing is watched any more: the table before came back.
    pub fn rolled_back(&mut self) {
        self.watched.clear();
    }

    fn remember(&mut self, address: Address, now_ns: u64) {
        if let Some(at_ns) = self.dropped.get_mut(&address) {
            *at_ns = now_ns;
            return;
        }
        // Going through all of them for each new one would cost more than they are worth.
        let may_forget = now_ns.saturating_sub(self.forgot_ns) >= SECOND_NS;
        if self.dropped.len() >= REMEMBERED && may_forget {
            self.forget(now_ns);
        }
        if self.dropped.len() < REMEMBERED {
            self.dropped.insert(address, now_ns);
        }
    }

    /// Forgets drops from before the window.
    fn forget(&mut self, now_ns: u64) {
        self.forgot_ns = now_ns;
        let window_ns = self.window_ns();
        let is_recent = |at_ns: u64| now_ns.saturating_sub(at_ns) <= window_ns;
        self.dropped.retain(|_, at_ns| is_recent(*at_ns));
    }

    fn window_ns(&self) -> u64 {
        u64::try_from(self.limits.window.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            window: Duration::from_mins(2),
            sources: 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn address(last: u8) -> Address {
        Address::from_v4([192, 0, 2, last])
    }

    /// Everybody from .1 to .100 is known to be good.
    fn known_good() -> KnownGood {
        let mut known = KnownGood::default();
        (1..=100).for_each(|last| known.saw(address(last), 1, 0));
        known
    }

    fn watchdog() -> Watchdog {
        Watchdog::new(Limits::default())
    }

    fn feeds(name: &str) -> Vec<Arc<str>> {
        vec![name.into()]
    }

    /// One packet of each source, one after another, all at a second; the alarms.
    fn drop_all(
        watchdog: &mut Watchdog,
        sources: impl IntoIterator<Item = u8>,
        second: u64,
    ) -> Vec<RollBack> {
        let known = known_good();
        let drop = |last| watchdog.dropped(address(last), 1, &known, second * SECOND);
        sources.into_iter().filter_map(drop).collect()
    }

    #[test]
    fn more_than_five_sources_raise_the_alarm_once() {
        let mut watchdog = watchdog();
        watchdog.swapped(feeds("a"), 0);
        assert_eq!(drop_all(&mut watchdog, [1, 2, 3, 4, 5, 5, 5, 1], 1), []);
        let alarms = drop_all(&mut watchdog, 6..=100, 119);
        let expected = RollBack {
            feeds: feeds("a"),
            sources: (1..=6).map(address).collect(),
            packets: 9,
            before: 0,
        };
        assert_eq!(alarms, [expected]);
    }

    #[test]
    fn strangers_and_nothing_do_not_count() {
        let mut watchdog = watchdog();
        watchdog.swapped(feeds("a"), 0);
        assert_eq!(drop_all(&mut watchdog, 101..=200, 1), []);
        let known = known_good();
        assert!((1..=100).all(|last| watchdog.dropped(address(last), 0, &known, 1).is_none()));
    }

    #[test]
    fn what_was_dropped_before_as_well_is_no_news() {
        let mut watchdog = watchdog();
        drop_all(&mut watchdog, 1..=10, 100);
        watchdog.swapped(feeds("a"), 200 * SECOND);
        assert_eq!(drop_all(&mut watchdog, 1..=20, 201), []);
        let alarms = drop_all(&mut watchdog, 21..=21, 202);
        assert_eq!(
            (alarms.len(), alarms[0].before, alarms[0].sources.len()),
            (1, 10, 21)
        );
    }

    #[test]
    fn what_was_dropped_long_before_does_not_excuse() {
        let mut watchdog = watchdog();
        drop_all(&mut watchdog, 1..=10, 100);
        watchdog.swapped(feeds("a"), 221 * SECOND);
        assert_eq!(drop_all(&mut watchdog, 1..=6, 222)[0].before, 0);
    }

    #[test]
    fn after_the_window_a_swap_is_no_longer_watched() {
        let mut watchdog = watchdog();
        watchdog.swapped(feeds("a"), 0);
        assert_eq!(drop_all(&mut watchdog, 1..=5, 119), []);
        assert_eq!(drop_all(&mut watchdog, 6..=100, 120), []);
        assert!(watchdog.watched.is_empty());
    }

    #[test]
    fn without_a_swap_there_is_no_alarm() {
        assert_eq!(drop_all(&mut watchdog(), 1..=100, 1), []);
    }

    #[test]
    fn of_two_swaps_the_later_is_blamed_for_what_came_after_both() {
        let mut watchdog = watchdog();
        watchdog.swapped(feeds("a"), 0);
        watchdog.swapped(feeds("b"), 10 * SECOND);
        let alarms = drop_all(&mut watchdog, 1..=6, 11);
        assert_eq!((alarms.len(), &alarms[0].feeds), (1, &feeds("b")));
    }

    #[test]
    fn an_earlier_swap_is_blamed_for_what_came_before_the_later() {
        let mut watchdog = watchdog();
        watchdog.swapped(feeds("a"), 0);
        drop_all(&mut watchdog, 1..=4, 1);
        watchdog.swapped(feeds("b"), 10 * SECOND);
        let alarms = drop_all(&mut watchdog, 5..=6, 11);
        assert_eq!((alarms.len(), &alarms[0].feeds), (1, &feeds("a")));
    }

    #[test]
    fn a_swap_that_is_over_is_not_blamed() {
        let mut watchdog = watchdog();
        watchdog.swapped(feeds("a"), 0);
        drop_all(&mut watchdog, 1..=5, 1);
        watchdog.swapped(feeds("b"), 118 * SECOND);
        assert_eq!(drop_all(&mut watchdog, 6..=10, 121), []);
        let alarms = drop_all(&mut watchdog, 11..=16, 122);
        assert_eq!((alarms.len(), &alarms[0].feeds), (1, &feeds("b")));
        assert_eq!(alarms[0].before, 5);
    }

    #[test]
    fn after_going_back_nothing_is_watched() {
        let mut watchdog = watchdog();
        watchdog.swapped(feeds("a"), 0);
        watchdog.swapped(feeds("b"), 1);
        watchdog.rolled_back();
        assert_eq!(drop_all(&mut watchdog, 1..=100, 1), []);
    }

    #[test]
    fn what_is_remembered_has_caps() {
        let mut watchdog = watchdog();
        let mut known = KnownGood::new(usize::MAX);
        let address = |n: u32| Address::from_v4(n.to_be_bytes());
        (0..70_000).for_each(|n| known.saw(address(n), 1, 0));
        for n in 0..70_000 {
            watchdog.dropped(address(n), 1, &known, 1);
        }
        assert_eq!(watchdog.dropped.len(), REMEMBERED);
        (0..100).for_each(|_| watchdog.swapped(feeds("a"), 2));
        assert_eq!(watchdog.watched.len(), SWAPS);
        let late = 1000 * SECOND;
        watchdog.dropped(address(69_999), 1, &known, late);
        assert!(watchdog.dropped.keys().eq([&address(69_999)]));
    }
}
