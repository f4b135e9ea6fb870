//! The addresses that rules block, as disjoint intervals in order.
//!
//! Prefixes either contain one another or are apart. So one walk in their order, with what applies
//! inside each of those around the current place on a stack, meets every address once.

use std::net::IpAddr;

use ipnet::IpNet;

use crate::rules::{
    prefix::Prefix,
    rule::{RuleAction, Scope},
    subject::Subject,
};

/// What ends never.
const NEVER: u64 = u64::MAX;

/// A rule, as far as sets know of such things.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Item {
    /// What it is about.
    pub subject: Subject,
    /// Allow or block.
    pub action: RuleAction,
    /// Which packets a block covers.
    pub scope: Scope,
    /// A block that only counts.
    pub monitor: bool,
    /// A block that beats protection.
    pub forced: bool,
    /// An allow of the agent itself, which a forced block beats.
    pub protected: bool,
    /// Seconds left; nothing: it does not end.
    pub seconds: Option<u64>,
}

/// What is blocked.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sets {
    /// IPv4.
    pub v4: Family,
    /// IPv6.
    pub v6: Family,
    /// What the intervals do not say.
    pub left_out: LeftOut,
}

/// The intervals of a family, each kind in order and disjoint. Neighbours that end together are one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Family {
    /// Of which every packet is dropped.
    pub all: Vec<Interval>,
    /// Of which packets to served ports are dropped; what `all` says as long is not repeated.
    pub services: Vec<Interval>,
}

/// Addresses that are blocked for the same time. An IPv4 address is its 32 bits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Interval {
    /// First address.
    pub first: u128,
    /// Last address, included.
    pub last: u128,
    /// Seconds left; nothing: it does not end.
    pub seconds: Option<u64>,
}

/// Rules of which sets say less than everything, or nothing.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct LeftOut {
    /// Blocks that end.
    pub timed: usize,
    /// Blocks that only count.
    pub monitor: usize,
    /// Rules about ASNs and countries.
    pub named: usize,
    /// Exemptions that end.
    pub passing: usize,
    /// Blocks that are forced.
    pub forced: usize,
}

impl Sets {
    /// The sets of `items`, in any order.
    pub fn of(items: impl IntoIterator<Item = Item>) -> Self {
        let mut sets = Self::default();
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for item in items {
            let Some(prefix) = item.subject.prefix() else {
                sets.left_out.named += 1;
                continue;
            };
            match item.action {
                RuleAction::Block if item.monitor => {
                    sets.left_out.monitor += 1;
                    continue;
                }
                RuleAction::Block => {
                    sets.left_out.timed += usize::from(item.seconds.is_some());
                    sets.left_out.forced += usize::from(item.forced);
                }
                RuleAction::Allow => {
                    sets.left_out.passing += usize::from(item.seconds.is_some());
                }
            }
            let family = if prefix.is_v4() { &mut v4 } else { &mut v6 };
            family.push((span(prefix), Inside::of(&item)));
        }
        sets.v4 = Family::of(v4);
        sets.v6 = Family::of(v6);
        sets
    }
}

/// First and last address of a prefix. Sorts before all that it contains.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Span {
    first: u128,
    /// The complement of the last address, so that of two that begin together the wider is first.
    inverse_last: u128,
}

impl Span {
    fn last(self) -> u128 {
        !self.inverse_last
    }
}

fn span(prefix: Prefix) -> Span {
    let (first, last) = match prefix.to_net() {
        IpNet::V4(net) => (
            u128::from(u32::from(net.network())),
            u128::from(u32::from(net.broadcast())),
        ),
        IpNet::V6(net) => (u128::from(net.network()), u128::from(net.broadcast())),
    };
    Span {
        first,
        inverse_last: !last,
    }
}

/// What applies to an address: the end of the longest of each kind; `None` where there is none.
#[derive(Clone, Copy, Debug, Default)]
struct Inside {
    allowed: bool,
    protected: bool,
    all: Option<u64>,
    forced_all: Option<u64>,
    services: Option<u64>,
    forced_services: Option<u64>,
}

impl Inside {
    fn of(item: &Item) -> Self {
        let ends = Some(item.seconds.unwrap_or(NEVER));
        let mut inside = Self::default();
        match (item.action, item.scope, item.forced) {
            (RuleAction::Allow, ..) if item.protected => inside.protected = true,
            (RuleAction::Allow, ..) => inside.allowed = true,
            (RuleAction::Block, Scope::All, false) => inside.all = ends,
            (RuleAction::Block, Scope::All, true) => inside.forced_all = ends,
            (RuleAction::Block, Scope::Services, false) => inside.services = ends,
            (RuleAction::Block, Scope::Services, true) => inside.forced_services = ends,
        }
        inside
    }

