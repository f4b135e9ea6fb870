//! Time from a hello's bytes to its JA4, and hellos per second through the flow assembler, on one
//! core. Prints one JSON object per line; run it in release.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a measuring program"
)]

use std::{hint::black_box, time::Instant};

use bot_agent::{
    capture::{CaptureReader, Hellos},
    stream::{FlowAssembler, FlowKey, FlowSegment, Limits},
    tls::{ClientHello, Fingerprint, Parsed, Transport},
};
use bot_common::address::Address;

const CURL: &[u8] = include_bytes!("../../tests/fixtures/captures/curl.pcap");
const CHROME: &[u8] = include_bytes!("../../tests/fixtures/captures/chrome_post_quantum.pcap");
/// Calls that are timed together, and how often: short batches, so that the best one was not disturbed.
const BATCH: u32 = 1000;
const BATCHES: u32 = 300;
/// Payload of a full Ethernet frame with TCP timestamps.
const SEGMENT: usize = 1448;

fn main() {
    for (name, capture) in [("curl", CURL), ("chrome", CHROME)] {
        let message = message(capture);
        let bytes = message.len();
        let record = record(&message);
        let [parse, ja4, all_forms] = [
            best(|| ClientHello::parse(black_box(&message))),
            best(|| fingerprint(&message).ja4()),
            best(|| {
                let all = fingerprint(&message);
                (all.ja4(), all.ja4_r(), all.ja4_o(), all.ja4_ro())
            }),
        ];
        let per_hello = [
            ("parse", parse),
            ("parse and JA4", ja4),
            ("parse and all four forms", all_forms),
        ];
        for (what, ns) in per_hello {
            println!(
                r#"{{"bench":"ja4","case":"{what}, {name} {bytes} B","value":{ns:.0},"unit":"ns"}}"#
            );
        }
        let (rate, segments) = assembled_per_second(&record);
        println!(
            r#"{{"bench":"assembler","case":"segments to JA4, {name}, {segments} a hello","value":{rate:.0},"unit":"hellos/s"}}"#
        );
    }
}

fn fingerprint(message: &[u8]) -> Fingerprint {
    match ClientHello::parse(black_box(message)) {
        Parsed::Complete(hello) => Fingerprint::new(&hello, Transport::Tcp),
        Parsed::NeedMore | Parsed::Never(_) => unreachable!("the capture holds a hello"),
    }
}

/// Nanoseconds a call, in the best batch.
fn best<T>(mut call: impl FnMut() -> T) -> f64 {
    let batches = (0..BATCHES).map(|_| {
        let begin = Instant::now();
        for _ in 0..BATCH {
            drop(black_box(call()));
        }
        begin.elapsed().as_nanos() as f64 / f64::from(BATCH)
    });
    batches.fold(f64::INFINITY, f64::min)
}

/// Hellos per second from segments to JA4, in the best batch, and the segments of one hello. Every
/// hello has a flow of its own; at a hundred thousand a second the assembler stands at its cap.
fn assembled_per_second(record: &[u8]) -> (f64, usize) {
    let segments: Vec<&[u8]> = record.chunks(SEGMENT).collect();
    let mut assembler = FlowAssembler::new(Limits::default());
    let mut connections = 0..;
    let limit = u32::try_from(Limits::default().flows).expect("a number of flows");
    for connection in connections.by_ref().take(Limits::default().flows) {
        assemble(&mut assembler, &segments, connection);
    }
    let best = best(|| {
        let connection = connections.next().unwrap_or_default();
        assemble(&mut assembler, &segments, connection);
    });
    assert_eq!(
        assembler.totals().hellos,
        u64::from(limit + BATCHES * BATCH)
    );
    (1e9 / best, segments.len())
}

fn assemble(assembler: &mut FlowAssembler, segments: &[&[u8]], connection: u32) {
    let now = u64::from(connection) * 10_000;
    let flow = FlowKey {
        src: Address::from_v4(connection.to_be_bytes()),
        dst: Address::from_v4([198, 51, 100, 1]),
        sport: 40_000,
        dport: 443,
    };
    let mut seq = connection;
    for bytes in segments {
        let segment = FlowSegment {
            flow,
            start: connection,
            seq,
            bytes,
        };
        if let Some(outcome) = assembler.push(&segment, now) {
            let hello = outcome.result.expect("the capture holds a hello");
            black_box(Fingerprint::new(&hello, Transport::Tcp).ja4());
        }
        seq += u32::try_from(bytes.len()).expect("a segment");
    }
    if connection.is_multiple_of(1000) {
        drop(black_box(assembler.expire(now)));
    }
}

/// The handshake message of a capture's hello.
fn message(capture: &[u8]) -> Vec<u8> {
    let mut reader = CaptureReader::new(capture).expect("a capture");
    let (mut hellos, mut seen, mut stream) = (Hellos::default(), Vec::new(), Vec::new());
    while let Some(packet) = reader.next_packet().expect("a packet") {
        hellos.push(&packet, &mut seen);
        // Ethernet and IPv4 without options, then TCP of the length it says; the client speaks first.
        let tcp_header = packet
            .data
            .get(46)
            .map_or(0, |field| usize::from(field >> 4) * 4);
        stream.extend(packet.data.get(34 + tcp_header..).unwrap_or_default());
        if !seen.is_empty() {
            break;
        }
    }
    let length = seen.first().expect("a hello").hello.length();
    stream.get(5..5 + length).expect("the hello").to_vec()
}

/// The message in one handshake record.
fn record(message: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(message.len())
        .expect("a record")
        .to_be_bytes();
    [&[22, 3, 1, high, low], message].concat()
}
