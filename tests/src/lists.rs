//! Prefix lists for measurements: a million entries that look like block lists, and the addresses
//! that are asked for. The seed is fixed; the same call gives the same list.
//!
//! Everything is a number in the one address space (IPv4 mapped into IPv6), as in the tables.

use std::collections::{HashMap, HashSet};

use bot_agent::rules::prefix::Prefix;
use bot_common::address::{Address, MAPPED_BITS};

use crate::generate::Random;

/// Addresses of one workload, but for [`Workload::Hot`].
pub const ADDRESSES: usize = 1 << 16;
/// Addresses of [`Workload::Hot`].
pub const ATTACKERS: usize = 1000;
/// Verdicts that entries have: each half as frequent as the one before, like lists of several sizes.
pub const VERDICTS: u32 = 8;

const MAPPED: u128 = 0xffff << 32;

/// Which half of the address space.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Family {
    /// Mapped addresses.
    V4,
    /// All others.
    V6,
}

impl Family {
    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

/// A prefix and its verdict id (never 0).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Entry {
    /// First address.
    pub first: u128,
    /// Length in the mapped space, 0 to 128.
    pub bits: u8,
    /// Verdict id.
    pub id: u32,
}

impl Entry {
    /// Last address.
    pub const fn last(self) -> u128 {
        self.first | host_bits(self.bits)
    }

    /// As text: `192.0.2.0/24`, `2001:db8::/32`; hosts with their length, too.
    pub fn prefix(self) -> Prefix {
        let ip = address(self.first).to_ip();
        let bits = if ip.is_ipv4() {
            self.bits - MAPPED_BITS
        } else {
            self.bits
        };
        format!("{ip}/{bits}").parse().expect("a prefix")
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Workload {
    /// Addresses inside listed prefixes.
    Hit,
    /// Addresses in announced space that no prefix covers.
    Miss,
    /// Both in equal parts.
    Mixed,
    /// A thousand addresses inside listed prefixes, over and over: the usual attack.
    Hot,
}

impl Workload {
    /// Every one.
    pub const ALL: [Self; 4] = [Self::Hit, Self::Miss, Self::Mixed, Self::Hot];

    /// Its name in figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Miss => "miss",
            Self::Mixed => "mixed",
            Self::Hot => "hot",
        }
    }
}

/// Address space out of which prefixes are drawn.
#[derive(Clone, Debug)]
pub struct Space {
    family: Family,
    /// First and last, sorted, disjoint.
    ranges: Vec<(u128, u128)>,
    /// Addresses up to and with each range.
    sums: Vec<u128>,
}

impl Space {
    /// Sorted, disjoint ranges of one family.
    pub fn new(family: Family, ranges: Vec<(u128, u128)>) -> Self {
        let sums = ranges.iter().scan(0u128, |sum, (first, last)| {
            *sum += last - first + 1;
            Some(*sum)
        });
        Self {
            family,
            sums: sums.collect(),
            ranges,
        }
    }

    /// Roughly what is announced: whole blocks of the registries.
    pub fn registries(family: Family) -> Self {
        let blocks: &[(&str, &str)] = match family {
            Family::V4 => &[
                ("1.0.0.0", "9.255.255.255"),
                ("11.0.0.0", "100.63.255.255"),
                ("100.128.0.0", "126.255.255.255"),
                ("128.0.0.0", "169.253.255.255"),
                ("169.255.0.0", "172.15.255.255"),
                ("172.32.0.0", "192.167.255.255"),
                ("192.169.0.0", "198.17.255.255"),
                ("198.20.0.0", "223.255.255.255"),
            ],
            Family::V6 => &[
                ("2001:200::", "2001:dff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2003::", "2003:3fff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2400::", "240f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2600::", "260f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2800::", "280f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2a00::", "2a0f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
                ("2c00::", "2c0f:ffff:ffff:ffff:ffff:ffff:ffff:ffff"),
            ],
        };
        let parse = |text: &str| number(text.parse::<std::net::IpAddr>().expect("an address"));
        let ranges = blocks.iter().map(|(a, b)| (parse(a), parse(b))).collect();
        Self::new(family, ranges)
    }

    /// Whether the address is inside.
    pub fn contains(&self, address: u128) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= address);
        after > 0 && address <= self.ranges[after - 1].1
    }

    /// An address: of IPv4 any with the same chance; of IPv6 any range with the same chance, then any
    /// address in it, because a single wide range would get nearly everything.
    pub fn address(&self, random: &mut Random) -> u128 {
        let (range, offset) = match self.family {
            Family::V4 => {
                let all = *self.sums.last().expect("a range");
                let at = wide(random) % all;
                let range = self.sums.partition_point(|sum| *sum <= at);
                (
                    range,
                    at - (range.checked_sub(1).map_or(0, |i| self.sums[i])),
                )
            }
            Family::V6 => {
                let range = random.below(self.ranges.len());
                let (first, last) = self.ranges[range];
                (range, wide(random) % (last - first + 1))
            }
        };
        self.ranges[range].0 + offset
    }
}

