//! The precedence, name by name: who decides, and what happens to packets.

use bot_common::abi::verdict::{Action, Flags, Scope as KernelScope};

use super::{
    simulation::{Answer, at, ip},
    words::{
        ALLOWED, BAD, BAD_FOR_SERVICES, CRAWLER, HERE, ONLY, POPULAR, SCORED, SLOW,
        Said::{self, List as L, Rule as R},
        World, category, drop_answer,
    },
    *,
};
use crate::rules::rule::{RuleId, Scope};

/// Each place with something in it that covers HERE widely, best first.
const PLACES: [(Place, Said); 13] = [
    (Place::Allow, R("allow", "0.0.0.0/0")),
    (Place::Forced, R("block forced", "0.0.0.0/0")),
    (Place::Protected, R("allow protected", "0.0.0.0/0")),
    (Place::Block, R("block config", "0.0.0.0/0")),
    (Place::Only, L(ONLY, "0.0.0.0/0")),
    (Place::VerifiedCrawler, L(CRAWLER, "0.0.0.0/0")),
    (Place::AllowList, L(ALLOWED, "0.0.0.0/0")),
    (Place::Learned, R("block learned", "0.0.0.0/0")),
    (Place::Popular, L(POPULAR, "0.0.0.0/0")),
    (Place::Category, L(BAD, "0.0.0.0/0")),
    (Place::Asn, R("block", "AS1")),
    (Place::Country, R("block", "country:AA")),
    (Place::Score, L(SCORED, "0.0.0.0/0")),
];

fn narrow(source: Said) -> Said {
    match source {
        R(words, "0.0.0.0/0") => R(words, HERE),
        L(kind, _) => L(kind, HERE),
        Said::Ports(kind, _, ports) => Said::Ports(kind, HERE, ports),
        R(words, subject) => R(words, subject),
    }
}

#[test]
fn the_better_place_decides_whatever_the_prefixes() {
    for (index, (better, wide)) in PLACES.iter().enumerate() {
        for (worse, other) in &PLACES[index + 1..] {
            // The guard does not compete; it has tests of its own.
            if [*better, *worse].contains(&Place::Popular) {
                continue;
            }
            let world = World::of(&[*wide, narrow(*other)]);
            let explanation = explain(&world.inputs(), ip(HERE), at(0));
            let places: Vec<_> = explanation
                .covering
                .iter()
                .map(|one| one.class.place)
                .collect();
            assert_eq!(places, [*better, *worse]);
            let first = match wide {
                R(..) => By::Rule(RuleId(1)),
                L(..) | Said::Ports(..) => By::List(ListId(1)),
            };
            assert_eq!(
                explanation.winner(),
                Some(first),
                "{better:?} before {worse:?}"
            );
        }
    }
}

#[test]
fn the_places_are_in_the_order_of_the_documentation() {
    let places = PLACES.map(|(place, _)| place);
    assert!(places.is_sorted());
}

#[test]
fn inside_one_class_the_longest_prefix_decides_then_the_later_deadline_then_the_newer_rule() {
    let world = World::of(&[R("block", HERE), R("block config", "192.0.2.0/24")]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(1))));
    let world = World::of(&[R("block 20", HERE), R("block config 10", HERE)]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(1))));
    let world = World::of(&[R("block 20", HERE), R("block config", HERE)]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(2))), "never is later");
    let world = World::of(&[R("block", HERE), R("block config", HERE)]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(2))));
}

#[test]
fn between_an_asn_and_its_country_the_asn_decides() {
    let world = World::of(&[R("allow", "AS1"), R("block", "country:AA")]);
    assert_eq!(world.answer(0), Answer::PASS);
    let world = World::of(&[R("allow", "country:AA"), R("block", "AS1")]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(2))));
    // But no block takes anything off another one.
    let world = World::of(&[R("block services", "AS1"), R("block", "country:AA")]);
    assert_eq!(world.answer(0), drop_answer(KernelScope::All, 0));
    let world = World::of(&[R("block", "AS1"), R("allow config", "AS1")]);
    assert_eq!(
        world.answer(0),
        Answer::PASS,
        "of the same allow comes first"
    );
    let world = World::of(&[R("block", "AS2")]);
    assert_eq!(world.winner(), None, "the address is of another one");
}

#[test]
fn forced_rules_about_networks_beat_protection_and_yield_to_an_allow_of_addresses() {
    let blocks = R("block forced services", "AS1");
    let protects = R("allow protected", HERE);
    assert_eq!(
        World::of(&[blocks, protects]).winner(),
        Some(By::Rule(RuleId(1)))
    );
    let world = World::of(&[blocks, protects, R("allow", HERE)]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(3))));
}

