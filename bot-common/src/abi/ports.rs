//! Port sets: four bitmaps side by side, so that one look-up answers every question about a port;
//! and port groups, sets that single verdicts ask about.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Words in the port map: 65,536 ports, 64 a word.
pub const PORT_WORDS: u32 = 1024;

/// Bits for 64 consecutive ports; bit `port % 64` of entry `port / 64`.
#[derive(
    Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq,
)]
#[repr(C)]
pub struct PortWord {
    /// TCP ports this host serves.
    pub served_tcp: u64,
    /// UDP ports this host serves.
    pub served_udp: u64,
    /// TCP ports on which `ClientHello`s are extracted.
    pub hello: u64,
    /// TCP ports that stay open to everyone but forced blocks.
    pub failsafe: u64,
}

impl PortWord {
    /// Entry that holds `port`.
    #[inline(always)]
    pub const fn index(port: u16) -> u32 {
        (port >> 6) as u32
    }

    /// Mask of `port` within its entry.
    #[inline(always)]
    pub const fn mask(port: u16) -> u64 {
        1 << (port & 63)
    }
}

/// How many port groups there are: twice what a policy needs at most, so that a whole new policy finds
/// free ones while the old one is in force.
pub const PORT_GROUPS: u8 = 16;

/// Entries of the map of port groups: 65,536 ports, 32 an entry.
pub const GROUP_LINES: u32 = 2048;

/// Some of the port groups: bit n is group n.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    Eq,
    FromBytes,
    Hash,
    Immutable,
    IntoBytes,
    KnownLayout,
    Ord,
    PartialEq,
    PartialOrd,
)]
#[repr(transparent)]
pub struct Groups(pub u16);

/// The groups of 32 consecutive ports, one cache line; element `port % 32` of entry `port / 32`.
///
/// Each port is a word of its own: it moves from its old groups to its new ones at once. A group that
/// the verdict table refers to is never changed: another set of ports gets another number.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct GroupLine {
    /// By port.
    pub groups: [Groups; 32],
}

impl Groups {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// One of them.
    pub const fn one(number: u8) -> Self {
        Self(1 << (number & 15))
    }

    /// Whether there is none.
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether all of `others` are among them.
    #[inline(always)]
    pub const fn has_all(self, others: Self) -> bool {
        self.0 & others.0 == others.0
    }

    /// Those of both.
    #[must_use]
    pub const fn or(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Those that are in both.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 & others.0)
    }
}

impl GroupLine {
    /// No port is in any group.
    pub const EMPTY: Self = Self {
        groups: [Groups::NONE; 32],
    };

    /// Entry that holds `port`.
    #[inline(always)]
    pub const fn index(port: u16) -> u32 {
        (port >> 5) as u32
    }

    /// The groups of `port`, which this entry holds.
    #[inline(always)]
    pub fn of(&self, port: u16) -> Groups {
        let groups = self.groups.get((port & 31) as usize);
        groups.copied().unwrap_or(Groups::NONE)
    }
}
