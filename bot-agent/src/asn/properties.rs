//! What must hold for any ranges, any lines, any bytes.

use proptest::prelude::*;

use super::{
    database::{Builder, Database, Pile},
    line::{self, Separator},
    open::read_packed,
    range::{AsRange, Bound, overlay, resolve},
    tests::{Network, mmdb},
};
use crate::rules::subject::{Asn, Country};

/// Addresses are few, so that ranges meet.
const LAST: u32 = 40;

fn any_range() -> impl Strategy<Value = AsRange<u32>> {
    let country = proptest::option::of(prop_oneof![Just(*b"DE"), Just(*b"FR")]);
    (0..=LAST, 0..=LAST, 0u32..4, country).prop_map(|(a, b, asn, country)| AsRange {
        first: a.min(b),
        last: a.max(b),
        asn: Asn::new(asn),
        country: country.and_then(Country::new),
    })
}

fn any_ranges() -> impl Strategy<Value = Vec<AsRange<u32>>> {
    proptest::collection::vec(any_range(), 0..12)
}

type Said = Option<(Option<Asn>, Option<Country>)>;

/// The rule in plain words, for one address.
fn reference(ranges: &[AsRange<u32>], address: u32) -> Said {
    let covering = ranges.iter().enumerate();
    let covering = covering.filter(|(_, range)| range.first <= address && address <= range.last);
    let best = covering.min_by_key(|(index, range)| {
        // Stable by first address, as the sweep sees them; later ones win.
        (
            range.last - range.first,
            std::cmp::Reverse((range.first, *index)),
        )
    });
    best.map(|(_, range)| (range.asn, range.country))
}

fn says(ranges: &[AsRange<u32>], address: u32) -> Said {
    let mut covering = ranges
        .iter()
        .filter(|range| range.first <= address && address <= range.last);
    let found = covering.next().map(|range| (range.asn, range.country));
    assert!(covering.next().is_none(), "{address} is covered twice");
    found
}

fn is_clean(ranges: &[AsRange<u32>]) -> bool {
    ranges.iter().all(|range| range.first <= range.last)
        && ranges.windows(2).all(|pair| match pair {
            [one, next] => {
                let alike = one.asn == next.asn && one.country == next.country;
                one.last < next.first && !(alike && one.last + 1 == next.first)
            }
            _ => true,
        })
}

/// A database of such ranges, for both families.
fn database(ranges: &[AsRange<u32>]) -> Database {
    let mut builder = Builder::default();
    let wide = |range: &AsRange<u32>| AsRange {
        first: u128::from(range.first) << 96,
        last: (u128::from(range.last) << 96) | (u128::MAX >> 32),
        asn: range.asn,
        country: range.country,
    };
    let pile = Pile {
        v4: ranges.to_vec(),
        v6: ranges.iter().map(wide).collect(),
    };
    builder.add(pile, super::tests::nowhere());
    builder.finish()
}

