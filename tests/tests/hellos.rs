//! Which bytes of a stream reach the agent: segments in, ring records out, through the program in
//! the kernel.
#![allow(
    clippy::cast_possible_truncation,
    reason = "lengths in tests are small"
)]

use bot_common::abi::{
    flow::{FLOW_SEGMENTS, FLOW_WINDOW},
    record::SEGMENT_BYTES,
};
use bot_tests::{
    frame::{Frame, client_hello, flag},
    kernel,
    kernel::{Entry, Fate, Kernel},
};

/// First sequence number of a stream whose SYN has 1000.
const START: u32 = 1001;

fn syn() -> Frame {
    Frame::from("198.51.100.1")
        .tcp(443, flag::SYN)
        .seq(START - 1)
}

fn data(at: u32, bytes: &[u8]) -> Frame {
    Frame::from("198.51.100.1")
        .tcp(443, flag::DATA)
        .seq(START.wrapping_add(at))
        .payload(bytes)
}

/// Runs the frames and returns what was copied: (offset in the stream, bytes).
fn copied(kernel: &mut Kernel, entry: Entry, frames: &[Frame]) -> Vec<(u32, Vec<u8>)> {
    for frame in frames {
        assert_eq!(kernel.run(entry, &frame.bytes()), Fate::Pass);
    }
    let hellos = kernel.hellos();
    hellos
        .iter()
        .map(|h| (h.header.seq.wrapping_sub(START), h.bytes().to_vec()))
        .collect()
}

#[test]
fn a_hello_in_one_segment_is_copied_and_what_follows_is_not() {
    let mut kernel = kernel!();
    for entry in Entry::ALL {
        let hello = client_hello(517);
        let together = [hello.clone(), b"early data".to_vec()].concat();
        let frames = [
            syn(),
            data(0, &together),
            data(together.len() as u32, b"GET / HTTP/1.1"),
        ];
        assert_eq!(copied(&mut kernel, entry, &frames), [(0, hello)]);
        kernel = Kernel::load();
    }
}

#[test]
fn a_hello_is_copied_without_its_syn() {
    let mut kernel = kernel!();
    let hello = client_hello(517);
    assert_eq!(
        copied(&mut kernel, Entry::Frags, &[data(0, &hello)]),
        [(0, hello)]
    );
}

#[test]
fn segments_are_copied_in_any_order_once_the_syn_was_seen() {
    let mut kernel = kernel!();
    let hello = client_hello(1800);
    let (head, tail) = hello.split_at(1200);
    let frames = [syn(), data(1200, tail), data(0, head)];
    assert_eq!(
        copied(&mut kernel, Entry::Frags, &frames),
        [(1200, tail.to_vec()), (0, head.to_vec())]
    );
}

#[test]
fn a_hello_cut_inside_its_first_header_is_followed() {
    let mut kernel = kernel!();
    let hello = client_hello(600);
    let frames = [syn(), data(0, &hello[..3]), data(3, &hello[3..])];
    let copied = copied(&mut kernel, Entry::Frags, &frames);
    assert_eq!(copied, [(0, hello[..3].to_vec()), (3, hello[3..].to_vec())]);
}

#[test]
fn tags_and_options_do_not_hide_a_hello() {
    let mut kernel = kernel!();
    let hello = client_hello(517);
    let mut frame = data(0, &hello).vlan(0x88a8, 7).vlan(0x8100, 8);
    frame.options = vec![1; 40];
    assert_eq!(copied(&mut kernel, Entry::Plain, &[frame]), [(0, hello)]);
}

#[test]
fn a_hello_of_sixteen_kibibytes_in_one_aggregated_segment_takes_several_records() {
    let mut kernel = kernel!();
    let hello = client_hello(16_000);
    let copied = copied(&mut kernel, Entry::Frags, &[data(0, &hello)]);
    assert_eq!(copied.len(), hello.len().div_ceil(SEGMENT_BYTES));
    assert_eq!(
        copied
            .into_iter()
            .flat_map(|(_, bytes)| bytes)
            .collect::<Vec<_>>(),
        hello
    );
}

