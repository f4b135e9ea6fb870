//! What becomes of a packet: rules, mode and packet in, fate and counter out. Each line of each
//! table runs through both entry points of the program in the kernel.

use std::{thread, time::Duration};

use bot_common::abi::{
    counter::Outcome,
    settings::FOREVER,
    verdict::{Action, Flags, MAX_CHAIN, MAX_FORKS, Scope, Verdict, VerdictId},
};
use bot_tests::{
    frame::{Frame, flag},
    kernel,
    kernel::{Entry, Fate, Kernel},
};

const BLOCK: Verdict = Verdict {
    action: Action::Drop as u8,
    ..Verdict::PASS
};
const BLOCK_SERVICES: Verdict = Verdict {
    scope: Scope::Services as u8,
    ..BLOCK
};
const MONITOR_ONLY: Verdict = Verdict {
    flags: Flags::MONITOR_ONLY.0,
    ..BLOCK
};
const FORCED: Verdict = Verdict {
    flags: Flags::FORCED.0,
    ..BLOCK
};
const ALLOW: Verdict = Verdict::PASS;

/// Runs each line's frame and compares the outcome that was counted, and the fate that follows.
fn expect(kernel: &Kernel, table: &[(&str, Frame, Outcome)]) {
    for entry in Entry::ALL {
        for (what, frame, expected) in table {
            let before = outcomes(kernel);
            let fate = kernel.run(entry, &frame.bytes());
            let after = outcomes(kernel);
            let counted: Vec<_> = (Outcome::ALL.iter().zip(before).zip(after))
                .filter(|((_, before), after)| before != after)
                .map(|((outcome, _), _)| *outcome)
                .collect();
            assert_eq!(counted, [*expected], "{what} ({entry:?})");
            let dropped = *expected == Outcome::Dropped;
            assert_eq!(
                fate,
                if dropped { Fate::Drop } else { Fate::Pass },
                "{what} ({entry:?})"
            );
        }
    }
}

fn outcomes(kernel: &Kernel) -> Vec<u64> {
    use bot_common::abi::counter::Counter;
    Outcome::ALL
        .iter()
        .map(|outcome| kernel.counter(Counter::Outcome(*outcome)).packets)
        .collect()
}

fn syn(src: &str) -> Frame {
    Frame::from(src).tcp(443, flag::SYN)
}

#[test]
fn a_blocked_network_is_dropped_from_end_to_end() {
    let mut kernel = kernel!();
    kernel.rule("198.51.100.0/24", BLOCK);
    kernel.rule("2001:db8:bad::/48", BLOCK);
    expect(
        &kernel,
        &[
            ("first address", syn("198.51.100.0"), Outcome::Dropped),
            (
                "an address in the middle",
                syn("198.51.100.77"),
                Outcome::Dropped,
            ),
            ("last address", syn("198.51.100.255"), Outcome::Dropped),
            ("one below", syn("198.51.99.255"), Outcome::NoRule),
            ("one above", syn("198.51.101.0"), Outcome::NoRule),
            (
                "IPv6 in the middle",
                syn("2001:db8:bad:1:2:3:4:5"),
                Outcome::Dropped,
            ),
            ("IPv6 above", syn("2001:db8:bae::"), Outcome::NoRule),
        ],
    );
}

#[test]
fn the_longest_prefix_decides() {
    let mut kernel = kernel!();
    kernel.rule("198.51.0.0/16", BLOCK);
    kernel.rule("198.51.100.0/24", ALLOW);
    kernel.rule("198.51.100.7/32", BLOCK);
    expect(
        &kernel,
        &[
            ("blocked /16", syn("198.51.1.1"), Outcome::Dropped),
            ("allowed /24 within", syn("198.51.100.1"), Outcome::Allowed),
            (
                "blocked host within that",
                syn("198.51.100.7"),
                Outcome::Dropped,
            ),
        ],
    );
}

#[test]
fn scope_services_spares_replies_to_the_hosts_own_connections() {
    let mut kernel = kernel!();
    kernel.rule("203.0.113.0/24", BLOCK_SERVICES);
    let from = || Frame::from("203.0.113.9");
    expect(
        &kernel,
        &[
            (
                "SYN to a served port",
                from().tcp(443, flag::SYN),
                Outcome::Dropped,
            ),
            (
                "data to a served port",
                from().tcp(443, flag::DATA),
                Outcome::Dropped,
            ),
            (
                "bare SYN to any port",
                from().tcp(9999, flag::SYN),
                Outcome::Dropped,
            ),
            (
                "SYN-ACK to our connection",
                from().tcp(40000, flag::SYN_ACK),
                Outcome::OutOfScope,
            ),
            (
                "data of our connection",
                from().tcp(40000, flag::DATA),
                Outcome::OutOfScope,
            ),
            ("UDP to a served port", from().udp(443), Outcome::Dropped),
            ("UDP reply (DNS)", from().udp(5353), Outcome::OutOfScope),
            ("ping", from().icmp(8, 0), Outcome::OutOfScope),
            ("another protocol", from(), Outcome::OutOfScope),
            (
                "a later fragment",
                from().tcp(443, flag::DATA).fragment(0x00b9),
                Outcome::LaterFragment,
            ),
            (
                "the first fragment",
                from().tcp(443, flag::DATA).fragment(0x2000),
                Outcome::Dropped,
            ),
        ],
    );
}

