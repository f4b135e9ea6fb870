//! Sizes: how much a snapshot covers.

use crate::{
    asn::{Database, Spans},
    feeds::snapshot::{Known, Snapshot},
};

/// How much a set of entries is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Size {
    /// Entries.
    pub entries: usize,
    /// IPv4 addresses, each counted once.
    pub v4: u128,
    /// IPv6 addresses, each counted once.
    pub v6: u128,
}

impl Size {
    /// What is in the last update.
    pub fn of_update(snapshot: &Snapshot, database: Option<&Database>) -> Self {
        Self::of(snapshot, database, |known| known.listed)
    }

    /// What is in force.
    pub fn of_all(snapshot: &Snapshot, database: Option<&Database>) -> Self {
        Self::of(snapshot, database, |_| true)
    }

    fn of(
        snapshot: &Snapshot,
        database: Option<&Database>,
        counts: impl Fn(&Known) -> bool,
    ) -> Self {
        let counted = || snapshot.entries().filter(&counts);
        let prefixes = counted().filter_map(|known| known.subject.prefix());
        let extents = counted().filter_map(|known| database?.of(known.subject));
        let spans = Spans::of(prefixes, extents);
        Self {
            entries: counted().count(),
            v4: spans.addresses_v4(),
            v6: spans.addresses_v6(),
        }
    }
}
