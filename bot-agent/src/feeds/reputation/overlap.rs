//! Overlaps: how much two feeds say the same. Those that say much the same belong into one group.

use serde::{Deserialize, Serialize};

use crate::{
    asn::{Database, Spans},
    feeds::snapshot::Snapshot,
};

/// What two feeds have in common.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
pub struct Overlap {
    /// The first feed.
    pub one: Amount,
    /// The other feed.
    pub other: Amount,
    /// What is in both: entries that are the same, addresses whatever names them.
    pub common: Amount,
}

/// How much it is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Amount {
    /// Entries.
    pub entries: usize,
    /// IPv4 addresses, each counted once.
    pub addresses_v4: u128,
    /// IPv6 addresses, each counted once.
    pub addresses_v6: u128,
}

impl Amount {
    /// The share of `all` that this is, entries and addresses of both families, percent; 0 of nothing.
    pub fn percent_of(&self, all: &Self) -> [f64; 3] {
        let entries = |amount: &Self| u128::try_from(amount.entries).unwrap_or(u128::MAX);
        [
            percent(entries(self), entries(all)),
            percent(self.addresses_v4, all.addresses_v4),
            percent(self.addresses_v6, all.addresses_v6),
        ]
    }

    fn of(entries: usize, addresses: &Spans) -> Self {
        Self {
            entries,
            addresses_v4: addresses.addresses_v4(),
            addresses_v6: addresses.addresses_v6(),
        }
    }
}

/// What `one` and `other` have in common. Without a database ASNs and countries are entries only.
pub fn overlap(one: &Snapshot, other: &Snapshot, database: Option<&Database>) -> Overlap {
    let [spans, others] = [one, other].map(|snapshot| spans(snapshot, database));
    let same = one
        .entries()
        .filter(|known| other.find(known.subject).is_some());
    Overlap {
        one: Amount::of(one.len(), &spans),
        other: Amount::of(other.len(), &others),
        common: Amount::of(same.count(), &spans.common(&others)),
    }
}

fn spans(snapshot: &Snapshot, database: Option<&Database>) -> Spans {
    let prefixes = snapshot
        .entries()
        .filter_map(|known| known.subject.prefix());
    let extents = snapshot
        .entries()
        .filter_map(|known| database?.of(known.subject));
    Spans::of(prefixes, extents)
}

#[expect(clippy::cast_precision_loss, reason = "a share for people")]
fn percent(part: u128, all: u128) -> f64 {
    if all == 0 {
        return 0.0;
    }
    part as f64 * 100.0 / all as f64
}
