//! Pages made by hand, and what the reader makes of them. Whole tables are built and compared in
//! the agent, which has the builder.

use core::{cell::Cell, net::IpAddr};
use std::{boxed::Box, vec, vec::Vec};

use proptest::prelude::*;

use super::{
    BLOCKS, FILTER_V4, FilterV6, HALF_DEPTH, HEADER, HashedBits, LEVELS_V6, LINE_WORDS, Line,
    Lines, MAGIC, PAGE_DEPTH, Shortcuts, lookup, root_v4, root_v6,
    slot::{self, HALF_INDEX_CHILD, INDEX, INDEX_CHILD, PAGES, RUNS},
    v4_filter_bit,
};
use crate::address::Address;

extern crate std;

type Words = [u64; LINE_WORDS];

/// A table with an IPv6 filter of two lines, one line of shortcuts, and nothing in it.
struct Table(Vec<Words>);

impl Table {
    fn new() -> Self {
        let mut lines = vec![[0; LINE_WORDS]; BLOCKS as usize + 3];
        lines[HEADER as usize][0] = MAGIC;
        lines[HEADER as usize][1..5].copy_from_slice(&FILTER.header());
        lines[HEADER as usize][5..7].copy_from_slice(&SHORTCUTS.header());
        Self(lines)
    }

    fn len(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap()
    }

    fn push(&mut self, page: Words) -> u32 {
        self.0.push(page);
        self.len() - 1
    }

    fn root(&mut self, (line, word): (u32, usize), slot: u64) {
        self.0[line as usize][word] = slot;
    }

    fn set(&mut self, (line, word, bit): (u32, usize, u32)) {
        self.0[line as usize][word] |= 1 << bit;
    }

    fn says(&self, ip: &str) -> u32 {
        let ip: IpAddr = ip.parse().unwrap();
        lookup(&self.0.as_slice(), &Address::from(ip)).get()
    }
}

const FILTER: FilterV6 = FilterV6 {
    by48: HashedBits {
        line: BLOCKS,
        log2: HashedBits::MIN_LOG2,
        key: 0x9e37_79b9_7f4a_7c15,
    },
    by32: HashedBits {
        line: BLOCKS + 1,
        log2: HashedBits::MIN_LOG2,
        key: 0xbf58_476d_1ce4_e5b9,
    },
};

const SHORTCUTS: Shortcuts = Shortcuts {
    line: BLOCKS + 2,
    count: 1,
    key: 0x94d0_49bb_1331_11eb,
};

/// Sets lane `index` of a page.
fn put(page: &mut Words, index: usize, value: u16) {
    page[index / 4] |= u64::from(value) << (index % 4 * 16);
}

/// A run page: base id, then key, id and whether it is exact.
fn runs(base: u16, entries: &[(u16, u16, bool)]) -> Words {
    let mut page = [0; LINE_WORDS];
    put(&mut page, 16, base);
    for entry in 0..15 {
        let (key, id, exact) = match entries.get(entry) {
            Some(given) => *given,
            None => (0xffff, entries.last().map_or(base, |last| last.1), false),
        };
        put(&mut page, entry + 1, key);
        put(&mut page, entry + 17, id);
        page[0] |= u64::from(exact) << (entry + 1);
    }
    page
}

/// A slot page of exact entries.
fn slots(base: u16, entries: &[(u16, u64)]) -> Words {
    let mut page = [0; LINE_WORDS];
    put(&mut page, 1, base);
    for entry in 0..6 {
        let (key, slot) = entries
            .get(entry)
            .copied()
            .unwrap_or((0xffff, slot::leaf(base)));
        put(&mut page, entry + 2, key);
        page[entry + 2] = slot;
        page[0] |= u64::from(entry < entries.len()) << (entry + 1);
    }
    page
}

