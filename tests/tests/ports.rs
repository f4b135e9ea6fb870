//! What becomes of packets to some ports: verdict tables that run through the program in the kernel.
#![allow(clippy::unwrap_used, reason = "tests")]

use bot_common::abi::{
    counter::{Counter, Outcome},
    ports::Groups,
    verdict::{Action, MAX_CHAIN, MAX_FORKS, Scope, Verdict, VerdictId},
};
use bot_tests::{
    frame::{Frame, flag},
    kernel,
    kernel::{Entry, Kernel},
};

const BLOCK: Verdict = Verdict {
    action: Action::Drop as u8,
    ..Verdict::PASS
};
/// Ports 443 and 8443.
const WEB: Groups = Groups::one(3);
/// Ports 22 and 8443.
const ADMIN: Groups = Groups::one(15);

/// A kernel with the two groups.
macro_rules! kernel_with_groups {
    () => {{
        let mut kernel = kernel!();
        kernel.groups(|port| match port {
            443 => WEB,
            22 => ADMIN,
            8443 => WEB.or(ADMIN),
            _ => Groups::NONE,
        });
        kernel
    }};
}

/// Runs each line's frame and compares the one outcome that was counted.
fn expect(kernel: &Kernel, table: &[(&str, Frame, Outcome)]) {
    let counts = || -> Vec<u64> {
        let counters = Outcome::ALL.iter().copied().map(Counter::Outcome);
        counters
            .map(|counter| kernel.counter(counter).packets)
            .collect()
    };
    for entry in Entry::ALL {
        for (what, frame, expected) in table {
            let before = counts();
            kernel.run(entry, &frame.bytes());
            let changes = before.into_iter().zip(counts());
            let outcomes = Outcome::ALL.iter().zip(changes);
            let counted = outcomes.filter(|(_, (before, after))| before != after);
            let counted: Vec<Outcome> = counted.map(|(outcome, _)| *outcome).collect();
            assert_eq!(counted, [*expected], "{what} ({entry:?})");
        }
    }
}

fn from() -> Frame {
    Frame::from("198.51.100.7")
}

#[test]
fn a_verdict_for_some_ports_leaves_other_packets_to_what_is_otherwise() {
    let mut kernel = kernel_with_groups!();
    let web = Verdict {
        ports: WEB,
        ..BLOCK
    };
    let id = kernel.rule("198.51.100.0/24", web);
    let services = kernel.verdict(Verdict {
        scope: Scope::Services as u8,
        ..BLOCK
    });
    let above = Verdict {
        otherwise: services,
        ports: WEB,
        ..Verdict::PASS
    };
    kernel.rule("203.0.113.0/24", above);
    let beneath = || Frame::from("203.0.113.9");
    expect(
        &kernel,
        &[
            ("a SYN", from().tcp(443, flag::SYN), Outcome::Dropped),
            ("data", from().tcp(443, flag::DATA), Outcome::Dropped),
            ("UDP", from().udp(443), Outcome::Dropped),
            (
                "another port of the group",
                from().tcp(8443, flag::DATA),
                Outcome::Dropped,
            ),
            ("another port", from().tcp(80, flag::SYN), Outcome::NoRule),
            (
                "a neighbour in the same entry",
                from().tcp(442, flag::SYN),
                Outcome::NoRule,
            ),
            ("UDP elsewhere", from().udp(80), Outcome::NoRule),
            ("ICMP", from().icmp(8, 0), Outcome::NoRule),
            (
                "a reply from that port",
                from().tcp(40_000, flag::DATA).sport(443),
                Outcome::NoRule,
            ),
            (
                "a later fragment",
                from().tcp(443, flag::DATA).fragment(100),
                Outcome::NoRule,
            ),
            (
                "allowed to the ports",
                beneath().tcp(443, flag::SYN),
                Outcome::Allowed,
            ),
            (
                "blocked otherwise",
                beneath().tcp(80, flag::SYN),
                Outcome::Dropped,
            ),
            (
                "its scope is its own",
                beneath().icmp(8, 0),
                Outcome::OutOfScope,
            ),
        ],
    );
    let entries = Entry::ALL.len() as u64;
    assert_eq!(kernel.hits(id).packets, 4 * entries);
    assert_eq!(kernel.hits(services).packets, entries);
}

#[test]
fn a_verdict_of_two_groups_is_for_ports_in_both_and_failsafe_ports_stay_open() {
    let mut kernel = kernel_with_groups!();
    let admin = kernel.verdict(Verdict {
        ports: ADMIN,
        ..BLOCK
    });
    kernel.rule(
        "198.51.100.0/24",
        Verdict {
            ports: WEB.or(ADMIN),
            otherwise: admin,
            ..Verdict::PASS
        },
    );
    expect(
        &kernel,
        &[
            ("in both", from().tcp(8443, flag::SYN), Outcome::Allowed),
            ("in one", from().tcp(443, flag::SYN), Outcome::NoRule),
            ("failsafe", from().tcp(22, flag::SYN), Outcome::FailsafePort),
            (
                "UDP has no failsafe ports",
                from().udp(22),
                Outcome::Dropped,
            ),
        ],
    );
}

#[test]
fn deadlines_and_ports_are_followed_together() {
    let mut kernel = kernel_with_groups!();
    let later = kernel.verdict(BLOCK);
    // What is over for the ports goes on beneath; what is for others does not ask when.
    let over = kernel.verdict(Verdict {
        expires: 1,
        then: later,
        ports: WEB,
        ..Verdict::PASS
    });
    let above = Verdict {
        expires: 1,
        then: over,
        ..Verdict::PASS
    };
    kernel.rule("198.51.100.0/24", above);
    expect(
        &kernel,
        &[
            ("to the ports", from().tcp(443, flag::SYN), Outcome::Dropped),
            ("to others", from().tcp(80, flag::SYN), Outcome::NoRule),
        ],
    );
}

#[test]
fn the_way_of_a_packet_has_an_end() {
    let mut kernel = kernel_with_groups!();
    let forks = |kernel: &mut Kernel, count: usize| {
        let last = kernel.verdict(BLOCK);
        (0..count).fold(last, |otherwise, _| {
            kernel.verdict(Verdict {
                otherwise,
                ports: ADMIN,
                ..Verdict::PASS
            })
        })
    };
    let longest = forks(&mut kernel, MAX_FORKS + MAX_CHAIN - 1);
    kernel.point("198.51.100.1/32", longest);
    let too_long = forks(&mut kernel, MAX_FORKS + MAX_CHAIN);
    kernel.point("198.51.100.2/32", too_long);
    let own = VerdictId::new(too_long.get() + 1).unwrap();
    let tail = kernel.verdict(Verdict {
        otherwise: own,
        ports: ADMIN,
        ..BLOCK
    });
    kernel.point("198.51.100.3/32", tail);
    let syn = |src| Frame::from(src).tcp(443, flag::SYN);
    expect(
        &kernel,
        &[
            ("the longest", syn("198.51.100.1"), Outcome::Dropped),
            ("one longer", syn("198.51.100.2"), Outcome::NoRule),
            ("a loop", syn("198.51.100.3"), Outcome::NoRule),
        ],
    );
}
