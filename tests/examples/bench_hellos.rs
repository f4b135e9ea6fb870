//! Hellos a second on one core, from frames of real clients: program, ring buffer, reassembly, JA4.
//! One JSON object a line. `agent` counts the agent's part alone (ring to JA4), `all` the kernel's
//! part too, with the cost of the test interface that stands in for a driver.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a program that prints figures"
)]

use std::{hint::black_box, time::Instant};

use bot_agent::{
    capture::{CaptureReader, Hellos},
    stream::{FlowAssembler, FlowSegment, Limits},
    tls::{Fingerprint, Transport},
};
use bot_common::packet::{Packet, walk_ethernet};
use bot_tests::{
    frame::{Frame, flag},
    kernel::{Entry, Kernel},
};

const CAPTURES: [(&str, &[u8]); 2] = [
    ("curl", include_bytes!("../fixtures/captures/curl.pcap")),
    (
        "chrome",
        include_bytes!("../fixtures/captures/chrome_post_quantum.pcap"),
    ),
];
/// Payload of a full Ethernet frame with TCP timestamps.
const SEGMENT: usize = 1448;
/// Hellos between two drains: fewer than the ring holds.
const BATCH: u16 = 500;
const ROUNDS: u32 = 40;

fn main() {
    for (name, capture) in CAPTURES {
        let stream = stream(capture);
        let mut kernel = Kernel::load();
        let mut assembler = FlowAssembler::new(Limits::default());
        let (mut all, mut agent, mut hellos) = (0.0, 0.0, 0u64);
        for round in 0..ROUNDS {
            let frames = frames(&stream, round);
            let begin = Instant::now();
            for frame in &frames {
                kernel.run(Entry::Frags, frame);
            }
            let filled = Instant::now();
            kernel.each_hello(|segment| {
                let outcome = assembler.push(&FlowSegment::from(segment), segment.header.time);
                if let Some(Ok(hello)) = outcome.map(|outcome| outcome.result) {
                    black_box(Fingerprint::new(&hello, Transport::Tcp).ja4());
                    hellos += 1;
                }
            });
            all += begin.elapsed().as_secs_f64();
            agent += filled.elapsed().as_secs_f64();
        }
        assert_eq!(
            hellos,
            u64::from(ROUNDS) * u64::from(BATCH),
            "every hello was completed"
        );
        for (part, seconds) in [("agent", agent), ("all", all)] {
            let rate = hellos as f64 / seconds;
            println!(
                r#"{{"bench":"hellos","case":"{part}, {name} {} B","value":{rate:.0},"unit":"hellos/s"}}"#,
                stream.len()
            );
        }
    }
}

/// The first hello of a capture as its client sent it: one TLS record. The client speaks first.
fn stream(capture: &[u8]) -> Vec<u8> {
    let mut reader = CaptureReader::new(capture).expect("a capture");
    let (mut hellos, mut seen, mut stream) = (Hellos::default(), Vec::new(), Vec::new());
    while seen.is_empty() {
        let frame = reader
            .next_packet()
            .expect("a packet")
            .expect("a hello comes");
        hellos.push(&frame, &mut seen);
        let mut packet = Packet::default();
        walk_ethernet(frame.data, &mut packet).expect("an IP packet");
        let from = packet.payload_offset as usize;
        stream.extend_from_slice(&frame.data[from..from + packet.payload_len as usize]);
    }
    let record = 5 + seen.first().expect("a hello").hello.length();
    stream.truncate(record);
    stream
}

/// A batch of connections, each from a port and an address of its own.
fn frames(stream: &[u8], round: u32) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    for connection in 0..BATCH {
        let src = format!("198.51.100.{}", round + 1);
        let mut seq = 1000;
        for payload in stream.chunks(SEGMENT) {
            let frame = Frame::from(&src)
                .tcp(443, flag::DATA)
                .sport(10_000 + connection);
            frames.push(frame.seq(seq).payload(payload).bytes());
            seq += payload.len() as u32;
        }
    }
    frames
}
