//! Snapshots: what a feed says, with memory of when it said so.
//!
//! Invariant: an entry of the last successful update never expires. What is no longer in the feed
//! lingers until it was not there for the grace, so that a feed that leaves half of itself out once
//! does not lift half of the protection.

mod disk;
mod row;
#[cfg(test)]
mod tests;

use std::time::Duration;

use bot_common::address::Address;
use jiff::Timestamp;

use self::row::{Columns, Times};
pub use self::{disk::ReadError, row::Seconds};
use super::entry::Parsed;
use crate::rules::{prefix::Prefix, subject::Subject};

/// What a feed says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Snapshot {
    fetched: Timestamp,
    made: Option<Timestamp>,
    columns: Columns,
}

/// What a snapshot knows about a subject.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Known {
    /// Addresses, an ASN or a country.
    pub subject: Subject,
    /// How sure the publisher is, 0 to 100.
    pub confidence: u8,
    /// When the publisher saw it last, if he says; else when it was last in the feed.
    pub seen: Seconds,
    /// Whether it is in the last update; else it lingers.
    pub listed: bool,
}

/// How an update differs from the one before.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Delta {
    /// In the update, and not in the one before.
    pub added: usize,
    /// In the one before, and not in the update.
    pub removed: usize,
    /// Not in the update, and still in force.
    pub kept: usize,
}

impl Snapshot {
    /// What a feed says after an update, which has been screened: its entries, and those of `before`
    /// that were last in the feed less than `grace` ago.
    pub fn next(
        before: Option<&Self>,
        update: &Parsed,
        now: Timestamp,
        grace: Duration,
    ) -> (Self, Delta) {
        let mut delta = Delta::default();
        let fresh = Columns::of(&update.entries, Seconds::of(now));
        let columns = if let Some(before) = before {
            let times = Times {
                fetched: Seconds::of(before.fetched),
                forget: forget(now, grace),
            };
            fresh.after(&before.columns, times, &mut delta)
        } else {
            delta.added = fresh.len();
            fresh
        };
        let next = Self {
            fetched: now,
            made: update.made,
            columns,
        };
        (next, delta)
    }

    /// The feed was asked and has not changed: its entries were seen now.
    pub fn unchanged(&mut self, now: Timestamp) {
        self.fetched = self.fetched.max(now);
    }

    /// Drops what has lingered for `grace`; how much that was.
    pub fn expire(&mut self, now: Timestamp, grace: Duration) -> usize {
        forget(now, grace).map_or(0, |forget| self.columns.forget(forget))
    }

    /// When the feed was last asked with success.
    pub fn fetched(&self) -> Timestamp {
        self.fetched
    }

    /// When the publisher made it, if he says.
    pub fn made(&self) -> Option<Timestamp> {
        self.made
    }

    /// Entries in force.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Entries of the last update.
    pub fn listed(&self) -> usize {
        self.columns.listed()
    }

    /// Entries in force: IPv4, IPv6, ASNs, countries, each kind in order and a prefix before all
    /// that it covers.
    pub fn entries(&self) -> impl Iterator<Item = Known> {
        self.columns.known(Seconds::of(self.fetched))
    }

    /// What is known about exactly this subject.
    pub fn find(&self, subject: Subject) -> Option<Known> {
        self.columns.find(subject, Seconds::of(self.fetched))
    }

    /// The prefixes that cover `address`, narrowest first. ASNs and countries are not looked at.
    pub fn covering(&self, address: Address) -> impl Iterator<Item = Known> {
        let host = Prefix::host(address.to_ip());
        let family = host.is_v4();
        let lengths = (0..=host.bits())
            .rev()
            .map(move |bits| host.shortened(bits));
        lengths
            .take_while(move |prefix| prefix.is_v4() == family)
            .filter_map(|prefix| self.find(prefix.into()))
    }
}

/// What was last in the feed then or before has gone for good; nothing has if there was no such time.
fn forget(now: Timestamp, grace: Duration) -> Option<Seconds> {
    let then = now.checked_sub(grace).ok()?;
    (then.as_second() > 0).then(|| Seconds::of(then))
}
