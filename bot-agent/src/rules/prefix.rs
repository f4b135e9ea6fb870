//! Address prefixes in the one address space of [`bot_common::address`].

use std::{
    fmt,
    marker::PhantomData,
    net::{IpAddr, Ipv6Addr},
    str::FromStr,
};

use bot_common::{
    abi::verdict::PrefixKey,
    address::{Address, MAPPED_BITS},
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::subject::Text;

/// A prefix without host bits. Orders by address, then length: a prefix sorts before all that it covers.
///
/// The families are apart: an IPv6 prefix that encloses `::ffff:0:0/96` (like `::/0`) covers no
/// IPv4 address. The kernel's store knows nothing of that; [`crate::policy::compile`] sees to it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Prefix {
    address: Address,
    bits: u8,
}

/// Why a text names no addresses, or more of them than it may.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParseError {
    /// Neither an address nor a CIDR nor a range.
    #[error(
        "`{0}` is neither an address nor a CIDR nor a range \
         (like 192.0.2.7, 198.51.100.0/24, 192.0.2.7-192.0.2.19 or 2001:db8::/32)"
    )]
    Syntax(String),
    /// None of what a target may be.
    #[error(
        "`{0}` is neither an address nor a CIDR nor a range nor an AS number (like 192.0.2.7, \
         198.51.100.0/24, 192.0.2.7-192.0.2.19, 2001:db8::/32 or AS64500)"
    )]
    Target(String),
    /// Not the number of an autonomous system.
    #[error("`{0}` is no AS number (AS1 to AS4294967295, like AS64500)")]
    Asn(String),
    /// Not the code of a country.
    #[error("`{0}` is no country code (two letters of ISO 3166, like DE)")]
    Country(String),
    /// No text at all.
    #[error("the target is empty")]
    Empty,
    /// An address with a length that its family does not have.
    #[error("`{given}`: the prefix length of {family} is at most {longest}")]
    Length {
        /// The text as given.
        given: String,
        /// The family.
        family: &'static str,
        /// Its longest prefix.
        longest: u8,
    },
    /// The address part has bits beyond the length.
    #[error("`{given}` has host bits set; the network would be {network}")]
    HostBits {
        /// The text as given.
        given: String,
        /// The network it lies in.
        network: Prefix,
    },
    /// An IPv6 zone id.
    #[error("`{given}` has a zone id; rules hold for every interface: write {address}")]
    Zone {
        /// The text as given.
        given: String,
        /// The part before `%`.
        address: String,
    },
    /// A range from one family to the other.
    #[error("range `{0}` mixes IPv4 and IPv6; both ends must be of one family")]
    RangeFamilies(String),
    /// A range that ends before it begins.
    #[error("range `{given}` ends before it begins; write {last}-{first}")]
    RangeReversed {
        /// The text as given.
        given: String,
        /// Its left end.
        first: IpAddr,
        /// Its right end.
        last: IpAddr,
    },
    /// Too many addresses for a rule without `--force`.
    #[error(
        "`{given}` covers {prefix}, wider than {}",
        if prefix.is_v4() { "/8" } else { "/19" }
    )]
    TooWide {
        /// The text as given.
        given: String,
        /// The first prefix that is too wide.
        prefix: Prefix,
    },
}

impl Prefix {
    /// The prefix of a network; host bits are cut off.
    pub fn from_net(net: IpNet) -> Self {
        match net.trunc() {
            IpNet::V4(v4) => Self {
                address: v4.addr().into(),
                bits: v4.prefix_len() + MAPPED_BITS,
            },
            IpNet::V6(v6) => Self {
                address: v6.addr().into(),
                bits: v6.prefix_len(),
            },
        }
    }

    /// The prefix of one address.
    pub fn host(ip: IpAddr) -> Self {
        Self {
            address: ip.into(),
            bits: 128,
        }
    }