    /// `None`, none at all, is less than any end.
    fn and(self, other: Self) -> Self {
        Self {
            allowed: self.allowed || other.allowed,
            protected: self.protected || other.protected,
            all: self.all.max(other.all),
            forced_all: self.forced_all.max(other.forced_all),
            services: self.services.max(other.services),
            forced_services: self.forced_services.max(other.forced_services),
        }
    }

    /// Until when every packet is dropped, and until when those to services.
    fn blocked(self) -> (Option<u64>, Option<u64>) {
        if self.allowed {
            return (None, None);
        }
        let unforced = |ends: Option<u64>| ends.filter(|_| !self.protected);
        let all = self.forced_all.max(unforced(self.all));
        let services = self.forced_services.max(unforced(self.services));
        (all, services.filter(|_| services > all))
    }
}

impl Family {
    fn of(mut items: Vec<(Span, Inside)>) -> Self {
        items.sort_unstable_by_key(|(span, _)| *span);
        let mut walk = Walk::default();
        for (span, inside) in items {
            walk.leave_before(span.first);
            walk.reach(span.first);
            let around = walk
                .around
                .last()
                .map_or(Inside::default(), |(_, inside)| *inside);
            walk.around.push((span.last(), around.and(inside)));
        }
        walk.leave_all();
        walk.found
    }
}

/// Where the walk is, and what it has found.
#[derive(Debug, Default)]
struct Walk {
    found: Family,
    /// Last addresses of the prefixes around the place, and what applies inside; the widest first.
    around: Vec<(u128, Inside)>,
    /// The first address that is not told of yet; nothing: all of them are.
    place: Option<u128>,
}

impl Walk {
    fn leave_before(&mut self, first: u128) {
        while let Some((last, inside)) = self
            .around
            .last()
            .copied()
            .filter(|(last, _)| *last < first)
        {
            self.tell(last, inside);
            self.around.pop();
        }
    }

    fn leave_all(&mut self) {
        while let Some((last, inside)) = self.around.last().copied() {
            self.tell(last, inside);
            self.around.pop();
        }
    }

    /// Tells of what lies before `first`, and goes there.
    fn reach(&mut self, first: u128) {
        if let (Some(before), Some((_, inside))) =
            (first.checked_sub(1), self.around.last().copied())
        {
            self.tell(before, inside);
        }
        self.place = Some(first);
    }

    /// Tells that `inside` applies up to `last`.
    fn tell(&mut self, last: u128, inside: Inside) {
        let Some(first) = self.place.filter(|first| *first <= last) else {
            return;
        };
        let (all, services) = inside.blocked();
        push(&mut self.found.all, first, last, all);
        push(&mut self.found.services, first, last, services);
        self.place = last.checked_add(1);
    }
}

fn push(intervals: &mut Vec<Interval>, first: u128, last: u128, ends: Option<u64>) {
    let Some(ends) = ends else {
        return;
    };
    let seconds = Some(ends).filter(|ends| *ends != NEVER);
    match intervals.last_mut() {
        Some(before) if before.last.checked_add(1) == Some(first) && before.seconds == seconds => {
            before.last = last;
        }
        _ => intervals.push(Interval {
            first,
            last,
            seconds,
        }),
    }
}

impl Interval {
    /// The fewest aligned blocks that are exactly this, as first address and bits behind the prefix:
    /// 0 for a single address. `bits` is the family's length.
    pub fn blocks(self, bits: u32) -> impl Iterator<Item = (u128, u32)> {
        let mut next = Some(self.first);
        std::iter::from_fn(move || {
            let first = next.filter(|first| *first <= self.last)?;
            let aligned = first.trailing_zeros().min(bits);
            let left = self.last - first;
            // The most addresses that are left, as a power of two.
            let fitting = match left.checked_add(1) {
                Some(count) => count.ilog2(),
                None => 128,
            };
            let size = aligned.min(fitting);
            next = 1u128
                .checked_shl(size)
                .and_then(|size| first.checked_add(size));
            Some((first, size))
        })
    }
}

/// An address of a family, from its bits.
pub(super) fn address(bits: u128, is_v4: bool) -> IpAddr {
    match u32::try_from(bits) {
        Ok(bits) if is_v4 => IpAddr::V4(bits.into()),
        Ok(_) | Err(_) => IpAddr::V6(bits.into()),
    }
}

#[cfg(test)]
#[path = "sets_tests.rs"]
mod tests;
