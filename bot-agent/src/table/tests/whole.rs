//! Tables made in one go.

use std::net::IpAddr;

use bot_common::{abi::verdict::VerdictId, address::Address};
use proptest::prelude::*;

use super::world::{any_stroke, id, naive, paint, prefix_v4, prefix_v6, probes, table, v4, v6};
use crate::{
    asn::Database,
    real_data,
    rules::subject::Asn,
    table::{Image, Range, Ranges, Seed, View, range},
};

proptest! {
    #[test]
    fn a_table_says_what_its_ranges_say(strokes in prop::collection::vec(any_stroke(), 0..60)) {
        let ranges = paint(&strokes);
        let table = table(&ranges, 0);
        for address in probes(&ranges) {
            prop_assert_eq!(table.lookup(&address), naive(&ranges, &address), "{}", address.to_ip());
            prop_assert_eq!(ranges.get(&address), naive(&ranges, &address));
        }
        prop_assert_eq!(table.ranges(), ranges);
    }

    #[test]
    fn a_region_reads_back_cut_to_it(
        strokes in prop::collection::vec(any_stroke(), 0..40),
        (region, _) in any_stroke(),
    ) {
        let ranges = paint(&strokes);
        prop_assert_eq!(table(&ranges, 0).ranges_within(region), ranges.within(region));
    }

    #[test]
    fn what_is_out_of_order_is_left_out(
        mut given in prop::collection::vec((0_u32..64, 0_u32..64, 0_u32..4), 0..12),
    ) {
        let ranges = Ranges {
            v4: given
                .iter()
                .map(|(first, last, number)| Range { first: *first, last: *last, id: id(*number) })
                .collect(),
            v6: Vec::new(),
        };
        let image = Image::build_seeded(&ranges, Seed::known(1)).unwrap();
        given.retain(|(first, last, number)| first <= last && *number != 0);
        let mut end = None;
        let mut wanted = [0; 64];
        for (first, last, number) in given {
            for at in first..=last {
                if end.is_none_or(|end| at > end) {
                    wanted[at as usize] = number;
                }
            }
            end = end.max(Some(last));
        }
        for (at, number) in (0..).zip(wanted) {
            prop_assert_eq!(image.lookup(&v4(at)), id(number));
        }
    }
}

#[test]
fn an_empty_table_says_nothing() {
    let table = table(&Ranges::default(), 0);
    for address in probes(&Ranges::default()) {
        assert_eq!(table.lookup(&address), VerdictId::NONE);
    }
    assert_eq!(table.ranges(), Ranges::default());
}

#[test]
fn everything_can_have_one_verdict() {
    let ranges = paint(&[(prefix_v4(0, 0), 1), (prefix_v6(0, 0), 2)]);
    let table = table(&ranges, 0);
    for ip in ["0.0.0.0", "255.255.255.255", "192.0.2.1"] {
        assert_eq!(table.lookup(&ip.parse::<IpAddr>().unwrap().into()), id(1));
    }
    for ip in ["::", "::1", "::fffe:ffff:ffff", "::1:0:0:0", "ffff:ffff::"] {
        assert_eq!(table.lookup(&ip.parse::<IpAddr>().unwrap().into()), id(2));
    }
    assert_eq!(table.ranges(), ranges);
}

/// Every address of some has another id than its neighbours.
fn alternating<A: TryFrom<u128>>(first: u128, count: u128, ids: u128) -> Vec<Range<A>> {
    let range = |nth: u128| {
        let number = || A::try_from(first + nth).ok().unwrap();
        Range {
            first: number(),
            last: number(),
            id: id(u32::try_from(nth % ids).unwrap() + 1),
        }
    };
    (0..count).map(range).collect()
}

#[test]
fn each_address_of_a_16_can_have_its_own_verdict() {
    let ranges = Ranges {
        v4: alternating(0xc000_0000, 0x1_0000, 65_535),
        v6: Vec::new(),
    };
    let table = table(&ranges, 0);
    for range in &ranges.v4 {
        assert_eq!(table.lookup(&v4(range.first)), range.id);
    }
    assert_eq!(table.lookup(&v4(0xc001_0000)), VerdictId::NONE);
    assert_eq!(table.ranges(), ranges);
}

#[test]
fn a_64_can_have_thousands_of_hosts() {
    let hosts = 0x2001_0db8_0000_0001_0000_0000_0000_0000;
    for (count, ids) in [(7, 2), (65, 64), (300, 2), (20_000, 3)] {
        let ranges = Ranges {
            v4: Vec::new(),
            v6: alternating(hosts - 3, count, ids),
        };
        let table = table(&ranges, 0);
        for range in &ranges.v6 {
            assert_eq!(table.lookup(&v6(range.first)), range.id);
        }
        assert_eq!(table.ranges(), ranges);
    }
}

