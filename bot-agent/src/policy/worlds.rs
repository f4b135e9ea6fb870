//! For tests: any rules and lists, over few prefixes, so that they meet.

use std::sync::{Arc, OnceLock};

use bot_common::{
    abi::{ports::Groups, verdict::Action},
    address::Address,
};
use proptest::prelude::*;

use super::{
    simulation::{prefix, rule_set},
    *,
};
use crate::{
    asn::Database,
    rules::{
        prefix::Prefix,
        rule::{Draft, Origin, RuleAction, Scope},
        set::RuleSet,
        subject::Subject,
        time::Now,
    },
};

/// Few prefixes, so that they meet: both families, the seam between them, and all of either.
const PREFIXES: [&str; 22] = [
    "::/0",
    "::/64",
    "::ffff:0:0:0/90",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "10.0.0.0/24",
    "10.0.0.0/30",
    "10.0.0.0/31",
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2/31",
    "10.0.0.4/30",
    "10.0.0.5",
    "10.0.1.0/24",
    "192.0.0.0/2",
    "2000::/3",
    "2001:db8::/32",
    "2001:db8::/127",
    "2001:db8::",
    "2001:db8::1",
    "2001:db8::2/127",
    "2001:db9::",
];

/// Rules made at some time, and lists.
#[derive(Clone, Debug)]
pub(super) struct World {
    drafts: Vec<(Draft, Option<u64>)>,
    lists: Vec<List>,
    tiers: Tiers,
}

impl World {
    pub(super) fn made(&self, now: Now) -> (RuleSet, &Self) {
        (rule_set(&self.drafts, now), self)
    }

    /// The same, where everything that is not an exemption only monitors, or nothing does; without
    /// force.
    pub(super) fn all_blocks(&self, monitor: bool) -> Self {
        let drafts = self.drafts.iter().map(|(draft, expiry)| {
            let draft = Draft {
                monitor: monitor && draft.action == RuleAction::Block,
                forced: false,
                ..draft.clone()
            };
            (draft, *expiry)
        });
        let lists = self.lists.iter().map(|list| {
            let kind = match list.kind() {
                // It monitors whatever it is told.
                ListKind::Category {
                    action: Action::Monitor,
                    scope,
                    ..
                } => ListKind::Category {
                    action: Action::Drop,
                    scope,
                    monitor,
                },
                ListKind::Category { action, scope, .. } => ListKind::Category {
                    action,
                    scope,
                    monitor,
                },
                ListKind::Score { scope, .. } => ListKind::Score { scope, monitor },
                ListKind::Only { .. } => ListKind::Only { monitor },
                exempts @ (ListKind::Allow
                | ListKind::VerifiedCrawler
                | ListKind::Admit
                | ListKind::Popular) => exempts,
            };
            let same = list.with(list.id(), Arc::clone(list.name()), kind);
            about(same, list.ports().cloned())
        });
        Self {
            drafts: drafts.collect(),
            lists: lists.collect(),
            tiers: Tiers {
                monitor: None,
                ..self.tiers
            },
        }
    }
}

/// What policy is made from.
pub(super) fn inputs<'a>((rules, world): &'a (RuleSet, &World)) -> Inputs<'a> {
    Inputs {
        rules,
        lists: &world.lists,
        ports: groups(),
        tiers: world.tiers,
        database: Some(database()),
    }
}

/// Sets of ports that overlap, as lists may be about.
const PORTS: [&str; 4] = ["443", "80,443", "80,8443", "25"];

/// A port of each kind: in one set or in two, and in none; and packets without a port.
pub(super) const PROBE_PORTS: [Option<u16>; 6] =
    [None, Some(25), Some(80), Some(443), Some(8443), Some(22)];

/// The sets, under the same numbers in all worlds.
pub(super) fn groups() -> &'static PortGroups {
    static GROUPS: OnceLock<PortGroups> = OnceLock::new();
    let sets = PORTS.map(|text| text.parse().unwrap());
    GROUPS.get_or_init(|| PortGroups::NONE.about(&sets, 0).unwrap())
}

/// The groups that the kernel finds for packets to a port.
pub(super) fn groups_of(port: Option<u16>) -> Groups {
    port.map_or(Groups::NONE, |port| groups().of(port))
}

