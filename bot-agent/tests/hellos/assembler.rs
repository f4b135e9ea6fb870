//! The live side: segments of many flows become hellos, or failures by cause.

use bot_agent::{
    stream::{Failure, FlowAssembler, FlowKey, FlowSegment, Limits, Outcome},
    tls::ClientHello,
};
use bot_common::address::Address;
use proptest::prelude::*;

use crate::build::{self, Hello};

const START: u32 = u32::MAX - 700;

fn flow(port: u16) -> FlowKey {
    FlowKey {
        src: Address::from_v4([192, 0, 2, 1]),
        dst: Address::from_v4([198, 51, 100, 1]),
        sport: port,
        dport: 443,
    }
}

fn segment(port: u16, at: usize, bytes: &[u8]) -> FlowSegment<'_> {
    FlowSegment {
        flow: flow(port),
        start: START,
        seq: START.wrapping_add(at as u32),
        bytes,
    }
}

fn assembler() -> FlowAssembler {
    FlowAssembler::new(Limits::default())
}

/// Pushes pieces of a stream at their offsets; every outcome that comes of it.
fn outcomes(pieces: &[(usize, &[u8])]) -> Vec<Outcome> {
    let mut assembler = assembler();
    let decided = pieces
        .iter()
        .filter_map(|(at, bytes)| assembler.push(&segment(1, *at, bytes), 0));
    let mut outcomes: Vec<Outcome> = decided.collect();
    outcomes.extend(assembler.expire(Limits::default().lifetime));
    outcomes
}

fn only_hello(pieces: &[(usize, &[u8])]) -> ClientHello {
    let outcomes = outcomes(pieces);
    assert_eq!(outcomes.len(), 1, "one outcome for a flow");
    outcomes[0].result.clone().unwrap()
}

fn only_failure(pieces: &[(usize, &[u8])]) -> Failure {
    let outcomes = outcomes(pieces);
    assert_eq!(outcomes.len(), 1, "one outcome for a flow");
    outcomes[0].result.clone().unwrap_err()
}

#[test]
fn two_segments_cut_at_any_byte_in_any_order() {
    let message = Hello::sample().message();
    let stream = build::records(&message, &[]);
    let expected = build::read(&message);
    for cut in 0..=stream.len() {
        let (first, second) = stream.split_at(cut);
        assert_eq!(
            only_hello(&[(0, first), (cut, second)]),
            expected,
            "cut at {cut}"
        );
        assert_eq!(
            only_hello(&[(cut, second), (0, first)]),
            expected,
            "cut at {cut}, turned round"
        );
    }
}

#[test]
fn what_follows_a_hello_opens_no_new_flow() {
    let stream = build::records(&Hello::sample().message(), &[]);
    let mut assembler = assembler();
    assert!(assembler.push(&segment(1, 0, &stream), 0).is_some());
    assert!(
        assembler.push(&segment(1, 0, &stream), 1).is_none(),
        "retransmitted"
    );
    assert!(
        assembler
            .push(&segment(1, stream.len(), b"\x14\x03\x03\x00\x01\x01"), 2)
            .is_none()
    );
    assert!(assembler.expire(u64::MAX).is_empty());
    assert_eq!(assembler.totals().hellos, 1);
    assert_eq!((assembler.flows(), assembler.bytes()), (0, 0));
}

