//! Flow slots: which bytes of which TCP streams are copied to the agent.
//!
//! A direct-mapped table shared by all CPUs, because a flow may change its CPU between SYN and
//! hello. It is written on SYNs and hello segments to hello ports only. A torn or lost slot costs
//! a copy too many or a hello not fingerprinted, never a packet.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// One stream from its first byte until its hello must be complete (32 bytes).
#[derive(
    Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq,
)]
#[repr(C)]
pub struct FlowSlot {
    /// Keyed hash of the five-tuple; 0: empty.
    pub tag: u64,
    /// The slot is free from this time on, `CLOCK_BOOTTIME` ns.
    pub deadline: u64,
    /// Sequence number of the stream's first byte.
    pub start: u32,
    /// Bytes from `start` that may belong to the hello; 0: its first segment was not seen yet.
    pub window: u32,
    /// Segments copied so far.
    pub segments: u32,
    /// 1: the window's last byte was copied, so another stream may have the slot; 0: not yet.
    pub ended: u32,
}

/// A hello must be complete this long after its flow was first seen.
pub const FLOW_LIFETIME_NS: u64 = 5_000_000_000;

/// Bytes of a stream that may be copied: a hello of 16 KiB and its record headers.
pub const FLOW_WINDOW: u32 = 20 * 1024;

/// Segments of one flow that may be copied.
pub const FLOW_SEGMENTS: u32 = 64;