fn about(list: List, ports: Option<Ports>) -> List {
    match ports {
        Some(ports) => list.about(ports),
        None => list,
    }
}

pub(super) fn any_prefix() -> BoxedStrategy<Prefix> {
    let any = proptest::sample::select(&PREFIXES[..]);
    any.prop_map(prefix).boxed()
}

/// Prefixes inside of 256 addresses of each family.
fn any_small_prefix() -> BoxedStrategy<Prefix> {
    let any = (any::<bool>(), any::<u8>(), 0u8..=8);
    let small = any.prop_map(|(v4, last, wider)| {
        let base = prefix(if v4 { "10.0.0.0" } else { "2001:db8::" });
        let mut octets = base.address().octets();
        octets[15] = last;
        Prefix::host(Address::from_v6(octets).to_ip()).shortened(128 - wider)
    });
    small.boxed()
}

fn any_subject(prefixes: BoxedStrategy<Prefix>) -> impl Strategy<Value = Subject> {
    const NETWORKS: [&str; 5] = ["AS1", "AS2", "AS3", "country:AA", "country:BB"];
    let network = proptest::sample::select(&NETWORKS[..]);
    prop_oneof![
        5 => prefixes.prop_map(Subject::Prefix),
        2 => network.prop_map(|text| text.parse().unwrap()),
    ]
}

/// Ranges that begin and end inside of the prefixes, and at the ends of either family.
fn database() -> &'static Database {
    static DATABASE: OnceLock<Database> = OnceLock::new();
    const LINES: &str = "\
0.0.0.0\t0.0.0.255\t1\tAA\tOne
9.255.0.0\t10.0.0.4\t2\tAA\tTwo
10.0.0.5\t10.0.0.5\t1\tBB\tOne
10.0.0.6\t10.0.0.6\t2\tBB\tTwo
10.0.0.9\t10.0.1.1\t3\tAA\tThree
192.0.2.0\t192.0.2.255\t2\tBB\tTwo
224.0.0.0\t255.255.255.255\t1\tBB\tOne
::\t::ffff\t2\tAA\tTwo
2001:db8::1\t2001:db8::2\t1\tAA\tOne
2001:db8::3\t2001:db9::\t2\tBB\tTwo
fffe::\tffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff\t3\tAA\tThree
";
    DATABASE.get_or_init(|| {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), LINES).unwrap();
        Database::open(&[file.path()]).unwrap()
    })
}

fn any_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![Just(Scope::All), Just(Scope::Services)]
}

fn any_draft(prefixes: BoxedStrategy<Prefix>) -> impl Strategy<Value = (Draft, Option<u64>)> {
    let origin = prop_oneof![
        4 => Just(Origin::Operator),
        2 => Just(Origin::Config),
        2 => Just(Origin::Learned),
        1 => Just(Origin::Protected("gateway".to_owned())),
        1 => Just(Origin::Protected("dns".to_owned())),
    ];
    let expiry = proptest::option::weighted(0.7, 1u64..30);
    (
        any_subject(prefixes),
        origin,
        proptest::bool::weighted(0.8),
        any_scope(),
        any::<(bool, bool)>(),
        expiry,
    )
        .prop_map(
            |(subject, origin, blocks, scope, (monitor, forced), expiry)| {
                let protects = matches!(origin, Origin::Protected(_));
                let blocks = (blocks && !protects) || origin == Origin::Learned;
                let subject = if protects && subject.needs_database() {
                    prefix("10.0.0.1").into()
                } else {
                    subject
                };
                let draft = Draft {
                    subject,
                    action: if blocks {
                        RuleAction::Block
                    } else {
                        RuleAction::Allow
                    },
                    scope,
                    monitor: blocks && monitor,
                    forced: blocks && forced && origin != Origin::Learned,
                    deadline: None,
                    reason: String::new(),
                    origin,
                };
                (draft, expiry)
            },
        )
}