#[test]
fn causes_have_names() {
    let hello = build::records(&Hello::sample().message(), &[]);
    assert_eq!(only_failure(&[(0, b"GET / HTTP/1.1\r\n")]), Failure::NotTls);
    assert_eq!(
        only_failure(&[(0, b"\x16\x03\x01\x00\x40\x02")]),
        Failure::NotClientHello
    );
    assert_eq!(only_failure(&[(0, &hello[..40])]), Failure::Timeout);
    assert_eq!(
        only_failure(&[(900, &hello[900..])]),
        Failure::Timeout,
        "first segment missing"
    );
    assert_eq!(
        only_failure(&[(0, b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfd")]),
        Failure::TooLarge
    );
    assert_eq!(
        only_failure(&[(0, b"\x16\x03\x01\x00\x00")]),
        Failure::Malformed
    );
    let interrupted = [&hello[..5], b"\x01", b"\x15\x03\x01\x00\x02\x01\x00"].concat();
    let interrupted = [b"\x16\x03\x01\x00\x01", &interrupted[5..]].concat();
    assert_eq!(only_failure(&[(0, &interrupted)]), Failure::Interrupted);
    let names: Vec<&str> = Failure::ALL.iter().map(|cause| cause.name()).collect();
    assert_eq!(
        names,
        [
            "timeout",
            "not_tls",
            "not_client_hello",
            "interrupted",
            "too_large",
            "malformed",
            "too_many_fragments",
            "evicted",
            "replaced",
        ]
    );
}

#[test]
fn gaps_and_segments_of_one_flow_are_bounded() {
    let stream = build::records(&Hello::sample().message(), &[]);
    let islands: Vec<(usize, &[u8])> = (0..65).map(|i| (10 * i + 7, &stream[..1])).collect();
    assert_eq!(only_failure(&islands), Failure::TooManyFragments);
    let repeated: Vec<(usize, &[u8])> = (0..600).map(|_| (0, &stream[..1])).collect();
    assert_eq!(only_failure(&repeated), Failure::TooManyFragments);
}

#[test]
fn a_stray_segment_far_away_does_not_hide_the_hello() {
    let message = Hello::sample().message();
    let stream = build::records(&message, &[]);
    let pieces: [(usize, &[u8]); 3] = [
        (0, &stream[..100]),
        (500_000, b"stray"),
        (100, &stream[100..]),
    ];
    assert_eq!(only_hello(&pieces), build::read(&message));
}

#[test]
fn copies_that_differ_are_counted_and_the_first_wins() {
    let message = Hello::sample().message();
    let stream = build::records(&message, &[]);
    let other = vec![0xee; 50];
    let outcomes = outcomes(&[(0, &stream[..100]), (50, &other), (100, &stream[100..])]);
    assert_eq!(outcomes[0].conflicts, 1);
    assert_eq!(outcomes[0].result.clone().unwrap(), build::read(&message));
}

#[test]
fn time_ends_a_flow_after_its_lifetime_and_not_before() {
    let limits = Limits {
        lifetime: 5_000,
        ..Limits::default()
    };
    let mut assembler = FlowAssembler::new(limits);
    assert!(
        assembler
            .push(&segment(1, 0, b"\x16\x03\x01"), 1_000)
            .is_none()
    );
    assert!(
        assembler
            .push(&segment(2, 0, b"\x16\x03\x01"), 2_000)
            .is_none()
    );
    assert!(assembler.expire(5_999).is_empty());
    let ended = assembler.expire(6_000);
    assert_eq!(ended.len(), 1);
    assert_eq!((ended[0].flow, ended[0].began), (flow(1), 1_000));
    assert_eq!(assembler.totals().failed(Failure::Timeout), 1);
    assert_eq!(assembler.flows(), 1);
}

#[test]
fn at_the_caps_the_oldest_flow_gives_way() {
    let limits = Limits {
        flows: 3,
        bytes: 10,
        ..Limits::default()
    };
    let mut assembler = FlowAssembler::new(limits);
    for port in 1..=5 {
        assert!(
            assembler
                .push(&segment(port, 0, b"\x16\x03"), u64::from(port))
                .is_none()
        );
    }
    assert_eq!(assembler.flows(), 3);
    assert!(
        assembler
            .push(&segment(5, 2, b"\x01\x00\x80\x01\x00\x00"), 6)
            .is_none()
    );
    assert_eq!((assembler.flows(), assembler.bytes()), (2, 10));
    let evicted: Vec<u16> = assembler
        .expire(7)
        .iter()
        .map(|outcome| outcome.flow.sport)
        .collect();
    assert_eq!(evicted, [1, 2, 3]);
    assert_eq!(assembler.totals().failed(Failure::Evicted), 3);
}

#[test]
fn a_new_connection_on_the_same_ports_replaces_the_old_one() {
    let message = Hello::sample().message();
    let stream = build::records(&message, &[]);
    let mut assembler = assembler();
    assert!(assembler.push(&segment(1, 0, &stream[..9]), 0).is_none());
    let start = START.wrapping_add(1_000_000);
    let next = FlowSegment {
        flow: flow(1),
        start,
        seq: start,
        bytes: &stream,
    };
    let outcome = assembler.push(&next, 1).unwrap();
    assert_eq!(outcome.result.unwrap(), build::read(&message));
    let replaced = assembler.expire(2);
    assert_eq!(replaced.len(), 1);
    assert_eq!(replaced[0].result.clone().unwrap_err(), Failure::Replaced);
}

#[test]
fn a_beginning_that_was_guessed_too_late_is_corrected() {
    let message = Hello::sample().message();
    let stream = build::records(&message, &[]);
    let mut assembler = assembler();
    let guessed = FlowSegment {
        start: START.wrapping_add(100),
        ..segment(1, 100, &stream[100..])
    };
    // The bytes from 100 on would be told apart from a hello at once, but for what they hold here.
    let first = assembler.push(&guessed, 0);
    assert_eq!(first.unwrap().result.unwrap_err(), Failure::NotTls);
    let mut assembler = self::assembler();
    let later = FlowSegment {
        start: START.wrapping_add(100),
        ..segment(1, 200, &stream[200..])
    };
    assert!(assembler.push(&later, 0).is_none());
    let outcome = assembler.push(&segment(1, 0, &stream[..200]), 1).unwrap();
    assert_eq!(outcome.result.unwrap(), build::read(&message));
}

proptest! {
    #[test]
    fn any_pieces_that_cover_a_hello_give_it(
        hello in build::hello(),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 2..20),
        overlap in prop::collection::vec(0_usize..60, 20),
        order in Just((0..60).collect::<Vec<usize>>()).prop_shuffle(),
        duplicates in prop::collection::vec(any::<bool>(), 20),
    ) {
        let message = hello.message();
        let stream = build::records(&message, &[]);
        cuts.sort_by_key(|cut| cut.index(stream.len()));
        let mut pieces: Vec<(usize, &[u8])> = Vec::new();
        let mut from = 0;
        let ends = cuts.iter().map(|cut| cut.index(stream.len())).chain([stream.len()]);
        for (i, to) in ends.enumerate() {
            let begin = from.min(to).saturating_sub(overlap[i % 20]);
            pieces.push((begin, &stream[begin..to]));
            if duplicates[i % 20] {
                pieces.push((begin, &stream[begin..to]));
            }
            from = to;
        }
        let order = order.into_iter().filter(|i| *i < pieces.len()).collect::<Vec<_>>();
        let shuffled: Vec<_> = order.into_iter().map(|i| pieces[i]).collect();
        prop_assert_eq!(only_hello(&shuffled), build::read(&message));
        prop_assert_eq!(outcomes(&shuffled)[0].conflicts, 0);
    }
}