/// A tail page.
fn tails(base: u16, entries: &[(u64, u16, bool)]) -> Words {
    let mut page = [0; LINE_WORDS];
    put(&mut page, 1, base);
    for entry in 0..6 {
        let (key, id, exact) = match entries.get(entry) {
            Some(given) => *given,
            None => (u64::MAX, entries.last().map_or(base, |last| last.1), false),
        };
        put(&mut page, entry + 2, id);
        page[entry + 2] = key;
        page[0] |= u64::from(exact) << (entry + 1);
    }
    page
}

#[test]
fn an_empty_table_has_no_verdict() {
    for ip in ["0.0.0.0", "255.255.255.255", "::", "ffff::1", "2001:db8::1"] {
        assert_eq!(Table::new().says(ip), 0);
    }
}

#[test]
fn the_filter_spares_the_rest() {
    let mut table = Table::new();
    table.root(root_v4(0xc000), slot::leaf(7));
    assert_eq!(table.says("192.0.2.1"), 0);
    table.set(v4_filter_bit(u32::from_be_bytes([192, 0, 2, 99])));
    assert_eq!(table.says("192.0.2.1"), 7);
    assert_eq!(table.says("192.0.3.1"), 0);
    assert!(v4_filter_bit(u32::MAX).0 < BLOCKS && v4_filter_bit(0).0 == FILTER_V4);
}

#[test]
fn runs_and_exact_entries_of_a_page() {
    let mut table = Table::new();
    let page = table.push(runs(
        9,
        &[
            (0x0000, 1, true),
            (0x0200, 2, false),
            (0x0280, 9, false),
            (0x0300, 3, true),
            (0x8000, 4, false),
            (0xffff, 5, true),
        ],
    ));
    table.root(root_v4(0xc000), slot::pages(RUNS, page, 1, 0, 0));
    for cell in 0..256 {
        table.set(v4_filter_bit(0xc000_0000 | cell << 8));
    }
    for (ip, id) in [
        ("192.0.0.0", 1),
        ("192.0.0.1", 9),
        ("192.0.2.0", 2),
        ("192.0.2.127", 2),
        ("192.0.2.128", 9),
        ("192.0.3.0", 3),
        ("192.0.3.1", 9),
        ("192.0.127.255", 9),
        ("192.0.128.0", 4),
        ("192.0.255.254", 4),
        ("192.0.255.255", 5),
    ] {
        assert_eq!(table.says(ip), id, "{ip}");
    }
}

#[test]
fn rows_and_indexes_lead_to_the_page_of_a_key() {
    let mut table = Table::new();
    let base = table.len() + 2;
    let mut index = runs(0, &[(0x9000, 0, false), (0xa000, 0, false)]);
    index[0] |= INDEX;
    index[INDEX_CHILD] = slot::at(base);
    let row = table.push(runs(1, &[]));
    table.push(index);
    for id in 2..=4 {
        table.push(runs(id, &[]));
    }
    for _ in 0..14 {
        table.push(runs(5, &[]));
    }
    table.root(root_v4(0xc000), slot::pages(RUNS, row, 5, 1, 15));
    for cell in 0..256 {
        table.set(v4_filter_bit(0xc000_0000 | cell << 8));
    }
    for (ip, id) in [
        ("192.0.127.255", 1),
        ("192.0.128.0", 2),
        ("192.0.143.255", 2),
        ("192.0.144.0", 3),
        ("192.0.160.0", 4),
        ("192.0.255.254", 4),
    ] {
        assert_eq!(table.says(ip), id, "{ip}");
    }
}