#[test]
fn scope_all_decides_before_anything_behind_the_ip_header() {
    let mut kernel = kernel!();
    kernel.rule("203.0.113.0/24", BLOCK);
    kernel.rule("2001:db8:bad::/48", BLOCK);
    let from = || Frame::from("203.0.113.9");
    let six = || Frame::from("2001:db8:bad::9");
    let deep = (0..7).fold(six().tcp(443, flag::SYN), |frame, _| {
        frame.extension(60, &[0; 7])
    });
    let mut bad_offset = from().tcp(443, flag::SYN);
    bad_offset.options = vec![1; 40];
    expect(
        &kernel,
        &[
            (
                "a reply to our connection",
                from().tcp(40000, flag::SYN_ACK),
                Outcome::Dropped,
            ),
            (
                "a later fragment",
                from().tcp(443, flag::DATA).fragment(0x00b9),
                Outcome::Dropped,
            ),
            ("an unknown protocol", from(), Outcome::Dropped),
            ("ping", from().icmp(8, 0), Outcome::Dropped),
            ("forty bytes of IPv4 options", bad_offset, Outcome::Dropped),
            (
                "more extension headers than are walked",
                deep,
                Outcome::Dropped,
            ),
            (
                "an IPv6 fragment",
                six().tcp(443, 2).extension(44, &[0, 0, 8, 0, 0, 0, 1]),
                Outcome::Dropped,
            ),
        ],
    );
    // A TCP header cut short: the source still decides.
    let whole = from().tcp(443, flag::SYN).bytes();
    for entry in Entry::ALL {
        assert_eq!(
            kernel.run(entry, &whole[..14 + 20 + 6]),
            Fate::Drop,
            "cut inside TCP ({entry:?})"
        );
    }
}

#[test]
fn what_a_connection_may_need_is_exempt_unless_forced() {
    let mut kernel = kernel!();
    kernel.rule("203.0.113.0/24", BLOCK);
    kernel.rule("2001:db8:bad::/48", BLOCK);
    kernel.rule("192.0.2.64/26", FORCED);
    kernel.rule("2001:db8:f0::/48", FORCED);
    let four = || Frame::from("203.0.113.9");
    let six = || Frame::from("2001:db8:bad::9");
    let forced = || Frame::from("192.0.2.70");
    let forced_six = || Frame::from("2001:db8:f0::9");
    expect(
        &kernel,
        &[
            (
                "failsafe port",
                four().tcp(22, flag::SYN),
                Outcome::FailsafePort,
            ),
            (
                "fragmentation needed",
                four().icmp(3, 4),
                Outcome::IcmpError,
            ),
            ("time exceeded", four().icmp(11, 0), Outcome::IcmpError),
            ("packet too big", six().icmp(2, 0), Outcome::IcmpError),
            (
                "neighbour solicitation",
                six().icmp(135, 0).hop_limit(255),
                Outcome::NeighbourDiscovery,
            ),
            (
                "the same from beyond the link",
                six().icmp(135, 0).hop_limit(254),
                Outcome::Dropped,
            ),
            ("ping", six().icmp(128, 0), Outcome::Dropped),
            (
                "failsafe port, forced",
                forced().tcp(22, flag::SYN),
                Outcome::Dropped,
            ),
            ("ICMP error, forced", forced().icmp(3, 4), Outcome::Dropped),
            (
                "neighbour solicitation, forced",
                forced_six().icmp(135, 0).hop_limit(255),
                Outcome::Dropped,
            ),
        ],
    );
}

#[test]
fn monitor_mode_counts_what_would_be_dropped() {
    let mut kernel = kernel!();
    kernel.rule("198.51.100.0/24", BLOCK);
    kernel.settings(|settings| settings.enforce_until = 0);
    expect(
        &kernel,
        &[(
            "blocked source",
            syn("198.51.100.1"),
            Outcome::WouldDropMode,
        )],
    );
}

#[test]
fn a_monitor_only_rule_never_drops() {
    let mut kernel = kernel!();
    kernel.rule("198.51.100.0/24", MONITOR_ONLY);
    expect(
        &kernel,
        &[(
            "blocked source",
            syn("198.51.100.1"),
            Outcome::WouldDropRule,
        )],
    );
}