    /// The network as people write it. Prefixes inside `::ffff:0:0/96` are IPv4.
    pub fn to_net(self) -> IpNet {
        let net = match (self.address.to_ip(), self.bits.checked_sub(MAPPED_BITS)) {
            (IpAddr::V4(ip), Some(bits)) => Ipv4Net::new(ip, bits).map(IpNet::V4),
            _ => Ipv6Net::new(self.address.octets().into(), self.bits).map(IpNet::V6),
        };
        net.unwrap_or_else(|_| IpNet::from(self.address.to_ip()))
    }

    /// First address.
    pub fn address(self) -> Address {
        self.address
    }

    /// Length in the mapped address space, 0 to 128.
    pub fn bits(self) -> u8 {
        self.bits
    }

    /// Whether it covers one address only.
    pub fn is_host(self) -> bool {
        self.bits == 128
    }

    /// Whether it lies in IPv4.
    pub fn is_v4(self) -> bool {
        self.bits >= MAPPED_BITS && self.address.is_v4()
    }

    /// How many addresses it covers; saturates for `::/0`.
    pub fn size(self) -> u128 {
        1u128
            .checked_shl(128 - u32::from(self.bits))
            .unwrap_or(u128::MAX)
    }

    /// Whether every address of `other` is in this prefix.
    pub fn covers(self, other: Self) -> bool {
        self.bits <= other.bits && self.contains(other.address)
    }

    /// Whether `address` is in this prefix and of its family.
    pub fn contains(self, address: Address) -> bool {
        self.is_v4() == address.is_v4() && self.encloses(address)
    }

    /// Whether the first bits of `address` are this prefix, families aside: what the kernel's
    /// longest-prefix match goes by.
    pub fn encloses(self, address: Address) -> bool {
        let differing =
            u128::from_be_bytes(self.address.octets()) ^ u128::from_be_bytes(address.octets());
        differing.leading_zeros() >= u32::from(self.bits)
    }

    /// The shorter prefix of `bits` that covers this one; itself when `bits` is not shorter.
    #[must_use]
    pub fn shortened(self, bits: u8) -> Self {
        if bits >= self.bits {
            return self;
        }
        let mask = u128::MAX.checked_shl(128 - u32::from(bits)).unwrap_or(0);
        let address = u128::from_be_bytes(self.address.octets()) & mask;
        Self {
            address: Address::from_v6(address.to_be_bytes()),
            bits,
        }
    }

    /// The key of the kernel's prefix store.
    pub fn key(self) -> PrefixKey {
        PrefixKey {
            bits: u32::from(self.bits),
            address: self.address,
        }
    }

    /// Whether a source rule this wide needs `--force`: wider than /8 (IPv4) or /19 (IPv6).
    pub fn is_too_wide(self) -> bool {
        if self.is_v4() {
            self.bits < 8 + MAPPED_BITS
        } else {
            self.bits < 19
        }
    }
}

impl FromStr for Prefix {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self::host(ip));
        }
        if let Some((address, zone)) = text.split_once('%')
            && let Ok(ip) = address.parse::<Ipv6Addr>()
        {
            let bits = zone.find('/').map_or("", |at| zone.get(at..).unwrap_or(""));
            return Err(ParseError::Zone {
                given: quoted(text),
                address: format!("{ip}{}", quoted(bits)),
            });
        }
        let net: IpNet = text.parse().map_err(|_| no_net(text))?;
        let prefix = Self::from_net(net);
        if net.addr() != net.network() {
            return Err(ParseError::HostBits {
                given: quoted(text),
                network: prefix,
            });
        }
        Ok(prefix)
    }
}

/// What is wrong with a text that is no network.
fn no_net(text: &str) -> ParseError {
    if text.is_empty() {
        return ParseError::Empty;
    }
    let parts = text.split_once('/');
    let address = parts.and_then(|(address, _)| address.parse::<IpAddr>().ok());
    let length = parts.and_then(|(_, length)| length.parse::<u32>().ok());
    let (family, longest) = match address {
        Some(IpAddr::V4(_)) => ("IPv4", 32),
        Some(IpAddr::V6(_)) => ("IPv6", 128),
        None => return ParseError::Syntax(quoted(text)),
    };
    if length.is_none_or(|length| length <= u32::from(longest)) {
        return ParseError::Syntax(quoted(text));
    }
    ParseError::Length {
        given: quoted(text),
        family,
        longest,
    }
}

