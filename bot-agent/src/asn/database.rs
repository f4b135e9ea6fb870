//! The database: ranges of both families, names, and the ways to ask.
//!
//! Invariant: the ranges are sorted and disjoint, and the indices are those of the ranges.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use bot_common::address::Address;

use super::{
    extent::{Extent, Index, Reach},
    names::{self, Names},
    open::Source,
    range::{AsRange, Bound, overlay, resolve},
};
use crate::rules::subject::{Asn, Country, Subject};

/// IPv4 addresses up to which no rule is too wide: a /8, as for prefixes.
const NARROW_V4: u128 = 1 << 24;
/// IPv6 addresses up to which no rule is too wide: a /19, as for prefixes.
const NARROW_V6: u128 = 1 << (128 - 19);
/// The part of all known addresses up to which no rule is too wide.
const SHARE: u128 = 64;

/// Who has which addresses. A table of the whole Internet takes about 20 MB.
#[derive(Debug)]
pub struct Database {
    v4: Vec<AsRange<u32>>,
    v6: Vec<AsRange<u128>>,
    asns: (Index, Index),
    countries: (Index, Index),
    names: Names,
    /// All ranges together; the prefixes are not counted.
    known: Reach,
    sources: Vec<Source>,
}

/// What is known about an address.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AsInfo<'a> {
    /// The first address of the range it lies in.
    pub first: IpAddr,
    /// The last address of that range.
    pub last: IpAddr,
    /// Who announces it.
    pub asn: Option<Asn>,
    /// The name of that ASN; empty where the database has none.
    pub name: &'a str,
    /// Its country.
    pub country: Option<Country>,
}

/// What one file says, as it comes in.
#[derive(Debug, Default)]
pub(super) struct Pile {
    pub(super) v4: Vec<AsRange<u32>>,
    pub(super) v6: Vec<AsRange<u128>>,
}

/// A database in the making.
#[derive(Debug, Default)]
pub(super) struct Builder {
    v4: Vec<AsRange<u32>>,
    v6: Vec<AsRange<u128>>,
    pub(super) names: names::Builder,
    sources: Vec<Source>,
}

impl Builder {
    /// Adds a file beneath those that came before.
    pub(super) fn add(&mut self, pile: Pile, source: Source) {
        self.v4 = overlay(std::mem::take(&mut self.v4), resolve(pile.v4));
        self.v6 = overlay(std::mem::take(&mut self.v6), resolve(pile.v6));
        self.sources.push(source);
    }

    pub(super) fn finish(self) -> Database {
        let Self {
            v4,
            v6,
            names,
            sources,
        } = self;
        let v4_addresses = v4.iter().map(|range| range.first.up_to(range.last));
        let v6_addresses = v6.iter().map(|range| range.first.up_to(range.last));
        Database {
            asns: (Index::new(&v4, asn_of), Index::new(&v6, asn_of)),
            countries: (Index::new(&v4, country_of), Index::new(&v6, country_of)),
            known: Reach {
                addresses_v4: v4_addresses.fold(0, u128::saturating_add),
                addresses_v6: v6_addresses.fold(0, u128::saturating_add),
                ..Reach::default()
            },
            names: names.finish(),
            v4,
            v6,
            sources,
        }
    }
}

impl Database {
    /// What is known about an address, or nothing.
    pub fn lookup(&self, address: Address) -> Option<AsInfo<'_>> {
        let (first, last, asn, country) = match address.to_ip() {
            IpAddr::V4(ip) => {
                let range = find(&self.v4, u32::from(ip))?;
                let ip = |number: u32| IpAddr::from(Ipv4Addr::from(number));
                (ip(range.first), ip(range.last), range.asn, range.country)
            }
            IpAddr::V6(ip) => {
                let range = find(&self.v6, u128::from(ip))?;
                let ip = |number: u128| IpAddr::from(Ipv6Addr::from(number));
                (ip(range.first), ip(range.last), range.asn, range.country)
            }
        };
        Some(AsInfo {
            first,
            last,
            asn,
            name: asn.map_or("", |asn| self.name(asn)),
            country,
        })
    }

    /// All IPv4 ranges: sorted, disjoint, neighbours different.
    pub fn ranges_v4(&self) -> &[AsRange<u32>] {
        &self.v4
    }

    /// All IPv6 ranges: sorted, disjoint, neighbours different.
    pub fn ranges_v6(&self) -> &[AsRange<u128>] {
        &self.v6
    }

    /// What an ASN announces.
    pub fn of_asn(&self, asn: Asn) -> Extent<'_> {
        let (v4, v6) = &self.asns;
        Extent {
            v4: v4.of(&self.v4, asn_of, &asn),
            v6: v6.of(&self.v6, asn_of, &asn),
        }
    }

    /// What a country has.
    pub fn of_country(&self, country: Country) -> Extent<'_> {
        let (v4, v6) = &self.countries;
        Extent {
            v4: v4.of(&self.v4, country_of, &country),
            v6: v6.of(&self.v6, country_of, &country),
        }
    }

    /// What the subject of a rule means; nothing for a prefix, which needs no database.
    pub fn of(&self, subject: Subject) -> Option<Extent<'_>> {
        match subject {
            Subject::Prefix(_) => None,
            Subject::Asn(asn) => Some(self.of_asn(asn)),
            Subject::Country(country) => Some(self.of_country(country)),
        }
    }

    /// The name of an ASN; empty where none is known.
    pub fn name(&self, asn: Asn) -> &str {
        self.names.get(asn)
    }

    /// Whether a rule about so much needs `--force`: more than a /8 (IPv4) or /19 (IPv6), and more
    /// than 1/64 of all addresses that the database knows.
    pub fn is_too_wide(&self, reach: &Reach) -> bool {
        let v4 = (self.known.addresses_v4 / SHARE).max(NARROW_V4);
        let v6 = (self.known.addresses_v6 / SHARE).max(NARROW_V6);
        reach.addresses_v4 > v4 || reach.addresses_v6 > v6
    }

    /// Whether any range has a country.
    pub fn has_countries(&self) -> bool {
        let (v4, v6) = &self.countries;
        !v4.is_empty() || !v6.is_empty()
    }

    /// The files it was read from.
    pub fn sources(&self) -> &[Source] {
        &self.sources
    }

    /// Bytes of memory that it takes, roughly.
    pub fn bytes(&self) -> usize {
        let indices = [
            &self.asns.0,
            &self.asns.1,
            &self.countries.0,
            &self.countries.1,
        ];
        size_of_val(&*self.v4)
            + size_of_val(&*self.v6)
            + indices.into_iter().map(Index::bytes).sum::<usize>()
            + self.names.bytes()
    }
}

fn find<A: Bound>(ranges: &[AsRange<A>], address: A) -> Option<&AsRange<A>> {
    let behind = ranges.partition_point(|range| range.first <= address);
    let range = ranges.get(behind.checked_sub(1)?)?;
    (address <= range.last).then_some(range)
}

fn asn_of<A>(range: &AsRange<A>) -> Option<Asn> {
    range.asn
}

fn country_of<A>(range: &AsRange<A>) -> Option<Country> {
    range.country
}