#[test]
fn verdict_codes_of_a_newer_agent_fail_open() {
    let mut kernel = kernel!();
    kernel.rule(
        "198.51.100.1/32",
        Verdict {
            action: Action::Monitor as u8,
            ..ALLOW
        },
    );
    kernel.rule(
        "198.51.100.2/32",
        Verdict {
            action: Action::Throttle as u8,
            ..ALLOW
        },
    );
    kernel.rule(
        "198.51.100.3/32",
        Verdict {
            action: Action::Reject as u8,
            ..ALLOW
        },
    );
    kernel.rule(
        "198.51.100.4/32",
        Verdict {
            action: 200,
            ..ALLOW
        },
    );
    expect(
        &kernel,
        &[
            ("monitor", syn("198.51.100.1"), Outcome::Monitored),
            ("throttle", syn("198.51.100.2"), Outcome::Monitored),
            ("reject", syn("198.51.100.3"), Outcome::Monitored),
            ("unknown", syn("198.51.100.4"), Outcome::Allowed),
        ],
    );
}

#[test]
fn bypass_passes_everything_and_ends_by_itself() {
    let mut kernel = kernel!();
    kernel.rule("198.51.100.0/24", BLOCK);
    kernel.settings(|settings| settings.bypass_until = FOREVER);
    expect(
        &kernel,
        &[("during bypass", syn("198.51.100.1"), Outcome::Bypass)],
    );
    kernel.settings(|settings| settings.bypass_until = 1);
    expect(
        &kernel,
        &[("after its deadline", syn("198.51.100.1"), Outcome::Dropped)],
    );
}

#[test]
fn an_unconfirmed_enforce_falls_back_by_itself() {
    let mut kernel = kernel!();
    kernel.rule("198.51.100.0/24", BLOCK);
    kernel.settings(|settings| settings.enforce_until = kernel::now() + 200_000_000);
    expect(
        &kernel,
        &[("before the deadline", syn("198.51.100.1"), Outcome::Dropped)],
    );
    thread::sleep(Duration::from_millis(250));
    expect(
        &kernel,
        &[("after it", syn("198.51.100.1"), Outcome::WouldDropMode)],
    );
}

#[test]
fn an_expired_rule_uncovers_what_lies_beneath() {
    let mut kernel = kernel!();
    let beneath = kernel.rule("198.51.100.0/24", BLOCK);
    // A temporary allow over a block, and a temporary block over nothing.
    let millis = if kernel::is_emulated() { 15_000 } else { 300 };
    let soon = kernel::now() + millis * 1_000_000;
    kernel.rule(
        "198.51.100.7/32",
        Verdict {
            expires: soon,
            then: beneath,
            ..ALLOW
        },
    );
    kernel.rule(
        "203.0.113.7/32",
        Verdict {
            expires: soon,
            ..BLOCK
        },
    );
    let table = |allow, block| {
        [
            ("temporary allow", syn("198.51.100.7"), allow),
            ("temporary block", syn("203.0.113.7"), block),
            ("the block beneath", syn("198.51.100.8"), Outcome::Dropped),
        ]
    };
    expect(&kernel, &table(Outcome::Allowed, Outcome::Dropped));
    thread::sleep(Duration::from_millis(millis));
    expect(&kernel, &table(Outcome::Dropped, Outcome::NoRule));
}

#[test]
fn a_chain_of_expired_verdicts_is_followed_to_its_bound_and_then_passes() {
    let mut kernel = kernel!();
    let chain = |kernel: &mut Kernel, expired: usize| {
        let last = kernel.verdict(BLOCK);
        (0..expired).fold(last, |then, _| {
            kernel.verdict(Verdict {
                expires: 1,
                then,
                ..ALLOW
            })
        })
    };
    let bound = MAX_FORKS + MAX_CHAIN;
    let longest = chain(&mut kernel, bound - 1);
    kernel.point("198.51.100.1/32", longest);
    let too_long = chain(&mut kernel, bound);
    kernel.point("198.51.100.2/32", too_long);
    // A chain that bites its own tail must end as well.
    let next = chain(&mut kernel, 0).get() + 1;
    let own = VerdictId::new(next).unwrap();
    let tail = kernel.verdict(Verdict {
        expires: 1,
        then: own,
        ..BLOCK
    });
    assert_eq!(tail, own);
    kernel.point("198.51.100.3/32", tail);
    expect(
        &kernel,
        &[
            ("the longest chain", syn("198.51.100.1"), Outcome::Dropped),
            ("one longer", syn("198.51.100.2"), Outcome::NoRule),
            ("a loop", syn("198.51.100.3"), Outcome::NoRule),
        ],
    );
}

