//! Intervals against asking every rule about every address.

use proptest::prelude::*;

use super::*;

fn block(subject: &str) -> Item {
    Item {
        subject: subject.parse().unwrap(),
        action: RuleAction::Block,
        scope: Scope::All,
        monitor: false,
        forced: false,
        protected: false,
        seconds: None,
    }
}

fn allow(subject: &str) -> Item {
    Item {
        action: RuleAction::Allow,
        ..block(subject)
    }
}

fn show(intervals: &[Interval], is_v4: bool) -> Vec<String> {
    intervals
        .iter()
        .map(|interval| {
            let (first, last) = (
                address(interval.first, is_v4),
                address(interval.last, is_v4),
            );
            match interval.seconds {
                Some(seconds) => format!("{first}-{last} {seconds}"),
                None => format!("{first}-{last}"),
            }
        })
        .collect()
}

#[test]
fn an_exemption_makes_a_hole_and_neighbours_are_one() {
    let sets = Sets::of([
        block("10.0.0.0/25"),
        block("10.0.0.128/25"),
        block("10.0.0.7"),
        allow("10.0.0.64/27"),
        block("2001:db8::/32"),
        allow("2001:db8::/33"),
    ]);
    assert_eq!(
        show(&sets.v4.all, true),
        ["10.0.0.0-10.0.0.63", "10.0.0.96-10.0.0.255"]
    );
    assert_eq!(
        show(&sets.v6.all, false),
        ["2001:db8:8000::-2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"]
    );
    assert_eq!(sets.v4.services, []);
}

#[test]
fn the_ends_of_the_address_space_are_addresses_too() {
    let sets = Sets::of([
        block("0.0.0.0/0"),
        allow("0.0.0.0"),
        allow("255.255.255.255"),
        block("::/0"),
    ]);
    assert_eq!(show(&sets.v4.all, true), ["0.0.0.1-255.255.255.254"]);
    assert_eq!(
        show(&sets.v6.all, false),
        ["::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"]
    );
}

#[test]
fn the_longest_block_says_when_it_ends() {
    let timed = |subject, seconds| Item {
        seconds: Some(seconds),
        ..block(subject)
    };
    let sets = Sets::of([
        timed("10.0.0.0/24", 60),
        timed("10.0.0.0/30", 90),
        timed("10.0.0.1", 30),
        block("10.0.0.8"),
    ]);
    assert_eq!(
        show(&sets.v4.all, true),
        [
            "10.0.0.0-10.0.0.3 90",
            "10.0.0.4-10.0.0.7 60",
            "10.0.0.8-10.0.0.8",
            "10.0.0.9-10.0.0.255 60"
        ]
    );
}

#[test]
fn protection_yields_to_force_only_and_services_stand_apart() {
    let gateway = Item {
        protected: true,
        ..allow("10.0.0.1")
    };
    let forced = Item {
        forced: true,
        scope: Scope::Services,
        ..block("10.0.0.0/31")
    };
    let sets = Sets::of([block("10.0.0.0/30"), gateway, forced]);
    assert_eq!(
        show(&sets.v4.all, true),
        ["10.0.0.0-10.0.0.0", "10.0.0.2-10.0.0.3"]
    );
    // Where every packet is dropped as long, services need no telling.
    assert_eq!(show(&sets.v4.services, true), ["10.0.0.1-10.0.0.1"]);
}

#[test]
fn what_the_sets_do_not_say_is_counted() {
    let sets = Sets::of([
        Item {
            monitor: true,
            ..block("10.0.0.0/30")
        },
        block("AS64500"),
        block("country:DE"),
        Item {
            seconds: Some(5),
            ..allow("10.0.0.1")
        },
        Item {
            seconds: Some(5),
            forced: true,
            ..block("::1")
        },
    ]);
    assert_eq!(
        sets.left_out,
        LeftOut {
            timed: 1,
            monitor: 1,
            named: 2,
            passing: 1,
            forced: 1
        }
    );
    assert_eq!(sets.v4, Family::default());
}

