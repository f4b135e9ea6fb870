//! The capture side: hellos anywhere in a stream, each once.

use bot_agent::{stream::StreamScanner, tls::ClientHello};
use proptest::prelude::*;

use crate::build::{self, Hello};

fn read(hello: &Hello) -> ClientHello {
    build::read(&hello.message())
}

fn second_hello() -> Hello {
    let mut second = Hello::sample();
    second.ciphers.pop();
    second
}

/// A stream with text before, two hellos, a change-cipher-spec between them and data behind.
fn conversation() -> (Vec<u8>, Vec<ClientHello>) {
    let stream = [
        b"CONNECT example.com:443 HTTP/1.1\r\n\x16\r\n\r\n",
        build::records(&Hello::sample().message(), &[]).as_slice(),
        b"\x14\x03\x03\x00\x01\x01",
        build::records(&second_hello().message(), &[3, 700]).as_slice(),
        b"\x17\x03\x03\x00\x05\x16\x03\x01\x00\x16",
    ]
    .concat();
    (stream, vec![read(&Hello::sample()), read(&second_hello())])
}

fn scan(mut scanner: StreamScanner, first: u32, pieces: &[(usize, &[u8])]) -> Vec<ClientHello> {
    let mut hellos = Vec::new();
    for (at, bytes) in pieces {
        scanner.push(first.wrapping_add(*at as u32), bytes, &mut hellos);
    }
    scanner.finish(&mut hellos);
    hellos
}

#[test]
fn hellos_are_found_behind_other_talk() {
    let (stream, expected) = conversation();
    assert_eq!(
        scan(StreamScanner::from_syn(9), 9, &[(0, &stream)]),
        expected
    );
    assert_eq!(
        scan(StreamScanner::from_middle(9), 9, &[(0, &stream)]),
        expected
    );
}

#[test]
fn several_hellos_in_one_record_are_all_found() {
    let both = [Hello::sample().message(), second_hello().message()].concat();
    let expected = [read(&Hello::sample()), read(&second_hello())];
    for cut in 1..both.len() {
        let stream = build::records(&both, &[cut]);
        assert_eq!(
            scan(StreamScanner::from_syn(0), 0, &[(0, &stream)]),
            expected,
            "cut at {cut}"
        );
    }
}

#[test]
fn a_gap_that_never_closes_hides_only_what_is_in_it() {
    let (stream, expected) = conversation();
    let pieces = [(0, &stream[..10]), (20, &stream[20..])];
    assert_eq!(scan(StreamScanner::from_syn(0), 0, &pieces), expected);
    let pieces = [(0, &stream[..100]), (110, &stream[110..])];
    assert_eq!(scan(StreamScanner::from_syn(0), 0, &pieces), expected[1..]);
}

#[test]
fn a_connection_of_which_the_syn_was_not_captured_is_found_behind_another() {
    let (stream, expected) = conversation();
    let both = [expected.clone(), expected].concat();
    for second in [0x2000_0000, 0x6000_0000, 0x9000_0000_usize] {
        let pieces = [(0x4000_0000, &stream[..]), (second, &stream[..])];
        assert_eq!(scan(StreamScanner::from_syn(0x4000_0000), 0, &pieces), both);
    }
}

#[test]
fn a_false_beginning_does_not_swallow_the_hello_behind_it() {
    let hello = build::records(&Hello::sample().message(), &[]);
    // Looks like a record of 16 KiB with a hello of 8 KiB, until its lengths have to agree.
    let stream = [
        b"\x16\x03\x01\x40\x00\x01\x00\x20\x00\x03\x03",
        hello.as_slice(),
    ]
    .concat();
    let found = scan(StreamScanner::from_syn(0), 0, &[(0, &stream)]);
    assert_eq!(found, [read(&Hello::sample())]);
}

#[test]
fn memory_is_bounded_whatever_comes() {
    let mut scanner = StreamScanner::from_syn(0);
    let mut hellos = Vec::new();
    let block = [0x16; 1400];
    for i in 0..2000_u32 {
        // Every second block is missing.
        scanner.push(i * 2800, &block, &mut hellos);
        assert!(scanner.held() <= 256 * 1024);
    }
    assert!(hellos.is_empty());
}

#[test]
fn random_data_holds_no_hello() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(4 << 20);
    while bytes.len() < 4 << 20 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend(state.to_le_bytes());
        bytes.extend([0x16, 3, 1]);
    }
    assert!(scan(StreamScanner::from_syn(0), 0, &[(0, &bytes)]).is_empty());
}

proptest! {
    #[test]
    fn segments_in_any_order_give_the_same_hellos_once(
        first: u32,
        syn: bool,
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        order in Just((0..20).collect::<Vec<usize>>()).prop_shuffle(),
        again in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let (stream, mut expected) = conversation();
        cuts.sort_by_key(|cut| cut.index(stream.len()));
        let mut ends: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        ends.push(stream.len());
        let mut from = 0;
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        for to in ends {
            pieces.push((from, &stream[from..to]));
            from = to;
        }
        let order: Vec<usize> = order.into_iter().filter(|i| *i < pieces.len()).collect();
        let mut shuffled: Vec<(usize, &[u8])> = order.iter().map(|i| pieces[*i]).collect();
        shuffled.extend(again.iter().map(|i| pieces[i.index(pieces.len())]));
        let scanner = if syn {
            StreamScanner::from_syn(first)
        } else {
            let (at, _) = shuffled[0];
            StreamScanner::from_middle(first.wrapping_add(at as u32))
        };
        let mut found = scan(scanner, first, &shuffled);
        if !syn {
            // Without a SYN the second hello may be complete before the first has arrived.
            found.sort_by_key(|hello| hello.ciphers.len());
            expected.sort_by_key(|hello| hello.ciphers.len());
        }
        prop_assert_eq!(found, expected);
    }
}
