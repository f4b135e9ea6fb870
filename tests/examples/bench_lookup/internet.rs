//! The whole Internet by origin, where real data is at hand.

use std::net::Ipv4Addr;

use bot_agent::{asn::Database, rules::subject::Asn};
use bot_tests::{
    data,
    lists::{self, Entry, Family, Space},
};

/// Announced ranges, each with a number that stands for its origin: first, last, verdict id.
pub(crate) struct Internet {
    v4: Vec<(u128, u128, u32)>,
    v6: Vec<(u128, u128, u32)>,
}

impl Internet {
    /// Out of the data folder; `None` with a note where it is not there.
    pub(crate) fn read() -> Option<Self> {
        let [v4, v6] = ["asn/asn-ipv4.csv.gz", "asn/asn-ipv6.csv.gz"].map(data::file);
        let database = Database::open(&[v4?, v6?]).expect("the database");
        let mapped = |bits: u32| lists::number(Ipv4Addr::from_bits(bits));
        let v4 = database.ranges_v4().iter();
        let v6 = database.ranges_v6().iter();
        Some(Self {
            v4: v4
                .filter_map(|range| Some((mapped(range.first), mapped(range.last), id(range.asn?))))
                .collect(),
            v6: v6
                .filter_map(|range| Some((range.first, range.last, id(range.asn?))))
                .collect(),
        })
    }

    /// What is announced.
    pub(crate) fn space(&self, family: Family) -> Space {
        let ranges = self.of(family).iter();
        Space::new(
            family,
            ranges.map(|&(first, last, _)| (first, last)).collect(),
        )
    }

    /// The prefixes that the ranges are made of.
    pub(crate) fn entries(&self, family: Family) -> Vec<Entry> {
        let ranges = self.of(family).iter();
        ranges
            .flat_map(|&(first, last, id)| lists::prefixes_of(first, last, id))
            .collect()
    }

    fn of(&self, family: Family) -> &[(u128, u128, u32)] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}

/// There are more origins than ids: some share one.
fn id(asn: Asn) -> u32 {
    asn.number() % 65_535 + 1
}