/// `count` different prefixes, in no order.
pub fn list(space: &Space, count: usize, seed: u64) -> Vec<Entry> {
    let mut random = Random::new(seed);
    let mut known = HashSet::with_capacity(count);
    let mut entries = Vec::with_capacity(count);
    while entries.len() < count {
        let bits = length(space.family, &mut random);
        let first = space.address(&mut random) & !host_bits(bits);
        if known.insert((first, bits)) {
            entries.push(Entry {
                first,
                bits,
                id: verdict(&mut random),
            });
        }
    }
    entries
}

/// IPv4: 70 % hosts, 20 % /24, the rest /16 to /31. IPv6: mostly /64, /128, /48 and /56.
fn length(family: Family, random: &mut Random) -> u8 {
    let percent = random.below(100);
    match family {
        Family::V4 => {
            MAPPED_BITS
                + match percent {
                    0..70 => 32,
                    70..90 => 24,
                    _ => 16 + random.below(16) as u8,
                }
        }
        Family::V6 => match percent {
            0..40 => 64,
            40..70 => 128,
            70..85 => 48,
            85..95 => 56,
            _ => random.pick(&[32, 36, 40, 44, 60]),
        },
    }
}

fn verdict(random: &mut Random) -> u32 {
    (random.any().trailing_zeros() + 1).min(VERDICTS)
}

/// The addresses of a workload.
pub fn workload(
    kind: Workload,
    entries: &[Entry],
    space: &Space,
    reference: &Reference,
    seed: u64,
) -> Vec<Address> {
    let mut random = Random::new(seed);
    let hit = |random: &mut Random| {
        let entry = entries[random.below(entries.len())];
        entry.first + (wide(random) & host_bits(entry.bits))
    };
    let miss = |random: &mut Random| loop {
        let address = space.address(random);
        if reference.lookup(address) == 0 {
            return address;
        }
    };
    let count = match kind {
        Workload::Hot => ATTACKERS,
        Workload::Hit | Workload::Miss | Workload::Mixed => ADDRESSES,
    };
    let one = |_| {
        address(match kind {
            Workload::Hit | Workload::Hot => hit(&mut random),
            Workload::Mixed if random.once_in(2) => hit(&mut random),
            Workload::Miss | Workload::Mixed => miss(&mut random),
        })
    };
    (0..count).map(one).collect()
}

/// The plain answer: each length is asked, longest first.
pub struct Reference(Vec<(u8, HashMap<u128, u32>)>);

impl Reference {
    /// Of a list.
    pub fn new(entries: &[Entry]) -> Self {
        let mut lengths: HashMap<u8, HashMap<u128, u32>> = HashMap::new();
        for entry in entries {
            let of_length = lengths.entry(entry.bits).or_default();
            of_length.insert(entry.first, entry.id);
        }
        let mut lengths: Vec<_> = lengths.into_iter().collect();
        lengths.sort_by_key(|(bits, _)| std::cmp::Reverse(*bits));
        Self(lengths)
    }

    /// The verdict id; 0 where no prefix covers the address.
    pub fn lookup(&self, address: u128) -> u32 {
        let of = |(bits, entries): &(u8, HashMap<u128, u32>)| {
            entries.get(&(address & !host_bits(*bits))).copied()
        };
        self.0.iter().find_map(of).unwrap_or(0)
    }
}

/// Prefixes that together are exactly a range.
pub fn prefixes_of(first: u128, last: u128, id: u32) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut from = first;
    loop {
        // As wide as where it begins and what is left allow.
        let mut host = from.trailing_zeros().min(127);
        while from + ((1u128 << host) - 1) > last {
            host -= 1;
        }
        entries.push(Entry {
            first: from,
            bits: (128 - host) as u8,
            id,
        });
        let end = from + ((1u128 << host) - 1);
        if end >= last {
            return entries;
        }
        from = end + 1;
    }
}