#[test]
fn ipv6_goes_down_16_bits_at_a_time() {
    let mut table = Table::new();
    let hosts = table.push(tails(
        0,
        &[(1, 21, true), (0x10, 22, false), (0x20, 0, false)],
    ));
    let lone = table.push(tails(8, &[(5, 23, true)]));
    let last = table.push(slots(0, &[(1, slot::half(hosts, 1)), (2, slot::leaf(24))]));
    let middle = table.push(slots(
        0,
        &[
            (0, slot::pages(PAGES, last, 1, 0, 0)),
            (1, slot::tail(0xab00_0000, 8, 25)),
            (2, slot::leaf(26)),
        ],
    ));
    let first = table.push(slots(
        8,
        &[
            (0x0db8, slot::pages(PAGES, middle, 1, 0, 0)),
            (0x0db9, slot::tail(0x0001_0002, 32, 27)),
            (0x0dba, slot::skip(0x0001_0002, lone)),
        ],
    ));
    table.root(
        root_v6(0x2001),
        slot::pages(PAGES, first, 1, 0, 0) | slot::WIDE,
    );
    for (ip, id) in [
        ("2001:db8::", 0),
        ("2001:db8:0:1::", 0),
        ("2001:db8:0:1::1", 21),
        ("2001:db8:0:1::f", 0),
        ("2001:db8:0:1::1f", 22),
        ("2001:db8:0:1::20", 0),
        ("2001:db8:0:1:ffff:ffff:ffff:ffff", 0),
        ("2001:db8:0:2::ffff", 24),
        ("2001:db8:0:3::", 0),
        ("2001:db8:1:abff::1", 25),
        ("2001:db8:1:acff::1", 0),
        ("2001:db8:2::", 26),
        ("2001:db9:1:2:3::", 27),
        ("2001:db9:1:3::", 8),
        ("2001:dba:1:2::5", 23),
        ("2001:dba:1:2::6", 8),
        ("2001:dba:1:3::5", 8),
        ("2001:dbb::", 8),
        ("2002::", 0),
    ] {
        assert_eq!(table.says(ip), id, "{ip}");
    }
}

#[test]
fn a_fan_has_a_row_for_each_256_values() {
    let mut table = Table::new();
    let fan = table.len();
    for _ in 0..slot::FAN_LINES {
        table.push([0; LINE_WORDS]);
    }
    let row = table.push(runs(1, &[]));
    table.push(runs(2, &[]));
    table.push(runs(3, &[(0x0d81, 4, true)]));
    table.push(runs(5, &[]));
    let middle = table.push(slots(0, &[(0x1234, slot::leaf(6))]));
    table.root((fan + 0x0d / 8, 0x0d % 8), slot::pages(RUNS, row, 4, 2, 6));
    table.root((fan + 0x0e / 8, 0x0e % 8), slot::leaf(7));
    table.root(
        (fan + 0xff / 8, 0xff % 8),
        slot::pages(PAGES, middle, 1, 0, 0),
    );
    table.root(root_v6(0x2001), slot::fan(fan) | slot::WIDE);
    for (ip, id) in [
        ("2001:d00::", 1),
        ("2001:d3f::", 1),
        ("2001:d40::", 2),
        ("2001:dc0::", 5),
        ("2001:d81::", 4),
        ("2001:d82::", 3),
        ("2001:dff::", 5),
        ("2001:e12::", 7),
        ("2001:f00::", 0),
        ("2001:ff00::", 0),
    ] {
        assert_eq!(table.says(ip), id, "{ip}");
    }
}

#[test]
fn the_ipv6_filter_knows_48s_and_32s() {
    let mut table = Table::new();
    let page = table.push(runs(3, &[]));
    table.root(root_v6(0x2001), slot::pages(RUNS, page, 1, 0, 0));
    assert_eq!(table.says("2001:db8:1::"), 0);
    table.set(FILTER.bit48(0x2001_0db8_0001_0000));
    assert_eq!(table.says("2001:db8:1:ffff::"), 3);
    assert_eq!(table.says("2001:db8:2::"), 0);
    table.set(FILTER.bit32(0x2001_0db8_0000_0000));
    assert_eq!(table.says("2001:db8:2::"), 3);
}

