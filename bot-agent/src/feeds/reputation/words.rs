//! For tests: feeds and what they say, from a few words.

use std::{collections::BTreeSet, net::IpAddr, path::PathBuf, time::Duration};

use bot_common::address::Address;
use jiff::Timestamp;

use super::*;
use crate::{
    asn::Database,
    config::{FeedSource, Role},
    feeds::entry::{Entry, Parsed},
    policy::Score,
    rules::rule::Scope,
};

pub(super) use crate::config::TIERS;

pub(super) const DAY: Duration = Duration::from_hours(24);
const INTERNET: &str = "192.0.2.0\t192.0.2.6\t1\tAA\tOne\n2001:db8::\t2001:db8::5\t1\tAA\tOne\n\
                        198.51.100.0\t198.51.100.255\t2\tAA\tTwo\n";

pub(super) fn at(days: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + days * 86_400).unwrap()
}

pub(super) fn database() -> Database {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), INTERNET).unwrap();
    Database::open(&[file.path()]).unwrap()
}

pub(super) fn feed(name: &str, role: Role) -> Feed {
    Feed {
        name: name.into(),
        source: FeedSource::File(PathBuf::new()),
        format: None,
        every: DAY,
        role,
        category: None,
        group: name.into(),
        min_confidence: 0,
        half_life: None,
        grace: DAY,
        scope: Scope::Services,
        monitor: false,
        loosen: BTreeSet::new(),
    }
}

pub(super) fn weigh(weight: u8) -> Role {
    Role::Weigh(Score::new(weight).unwrap())
}

pub(super) fn said(subjects: &[(&str, u8)]) -> Snapshot {
    let entries = subjects.iter().map(|(text, confidence)| Entry {
        confidence: *confidence,
        ..Entry::sure(text.parse().unwrap())
    });
    let update = Parsed {
        entries: entries.collect(),
        ..Parsed::default()
    };
    Snapshot::next(None, &update, at(0), DAY).0
}

pub(super) fn told(feeds: &[(Feed, Snapshot)]) -> Vec<Told<'_>> {
    let told = feeds.iter().map(|(feed, snapshot)| Told { feed, snapshot });
    told.collect()
}

pub(super) fn address(text: &str) -> Address {
    text.parse::<IpAddr>().unwrap().into()
}
