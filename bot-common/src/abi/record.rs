//! Ring-buffer records, and the per-CPU slots and budgets that stand before the rings.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{abi::verdict::VerdictId, address::Address};

/// One source and one outcome in one second: a record of the report ring (80 bytes).
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct DropReport {
    /// Time of the packet that caused the report, `CLOCK_BOOTTIME` ns.
    pub time: u64,
    /// Packets since the last report of this source and outcome on this CPU, this one included.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Source address.
    pub src: Address,
    /// Destination address.
    pub dst: Address,
    /// The verdict that applied.
    pub verdict: VerdictId,
    /// Interface index of the device.
    pub ifindex: u32,
    /// Source port, or 0 where there is none.
    pub sport: u16,
    /// Destination port, or 0 where there is none.
    pub dport: u16,
    /// IP protocol number of the transport header, or of what could not be walked.
    pub protocol: u8,
    /// [`crate::abi::counter::Outcome`] code.
    pub outcome: u8,
    /// The CPU that reports; its slot at [`slot_of`] the source's tag was emptied by this report.
    pub cpu: u16,
    /// Zero.
    pub reserved: [u8; 8],
}

/// Folds the drops of one source and outcome within a second. Lossy by design: another source
/// with the same hash takes the slot over.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct ReportSlot {
    /// Keyed hash of source and outcome; 0: empty.
    pub tag: u64,
    /// When the last report was sent, `CLOCK_BOOTTIME` ns.
    pub reported: u64,
    /// Packets folded since.
    pub packets: u64,
    /// Bytes folded since.
    pub bytes: u64,
}

/// Slots per CPU.
pub const REPORT_SLOTS: u32 = 256;

/// The slot of a tag ([`crate::hash::report_tag`]), below [`REPORT_SLOTS`].
#[inline(always)]
pub const fn slot_of(tag: u64) -> u32 {
    (tag >> 32) as u32 & (REPORT_SLOTS - 1)
}

/// What one CPU may still send in the current second.
#[derive(
    Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq,
)]
#[repr(C)]
pub struct Budget {
    /// The second (`CLOCK_BOOTTIME` / 2^30 ns) that `spent` belongs to.
    pub window: u64,
    /// Records sent in it.
    pub spent: u64,
}

/// Entry of the budget map for drop reports.
pub const BUDGET_REPORTS: u32 = 0;
/// Entry of the budget map for hello segments.
pub const BUDGET_HELLOS: u32 = 1;

/// Payload bytes that one hello record can carry; a larger segment takes several records.
pub const SEGMENT_BYTES: usize = 2048;

/// Records that one packet may take: a `ClientHello` of 16 KiB in a single aggregated segment.
pub const SEGMENTS_PER_PACKET: u32 = 8;

/// Header of a hello record (64 bytes); [`SEGMENT_BYTES`] of payload follow, `len` of them valid.
#[derive(Clone, Copy, Debug, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq)]
#[repr(C)]
pub struct SegmentHeader {
    /// Arrival, `CLOCK_BOOTTIME` ns.
    pub time: u64,
    /// Client address.
    pub src: Address,
    /// Server address.
    pub dst: Address,
    /// Client port.
    pub sport: u16,
    /// Server port.
    pub dport: u16,
    /// TCP sequence number of the first payload byte.
    pub seq: u32,
    /// Sequence number at which the flow's first byte stands, as far as the program knows.
    pub start: u32,
    /// Interface index of the device.
    pub ifindex: u32,
    /// Valid payload bytes, at most [`SEGMENT_BYTES`].
    pub len: u32,
    /// Zero.
    pub reserved: u32,
}

/// A piece of a TCP stream that may hold a `ClientHello`: a record of the hello ring.
#[derive(Clone, Copy, Debug, FromBytes, Immutable, IntoBytes, KnownLayout)]
#[repr(C)]
pub struct HelloSegment {
    /// Where the bytes belong.
    pub header: SegmentHeader,
    /// The bytes; only the first `header.len` are meaningful.
    pub payload: [u8; SEGMENT_BYTES],
}

impl HelloSegment {
    /// The meaningful bytes.
    pub fn bytes(&self) -> &[u8] {
        let len = usize::try_from(self.header.len).unwrap_or(usize::MAX);
        self.payload.get(..len).unwrap_or(&self.payload)
    }
}