#[test]
fn a_shortcut_leads_to_the_slot_of_a_48_with_its_base_until_it_is_taken_away() {
    let mut table = Table::new();
    let high = 0x2001_0db8_0001_0000;
    table.set(FILTER.bit48(high));
    table.set(FILTER.bit48(0x2001_0db8_0002_0000));
    let line = SHORTCUTS.bucket(high) as usize;
    // The second entry of the line; the pages say nothing.
    table.0[line][2] = Shortcuts::tag(high, 8);
    table.0[line][3] = slot::tail(0x00ff_0000, 16, 9);
    assert_eq!(table.says("2001:db8:1:ff::1"), 9);
    assert_eq!(table.says("2001:db8:1:fe::1"), 8);
    assert_eq!(table.says("2001:db8:2:ff::1"), 0);
    table.root(root_v6(0x2001), slot::leaf(4));
    assert_eq!(table.says("2001:db8:2:ff::1"), 4);
    table.0[line][3] = 0;
    assert_eq!(table.says("2001:db8:1:ff::1"), 4);
}

#[test]
fn a_shortcut_leads_on_to_pages() {
    let mut table = Table::new();
    let high = 0x2001_0db8_0001_0000;
    table.set(FILTER.bit48(high));
    let page = table.push(runs(1, &[(0x10, 2, true), (0x20, 3, false)]));
    let line = SHORTCUTS.bucket(high) as usize;
    table.0[line][0] = Shortcuts::tag(high, 0);
    table.0[line][1] = slot::pages(RUNS, page, 1, 0, 0);
    assert_eq!(table.says("2001:db8:1:10::"), 2);
    assert_eq!(table.says("2001:db8:1:11::"), 1);
    assert_eq!(table.says("2001:db8:1:21::"), 3);
    let tree = table.push(tails(5, &[(1, 6, true)]));
    let slots = table.push(slots(
        4,
        &[(0x10, slot::half(tree, 1)), (0x30, slot::skip(0, tree))],
    ));
    table.0[line][1] = slot::pages(PAGES, slots, 1, 0, 0);
    assert_eq!(table.says("2001:db8:1:10::1"), 6);
    assert_eq!(table.says("2001:db8:1:10::2"), 5);
    assert_eq!(table.says("2001:db8:1:20::2"), 4);
}

#[test]
fn free_entries_do_not_hide_the_network_of_zeros() {
    let mut table = Table::new();
    table.set(FILTER.bit48(0));
    table.root(root_v6(0), slot::leaf(3));
    assert_eq!(table.says("::1"), 3);
}

#[test]
fn an_index_of_tail_pages_leads_on() {
    let mut table = Table::new();
    let low = table.push(tails(1, &[]));
    table.push(tails(2, &[]));
    for _ in 0..5 {
        table.push(tails(3, &[]));
    }
    let mut index = tails(0, &[(1 << 63, 0, false)]);
    index[0] = INDEX;
    index[HALF_INDEX_CHILD] = slot::at(low);
    let index = table.push(index);
    let page = table.push(slots(0, &[(1, slot::half(index, 8))]));
    let page = table.push(slots(0, &[(0, slot::pages(PAGES, page, 1, 0, 0))]));
    let page = table.push(slots(0, &[(0, slot::pages(PAGES, page, 1, 0, 0))]));
    table.root(
        root_v6(0x2001),
        slot::pages(PAGES, page, 1, 0, 0) | slot::WIDE,
    );
    assert_eq!(table.says("2001:0:0:1:7fff:ffff:ffff:ffff"), 1);
    assert_eq!(table.says("2001:0:0:1:8000::"), 2);
    assert_eq!(table.says("2001:0:0:2:8000::"), 0);
}

/// Random words at every line, and a count of the lines that were asked for.
struct Random<'a> {
    seed: u64,
    lines: u32,
    asked: &'a Cell<usize>,
}

#[derive(Clone, Copy)]
struct RandomLine(u64);

