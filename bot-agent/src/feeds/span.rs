//! Spans: prefixes as their first and last number in the one address space.
//!
//! The families are told apart by whoever holds the spans: the numbers of IPv4 lie inside those of
//! wide IPv6 prefixes ([`crate::rules::prefix::Prefix`]).

use bot_common::address::Address;

use crate::rules::prefix::Prefix;

/// First and last address, both included.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) struct Span {
    pub(super) first: u128,
    pub(super) last: u128,
}

impl Span {
    /// The addresses of a prefix.
    pub(super) fn of(prefix: Prefix) -> Self {
        let first = number(prefix.address());
        Self {
            first,
            last: first | u128::MAX.checked_shr(prefix.bits().into()).unwrap_or(0),
        }
    }

    /// The span of IPv4 addresses as numbers of 32 bits.
    pub(super) fn of_v4(first: u32, last: u32) -> Self {
        let mapped = |number: u32| self::number(Address::from_v4(number.to_be_bytes()));
        Self {
            first: mapped(first),
            last: mapped(last),
        }
    }

    /// The fewest prefixes that are exactly this, in order.
    pub(super) fn prefixes(self) -> impl Iterator<Item = Prefix> {
        let mut next = Some(self.first);
        std::iter::from_fn(move || {
            let first = next.filter(|first| *first <= self.last)?;
            // The longest step that the alignment and the end allow.
            let fits = match (self.last - first).checked_add(1) {
                Some(left) => left.ilog2(),
                None => u128::BITS,
            };
            let step = first.trailing_zeros().min(fits);
            let size = 1u128.checked_shl(step);
            next = size.and_then(|size| first.checked_add(size));
            let bits = u8::try_from(u128::BITS - step).ok()?;
            Some(prefix(first, bits))
        })
    }
}

/// An address as a number.
pub(super) fn number(address: Address) -> u128 {
    u128::from_be_bytes(address.octets())
}

/// The prefix of `bits` that begins at a number.
pub(super) fn prefix(first: u128, bits: u8) -> Prefix {
    let address = Address::from_v6(first.to_be_bytes());
    Prefix::host(address.to_ip()).shortened(bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prefixes_come_back() {
        for text in [
            "0.0.0.0/0",
            "10.0.0.0/8",
            "192.0.2.7",
            "::/0",
            "::/3",
            "2001:db8::/32",
        ] {
            let prefix: Prefix = text.parse().unwrap();
            let back: Vec<Prefix> = Span::of(prefix).prefixes().collect();
            assert_eq!(back, [prefix], "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_span_is_cut_into_neighbours(first: u32, length in 0..5_000u32) {
            let last = first.saturating_add(length);
            let span = Span::of_v4(first, last);
            let mut at = span.first;
            for prefix in span.prefixes() {
                let part = Span::of(prefix);
                prop_assert!(prefix.is_v4());
                prop_assert_eq!(part.first, at);
                at = part.last + 1;
            }
            prop_assert_eq!(at, span.last + 1);
        }
    }
}
