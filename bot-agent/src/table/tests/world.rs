//! Ranges to test with, painted from random prefixes over the places where tables have seams.

use std::{collections::BTreeSet, sync::atomic::AtomicU64};

use bot_common::{
    abi::verdict::VerdictId,
    address::{Address, MAPPED_BITS},
    table::LINE_WORDS,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use proptest::prelude::*;

use crate::{
    rules::prefix::Prefix,
    table::{Image, Range, Ranges, Seed, Table, range},
};

/// A prefix and the id it is painted with; 0 erases.
pub(super) type Stroke = (Prefix, u32);

pub(super) fn prefix_v4(address: u32, bits: u8) -> Prefix {
    Prefix::from_net(IpNet::V4(Ipv4Net::new(address.into(), bits).unwrap()))
}

pub(super) fn prefix_v6(address: u128, bits: u8) -> Prefix {
    Prefix::from_net(IpNet::V6(Ipv6Net::new(address.into(), bits).unwrap()))
}

pub(super) fn id(number: u32) -> VerdictId {
    VerdictId::new(number).unwrap()
}

pub(super) fn v4(number: u32) -> Address {
    Address::from_v4(number.to_be_bytes())
}

pub(super) fn v6(number: u128) -> Address {
    Address::from_v6(number.to_be_bytes())
}

/// Addresses that crowd: a few places, and beyond them the ends and random bits.
fn crowded_v4() -> impl Strategy<Value = u32> {
    let place = prop_oneof![
        Just(0_u32),
        Just(u32::MAX),
        Just(0xc000_0200),
        Just(0xc000_ff00),
        Just(0xc001_0000),
        any::<u32>(),
    ];
    let beyond = prop_oneof![0_u32..16, 0_u32..1 << 9, 0_u32..1 << 18, any::<u32>()];
    (place, beyond).prop_map(|(place, beyond)| place ^ beyond)
}

fn crowded_v6() -> impl Strategy<Value = u128> {
    let place = prop_oneof![
        Just(0_u128),
        Just(u128::MAX),
        Just(0x2001_0db8 << 96),
        Just(0x2001_0db8_0001_0002 << 64),
        Just(0xffff_0000_0000),
        Just(0x0001_0000_0000_0000),
        any::<u128>(),
    ];
    // Groups of 16 bits that are changed, and how much.
    let beyond = prop::collection::vec((0_u32..8, 0_u128..6, any::<bool>()), 0..3);
    (place, beyond).prop_map(|(place, beyond)| {
        beyond
            .into_iter()
            .fold(place, |address, (group, low, top)| {
                address ^ (low | u128::from(top) << 15) << (group * 16)
            })
    })
}

fn bits_v4() -> impl Strategy<Value = u8> {
    prop_oneof![4 => Just(32_u8), 2 => 24_u8..=32, 1 => 0_u8..=32]
}

fn bits_v6() -> impl Strategy<Value = u8> {
    prop_oneof![
        4 => prop::sample::select(vec![32_u8, 48, 56, 64, 128]),
        2 => 60_u8..=68,
        2 => 120_u8..=128,
        1 => 0_u8..=128,
    ]
}

pub(super) fn any_prefix() -> impl Strategy<Value = Prefix> {
    prop_oneof![
        (crowded_v4(), bits_v4()).prop_map(|(address, bits)| prefix_v4(address, bits)),
        (crowded_v6(), bits_v6()).prop_map(|(address, bits)| prefix_v6(address, bits)),
    ]
}

pub(super) fn any_stroke() -> impl Strategy<Value = Stroke> {
    (
        any_prefix(),
        prop_oneof![5 => 0_u32..6, 1 => Just(65_535_u32)],
    )
}

/// Changes to come one after the other: a region, and what is painted there.
pub(super) fn any_changes() -> impl Strategy<Value = Vec<(Prefix, Vec<Stroke>, bool)>> {
    let strokes = prop::collection::vec(any_stroke(), 0..12);
    prop::collection::vec((any_prefix(), strokes, any::<bool>()), 0..24)
}

/// What is there when one stroke after the other is painted.
pub(super) fn paint(strokes: &[Stroke]) -> Ranges {
    let mut ranges = Ranges::default();
    for (prefix, color) in strokes {
        paint_over(&mut ranges, *prefix, *color);
    }
    ranges
}

pub(super) fn paint_over(ranges: &mut Ranges, prefix: Prefix, color: u32) {
    match range::Region::of(prefix) {
        range::Region::V4(first, last) => {
            let id = id(color);
            let new = Range { first, last, id };
            ranges.v4 = range::splice(&ranges.v4, first, last, [new].into_iter());
        }
        range::Region::V6(first, last) => {
            let id = id(color);
            let new = Range { first, last, id };
            ranges.v6 = range::splice(&ranges.v6, first, last, [new].into_iter());
        }
    }
}

/// Addresses at both sides of every seam, and some more.
pub(super) fn probes(ranges: &Ranges) -> Vec<Address> {
    let mut v4s: BTreeSet<u32> = [0, 1, u32::MAX - 1, u32::MAX, 0xc000_0201].into();
    for range in &ranges.v4 {
        v4s.extend([range.first, range.last]);
        v4s.extend(range.first.checked_sub(1));
        v4s.extend(range.last.checked_add(1));
        v4s.insert(range.first / 2 + range.last / 2);
    }
    let mut v6s: BTreeSet<u128> = [0, 1, u128::MAX - 1, u128::MAX, 0x2001_0db8 << 96].into();
    v6s.extend([0xfffe_ffff_ffff, 0x0001_0000_0000_0000]);
    for range in &ranges.v6 {
        v6s.extend([range.first, range.last]);
        v6s.extend(range.first.checked_sub(1));
        v6s.extend(range.last.checked_add(1));
        v6s.insert(range.first / 2 + range.last / 2);
    }
    // A mapped address is IPv4, whatever IPv6 ranges say.
    let v6s = v6s.into_iter().map(v6).filter(|address| !address.is_v4());
    v4s.into_iter().map(v4).chain(v6s).collect()
}

/// The verdict of an address, by looking at every range.
pub(super) fn naive(ranges: &Ranges, address: &Address) -> VerdictId {
    let number = u128::from_be_bytes(address.octets());
    let found = if address.is_v4() {
        let number = u32::try_from(number & u128::from(u32::MAX)).unwrap();
        let mut all = ranges.v4.iter();
        all.find(|range| (range.first..=range.last).contains(&number))
            .map(|range| range.id)
    } else {
        let mut all = ranges.v6.iter();
        all.find(|range| (range.first..=range.last).contains(&number))
            .map(|range| range.id)
    };
    found.unwrap_or(VerdictId::NONE)
}

/// Memory of some lines.
pub(super) fn memory(lines: u32) -> Vec<AtomicU64> {
    let words = lines as usize * LINE_WORDS;
    (0..words).map(|_| AtomicU64::new(0)).collect()
}

/// A table with room for `room` more lines.
pub(super) fn table(ranges: &Ranges, room: u32) -> Table<Vec<AtomicU64>> {
    let image = Image::build_seeded(ranges, Seed::known(1)).unwrap();
    Table::install(memory(image.lines() + room), image).unwrap()
}

#[test]
fn prefixes_are_what_their_texts_say() {
    assert_eq!(prefix_v4(0xc000_0200, 24), "192.0.2.0/24".parse().unwrap());
    assert_eq!(prefix_v6(1, 128), "::1".parse().unwrap());
    assert!(prefix_v4(0, 0).bits() == MAPPED_BITS);
}
