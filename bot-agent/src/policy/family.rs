//! The two families as plain numbers, so that everything above is written once.

use std::{fmt::Debug, hash::Hash};

use bot_common::address::{Address, MAPPED_BITS};

use super::{column::Column, list::List};
use crate::{
    asn::{AsRange, Database},
    rules::prefix::Prefix,
};

/// Addresses of one family as numbers, in network order.
pub(super) trait Family: Copy + Debug + Eq + Hash + Ord + 'static {
    /// First address.
    const FIRST: Self;
    /// Last address.
    const LAST: Self;

    /// First address and length of a prefix, in the family's own bits; `None` for the other family.
    fn of(prefix: Prefix) -> Option<(Self, u8)>;
    /// The address as everybody else has it.
    fn address(self) -> Address;
    /// The next address.
    fn following(self) -> Option<Self>;
    /// The address before.
    fn preceding(self) -> Option<Self>;
    /// The last address of the prefix of `bits` that begins here.
    fn last_of(self, bits: u8) -> Self;
    /// Where a list keeps its entries of this family.
    fn column(list: &List) -> &Column<Self>;
    /// What a database knows about this family.
    fn ranges(database: &Database) -> &[AsRange<Self>];

    /// The prefix of `bits` that begins here.
    fn prefix(self, bits: u8) -> Prefix;
}

impl Family for u32 {
    const FIRST: Self = 0;
    const LAST: Self = Self::MAX;

    fn of(prefix: Prefix) -> Option<(Self, u8)> {
        let [.., a, b, c, d] = prefix.address().octets();
        let own = prefix.is_v4();
        own.then(|| {
            (
                Self::from_be_bytes([a, b, c, d]),
                prefix.bits() - MAPPED_BITS,
            )
        })
    }

    fn address(self) -> Address {
        Address::from_v4(self.to_be_bytes())
    }

    fn following(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn preceding(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn last_of(self, bits: u8) -> Self {
        self | Self::MAX.checked_shr(bits.into()).unwrap_or(0)
    }

    fn column(list: &List) -> &Column<Self> {
        list.v4()
    }

    fn ranges(database: &Database) -> &[AsRange<Self>] {
        database.ranges_v4()
    }

    fn prefix(self, bits: u8) -> Prefix {
        Prefix::host(self.address().to_ip()).shortened(bits.saturating_add(MAPPED_BITS))
    }
}

impl Family for u128 {
    const FIRST: Self = 0;
    const LAST: Self = Self::MAX;

    fn of(prefix: Prefix) -> Option<(Self, u8)> {
        let first = Self::from_be_bytes(prefix.address().octets());
        (!prefix.is_v4()).then(|| (first, prefix.bits()))
    }

    fn address(self) -> Address {
        Address::from_v6(self.to_be_bytes())
    }

    fn following(self) -> Option<Self> {
        self.checked_add(1)
    }

    fn preceding(self) -> Option<Self> {
        self.checked_sub(1)
    }

    fn last_of(self, bits: u8) -> Self {
        self | Self::MAX.checked_shr(bits.into()).unwrap_or(0)
    }

    fn column(list: &List) -> &Column<Self> {
        list.v6()
    }

    fn ranges(database: &Database) -> &[AsRange<Self>] {
        database.ranges_v6()
    }

    fn prefix(self, bits: u8) -> Prefix {
        Prefix::host(self.address().to_ip()).shortened(bits)
    }
}
