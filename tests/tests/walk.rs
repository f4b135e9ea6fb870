//! The walk runs in the kernel and on the host from one source: both must say the same of every
//! frame, and neither may be led astray by a broken one.
#![allow(
    clippy::cast_possible_truncation,
    clippy::expect_used,
    reason = "lengths in tests are small, and a broken assumption ends the test"
)]

use bot_common::{
    abi::{
        counter::{Counter, Outcome, Reject},
        ports::PortWord,
        settings::Mode,
        verdict::{Action, Flags, Scope, Verdict, VerdictId},
    },
    decide::{decide, is_reported},
    packet::{Packet, Transport, walk_ethernet},
};
use bot_tests::{
    frame::{Frame, flag},
    generate::{self, Random, SOURCES},
    kernel::{Entry, Fate, Kernel},
    privilege,
};

fn walk(bytes: &[u8]) -> Result<Packet, Reject> {
    let mut packet = Packet::default();
    walk_ethernet(bytes, &mut packet).map(|()| packet)
}

#[test]
fn options_tags_and_extension_headers_are_stepped_over() {
    let mut four = Frame::from("198.51.100.1")
        .tcp(443, flag::DATA)
        .payload(b"hello");
    four.options = vec![1; 40];
    four.padding = 9;
    let six = Frame::from("2001:db8::2").udp(443).payload(b"hello");
    let six = six
        .extension(0, &[0; 7])
        .extension(43, &[1; 15])
        .extension(51, &[1; 11]);
    for (frame, transport) in [(four, Transport::Tcp), (six, Transport::Udp)] {
        for frame in [frame.clone(), frame.vlan(0x88a8, 5).vlan(0x8100, 6)] {
            let bytes = frame.bytes();
            let packet = walk(&bytes).expect("a source");
            assert_eq!(packet.transport(), transport);
            assert_eq!(packet.src.to_ip(), frame.src);
            assert_eq!((packet.sport, packet.dport), (40000, 443));
            let from = packet.payload_offset as usize;
            assert_eq!(&bytes[from..from + packet.payload_len as usize], b"hello");
        }
    }
}

#[test]
fn every_reject_has_a_frame_that_causes_it() {
    let four = Frame::from("198.51.100.1").tcp(443, flag::SYN).bytes();
    let udp = Frame::from("198.51.100.1").udp(443).bytes();
    let ping = Frame::from("198.51.100.1").icmp(8, 0).bytes();
    let six = Frame::from("2001:db8::2").tcp(443, flag::SYN).bytes();
    let hops = Frame::from("2001:db8::2")
        .tcp(443, flag::SYN)
        .extension(0, &[0; 7]);
    let deep = (0..6).fold(hops.clone(), |frame, _| frame.extension(60, &[0; 7]));
    let with = |bytes: &[u8], at: usize, value: u8| {
        let mut bytes = bytes.to_vec();
        bytes[at] = value;
        bytes
    };
    let tags = Frame::from("198.51.100.1")
        .vlan(0x8100, 1)
        .vlan(0x8100, 2)
        .vlan(0x8100, 3)
        .bytes();
    // A total length that ends inside the transport header.
    let short = |bytes: &[u8], behind: u8| with(bytes, 17, 20 + behind);
    let table = [
        (Reject::LinkTruncated, four[..13].to_vec()),
        (Reject::VlanDepth, tags),
        (Reject::NotIp, with(&four, 13, 6)),
        (Reject::Ipv4Truncated, four[..14 + 19].to_vec()),
        (Reject::Ipv4Version, with(&four, 14, 0x65)),
        (Reject::Ipv4HeaderLength, with(&four, 14, 0x44)),
        (Reject::Ipv4TotalLength, with(&four, 16, 0x40)),
        (Reject::Ipv6Truncated, six[..14 + 39].to_vec()),
        (Reject::Ipv6Version, with(&six, 14, 0x40)),
        (Reject::Ipv6PayloadLength, with(&six, 18, 0x40)),
        (Reject::ExtensionDepth, deep.bytes()),
        (
            Reject::ExtensionTruncated,
            with(&hops.bytes(), 14 + 40 + 1, 200),
        ),
        (Reject::TcpTruncated, short(&four, 12)),
        (Reject::TcpHeaderLength, with(&four, 14 + 20 + 12, 0x40)),
        (Reject::UdpTruncated, short(&udp, 4)),
        (Reject::UdpLength, with(&udp, 14 + 20 + 5, 200)),
        (Reject::IcmpTruncated, short(&ping, 2)),
    ];
    for (reject, bytes) in &table {
        let found = match walk(bytes) {
            Ok(packet) => packet.reject(),
            Err(reject) => Some(reject),
        };
        assert_eq!(found, Some(*reject));
    }
    let covered: Vec<_> = table.iter().map(|(reject, _)| *reject).collect();
    assert!(Reject::ALL.iter().all(|reject| covered.contains(reject)));
}

