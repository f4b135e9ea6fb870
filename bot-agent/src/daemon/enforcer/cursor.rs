//! Which part of the tables is compared with the policy next: everything in turn, a little each second.

use bot_common::{abi::verdict::VerdictId, address::Address};

use crate::rules::prefix::Prefix;

/// Ranges that may be compared at once; the part in which the number is reached is the last.
pub(super) const RANGES: usize = 10_000;
/// Parts of the address space that are compared at once at most.
const REGIONS: usize = 32;
/// Verdict ids that are compared at once.
const IDS: u32 = 4096;

/// Parts of IPv4: /8s.
const IPV4: u16 = 256;
/// Parts of the IPv6 space that is given out (`2000::/3`): /12s. The other /3s are one part each.
const IPV6: u16 = 512;
const OTHER: [u8; 7] = [0x00, 0x40, 0x60, 0x80, 0xa0, 0xc0, 0xe0];
const ALL: u16 = IPV4 + IPV6 + 7;

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cursor {
    region: u16,
    id: u32,
}

impl Cursor {
    /// The next ids.
    pub(super) fn ids(&mut self) -> impl Iterator<Item = VerdictId> + use<> {
        let from = self.id;
        let to = from + IDS;
        self.id = if to > VerdictId::MAX.get() { 0 } else { to };
        (from..to)
            .filter_map(VerdictId::new)
            .filter(|id| *id != VerdictId::NONE)
    }

    /// The next part of the address space; what is not taken comes next time.
    pub(super) fn next_region(&mut self) -> Prefix {
        let index = self.region;
        self.region = (index + 1) % ALL;
        region(index)
    }

    /// How many parts are compared at once at most.
    pub(super) const fn at_once() -> usize {
        REGIONS
    }
}

fn region(index: u16) -> Prefix {
    if let Ok(octet) = u8::try_from(index) {
        return Prefix::host(Address::from_v4([octet, 0, 0, 0]).to_ip()).shortened(96 + 8);
    }
    let mut octets = [0; 16];
    let index = index - IPV4;
    if index < IPV6 {
        let [high, low] = (0x2000 + (index << 4)).to_be_bytes();
        (octets[0], octets[1]) = (high, low);
        return prefix(octets, 12);
    }
    let first = OTHER.get(usize::from(index - IPV6)).copied();
    octets[0] = first.unwrap_or_default();
    prefix(octets, 3)
}

fn prefix(octets: [u8; 16], bits: u8) -> Prefix {
    Prefix::host(Address::from_v6(octets).to_ip()).shortened(bits)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    #[test]
    fn every_address_is_in_one_part_of_its_family() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "255.255.255.255",
            "::1",
            "2001:db8::1",
            "3fff::1",
            "fe80::1",
            "ffff::",
        ] {
            let address = Address::from(text.parse::<IpAddr>().unwrap());
            let parts = (0..ALL).map(region).filter(|part| part.contains(address));
            assert_eq!(parts.count(), 1, "{text}");
        }
    }

    #[test]
    fn the_cursor_comes_around() {
        let mut cursor = Cursor::default();
        let first = cursor.next_region();
        let rest: Vec<Prefix> = (1..ALL).map(|_| cursor.next_region()).collect();
        assert!(!rest.contains(&first));
        assert_eq!(cursor.next_region(), first);
        let ids = (0..16).flat_map(|_| cursor.ids()).count();
        assert_eq!(ids, 65_535);
    }
}