/// An address as a number of the mapped space.
pub fn number(ip: impl Into<Address>) -> u128 {
    u128::from_be_bytes(ip.into().octets())
}

/// The address of a number.
pub fn address(number: u128) -> Address {
    Address::from_v6(number.to_be_bytes())
}

/// Whether a number is an IPv4 address.
pub const fn is_v4(number: u128) -> bool {
    number & !0xffff_ffff == MAPPED
}

const fn host_bits(bits: u8) -> u128 {
    match bits {
        0 => u128::MAX,
        bits => (1u128 << (128 - bits)) - 1,
    }
}

fn wide(random: &mut Random) -> u128 {
    u128::from(random.any()) << 64 | u128::from(random.any())
}

/// Disjoint ranges that say what the longest prefix says: first, last and verdict id, sorted, equal
/// neighbours merged.
pub fn flatten(entries: &[Entry]) -> Vec<(u128, u128, u32)> {
    let mut sorted = entries.to_vec();
    sorted.sort_unstable_by_key(|entry| (entry.first, entry.bits));
    let mut ranges = Vec::with_capacity(sorted.len());
    // Prefixes around the place that is reached, widest first.
    let mut around: Vec<Entry> = Vec::new();
    let mut from = 0;
    for entry in sorted {
        while let Some(ended) = around.pop_if(|outer| outer.last() < entry.first) {
            push(&mut ranges, from, ended.last(), ended.id);
            from = from.max(ended.last() + 1);
        }
        if let Some(outer) = around.last()
            && from < entry.first
        {
            push(&mut ranges, from, entry.first - 1, outer.id);
        }
        from = entry.first;
        around.push(entry);
    }
    while let Some(ended) = around.pop() {
        push(&mut ranges, from, ended.last(), ended.id);
        from = from.max(ended.last().saturating_add(1));
    }
    ranges
}

fn push(ranges: &mut Vec<(u128, u128, u32)>, first: u128, last: u128, id: u32) {
    match ranges.last_mut() {
        _ if first > last => {}
        Some(before) if before.1 + 1 == first && before.2 == id => before.1 = last,
        _ => ranges.push((first, last, id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flat_ranges_say_what_the_longest_prefix_says() {
        for family in [Family::V4, Family::V6] {
            let space = Space::registries(family);
            let entries = list(&space, 5_000, 7);
            let reference = Reference::new(&entries);
            let ranges = flatten(&entries);
            assert!(ranges.is_sorted_by(|a, b| a.1 < b.0 && (a.1 + 1 < b.0 || a.2 != b.2)));
            let mut probes: Vec<u128> = Workload::ALL
                .iter()
                .flat_map(|&kind| workload(kind, &entries, &space, &reference, 8))
                .map(|address| number(address.to_ip()))
                .collect();
            for (first, last, _) in &ranges {
                probes.extend([first - 1, *first, *last, last + 1]);
            }
            for probe in probes {
                let after = ranges.partition_point(|range| range.0 <= probe);
                let range = after.checked_sub(1).map(|at| ranges[at]);
                let flat = range.map_or(0, |(_, last, id)| if probe <= last { id } else { 0 });
                assert_eq!(flat, reference.lookup(probe), "{}", address(probe).to_ip());
            }
        }
    }

    #[test]
    fn lists_and_workloads_are_what_they_are_called() {
        let space = Space::registries(Family::V4);
        let entries = list(&space, 10_000, 1);
        assert_eq!(entries, list(&space, 10_000, 1));
        let hosts = entries.iter().filter(|entry| entry.bits == 128).count();
        assert!((6_500..7_500).contains(&hosts), "{hosts}");
        let reference = Reference::new(&entries);
        for (kind, listed) in [(Workload::Hit, true), (Workload::Miss, false)] {
            for address in workload(kind, &entries, &space, &reference, 2) {
                let number = number(address.to_ip());
                assert!(space.contains(number) || listed);
                assert_eq!(reference.lookup(number) != 0, listed);
            }
        }
    }

    #[test]
    fn prefixes_of_a_range_are_exactly_the_range() {
        for (first, last) in [
            (5, 5),
            (0, 255),
            (3, 1_000_001),
            (MAPPED, MAPPED | 0xffff_ffff),
        ] {
            let mut next = first;
            for entry in prefixes_of(first, last, 1) {
                assert_eq!(entry.first, next);
                next = entry.last() + 1;
            }
            assert_eq!(next, last + 1);
        }
    }
}