#[test]
fn each_64_of_a_48_can_have_its_own_verdict() {
    let start = 0x2001_0db8_0001_u128 << 80;
    let mut ranges = Ranges::default();
    for nth in 0..0x1_0000_u128 {
        let first = start | nth << 64;
        let range = |first, last| Range {
            first,
            last,
            id: id(u32::try_from(nth % 1000).unwrap() + 1),
        };
        // Every fourth has a hole.
        if nth % 4 == 0 {
            ranges.v6.push(range(first, first | 0xff));
            ranges
                .v6
                .push(range(first | 0x200, first | u128::from(u64::MAX)));
        } else {
            ranges.v6.push(range(first, first | u128::from(u64::MAX)));
        }
    }
    let table = table(&ranges, 0);
    for range in &ranges.v6 {
        assert_eq!(table.lookup(&v6(range.first)), range.id);
        assert_eq!(table.lookup(&v6(range.last)), range.id);
    }
    assert_eq!(table.lookup(&v6(start | 0x100)), VerdictId::NONE);
    assert_eq!(table.ranges(), ranges);
}

#[test]
fn ipv6_around_the_mapped_addresses_is_not_ipv4() {
    let ranges = paint(&[(prefix_v6(0, 64), 1), (prefix_v4(0xc000_0200, 24), 2)]);
    let table = table(&ranges, 0);
    for (ip, wanted) in [
        ("::fffe:c000:201", 1),
        ("::ffff:192.0.2.1", 2),
        ("::ffff:192.0.3.1", 0),
        ("192.0.2.255", 2),
        ("::1:0:c000:201", 1),
        ("::1:0:0:0:0", 0),
    ] {
        let ip: IpAddr = ip.parse().unwrap();
        assert_eq!(table.lookup(&Address::from(ip)), id(wanted), "{ip}");
    }
}

#[test]
fn the_secret_changes_places_but_no_answer() {
    let ranges = paint(&[(prefix_v6(0x2001_0db8 << 96, 48), 1)]);
    let addresses = probes(&ranges);
    for image in [
        Image::build(&ranges).unwrap(),
        Image::build_seeded(&ranges, Seed::known(7)).unwrap(),
    ] {
        for address in &addresses {
            assert_eq!(image.lookup(address), naive(&ranges, address));
        }
    }
    assert_eq!(format!("{:?}", Seed::random()), "Seed");
}

#[test]
fn the_asn_table_of_the_internet_fits_in_8_mb() {
    let Some(folder) = real_data::folder("asn") else {
        return;
    };
    let files = ["asn-ipv4.csv.gz", "asn-ipv6.csv.gz"].map(|name| folder.join(name));
    let database = Database::open(&files).unwrap();
    // Each origin has an id of its own, modulo the ids there are.
    let id = |asn: Asn| id(asn.number() % 65_535 + 1);
    let mut ranges = Ranges::default();
    for range in database.ranges_v4() {
        let (first, last) = (range.first, range.last);
        if let Some(id) = range.asn.map(id) {
            range::push(&mut ranges.v4, Range { first, last, id });
        }
    }
    for range in database.ranges_v6() {
        let (first, last) = (range.first, range.last);
        if let Some(id) = range.asn.map(id) {
            range::push(&mut ranges.v6, Range { first, last, id });
        }
    }
    let only_v4 = Ranges {
        v4: ranges.v4.clone(),
        v6: Vec::new(),
    };
    let image = Image::build_seeded(&only_v4, Seed::known(1)).unwrap();
    let bytes = u64::from(image.lines()) * 64;
    println!("{} IPv4 ranges: {bytes} bytes", ranges.v4.len());
    assert!(bytes <= 8_000_000);
    let both = table(&ranges, 0);
    println!(
        "{} IPv6 ranges, too: {} lines",
        ranges.v6.len(),
        both.usage().used
    );
    assert_eq!(both.ranges(), ranges);
    assert_eq!(View::new(both.memory()).unwrap().ranges(), ranges);
    for range in ranges.v4.iter().step_by(7) {
        assert_eq!(both.lookup(&v4(range.first)), range.id);
        assert_eq!(both.lookup(&v4(range.last)), range.id);
    }
    for range in ranges.v6.iter().step_by(7) {
        assert_eq!(both.lookup(&v6(range.first)), range.id);
        assert_eq!(both.lookup(&v6(range.last)), range.id);
    }
}