#[test]
fn vlan_tags_do_not_hide_a_source() {
    let mut kernel = kernel!();
    kernel.rule("198.51.100.0/24", BLOCK);
    let from = || syn("198.51.100.1");
    expect(
        &kernel,
        &[
            ("one tag", from().vlan(0x8100, 10), Outcome::Dropped),
            ("priority tag", from().vlan(0x8100, 0), Outcome::Dropped),
            (
                "two tags",
                from().vlan(0x88a8, 100).vlan(0x8100, 10),
                Outcome::Dropped,
            ),
        ],
    );
    let three = from()
        .vlan(0x88a8, 1)
        .vlan(0x8100, 2)
        .vlan(0x8100, 3)
        .bytes();
    for entry in Entry::ALL {
        assert_eq!(
            kernel.run(entry, &three),
            Fate::Pass,
            "three tags are counted and passed"
        );
    }
    assert!(kernel.packets().contains(&("vlan_depth", 2)));
}

#[test]
fn hits_are_counted_for_the_verdict_that_applied() {
    let mut kernel = kernel!();
    let block = kernel.rule("198.51.100.0/24", BLOCK);
    let expired = kernel.rule(
        "198.51.100.7/32",
        Verdict {
            expires: 1,
            then: block,
            ..ALLOW
        },
    );
    let frame = syn("198.51.100.7").bytes();
    for entry in Entry::ALL {
        kernel.run(entry, &frame);
    }
    assert_eq!(kernel.hits(expired).packets, 0);
    assert_eq!(kernel.hits(block).packets, 2);
    assert_eq!(kernel.hits(block).bytes, 2 * frame.len() as u64);
}

#[test]
fn what_a_verdict_does_not_decide_is_no_hit_of_it() {
    let mut kernel = kernel!();
    let services = kernel.rule("203.0.113.0/24", BLOCK_SERVICES);
    let all = kernel.rule("198.51.100.0/24", BLOCK);
    let frames = [
        Frame::from("203.0.113.9").tcp(40000, flag::SYN_ACK),
        Frame::from("203.0.113.9").tcp(443, flag::SYN),
        Frame::from("198.51.100.9").tcp(22, flag::SYN),
        Frame::from("198.51.100.9").tcp(40000, flag::SYN_ACK),
    ];
    for frame in frames {
        kernel.run(Entry::Frags, &frame.bytes());
    }
    assert_eq!(kernel.hits(services).packets, 1, "the SYN, not the reply");
    assert_eq!(
        kernel.hits(all).packets,
        1,
        "the reply, not the failsafe port"
    );
}

#[test]
fn one_report_a_second_stands_for_all_drops_of_a_source() {
    let mut kernel = kernel!();
    let block = kernel.rule("198.51.100.0/24", BLOCK);
    let frame = syn("198.51.100.7").bytes();
    for _ in 0..1000 {
        kernel.run(Entry::Frags, &frame);
    }
    let reports = kernel.reports();
    // One CPU runs the whole loop in well under a second; a migration may add a report.
    assert!(
        (1..=4).contains(&reports.len()),
        "{} reports",
        reports.len()
    );
    let report = reports[0];
    assert_eq!(report.src.to_ip().to_string(), "198.51.100.7");
    assert_eq!(report.dst.to_ip().to_string(), "192.0.2.1");
    assert_eq!(
        (report.sport, report.dport, report.protocol),
        (40000, 443, 6)
    );
    assert_eq!(
        (report.verdict, report.outcome),
        (block, Outcome::Dropped as u8)
    );
    assert_eq!((report.packets, report.bytes), (1, frame.len() as u64));
    let folded = kernel
        .packets()
        .iter()
        .find(|(name, _)| *name == "report_folded")
        .unwrap()
        .1;
    assert_eq!(folded + reports.len() as u64, 1000);
}

#[test]
fn reports_stop_at_the_budget_and_the_loss_is_counted() {
    let mut kernel = kernel!();
    kernel.rule("198.51.100.0/24", BLOCK);
    kernel.settings(|settings| settings.reports_per_second = 10);
    for host in 0..200 {
        kernel.run(Entry::Frags, &syn(&format!("198.51.100.{host}")).bytes());
    }
    let sent = kernel.reports().len() as u64;
    // 10 a second and CPU: the loop may cross a second and a CPU.
    assert!((10..=40).contains(&sent), "{sent} reports");
    let packets = kernel.packets();
    let count = |name| {
        packets
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(0, |(_, n)| *n)
    };
    assert_eq!(count("report_sent"), sent);
    assert_eq!(
        count("report_sent") + count("report_budget") + count("report_folded"),
        200
    );
    assert_eq!(
        count("dropped"),
        200,
        "packets are dropped whether or not they are reported"
    );
}