impl Lines for Random<'_> {
    type Line = RandomLine;

    fn line(&self, index: u32) -> Option<RandomLine> {
        self.asked.set(self.asked.get() + 1);
        (index < self.lines).then(|| RandomLine(mix(self.seed ^ u64::from(index))))
    }
}

impl Line for RandomLine {
    fn word(self, index: usize) -> u64 {
        // Kinds and index flags that lead on more often than chance would have it.
        let word = mix(self.0 ^ index as u64);
        match word >> 60 {
            0..2 => word & !0xff | PAGES,
            2..4 => word & !0xff | slot::FAN,
            4..6 => word & !0xff | slot::HALF,
            6..8 => word & !0xff | RUNS,
            8..11 => word | INDEX,
            11..13 => u64::MAX,
            _ => word,
        }
    }
}

fn mix(word: u64) -> u64 {
    let z = (word ^ word >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

proptest! {
    #[test]
    fn any_words_are_a_table_and_a_lookup_ends(seed: u64, lines in 1u32..1 << 24, octets: [u8; 16], v4: [u8; 4]) {
        let asked = Cell::new(0);
        let random = Random { seed, lines, asked: &asked };
        lookup(&random, &Address::from_v6(octets));
        // Header, two bits of the filter, shortcuts, root, fans, pages, the tree.
        prop_assert!(asked.get() <= 5 + LEVELS_V6 + PAGE_DEPTH * (LEVELS_V6 + 1) + HALF_DEPTH);
        asked.set(0);
        lookup(&random, &Address::from_v4(v4));
        prop_assert!(asked.get() <= 2 + PAGE_DEPTH);
    }

    #[test]
    fn a_page_says_what_its_entries_say(
        base: u16,
        mut keys in prop::collection::btree_map(any::<u16>(), (any::<u16>(), any::<bool>()), 0..15),
        probes in prop::collection::vec(any::<u16>(), 0..8),
    ) {
        if keys.keys().next() == Some(&0xffff) {
            keys.clear();
        }
        let entries: Vec<_> = keys.iter().map(|(key, (id, exact))| (*key, *id, *exact)).collect();
        // The last entry also stands for the spare ones.
        let entries = match entries.last() {
            Some((key, _, true)) if *key < 0xffff => {
                let mut entries = entries.clone();
                entries.push((key + 1, base, false));
                entries
            }
            _ => entries,
        };
        let mut table = Table::new();
        let page = table.push(runs(base, &entries));
        table.root(root_v6(0xfe80), slot::pages(RUNS, page, 1, 0, 0) | slot::WIDE);
        let near = keys.keys().flat_map(|key| [key.wrapping_sub(1), *key, key.wrapping_add(1)]);
        for key in near.chain(probes).chain([0, 0xffff]) {
            let wanted = match entries.iter().rev().find(|entry| entry.0 <= key) {
                Some((at, _, true)) if *at != key => base,
                Some((_, id, _)) => *id,
                None => base,
            };
            let mut octets = [0; 16];
            octets[..2].copy_from_slice(&[0xfe, 0x80]);
            octets[2..4].copy_from_slice(&key.to_be_bytes());
            let said = lookup(&table.0.as_slice(), &Address::from_v6(octets));
            prop_assert_eq!(said.get(), u32::from(wanted), "{:#x}", key);
        }
    }
}

#[test]
fn shared_words_read_like_others() {
    use core::sync::atomic::AtomicU64;
    let mut table = Table::new();
    table.root(root_v6(0x2001), slot::leaf(4) | slot::WIDE);
    let shared: Box<[AtomicU64]> = table
        .0
        .iter()
        .flatten()
        .copied()
        .map(AtomicU64::new)
        .collect();
    let ip: IpAddr = "2001:db8::1".parse().unwrap();
    assert_eq!(lookup(&&*shared, &Address::from(ip)).get(), 4);
    assert!((&*shared).line(table.len()).is_none());
}