fn any_item() -> impl Strategy<Value = Item> {
    // A small corner of IPv4, so that much overlaps.
    let prefix = (0..64u32, 26..=32u8).prop_map(|(host, bits)| {
        let ip = std::net::Ipv4Addr::from(0xffff_ffc0 + host);
        Prefix::from_net(IpNet::new(ip.into(), bits).unwrap())
    });
    let flags = (any::<bool>(), any::<bool>(), any::<bool>(), 0..6u8);
    (prefix, flags, proptest::option::of(1..4u64)).prop_map(
        |(prefix, (forced, services, protected, kind), seconds)| Item {
            subject: prefix.into(),
            action: if kind == 0 {
                RuleAction::Allow
            } else {
                RuleAction::Block
            },
            scope: if services {
                Scope::Services
            } else {
                Scope::All
            },
            monitor: kind == 1,
            forced,
            protected,
            seconds,
        },
    )
}

/// Until when an address is in a set.
fn found(intervals: &[Interval], address: u128) -> Option<u64> {
    let mut holding = intervals
        .iter()
        .filter(|interval| (interval.first..=interval.last).contains(&address));
    let interval = holding.next()?;
    assert_eq!(holding.next(), None, "intervals overlap");
    Some(interval.seconds.unwrap_or(NEVER))
}

proptest! {
    #[test]
    fn every_address_is_where_the_rules_about_it_say(
        items in proptest::collection::vec(any_item(), 0..12),
    ) {
        let sets = Sets::of(items.iter().copied());
        for host in 0..64u32 {
            let ip = IpAddr::V4((0xffff_ffc0 + host).into());
            let about: Vec<&Item> = items
                .iter()
                .filter(|item| item.subject.prefix().unwrap().contains(ip.into()))
                .collect();
            let allows = |protected| about.iter().any(|item| {
                item.action == RuleAction::Allow && item.protected == protected
            });
            let end = |scope| about
                .iter()
                .filter(|item| item.action == RuleAction::Block && !item.monitor)
                .filter(|item| item.scope == scope && !allows(false))
                .filter(|item| item.forced || !allows(true))
                .map(|item| item.seconds.unwrap_or(NEVER))
                .max();
            let bits = u128::from(0xffff_ffc0 + host);
            prop_assert_eq!(found(&sets.v4.all, bits), end(Scope::All), "{}", ip);
            let longer = end(Scope::Services).filter(|_| end(Scope::Services) > end(Scope::All));
            prop_assert_eq!(found(&sets.v4.services, bits), longer, "{}", ip);
        }
        for intervals in [&sets.v4.all, &sets.v4.services] {
            for pair in intervals.windows(2) {
                let touch = pair[0].last + 1 == pair[1].first;
                prop_assert!(pair[0].last < pair[1].first);
                prop_assert!(!touch || pair[0].seconds != pair[1].seconds);
            }
        }
    }

    #[test]
    fn blocks_are_exactly_the_interval_and_as_few_as_can_be(a: u32, b: u32) {
        let (first, last) = (a.min(b), a.max(b));
        let interval = Interval {
            first: first.into(),
            last: last.into(),
            seconds: None,
        };
        let blocks: Vec<(u128, u32)> = interval.blocks(32).collect();
        let target: crate::rules::target::Target = format!(
            "{}-{}",
            std::net::Ipv4Addr::from(first),
            std::net::Ipv4Addr::from(last)
        )
        .parse()
        .unwrap();
        let expected: Vec<String> = target.prefixes().iter().map(|p| p.to_net().to_string()).collect();
        let shown: Vec<String> = blocks
            .iter()
            .map(|(first, size)| format!("{}/{}", address(*first, true), 32 - size))
            .collect();
        prop_assert_eq!(shown, expected);
    }
}

#[test]
fn the_whole_of_a_family_is_one_block() {
    let whole = |last| Interval {
        first: 0,
        last,
        seconds: None,
    };
    let v6: Vec<_> = whole(u128::MAX).blocks(128).collect();
    assert_eq!(v6, [(0, 128)]);
    let v4: Vec<_> = whole(u32::MAX.into()).blocks(32).collect();
    assert_eq!(v4, [(0, 32)]);
}
