//! One direction of a TCP connection.

use bot_common::{abi::record::SegmentHeader, address::Address};

/// Who sends and who receives.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct FlowKey {
    /// Sender.
    pub src: Address,
    /// Receiver.
    pub dst: Address,
    /// Sender's port.
    pub sport: u16,
    /// Receiver's port.
    pub dport: u16,
}

impl From<&SegmentHeader> for FlowKey {
    fn from(header: &SegmentHeader) -> Self {
        Self {
            src: header.src,
            dst: header.dst,
            sport: header.sport,
            dport: header.dport,
        }
    }
}