/// A text from outside as it may stand in a message: one line, printable, of bounded length.
pub(crate) fn quoted(text: &str) -> String {
    const LONGEST: usize = 80;
    // What nearly all are: lists have a million of them.
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:/-".contains(&byte);
    if text.len() <= LONGEST && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    let mut shown: String = text
        .chars()
        .take(LONGEST)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(LONGEST).is_some() {
        shown.push_str("...");
    }
    shown
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_host() {
            self.address.to_ip().fmt(f)
        } else {
            self.to_net().fmt(f)
        }
    }
}

impl Serialize for Prefix {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Prefix {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Text(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    #[test]
    fn texts_come_back() {
        for text in [
            "192.0.2.7",
            "10.0.0.0/8",
            "0.0.0.0/0",
            "2001:db8::/32",
            "::/0",
            "::1",
        ] {
            assert_eq!(prefix(text).to_string(), text);
        }
        assert_eq!(prefix("192.0.2.7/32").to_string(), "192.0.2.7");
    }

    #[test]
    fn host_bits_are_refused_and_the_network_named() {
        let error = "10.0.0.1/8".parse::<Prefix>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`10.0.0.1/8` has host bits set; the network would be 10.0.0.0/8"
        );
    }

    #[test]
    fn what_is_wrong_with_a_text_is_named() {
        let refusal = |text: &str| text.parse::<Prefix>().unwrap_err().to_string();
        assert_eq!(refusal(""), "the target is empty");
        assert_eq!(
            refusal("10.0.0.0/33"),
            "`10.0.0.0/33`: the prefix length of IPv4 is at most 32"
        );
        assert_eq!(
            refusal("2001:db8::/129"),
            "`2001:db8::/129`: the prefix length of IPv6 is at most 128"
        );
        assert!(refusal("10.0.0.0/x").contains("neither an address"));
        assert!(refusal("10.0.0/8").contains("neither an address"));
    }

    #[test]
    fn families_do_not_cover_each_other_by_accident() {
        assert!(prefix("10.0.0.0/8").covers(prefix("10.1.2.3")));
        assert!(!prefix("10.0.0.0/8").covers(prefix("11.0.0.0/8")));
        assert!(!prefix("10.0.0.0/8").covers(prefix("10.0.0.0/7")));
        assert!(!prefix("2000::/3").covers(prefix("10.1.2.3")));
    }

    #[test]
    fn the_whole_of_ipv6_is_not_ipv4() {
        assert!(!prefix("::/0").covers(prefix("10.1.2.3")));
        assert!(!prefix("::/0").covers(prefix("0.0.0.0/0")));
        assert!(prefix("::/0").encloses(prefix("10.1.2.3").address()));
        assert!(prefix("::/0").covers(prefix("2001:db8::1")));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(prefix("::ffff:192.0.2.7"), prefix("192.0.2.7"));
        assert_eq!(prefix("::ffff:192.0.2.0/120"), prefix("192.0.2.0/24"));
        assert!(prefix("::ffff:0:0/96").is_too_wide());
    }

    #[test]
    fn zone_ids_are_refused() {
        let error = "fe80::1%eth0/64".parse::<Prefix>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`fe80::1%eth0/64` has a zone id; rules hold for every interface: write fe80::1/64"
        );
    }

    #[test]
    fn width_limits_differ_by_family() {
        assert!(!prefix("10.0.0.0/8").is_too_wide());
        assert!(prefix("10.0.0.0/7").is_too_wide());
        assert!(!prefix("2001::/19").is_too_wide());
        assert!(prefix("2000::/18").is_too_wide());
        assert!(prefix("0.0.0.0/0").is_too_wide());
    }

    #[test]
    fn sizes_and_shortening() {
        assert_eq!(prefix("10.0.0.0/8").size(), 1 << 24);
        assert_eq!(prefix("::/0").size(), u128::MAX);
        assert_eq!(
            prefix("192.0.2.7").shortened(24 + 96),
            prefix("192.0.2.0/24")
        );
    }
}
