//! The whole Internet by origin, where real data is at hand.

use bot_agent::asn::Database;
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
        let [v4, v6] = [v4?, v6?].map(|path| Database::open(&path).expect("the database"));
        // More origins than ids: some share one.
        let id = |asn: u32| asn % 65_535 + 1;
        let mapped = 0xffff << 32;
        Some(Self {
            v4: v4
                .ranges_v4()
                .iter()
                .map(|range| (mapped | u128::from(range.first), mapped | u128::from(range.last), id(range.asn.0)))
                .collect(),
            v6: v6
                .ranges_v6()
                .iter()
                .map(|range| (range.first, range.last, id(range.asn.0)))
                .collect(),
        })
    }

    /// What is announced.
    pub(crate) fn space(&self, family: Family) -> Space {
        let ranges = self.of(family).iter();
        Space::new(family, ranges.map(|&(first, last, _)| (first, last)).collect())
    }

    /// The prefixes that the ranges are made of.
    pub(crate) fn entries(&self, family: Family) -> Vec<Entry> {
        let ranges = self.of(family).iter();
        ranges.flat_map(|&(first, last, id)| lists::prefixes_of(first, last, id)).collect()
    }

    fn of(&self, family: Family) -> &[(u128, u128, u32)] {
        match family {
            Family::V4 => &self.v4,
            Family::V6 => &self.v6,
        }
    }
}
