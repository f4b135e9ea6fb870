//! Frames: link types, tunnels, IP fragments, and packets that no wire ever carried.

use proptest::prelude::*;

use crate::{
    build,
    captures::{ACK, RAW, assert_one_hello, pcap, read, stream},
};

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_link_type_and_encapsulation() {
    let v4 = build::ipv4(6, &build::tcp(1000, ACK, &stream()));
    let v6 = build::ipv6(6, &build::tcp(1000, ACK, &stream()));
    let under = |header: &[u8], packet: &[u8]| [header, packet].concat();
    let mac = [2_u8; 12];
    let ethernet = |rest: &[u8]| under(&mac, rest);
    let cases: Vec<(u16, &str, Vec<u8>)> = vec![
        (0, "null, IPv4", under(&[2, 0, 0, 0], &v4)),
        (0, "null, IPv6 of macOS", under(&[30, 0, 0, 0], &v6)),
        (108, "loop, IPv6 of OpenBSD", under(&[0, 0, 0, 24], &v6)),
        (1, "Ethernet, IPv6", ethernet(&under(&[0x86, 0xdd], &v6))),
        (1, "802.1Q", ethernet(&under(&[0x81, 0, 0, 7, 8, 0], &v4))),
        (
            1,
            "802.1ad",
            ethernet(&under(&[0x88, 0xa8, 0, 7, 0x81, 0, 0, 8, 8, 0], &v4)),
        ),
        (
            1,
            "four tags",
            ethernet(&under(
                &[
                    0x91, 0, 0, 1, 0x81, 0, 0, 1, 0x81, 0, 0, 1, 0x81, 0, 0, 1, 8, 0,
                ],
                &v4,
            )),
        ),
        (
            1,
            "SNAP",
            ethernet(&under(&[0x05, 0x00, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &v4)),
        ),
        (
            1,
            "PPPoE",
            ethernet(&under(&[0x88, 0x64, 0x11, 0, 0, 1, 5, 0, 0, 0x21], &v4)),
        ),
        (
            1,
            "MPLS",
            ethernet(&under(&[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64], &v6)),
        ),
        (
            1,
            "Ethernet padding",
            under(&ethernet(&under(&[8, 0], &v4)), &[0x16; 30]),
        ),
        (9, "PPP", under(&[0xff, 3, 0, 0x21], &v4)),
        (9, "PPP without address, compressed", under(&[0x57], &v6)),
        (50, "PPP in HDLC framing", under(&[0xff, 3, 0, 0x57], &v6)),
        (
            51,
            "PPPoE alone",
            under(&[0x11, 0, 0, 1, 5, 0, 0, 0x21], &v4),
        ),
        (104, "Cisco HDLC", under(&[0x0f, 0, 8, 0], &v4)),
        (12, "raw, old", v4.clone()),
        (14, "raw, old", v6.clone()),
        (101, "raw, IPv4", v4.clone()),
        (101, "raw, IPv6", v6.clone()),
        (228, "IPv4", v4.clone()),
        (229, "IPv6", v6.clone()),
        (
            113,
            "Linux cooked",
            under(&[&[0; 14][..], &[8, 0]].concat(), &v4),
        ),
        (
            113,
            "Linux cooked, VLAN",
            under(&[&[0; 14][..], &[0x81, 0, 0, 7, 0x86, 0xdd]].concat(), &v6),
        ),
        (
            276,
            "Linux cooked v2",
            under(&[&[0x86, 0xdd][..], &[0; 18]].concat(), &v6),
        ),
        (101, "IP options", ip_options(&v4)),
        (101, "hop-by-hop and destination", extensions(&stream())),
        (101, "IPv4 in IPv4", build::ipv4(4, &v4)),
        (101, "IPv6 in IPv4", build::ipv4(41, &v6)),
        (101, "IPv4 in IPv6", build::ipv6(4, &v4)),
        (101, "GRE", build::ipv4(47, &under(&[0, 0, 8, 0], &v4))),
        (
            101,
            "GRE with key and sequence",
            build::ipv4(47, &under(&[0x30, 0, 8, 0, 0, 0, 0, 1, 0, 0, 0, 2], &v4)),
        ),
        (
            101,
            "ERSPAN",
            build::ipv4(
                47,
                &under(
                    &[0x10, 0, 0x88, 0xbe, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0],
                    &ethernet(&under(&[8, 0], &v4)),
                ),
            ),
        ),
        (
            101,
            "VXLAN",
            build::ipv4(
                17,
                &build::udp(
                    4789,
                    &under(&[8, 0, 0, 0, 0, 0, 1, 0], &ethernet(&under(&[8, 0], &v4))),
                ),
            ),
        ),
        (
            101,
            "Geneve with an option",
            build::ipv4(
                17,
                &build::udp(
                    6081,
                    &under(
                        &[1, 0, 0x65, 0x58, 0, 0, 1, 0, 0, 0, 0, 0],
                        &ethernet(&under(&[8, 0], &v4)),
                    ),
                ),
            ),
        ),
        (
            101,
            "GTP-U with an extension header",
            build::ipv4(
                17,
                &build::udp(
                    2152,
                    &under(
                        &[0x34, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0x85, 1, 0, 0, 0],
                        &v4,
                    ),
                ),
            ),
        ),
    ];
    for (link_type, what, frame) in cases {
        assert_one_hello(&pcap(link_type, &[frame]), what);
    }
}

fn ip_options(v4: &[u8]) -> Vec<u8> {
    let mut packet = v4.to_vec();
    packet[0] = 0x47;
    packet.splice(20..20, [1; 8]);
    let length = (packet.len() as u16).to_be_bytes();
    packet[2..4].copy_from_slice(&length);
    packet
}

fn extensions(stream: &[u8]) -> Vec<u8> {
    let destination = [
        &[6, 0, 1, 4, 0, 0, 0, 0][..],
        &build::tcp(1000, ACK, stream),
    ]
    .concat();
    let hop_by_hop = [&[60, 0, 1, 4, 0, 0, 0, 0][..], &destination].concat();
    build::ipv6(0, &hop_by_hop)
}

#[test]
fn ip_fragments_are_put_together_in_any_order() {
    let segment = build::tcp(1000, ACK, &stream());
    let pieces: Vec<(usize, &[u8])> = segment
        .chunks(504)
        .enumerate()
        .map(|(i, piece)| (504 * i, piece))
        .collect();
    let last = segment.len() / 504;
    let v4 = |(at, piece): (usize, &[u8])| {
        let mut packet = build::ipv4(6, piece);
        let more = u16::from(at / 504 < last) << 13;
        packet[6..8].copy_from_slice(&(more | (at / 8) as u16).to_be_bytes());
        packet
    };
    let v6 = |(at, piece): (usize, &[u8])| {
        let more = u16::from(at / 504 < last);
        let field = (at as u16 | more).to_be_bytes();
        build::ipv6(
            44,
            &[&[6, 0, field[0], field[1], 0, 0, 0, 9], piece].concat(),
        )
    };
    let turned_v4: Vec<Vec<u8>> = pieces.iter().rev().copied().map(v4).collect();
    assert_one_hello(&pcap(RAW, &turned_v4), "IPv4");
    let turned_v6: Vec<Vec<u8>> = pieces.iter().rev().copied().map(v6).collect();
    assert_one_hello(&pcap(RAW, &turned_v6), "IPv6");
}

#[test]
fn a_packet_taken_before_segmentation_has_no_length_of_its_own() {
    let mut v4 = build::ipv4(6, &build::tcp(1000, ACK, &stream()));
    v4[2..4].fill(0);
    assert_one_hello(&pcap(RAW, &[v4]), "IPv4");
    let mut v6 = build::ipv6(6, &build::tcp(1000, ACK, &stream()));
    v6[4..6].fill(0);
    assert_one_hello(&pcap(RAW, &[v6]), "IPv6");
}

proptest! {
    #[test]
    fn nothing_panics_on_any_frame(link_type in prop::sample::select(vec![0_u16, 1, 9, 50, 51, 101, 104, 113, 276]), frame in prop::collection::vec(any::<u8>(), 0..120)) {
        drop(read(&pcap(link_type, &[frame])));
    }

    #[test]
    fn nothing_panics_on_tunnels_with_any_content(protocol in prop::sample::select(vec![4_u8, 41, 47]), port in prop::sample::select(vec![2152_u16, 4789, 6081]), content in prop::collection::vec(any::<u8>(), 0..120)) {
        drop(read(&pcap(RAW, &[build::ipv4(protocol, &content), build::ipv4(17, &build::udp(port, &content))])));
    }
}
