//! Every ClientHello of every TCP connection in a capture.
//!
//! Connections are told apart by addresses, ports and the sequence number of their SYN. They are
//! capped in number and in bytes held; at the cap the one that was quiet for longest is finished
//! and forgotten, so hellos come out, if late, and memory stays bounded.

use std::collections::{BTreeMap, HashMap};

use super::{
    CapturePacket,
    fragments::Fragments,
    ip::{self, Segment},
    link::{self, NoIp},
};
use crate::{
    stream::{FlowKey, StreamScanner},
    tls::ClientHello,
};

const MAX_STREAMS: usize = 65_536;
const MAX_BYTES: usize = 128 << 20;

/// A hello and where it was seen.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SeenHello {
    /// Capture time of the packet that completed it, nanoseconds since 1970-01-01 UTC.
    pub time: i128,
    /// Who sent it to whom.
    pub flow: FlowKey,
    /// The hello.
    pub hello: ClientHello,
}

/// Packets that could not be looked into, by link type.
pub type Skipped = BTreeMap<u16, u64>;

/// Finds the hellos of a capture, packet by packet.
#[derive(Debug, Default)]
pub struct Hellos {
    streams: HashMap<FlowKey, Stream>,
    /// Every stream by the packet that it was last seen in.
    by_use: BTreeMap<u64, FlowKey>,
    packets: u64,
    bytes: usize,
    fragments: Fragments,
    skipped: Skipped,
}

#[derive(Debug)]
struct Stream {
    scanner: StreamScanner,
    /// Sequence number of the SYN, if it was seen.
    syn: Option<u32>,
    last_packet: u64,
    last_time: i128,
}

impl Hellos {
    /// Looks into a packet; hellos that it completes are appended to `seen`.
    pub fn push(&mut self, packet: &CapturePacket<'_>, seen: &mut Vec<SeenHello>) {
        self.packets += 1;
        let bytes = match link::ip_packet(packet.link_type, packet.data) {
            Ok(bytes) => bytes,
            Err(NoIp::Other) => return,
            Err(NoIp::LinkType) => {
                *self.skipped.entry(packet.link_type).or_default() += 1;
                return;
            }
        };
        let wire_len = packet.wire_len - (packet.data.len() - bytes.len());
        let mut fragments = std::mem::take(&mut self.fragments);
        ip::segment(bytes, wire_len, &mut fragments, |segment| {
            self.push_segment(&segment, packet.time, seen);
        });
        self.fragments = fragments;
    }

    /// The capture ends: appends the hellos that waited for bytes that never came.
    pub fn finish(&mut self, seen: &mut Vec<SeenHello>) {
        while let Some((_, flow)) = self.by_use.first_key_value() {
            self.end(*flow, seen);
        }
    }

    /// Packets whose link type is not read.
    pub fn skipped(&self) -> &Skipped {
        &self.skipped
    }

    fn push_segment(&mut self, segment: &Segment<'_>, time: i128, seen: &mut Vec<SeenHello>) {
        // The SYN itself takes one sequence number.
        let first = if segment.syn {
            segment.seq.wrapping_add(1)
        } else {
            segment.seq
        };
        let known = self.streams.get(&segment.flow);
        let replaced = segment.syn && known.is_some_and(|stream| stream.syn != Some(segment.seq));
        if replaced {
            self.end(segment.flow, seen);
        } else if known.is_none() && !segment.syn && segment.payload.is_empty() {
            return;
        }
        let stream = self.streams.entry(segment.flow).or_insert_with(|| Stream {
            scanner: if segment.syn {
                StreamScanner::from_syn(first)
            } else {
                StreamScanner::from_middle(first)
            },
            syn: segment.syn.then_some(segment.seq),
            last_packet: 0,
            last_time: time,
        });
        let mut hellos = Vec::new();
        let before = stream.scanner.held();
        stream.scanner.push(first, segment.payload, &mut hellos);
        self.bytes = self.bytes + stream.scanner.held() - before;
        stream.last_time = time;
        self.by_use.remove(&stream.last_packet);
        stream.last_packet = self.packets;
        self.by_use.insert(self.packets, segment.flow);
        append(seen, segment.flow, time, hellos);
        self.shrink(seen);
    }

    fn shrink(&mut self, seen: &mut Vec<SeenHello>) {
        while self.streams.len() > MAX_STREAMS || self.bytes > MAX_BYTES {
            let Some((_, flow)) = self.by_use.first_key_value() else {
                return;
            };
            self.end(*flow, seen);
        }
    }

    fn end(&mut self, flow: FlowKey, seen: &mut Vec<SeenHello>) {
        let Some(mut stream) = self.streams.remove(&flow) else {
            return;
        };
        self.by_use.remove(&stream.last_packet);
        self.bytes -= stream.scanner.held();
        let mut hellos = Vec::new();
        stream.scanner.finish(&mut hellos);
        append(seen, flow, stream.last_time, hellos);
    }
}

fn append(seen: &mut Vec<SeenHello>, flow: FlowKey, time: i128, hellos: Vec<ClientHello>) {
    seen.extend(
        hellos
            .into_iter()
            .map(|hello| SeenHello { time, flow, hello }),
    );
}
