//! Port sets: four bitmaps side by side, so that one look-up answers every question about a port.

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
