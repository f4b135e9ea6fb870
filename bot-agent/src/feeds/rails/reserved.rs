//! Reserved space: addresses that no source on the Internet has.
//!
//! The rows are those of the IANA special-purpose registries that are not globally reachable, and of
//! IPv6 everything outside of `2000::/3`. `64:ff9b::/96` is outside, and stays out: all of IPv4 is in
//! it, and whoever means an IPv4 address names that. Teredo and 6to4 are not reserved, apart from
//! 6to4 of reserved IPv4 space.

use std::sync::LazyLock;

use super::holes::Holes;
use crate::rules::prefix::Prefix;

/// A row of the table.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Reserved {
    /// The addresses.
    pub prefix: Prefix,
    /// What they are for.
    pub what: &'static str,
    /// Where that is written.
    pub source: &'static str,
}

const ROWS: &str = include_str!("reserved.csv");

/// The table, disjoint.
pub fn reserved() -> impl Iterator<Item = Reserved> {
    ROWS.lines().skip(1).filter_map(row)
}

/// The row that has all of a prefix.
pub fn reserved_by(prefix: Prefix) -> Option<Reserved> {
    reserved().find(|row| row.prefix.covers(prefix))
}

pub(super) fn holes() -> &'static Holes {
    static HOLES: LazyLock<Holes> = LazyLock::new(|| Holes::new(reserved().map(|row| row.prefix)));
    &HOLES
}

fn row(line: &'static str) -> Option<Reserved> {
    let mut fields = line.split(',');
    Some(Reserved {
        prefix: fields.next()?.parse().ok()?,
        what: fields.next()?,
        source: fields.next()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(text: &str) -> Option<&'static str> {
        reserved_by(text.parse().unwrap()).map(|row| row.source)
    }

    #[test]
    fn every_row_is_read_and_none_is_within_another() {
        let rows: Vec<Reserved> = reserved().collect();
        assert_eq!(rows.len(), ROWS.lines().count() - 1);
        for (index, row) in rows.iter().enumerate() {
            assert!(!row.what.is_empty() && row.source.starts_with("RFC "));
            let others = rows.iter().enumerate().filter(|(other, _)| *other != index);
            for (_, other) in others {
                assert!(!row.prefix.covers(other.prefix), "{row:?} {other:?}");
            }
        }
    }

    #[test]
    fn addresses_of_nobody_are_known_with_their_source() {
        for (address, source) in [
            ("0.0.0.0", "RFC 791 section 3.2"),
            ("10.1.2.3", "RFC 1918"),
            ("172.31.255.255", "RFC 1918"),
            ("100.127.255.255", "RFC 6598"),
            ("127.0.0.53", "RFC 1122 section 3.2.1.3"),
            ("198.19.0.0/16", "RFC 2544"),
            ("239.1.2.3", "RFC 5771"),
            ("255.255.255.255", "RFC 1112 section 4"),
            ("::1", "RFC 4291 section 2.4"),
            ("64:ff9b::c633:6401", "RFC 4291 section 2.4"),
            ("fe80::1", "RFC 4291 section 2.4"),
            ("fd00::/8", "RFC 4291 section 2.4"),
            ("ff02::1", "RFC 4291 section 2.4"),
            ("2001:db8::1", "RFC 3849"),
            ("2002:c0a8:101::1", "RFC 3964"),
            ("2002:ffff::", "RFC 3964"),
        ] {
            assert_eq!(why(address), Some(source), "{address}");
        }
    }

    #[test]
    fn addresses_of_somebody_are_not() {
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "192.0.1.0",
            "198.17.255.255",
            "198.20.0.0",
            "223.255.255.255",
            "2001:4860:4860::8888",
            // Teredo, and 6to4 of an address that is somebody's.
            "2001::1",
            "2002:808:808::1",
        ] {
            assert_eq!(why(address), None, "{address}");
        }
    }
}
