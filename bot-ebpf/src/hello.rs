//! `ClientHello` extraction: follows the beginning of TCP streams to hello ports and copies what
//! may belong to a hello to the agent.
//!
//! Flow slots are the only lines that CPUs share and the packet path writes, and only on SYNs and
//! hello segments. The step itself is [`bot_common::flow::step`].

use aya_ebpf::{
    macros::map,
    maps::{Array, RingBuf},
    programs::XdpContext,
};
use bot_common::{
    abi::{
        counter::{Channel, Counter},
        flow::FlowSlot,
        ports::PortWord,
        record::{BUDGET_HELLOS, HelloSegment, SEGMENT_BYTES, SEGMENTS_PER_PACKET, SegmentHeader},
        settings::Settings,
    },
    flow::{Head, Segment, Step, step},
    hash::flow_tag,
    packet::{Packet, Transport},
    read::Read,
};

use crate::{access, access::Frame, clock, counters, ports, report};

/// Slots: a power of two, for the mask.
const SLOTS: u32 = 1 << 16;

#[map]
static FLOWS: Array<FlowSlot> = Array::with_max_entries(SLOTS, 0);

#[map]
static HELLOS: RingBuf = RingBuf::with_byte_size(1 << 22, 0);

/// Copies the packet's part of a hello, if it has one.
#[inline(always)]
pub(crate) fn follow(ctx: &XdpContext, frame: &Frame, settings: &Settings, packet: &Packet) {
    if packet.transport() != Transport::Tcp {
        return;
    }
    if ports::word(packet.dport).hello & PortWord::mask(packet.dport) == 0 {
        return;
    }
    let syn = packet.is_attempt();
    if packet.payload_len == 0 && !syn {
        return;
    }
    let tag = flow_tag(
        settings.seed,
        &packet.src,
        &packet.dst,
        packet.sport,
        packet.dport,
    );
    let Some(slot) = FLOWS.get_ptr_mut((tag >> 32) as u32 & (SLOTS - 1)) else {
        return;
    };
    let segment = Segment {
        tag,
        seq: packet.seq.wrapping_add(u32::from(syn)),
        len: packet.payload_len,
        syn,
        head: head(frame, packet),
    };
    // SAFETY: a value of an array map. Other CPUs may write it at the same time; a torn slot costs
    // a copy too many or a hello not fingerprinted (see `bot_common::abi::flow`).
    let before = unsafe { slot.read_volatile() };
    match step(&before, &segment, clock::now) {
        Step::Ignore => {}
        // SAFETY: as above.
        Step::Store(after) => unsafe { slot.write_volatile(after) },
        Step::Copy { slot: after, len } => {
            // SAFETY: as above.
            unsafe { slot.write_volatile(after) };
            copy(ctx, settings, packet, &segment, &after, len);
        }
        Step::Busy => counters::bump(Counter::Channel(Channel::FlowSlotBusy), 0),
        Step::TooMany => counters::bump(Counter::Channel(Channel::FlowSegments), 0),
    }
}

/// The first bytes of the payload, judged.
#[inline(always)]
fn head(frame: &Frame, packet: &Packet) -> Head {
    if packet.payload_len >= 9 {
        frame
            .load::<9>(packet.payload_offset as usize)
            .map_or(Head::Other, |bytes| Head::of_nine(&bytes))
    } else if packet.payload_len > 0 {
        frame
            .load::<1>(packet.payload_offset as usize)
            .map_or(Head::Other, |[first]| Head::of_one(first))
    } else {
        Head::Other
    }
}

/// Copies the first `len` bytes of the payload in as many records as they need.
#[inline(always)]
fn copy(
    ctx: &XdpContext,
    settings: &Settings,
    packet: &Packet,
    segment: &Segment,
    flow: &FlowSlot,
    len: u32,
) {
    let now = clock::now();
    let mut done = 0;
    for _ in 0..SEGMENTS_PER_PACKET {
        if done >= len {
            break;
        }
        if !report::affordable(BUDGET_HELLOS, settings.hellos_per_second, now) {
            return counters::bump(Counter::Channel(Channel::HelloBudget), 0);
        }
        let Some(mut record) = HELLOS.reserve::<HelloSegment>(0) else {
            return counters::bump(Counter::Channel(Channel::HelloRingFull), 0);
        };
        let part = (len - done).min(SEGMENT_BYTES as u32);
        let header = SegmentHeader {
            time: now,
            src: packet.src,
            dst: packet.dst,
            sport: packet.sport,
            dport: packet.dport,
            seq: segment.seq.wrapping_add(done),
            start: flow.start,
            ifindex: ctx.ingress_ifindex() as u32,
            len: part,
            reserved: 0,
        };
        let to = record.as_mut_ptr();
        // SAFETY: the record is ours until it is submitted.
        let place = unsafe { &raw mut (*to).header };
        // SAFETY: as above.
        unsafe { place.write(header) };
        // SAFETY: the payload has SEGMENT_BYTES bytes.
        let payload = unsafe { (&raw mut (*to).payload).cast::<u8>() };
        // SAFETY: as above.
        let copied = unsafe {
            access::copy::<SEGMENT_BYTES>(ctx, packet.payload_offset + done, part, payload)
        };
        if !copied {
            record.discard(0);
            return counters::bump(Counter::Channel(Channel::HelloUnreadable), 0);
        }
        record.submit(0);
        counters::bump(Counter::Channel(Channel::HelloCopied), u64::from(part));
        done += part;
    }
}