#[test]
fn a_hello_behind_the_first_buffer_is_read_all_the_same() {
    let mut kernel = kernel!();
    let hello = client_hello(1500);
    let frame = data(0, &hello).bytes();
    // From nothing but the link header up to half of the payload in the first buffer.
    for linear in [14, 20, 34, 40, 54, 60, 800] {
        let Some(fate) = kernel.run_split(&frame, linear) else {
            eprintln!("SKIPPED split packets: this kernel's test interface cannot make them");
            return;
        };
        assert_eq!(fate, Fate::Pass);
        let hellos = kernel.hellos();
        assert_eq!(hellos.len(), 1, "{linear} bytes in the first buffer");
        assert_eq!(hellos[0].bytes(), hello);
    }
}

#[test]
fn a_stream_that_is_not_tls_is_forgotten_at_its_first_byte() {
    let mut kernel = kernel!();
    let frames = [
        syn(),
        data(0, b"GET / HTTP/1.1\r\n"),
        data(16, &client_hello(300)[..9]),
    ];
    let copied = copied(&mut kernel, Entry::Frags, &frames);
    // What looks like a hello further on is one: after CONNECT, for example.
    assert_eq!(copied.len(), 1);
    assert_eq!(copied[0].0, 16);
}

#[test]
fn other_ports_and_empty_segments_are_left_alone() {
    let mut kernel = kernel!();
    let hello = client_hello(517);
    let elsewhere = Frame::from("198.51.100.1")
        .tcp(80, flag::DATA)
        .payload(&hello);
    let ack = Frame::from("198.51.100.1").tcp(443, flag::ACK);
    assert_eq!(copied(&mut kernel, Entry::Frags, &[elsewhere, ack]), []);
}

#[test]
fn sequence_numbers_may_wrap() {
    let mut kernel = kernel!();
    let hello = client_hello(1000);
    let at = |seq: u32| Frame::from("198.51.100.1").tcp(443, flag::DATA).seq(seq);
    let start = u32::MAX - 400;
    let second = start.wrapping_add(700);
    let frames = [
        Frame::from("198.51.100.1")
            .tcp(443, flag::SYN)
            .seq(start.wrapping_sub(1)),
        at(start).payload(&hello[..700]),
        at(second).payload(&hello[700..]),
    ];
    for frame in &frames {
        kernel.run(Entry::Frags, &frame.bytes());
    }
    let hellos = kernel.hellos();
    assert_eq!(
        hellos.iter().map(|h| h.header.seq).collect::<Vec<_>>(),
        [start, second]
    );
    assert!(hellos.iter().all(|h| h.header.start == start));
}

#[test]
fn what_one_flow_may_send_is_bounded() {
    let mut kernel = kernel!();
    // A hello that says it is split over records: its length cannot be told, the window is full size.
    let mut head = client_hello(300);
    head[3..5].copy_from_slice(&100u16.to_be_bytes());
    let mut frames = vec![syn(), data(0, &head)];
    frames.extend((0..FLOW_SEGMENTS + 10).map(|i| data(300 + i, &[0x55])));
    frames.push(data(FLOW_WINDOW, b"behind the window"));
    assert_eq!(
        copied(&mut kernel, Entry::Frags, &frames).len(),
        FLOW_SEGMENTS as usize
    );
    assert!(kernel.packets().contains(&("flow_segments", 11)));
}

#[test]
fn hello_copies_stop_at_the_budget_and_the_loss_is_counted() {
    let mut kernel = kernel!();
    kernel.settings(|settings| settings.hellos_per_second = 5);
    let hello = client_hello(517);
    for port in 0..100 {
        let frame = data(0, &hello).sport(10_000 + port);
        assert_eq!(kernel.run(Entry::Frags, &frame.bytes()), Fate::Pass);
    }
    let copied = kernel.hellos().len() as u64;
    // 5 a second and CPU: the loop may cross a second and a CPU.
    assert!((5..=20).contains(&copied), "{copied} copies");
    assert!(kernel.packets().contains(&("hello_budget", 100 - copied)));
}

#[test]
fn a_full_ring_loses_hellos_never_packets() {
    let mut kernel = kernel!();
    let hello = client_hello(517);
    for port in 0..4000 {
        let frame = data(0, &hello).sport(10_000 + port);
        assert_eq!(kernel.run(Entry::Frags, &frame.bytes()), Fate::Pass);
    }
    let copied = kernel.hellos().len() as u64;
    let packets = kernel.packets();
    let count = |name| {
        packets
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, n)| *n)
    };
    assert!(count("hello_ring_full") > 0, "{packets:?}");
    assert_eq!(
        copied + count("hello_ring_full") + count("flow_slot_busy"),
        4000
    );
}
