//! Captures: containers, link types, tunnels, fragments, and files that end too soon.

use std::io::Write as _;

use bot_agent::{
    capture::{CaptureError, CaptureReader, Hellos, SeenHello},
    tls::ClientHello,
};
use flate2::{Compression, write::GzEncoder};
use proptest::prelude::*;

use crate::build::{self, Hello};

const SYN: u8 = 0x02;
pub const ACK: u8 = 0x10;
const ETHERNET: u16 = 1;
pub const RAW: u16 = 101;

/// A classic capture, little-endian with microseconds.
pub fn pcap(link_type: u16, frames: &[Vec<u8>]) -> Vec<u8> {
    let mut file = 0xa1b2_c3d4_u32.to_le_bytes().to_vec();
    file.extend([2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0]);
    file.extend(u32::from(link_type).to_le_bytes());
    for (i, frame) in frames.iter().enumerate() {
        file.extend(1_700_000_000_u32.to_le_bytes());
        file.extend((i as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend((frame.len() as u32).to_le_bytes());
        file.extend(frame);
    }
    file
}

/// A pcapng block in either byte order.
fn block(big: bool, kind: u32, body: &[u8]) -> Vec<u8> {
    let word = |value: u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let padded = body.len().next_multiple_of(4);
    let length = word(padded as u32 + 12);
    let mut block = [word(kind), length].concat();
    block.extend(body);
    block.resize(8 + padded, 0);
    block.extend(length);
    block
}

/// A pcapng capture with one interface that counts nanoseconds.
fn pcapng(big: bool, frames: &[Vec<u8>]) -> Vec<u8> {
    let word = |value: u32| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let half = |value: u16| {
        if big {
            value.to_be_bytes()
        } else {
            value.to_le_bytes()
        }
    };
    let section = [&word(0x1a2b_3c4d)[..], &half(1), &half(0), &[0xff; 8]].concat();
    let interface = [
        &half(ETHERNET)[..],
        &half(0),
        &word(0),
        &half(9),
        &half(1),
        &[9, 0, 0, 0],
        &half(0),
        &half(0),
    ]
    .concat();
    let mut file = block(big, 0x0a0d_0d0a, &section);
    file.extend(block(big, 1, &interface));
    file.extend(block(big, 4, b"names"));
    for (i, frame) in frames.iter().enumerate() {
        let units = 1_700_000_000_000_000_000_u64 + 1000 * i as u64;
        let length = word(frame.len() as u32);
        let header = [
            word(0),
            word((units >> 32) as u32),
            word(units as u32),
            length,
            length,
        ]
        .concat();
        file.extend(block(big, 6, &[header.as_slice(), frame].concat()));
    }
    file
}

pub fn read(file: &[u8]) -> (Vec<SeenHello>, Result<(), CaptureError>) {
    let mut seen = Vec::new();
    let mut hellos = Hellos::default();
    let mut reader = match CaptureReader::new(file) {
        Ok(reader) => reader,
        Err(error) => return (seen, Err(error)),
    };
    let end = loop {
        match reader.next_packet() {
            Ok(Some(packet)) => hellos.push(&packet, &mut seen),
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        }
    };
    hellos.finish(&mut seen);
    (seen, end)
}

pub fn hello() -> ClientHello {
    build::read(&Hello::sample().message())
}

pub fn stream() -> Vec<u8> {
    build::records(&Hello::sample().message(), &[])
}

/// A connection in which the hello takes two segments, the second first.
fn connection() -> Vec<Vec<u8>> {
    let stream = stream();
    vec![
        build::frame(999, SYN, b""),
        build::frame(1000 + 600, ACK, &stream[600..]),
        build::frame(1000, ACK, &stream[..600]),
        build::frame(1000, ACK, &stream[..600]),
    ]
}

pub fn assert_one_hello(file: &[u8], what: &str) {
    let (seen, end) = read(file);
    end.unwrap_or_else(|error| panic!("{what}: {error}"));
    let hellos: Vec<ClientHello> = seen.into_iter().map(|seen| seen.hello).collect();
    assert_eq!(hellos, [hello()], "{what}");
}

#[test]
fn the_same_packets_in_every_container() {
    let little = pcap(ETHERNET, &connection());
    let (seen, end) = read(&little);
    end.unwrap();
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[0].time, 1_700_000_000_000_002_000,
        "of the packet that completed it"
    );
    assert_eq!(seen[0].flow.src.to_ip().to_string(), "192.0.2.1");
    assert_eq!((seen[0].flow.sport, seen[0].flow.dport), (50_000, 443));

    for big in [false, true] {
        assert_eq!(
            read(&pcapng(big, &connection())).0,
            seen,
            "pcapng, big-endian {big}"
        );
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&little).unwrap();
    assert_eq!(read(&gzip.finish().unwrap()).0, seen, "gzip");

    let big: Vec<u8> = big_endian(&little);
    assert_eq!(read(&big).0, seen, "big-endian");
    let mut nanos = little.clone();
    nanos[0] = 0x4d;
    nanos[1] = 0x3c;
    assert_eq!(
        read(&nanos).0[0].time,
        1_700_000_000_000_000_002,
        "nanoseconds"
    );
}

/// The capture with every header field turned round.
fn big_endian(little: &[u8]) -> Vec<u8> {
    let mut big = little.to_vec();
    let mut turn = |at: usize, size: usize| big[at..at + size].reverse();
    turn(0, 4);
    turn(4, 2);
    turn(6, 2);
    for at in [8, 12, 16, 20] {
        turn(at, 4);
    }
    let mut at = 24;
    while at < little.len() {
        for field in [0, 4, 8, 12] {
            turn(at + field, 4);
        }
        let length = u32::from_le_bytes(little[at + 8..at + 12].try_into().unwrap());
        at += 16 + length as usize;
    }
    big
}

#[test]
fn a_snapshot_length_leaves_a_gap_and_not_another_stream() {
    let stream = stream();
    let mut file = pcap(
        ETHERNET,
        &[
            build::frame(999, SYN, b""),
            build::frame(1000, ACK, &stream[..800]),
        ],
    );
    // The second packet was captured without its last 100 bytes; they come again.
    let second = 24 + 16 + 54;
    let captured = (54 + 700_u32).to_le_bytes();
    file[second + 8..second + 12].copy_from_slice(&captured);
    file.truncate(file.len() - 100);
    let rest = pcap(
        ETHERNET,
        &[
            build::frame(1800, ACK, &stream[800..]),
            build::frame(1700, ACK, &stream[700..800]),
        ],
    );
    file.extend(&rest[24..]);
    assert_one_hello(&file, "cut and sent again");
}

#[test]
fn a_reused_port_is_another_connection() {
    let stream = stream();
    let frames = [
        build::frame(999, SYN, b""),
        build::frame(1000, ACK, &stream),
        build::frame(999, SYN, b""),
        build::frame(70_000, SYN, b""),
        build::frame(70_001, ACK, &stream),
    ];
    let (seen, end) = read(&pcap(ETHERNET, &frames));
    end.unwrap();
    assert_eq!(seen.len(), 2, "the SYN that was sent again opens none");
}

#[test]
fn a_capture_cut_at_any_byte_gives_what_stands_before() {
    for file in [pcap(ETHERNET, &connection()), pcapng(false, &connection())] {
        let whole = read(&file).0;
        let mut complete = 0;
        for end in 0..file.len() {
            let (seen, result) = read(&file[..end]);
            assert!(seen.is_empty() || seen == whole, "cut at {end}");
            match result {
                Ok(()) => complete += 1,
                Err(CaptureError::Cut { packet }) => assert!((1..=4).contains(&packet)),
                Err(CaptureError::Format(_)) => assert!(end < 4),
                Err(error) => panic!("cut at {end}: {error}"),
            }
        }
        assert!(
            (4..=8).contains(&complete),
            "cuts between packets are ends: {complete}"
        );
    }
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(&pcap(ETHERNET, &connection())).unwrap();
    let compressed = gzip.finish().unwrap();
    let (_, end) = read(&compressed[..compressed.len() - 40]);
    assert!(matches!(end, Err(CaptureError::Cut { .. })), "{end:?}");
}

#[test]
fn what_is_no_capture_is_refused() {
    for bytes in [&b""[..], b"abc", b"GET / HTTP/1.1", &[0; 100]] {
        assert!(
            matches!(read(bytes).1, Err(CaptureError::Format(_))),
            "{bytes:?}"
        );
    }
    let mut long = pcap(ETHERNET, &connection());
    long[24 + 8..24 + 12].fill(0xff);
    assert!(matches!(
        read(&long).1,
        Err(CaptureError::Damaged { packet: 1, .. })
    ));
}

#[test]
fn packets_of_unknown_link_types_are_counted() {
    let file = pcap(105, &connection());
    let mut reader = CaptureReader::new(file.as_slice()).unwrap();
    let mut hellos = Hellos::default();
    while let Some(packet) = reader.next_packet().unwrap() {
        hellos.push(&packet, &mut Vec::new());
    }
    assert_eq!(hellos.skipped().iter().collect::<Vec<_>>(), [(&105, &4)]);
}

proptest! {
    #[test]
    fn nothing_panics_on_damaged_captures(
        ng: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
    ) {
        let mut file = if ng { pcapng(true, &connection()) } else { pcap(ETHERNET, &connection()) };
        for (at, byte) in changes {
            let at = at.index(file.len());
            file[at] = byte;
        }
        drop(read(&file));
    }
}
