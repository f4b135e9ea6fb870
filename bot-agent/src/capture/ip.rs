//! From an IP packet to the TCP segment in it, by the walk that the kernel program runs.
//!
//! Captures hold what the wire does not: packets cut by a snapshot length, and packets taken before
//! the network card cut them, with a length of zero.

use std::borrow::Cow;

use bot_common::{
    packet::{Packet, Transport, tcp_flag, walk_ip},
    read::Read,
};

use super::{fragments::Fragments, tunnel};
use crate::stream::FlowKey;

/// Tunnels in tunnels that are followed.
const MAX_DEPTH: usize = 4;

/// A TCP segment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Segment<'a> {
    pub(super) flow: FlowKey,
    pub(super) seq: u32,
    pub(super) syn: bool,
    /// As much of the payload as was captured.
    pub(super) payload: &'a [u8],
}

/// Calls `take` with the TCP segment in an IP packet, if there is one. `wire_len` is the length
/// that the packet had on the wire, as far as the capture knows; `bytes` may be fewer.
pub(super) fn segment<T>(
    bytes: &[u8],
    wire_len: usize,
    fragments: &mut Fragments,
    take: impl FnOnce(Segment<'_>) -> T,
) -> Option<T> {
    let mut packet = Cow::Borrowed(bytes);
    let mut wire_len = wire_len;
    for _ in 0..MAX_DEPTH {
        if let Some(patched) = with_length(&packet, wire_len) {
            packet = Cow::Owned(patched);
        }
        if Fragments::concerns(&packet) {
            packet = Cow::Owned(fragments.push(&packet)?);
            wire_len = packet.len();
        }
        let mut walked = Packet::default();
        let captured = Captured {
            bytes: &packet,
            wire_len,
        };
        walk_ip(&captured, 0, &mut walked).ok()?;
        if walked.transport() == Transport::Tcp {
            return Some(take(Segment {
                flow: FlowKey {
                    src: walked.src,
                    dst: walked.dst,
                    sport: walked.sport,
                    dport: walked.dport,
                },
                seq: walked.seq,
                syn: walked.flags & tcp_flag::SYN != 0,
                payload: payload(&walked, &packet),
            }));
        }
        let inner = inner_offset(&walked, &packet)?;
        wire_len = wire_len.saturating_sub(inner);
        packet = match packet {
            Cow::Borrowed(bytes) => Cow::Borrowed(bytes.get(inner..)?),
            Cow::Owned(bytes) => Cow::Owned(bytes.get(inner..)?.to_vec()),
        };
    }
    None
}

/// As much of the payload as was captured.
pub(super) fn payload<'a>(walked: &Packet, bytes: &'a [u8]) -> &'a [u8] {
    let [from, len] = [walked.payload_offset, walked.payload_len].map(|n| n as usize);
    let payload = bytes.get(from..).unwrap_or_default();
    payload.get(..len).unwrap_or(payload)
}

fn inner_offset(walked: &Packet, packet: &[u8]) -> Option<usize> {
    tunnel::inner(walked, packet).map(|inner| packet.len() - inner.len())
}

/// The packet with its length filled in, if that is zero: segmentation was left to the network card.
fn with_length(packet: &[u8], wire_len: usize) -> Option<Vec<u8>> {
    let (at, length) = match packet {
        [first, _, 0, 0, ..] if first >> 4 == 4 => (2, wire_len),
        [first, _, _, _, 0, 0, 6, ..] if first >> 4 == 6 => (4, wire_len.checked_sub(40)?),
        _ => return None,
    };
    let length = u16::try_from(length).ok()?.to_be_bytes();
    let mut patched = packet.to_vec();
    patched.get_mut(at..at + 2)?.copy_from_slice(&length);
    Some(patched)
}

/// A packet of which the end may not have been captured.
struct Captured<'a> {
    bytes: &'a [u8],
    wire_len: usize,
}

impl Read for Captured<'_> {
    fn load<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        self.bytes.load(offset)
    }

    fn holds(&self, length: usize) -> bool {
        length <= self.wire_len
    }
}