#[test]
fn in_one_place_the_harder_decides_whatever_the_prefixes() {
    let drops = |list: ListKind, other: ListKind| {
        let world = World::of(&[L(list, "0.0.0.0/0"), L(other, HERE)]);
        (world.winner(), world.answer(0))
    };
    let all = drop_answer(KernelScope::All, 0);
    assert_eq!(
        drops(BAD, BAD_FOR_SERVICES),
        (Some(By::List(ListId(1))), all)
    );
    let services = drop_answer(KernelScope::Services, 0);
    let expected = (Some(By::List(ListId(1))), services);
    assert_eq!(drops(BAD_FOR_SERVICES, SLOW), expected);
}

#[test]
fn a_block_of_services_takes_nothing_from_a_block_of_everything_beneath_it() {
    let all = drop_answer(KernelScope::All, 0);
    let services = drop_answer(KernelScope::Services, 0);
    let own = R("block services", HERE);
    let world = World::of(&[own, L(BAD, "0.0.0.0/0")]);
    assert_eq!(
        (world.winner(), world.answer(0)),
        (Some(By::Rule(RuleId(1))), all)
    );
    // What only concerns services as well stands in nobody's way.
    let world = World::of(&[own, L(BAD_FOR_SERVICES, HERE), R("block", "AS1")]);
    assert_eq!(world.answer(0), all);
    for between in [L(ALLOWED, HERE), L(SLOW, HERE), L(POPULAR, HERE)] {
        let beneath = L(
            ListKind::Score {
                scope: Scope::All,
                monitor: false,
            },
            HERE,
        );
        assert_eq!(World::of(&[own, beneath]).answer(0), all);
        assert_eq!(
            World::of(&[own, between, beneath]).answer(0),
            services,
            "{between:?}"
        );
    }
    let forced = R("block forced services", "0.0.0.0/0");
    let world = World::of(&[forced, R("block 10", HERE)]);
    assert_eq!(
        world.answer(0),
        drop_answer(KernelScope::All, Flags::FORCED.0)
    );
    assert_eq!(
        world.answer(10),
        drop_answer(KernelScope::Services, Flags::FORCED.0)
    );
}

#[test]
fn what_only_watches_never_hides_what_acts() {
    let watches = R("block monitor", HERE);
    for acts in [BAD, BAD_FOR_SERVICES, SLOW, SCORED] {
        let world = World::of(&[watches, L(acts, "0.0.0.0/0")]);
        assert_eq!(world.winner(), Some(By::List(ListId(1))), "{acts:?}");
    }
    let world = World::of(&[watches, R("block", "country:AA")]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(2))));
}

#[test]
fn among_what_only_watches_the_order_is_that_of_blocks() {
    let told = |scope| drop_answer(scope, Flags::MONITOR_ONLY.0);
    let (all, services) = (told(KernelScope::All), told(KernelScope::Services));
    let wide = R("block monitor", "192.0.0.0/16");
    let narrow = R("block monitor services", HERE);
    let first = Some(By::Rule(RuleId(1)));
    let world = World::of(&[wide, narrow]);
    assert_eq!((world.winner(), world.answer(0)), (first, all));
    // Of one scope the longest prefix decides.
    for scope in ["block monitor", "block monitor services"] {
        let world = World::of(&[R(scope, HERE), R(scope, "192.0.0.0/16")]);
        assert_eq!(world.winner(), first, "{scope}");
    }
    let watched = |action, scope| ListKind::Category {
        action,
        scope,
        monitor: true,
    };
    let drops = L(watched(Action::Drop, Scope::Services), "192.0.0.0/16");
    let slows = L(watched(Action::Throttle, Scope::All), HERE);
    assert_eq!(World::of(&[drops, slows]).answer(0), services);
}

#[test]
fn what_watches_services_takes_nothing_from_what_watches_everything_beneath_it() {
    let told = |scope| drop_answer(scope, Flags::MONITOR_ONLY.0);
    let (all, services) = (told(KernelScope::All), told(KernelScope::Services));
    let own = R("block monitor services", HERE);
    let first = Some(By::Rule(RuleId(1)));
    let beneath = R("block monitor 10", "AS1");
    let world = World::of(&[own, beneath]);
    assert_eq!((world.winner(), world.answer(0)), (first, all));
    assert_eq!(world.answer(10), services);
    // An exemption between them keeps the other packets out.
    let world = World::of(&[own, beneath, L(ALLOWED, HERE)]);
    assert_eq!((world.winner(), world.answer(0)), (first, services));
    // One beneath both does not.
    let world = World::of(&[own, beneath, R("allow", "country:AA")]);
    assert_eq!((world.winner(), world.answer(0)), (first, all));
}