proptest! {
    #[test]
    fn the_narrowest_statement_counts(ranges in any_ranges()) {
        let resolved = resolve(ranges.clone());
        prop_assert!(is_clean(&resolved), "{:?}", resolved);
        for address in 0..=LAST + 1 {
            prop_assert_eq!(says(&resolved, address), reference(&ranges, address));
        }
    }

    #[test]
    fn an_earlier_file_is_believed_for_what_it_knows(over in any_ranges(), under in any_ranges()) {
        let (over, under) = (resolve(over), resolve(under));
        let both = overlay(over.clone(), under.clone());
        prop_assert!(is_clean(&both), "{:?}", both);
        for address in 0..=LAST + 1 {
            let (a, b) = (says(&over, address), says(&under, address));
            let expected = match (a, b) {
                (Some((asn, country)), Some((asn_b, country_b))) => {
                    Some((asn.or(asn_b), country.or(country_b)))
                }
                (one, other) => one.or(other),
            };
            prop_assert_eq!(says(&both, address), expected);
        }
    }

    #[test]
    fn asking_by_asn_and_by_country_finds_what_asking_by_address_does(ranges in any_ranges()) {
        let database = database(&ranges);
        let ip = |address: u32| std::net::Ipv4Addr::from(address).into();
        for number in 1..4 {
            let asn = Asn::new(number).unwrap();
            let spans: Vec<_> = database.of_asn(asn).v4().collect();
            prop_assert!(spans.is_sorted_by(|one, next| one.1 + 1 < next.0));
            for address in 0..=LAST + 1 {
                let found = database.lookup(std::net::IpAddr::into(ip(address)));
                let by_asn = spans.iter().any(|(first, last)| (*first..=*last).contains(&address));
                prop_assert_eq!(found.is_some_and(|info| info.asn == Some(asn)), by_asn);
            }
            let wide: Vec<_> = database.of_asn(asn).v6().collect();
            let narrow = wide.into_iter().map(|(a, b)| ((a >> 96) as u32, (b >> 96) as u32));
            prop_assert!(narrow.eq(spans));
        }
        for country in [*b"DE", *b"FR"].into_iter().filter_map(Country::new) {
            let reach = database.of_country(country).reach();
            let counted = (0..=LAST).filter(|address| {
                let found = database.lookup(std::net::IpAddr::into(ip(*address)));
                found.is_some_and(|info| info.country == Some(country))
            });
            prop_assert_eq!(reach.addresses_v4, counted.count() as u128);
            prop_assert_eq!(reach.addresses_v6, reach.addresses_v4 << 96);
            prop_assert_eq!(reach.prefixes_v6, reach.prefixes_v4);
        }
    }

    #[test]
    fn prefixes_are_counted_as_they_are_written(a: u32, b: u32, c: u128, d: u128) {
        let (first, last) = (a.min(b), a.max(b));
        let nets = ipnet::Ipv4Subnets::new(first.into(), last.into(), 0).count() as u64;
        prop_assert_eq!(first.prefixes(last), nets);
        let (first, last) = (c.min(d), c.max(d));
        let nets = ipnet::Ipv6Subnets::new(first.into(), last.into(), 0).count() as u64;
        prop_assert_eq!(first.prefixes(last), nets);
    }

    #[test]
    fn a_line_is_read_or_refused(
        line in "[0-9a-f:.]{0,20}[,\t][0-9a-f:.]{0,20}[,\t](AS)?[0-9]{0,11}[,\t]\\PC{0,30}|\\PC*",
        raw in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        for bytes in [line.as_bytes(), &raw] {
            for separator in [Separator::Comma, Separator::Tab] {
                if let Ok(line::Line::V4(range, _)) = line::parse(bytes, separator) {
                    prop_assert!(range.first <= range.last);
                    prop_assert!(range.asn.is_some() || range.country.is_some());
                }
            }
        }
    }

    #[test]
    fn a_written_line_comes_back(first: u32, more: u32, asn in 1u32.., name in "[^\\pC\\s]([^\\pC]{0,30}[^\\pC\\s])?") {
        let last = first.saturating_add(more);
        let ip = std::net::Ipv4Addr::from;
        let quoted = name.replace('"', "\"\"");
        let line = format!("{},{},{asn},\"{quoted}\"", ip(first), ip(last));
        let range = AsRange { first, last, asn: Asn::new(asn), country: None };
        prop_assert_eq!(
            line::parse(line.as_bytes(), Separator::Comma),
            Ok(line::Line::V4(range, name.into()))
        );
    }

    #[test]
    fn any_content_is_read_or_refused(content in proptest::collection::vec(any::<u8>(), 0..3000)) {
        read(&content);
    }

    #[test]
    fn a_damaged_mmdb_is_read_or_refused(
        places in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let networks = [
            Network::new("192.0.2.0/24", 64_500, "Example", "DE"),
            Network::new("198.51.100.128/25", 64_501, "Other", "FR"),
            Network::new("2001:db8::/32", 64_500, "Example", "DE"),
        ];
        let mut bytes = mmdb(&networks);
        for (place, byte) in places {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        read(&bytes);
    }
}

/// Reads it; whatever comes of it is a database that answers.
fn read(content: &[u8]) {
    let (mut pile, mut builder) = (Pile::default(), Builder::default());
    if read_packed(content, &mut pile, &mut builder).is_ok() {
        builder.add(pile, super::tests::nowhere());
        let database = builder.finish();
        for range in database.ranges_v4() {
            let found = database
                .lookup(std::net::IpAddr::from(std::net::Ipv4Addr::from(range.last)).into());
            assert_eq!(found.map(|info| info.asn), Some(range.asn));
        }
    }
}
