//! What a table says, as plain ranges.

use bot_common::abi::verdict::VerdictId;

/// Addresses that have one verdict id.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Range<A> {
    /// First address.
    pub first: A,
    /// Last address, at least [`Self::first`].
    pub last: A,
    /// Their id, never [`VerdictId::NONE`].
    pub id: VerdictId,
}

/// Everything that a table says, or says about a region: sorted and disjoint; neighbours with the
/// same id are one.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Ranges {
    /// IPv4 addresses as numbers.
    pub v4: Vec<Range<u32>>,
    /// IPv6 addresses as numbers.
    pub v6: Vec<Range<u128>>,
}