/// Who tries a block out with `monitor` sees what it will drop.
#[test]
fn what_only_watches_is_told_where_it_would_beat_an_exemption() {
    let watches = R("block monitor", "0.0.0.0/0");
    let told = drop_answer(KernelScope::All, Flags::MONITOR_ONLY.0);
    assert_eq!(World::of(&[watches]).answer(0), told);
    for exempts in [
        L(CRAWLER, HERE),
        L(ALLOWED, HERE),
        L(POPULAR, HERE),
        R("allow", "AS1"),
    ] {
        assert_eq!(
            World::of(&[watches, exempts]).answer(0),
            told,
            "{exempts:?}"
        );
    }
    for exempts in [R("allow", HERE), R("allow protected", HERE)] {
        assert_eq!(
            World::of(&[watches, exempts]).answer(0),
            Answer::PASS,
            "{exempts:?}"
        );
    }
    // Its end uncovers the exemption, whose end uncovers what that kept off.
    let world = World::of(&[
        R("block monitor 10", HERE),
        R("allow 20", "AS1"),
        L(SCORED, HERE),
    ]);
    assert_eq!(world.answer(9), told);
    assert_eq!(world.answer(10), Answer::PASS);
    assert_eq!(world.answer(20), drop_answer(KernelScope::Services, 0));
}

#[test]
fn deadlines_that_change_nothing_take_no_link_of_the_chain() {
    let world = World::of(&[
        R("block monitor", HERE),
        R("allow 10", "AS1"),
        R("allow config 20", "AS1"),
        R("allow 30", "country:AA"),
    ]);
    let explanation = explain(&world.inputs(), ip(HERE), at(0));
    assert_eq!(
        (explanation.covering.len(), explanation.chain().len()),
        (4, 1)
    );
}

#[test]
fn the_guard_takes_feeds_and_scores_off_an_address_and_nothing_else() {
    let guard = L(POPULAR, "192.0.2.0/24");
    for feed in [L(BAD, HERE), L(SCORED, HERE), L(SLOW, HERE)] {
        let world = World::of(&[guard, feed]);
        assert_eq!(world.answer(0), Answer::PASS, "{feed:?}");
        assert_eq!(world.winner(), Some(By::List(ListId(1))));
    }
    for rule in ["block", "block config", "block learned", "block forced"] {
        let world = World::of(&[guard, R(rule, "0.0.0.0/0"), L(BAD, HERE)]);
        assert_eq!(world.winner(), Some(By::Rule(RuleId(1))), "{rule}");
    }
    // The category would have stood before the ASN.
    let world = World::of(&[guard, R("block", "AS1"), L(SLOW, HERE)]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(1))));
}

#[test]
fn a_guard_that_keeps_nothing_off_needs_no_place_in_the_table() {
    let world = World::of(&[L(POPULAR, "0.0.0.0/0"), L(POPULAR, "::/0"), L(BAD, HERE)]);
    let compiled = compile(&world.inputs(), at(0));
    let here = u32::from_be_bytes([192, 0, 2, 1]);
    let places: Vec<_> = compiled
        .v4
        .iter()
        .map(|piece| (piece.first, piece.last))
        .collect();
    assert_eq!((places, compiled.v6), (vec![(here, here)], vec![]));
}

#[test]
fn allow_lists_yield_to_blocks_of_operators_and_crawlers_come_before_other_lists() {
    let world = World::of(&[L(ALLOWED, HERE), R("block", "0.0.0.0/0")]);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(1))));
    let world = World::of(&[L(ALLOWED, HERE), L(CRAWLER, "0.0.0.0/0"), L(BAD, HERE)]);
    assert_eq!(world.winner(), Some(By::List(ListId(2))));
}

#[test]
fn scores_act_by_their_tier_and_categories_as_they_are_told() {
    let answer = |kind| World::of(&[L(kind, HERE)]).answer(0).action;
    assert_eq!(answer(SCORED), Action::Drop as u8);
    for action in [
        Action::Monitor,
        Action::Throttle,
        Action::Reject,
        Action::Challenge,
    ] {
        assert_eq!(answer(category(action, Scope::Services)), action as u8);
    }
    let nothing = World::of(&[L(category(Action::Pass, Scope::All), HERE)]);
    assert_eq!(nothing.winner(), None, "a category may be let alone");
}

#[test]
fn without_a_database_rules_about_networks_mean_nothing() {
    let world = World::of(&[R("block", "AS1"), R("block", "country:AA")]);
    let inputs = Inputs {
        database: None,
        ..world.inputs()
    };
    assert!(compile(&inputs, at(0)).v4.is_empty());
    assert_eq!(explain(&inputs, ip(HERE), at(0)).covering, []);
}

#[test]
fn families_do_not_cover_each_other() {
    let v6 = World::of(&[R("block", "::/0"), L(BAD, "::/0")]);
    assert_eq!(v6.answer(0), Answer::PASS);
    assert!(compile(&v6.inputs(), at(0)).v4.is_empty());
    let v4 = World::of(&[R("block", "0.0.0.0/0"), L(BAD, "0.0.0.0/0")]);
    assert!(compile(&v4.inputs(), at(0)).v6.is_empty());
}