#[test]
fn a_frame_cut_at_any_length_is_walked_without_harm() {
    let mut random = Random::new(7);
    for _ in 0..2_000 {
        let bytes = generate::frame(&mut random);
        for len in 0..=bytes.len() {
            if let Ok(packet) = walk(&bytes[..len]) {
                let end = packet.payload_offset as usize + packet.payload_len as usize;
                assert!(end <= len, "payload ends at {end} of {len} bytes");
            }
        }
    }
}

/// Frames that kernel and host are both asked about, for each entry point. Emulated machines, where
/// each takes milliseconds, are given fewer by `BOT_FRAMES`.
fn frames() -> usize {
    let given = std::env::var("BOT_FRAMES").ok();
    given.map_or(60_000, |frames| {
        frames.parse().expect("BOT_FRAMES is a number")
    })
}

#[test]
fn kernel_and_host_agree_on_generated_frames() {
    if !privilege::is_root("kernel_and_host_agree_on_generated_frames") {
        return;
    }
    let mut kernel = Kernel::load();
    let block = Verdict {
        action: Action::Drop as u8,
        ..Verdict::PASS
    };
    let verdicts = [
        block,
        Verdict {
            scope: Scope::Services as u8,
            ..block
        },
        Verdict {
            flags: Flags::MONITOR_ONLY.0,
            ..block
        },
        Verdict::PASS,
        Verdict {
            flags: Flags::FORCED.0,
            ..block
        },
    ];
    // Every source but the last of each family has a rule.
    let mut rules: Vec<(&str, VerdictId, Verdict)> = Vec::new();
    for (source, verdict) in SOURCES.iter().zip(verdicts.iter().cycle()) {
        if !matches!(*source, "192.0.2.9" | "2001:db8:d::1") {
            rules.push((source, kernel.rule(source, *verdict), *verdict));
        }
    }
    for entry in Entry::ALL {
        let mut random = Random::new(0xb07 + u64::from(entry == Entry::Plain));
        let mut before = counters(&kernel);
        for number in 0..frames() {
            let bytes = generate::frame(&mut random);
            let (expected, reject, packet) = on_the_host(&bytes, &rules);
            // Every other frame in several buffers, where this kernel can: cut anywhere behind the link header.
            let split = number % 2 == 1 && entry == Entry::Frags && bytes.len() > 15;
            let linear = 14 + random.below(bytes.len().max(15) - 14);
            let halved = split.then(|| kernel.run_split(&bytes, linear)).flatten();
            let fate = halved.unwrap_or_else(|| kernel.run(entry, &bytes));
            let after = counters(&kernel);
            let counted: Vec<Counter> = (Counter::all().zip(before.iter().zip(&after)))
                .filter(|(counter, (before, after))| {
                    before != after && !matches!(counter, Counter::Channel(_))
                })
                .map(|(counter, _)| counter)
                .collect();
            let due: Vec<Counter> = expected
                .map(Counter::Outcome)
                .into_iter()
                .chain(reject.map(Counter::Reject))
                .collect();
            assert_eq!(counted, due, "frame {number}: {bytes:02x?}");
            let dropped = expected == Some(Outcome::Dropped);
            assert_eq!(fate == Fate::Drop, dropped, "frame {number}: {bytes:02x?}");
            for report in kernel.reports() {
                let packet = packet.expect("only packets are reported");
                assert!(expected.is_some_and(is_reported));
                assert_eq!((report.src, report.dst), (packet.src, packet.dst));
                assert_eq!((report.sport, report.dport), (packet.sport, packet.dport));
                assert_eq!(report.protocol, packet.protocol);
            }
            for hello in kernel.hellos() {
                let packet = packet.expect("only packets have hellos");
                assert_eq!(
                    (hello.header.src, hello.header.sport),
                    (packet.src, packet.sport)
                );
                let from = packet.payload_offset as usize;
                let len = hello.header.len as usize;
                assert!(len <= packet.payload_len as usize);
                assert_eq!(hello.bytes(), &bytes[from..from + len], "frame {number}");
            }
            before = after;
        }
    }
}

fn counters(kernel: &Kernel) -> Vec<u64> {
    Counter::all()
        .map(|counter| kernel.counter(counter).packets)
        .collect()
}

/// Outcome, reject and packet, by the same pure code the kernel was built from.
fn on_the_host(
    bytes: &[u8],
    rules: &[(&str, VerdictId, Verdict)],
) -> (Option<Outcome>, Option<Reject>, Option<Packet>) {
    let packet = match walk(bytes) {
        Ok(packet) => packet,
        Err(reject) => return (None, Some(reject), None),
    };
    let src = packet.src.to_ip().to_string();
    let rule = rules.iter().find(|(source, _, _)| *source == src);
    let outcome = match rule {
        None => Outcome::NoRule,
        Some((_, _, verdict)) => decide(verdict, &packet, ports, || Mode::Enforce),
    };
    (Some(outcome), packet.reject(), Some(packet))
}

fn ports(port: u16) -> PortWord {
    let bit = |set: bool| if set { PortWord::mask(port) } else { 0 };
    PortWord {
        served_tcp: bit(matches!(port, 80 | 443)),
        served_udp: bit(port == 443),
        hello: bit(port == 443),
        failsafe: bit(port == 22),
    }
}