fn any_kind() -> impl Strategy<Value = ListKind> {
    let action = prop_oneof![
        1 => Just(Action::Pass),
        1 => Just(Action::Monitor),
        1 => Just(Action::Throttle),
        1 => Just(Action::Reject),
        4 => Just(Action::Drop),
    ];
    let category = (action, any_scope(), any::<bool>()).prop_map(|(action, scope, monitor)| {
        ListKind::Category {
            action,
            scope,
            monitor,
        }
    });
    let score = (any_scope(), proptest::bool::weighted(0.3))
        .prop_map(|(scope, monitor)| ListKind::Score { scope, monitor });
    prop_oneof![
        1 => any::<bool>().prop_map(|monitor| ListKind::Only { monitor }),
        1 => Just(ListKind::Admit),
        1 => Just(ListKind::Allow),
        1 => Just(ListKind::VerifiedCrawler),
        1 => Just(ListKind::Popular),
        3 => category,
        2 => score,
    ]
}

fn any_score() -> impl Strategy<Value = Score> {
    (0..=100u8).prop_map(|score| Score::new(score).unwrap())
}

fn any_lists(prefixes: BoxedStrategy<Prefix>) -> impl Strategy<Value = Vec<List>> {
    let entries = proptest::collection::vec((prefixes, any_score()), 0..8);
    let ports = proptest::option::weighted(0.6, proptest::sample::select(&PORTS[..]));
    let past_guard = proptest::bool::weighted(0.2);
    let lists = proptest::collection::vec((any_kind(), past_guard, ports, entries), 0..7);
    lists.prop_map(|lists| {
        let lists = lists.into_iter().zip(1u32..);
        lists
            .map(|((kind, past_guard, ports, entries), id)| {
                let list = List::new(ListId(id), "list".into(), kind, entries);
                let list = if past_guard { list.past_guard() } else { list };
                about(list, ports.map(|text| text.parse().unwrap()))
            })
            .collect()
    })
}

/// Prefixes of all lengths, of both families.
pub(super) fn any_world() -> impl Strategy<Value = World> {
    any_world_of(any_prefix())
}

/// Everything inside of `10.0.0.0/24` and `2001:db8::/120`, ASNs and countries aside.
pub(super) fn any_small_world() -> impl Strategy<Value = World> {
    any_world_of(any_small_prefix())
}

fn any_world_of(prefixes: BoxedStrategy<Prefix>) -> impl Strategy<Value = World> {
    let tier = || proptest::option::weighted(0.7, any_score());
    let tiers = (tier(), tier(), tier(), tier());
    let drafts = proptest::collection::vec(any_draft(prefixes.clone()), 0..12);
    (drafts, any_lists(prefixes), tiers).prop_map(|(drafts, lists, tiers)| {
        let (monitor, throttle, challenge, block) = tiers;
        World {
            drafts,
            lists,
            tiers: Tiers {
                monitor,
                throttle,
                challenge,
                block,
            },
        }
    })
}

/// Addresses inside of what the prefixes name, and beside it.
pub(super) const PROBES: [&str; 19] = [
    "10.0.0.0",
    "10.0.0.1",
    "10.0.0.2",
    "10.0.0.5",
    "10.0.0.6",
    "10.0.0.9",
    "10.0.1.1",
    "10.1.0.0",
    "9.0.0.1",
    "192.0.2.1",
    "0.0.0.0",
    "255.255.255.255",
    "::1",
    "2001:db8::",
    "2001:db8::1",
    "2001:db8::3",
    "2001:db9::",
    "4000::1",
    "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
];

/// Regions that together are everything, small ones where the rules meet.
pub(super) fn regions() -> Vec<Prefix> {
    let mut regions = Vec::new();
    for (towards, depth) in [("10.0.0.0", 31), ("2001:db8::", 48)] {
        let towards = prefix(towards);
        let root = if towards.is_v4() { 96 } else { 0 };
        for bits in root + 1..=root + depth {
            regions.push(sibling(towards.shortened(bits)));
        }
        regions.push(towards.shortened(root + depth));
    }
    regions
}

/// The other half of the prefix one bit shorter.
fn sibling(half: Prefix) -> Prefix {
    let bit = 1u128 << (128 - u32::from(half.bits()));
    let other = u128::from_be_bytes(half.address().octets()) ^ bit;
    let other = std::net::Ipv6Addr::from(other);
    Prefix::from_net(ipnet::IpNet::new(other.into(), half.bits()).unwrap()).shortened(half.bits())
}
