//! Policies for some ports, case by case: who decides about which packets.

use bot_common::abi::{
    ports::Groups,
    verdict::{Action, Scope as KernelScope},
};

use super::{
    simulation::{Answer, Kernel, ROOMY, at, block, ip, past, prefix, rule_set},
    words::{
        ALLOWED, BAD, BAD_FOR_SERVICES, CRAWLER, HERE, ONLY, POPULAR, SCORED,
        Said::{List as L, Ports as P, Rule as R},
        World, drop_answer,
    },
    *,
};
use crate::rules::rule::RuleId;

const DROPS: Answer = Answer {
    action: Action::Drop as u8,
    scope: KernelScope::All as u8,
    flags: 0,
};

#[test]
fn a_category_for_some_ports_leaves_the_others_to_what_lies_beneath() {
    let world = World::of(&[P(BAD, HERE, "80,443")]);
    assert_eq!(world.answer_for(443, 0), DROPS);
    assert_eq!(world.answer_for(22, 0), Answer::PASS);
    assert_eq!((world.answer(0), world.winner()), (Answer::PASS, None));
    let world = World::of(&[P(BAD, HERE, "80,443"), R("block services", "AS1")]);
    assert_eq!(world.answer_for(443, 0), DROPS);
    let services = drop_answer(KernelScope::Services, 0);
    assert_eq!(world.answer_for(22, 0), services);
    assert_eq!(world.winner(), Some(By::Rule(RuleId(1))));
}

#[test]
fn what_exempts_for_some_ports_exempts_for_no_other() {
    for exempts in [ALLOWED, CRAWLER, POPULAR] {
        let world = World::of(&[P(exempts, HERE, "443"), L(BAD, HERE)]);
        assert_eq!(world.answer_for(443, 0), Answer::PASS, "{exempts:?}");
        assert_eq!(world.answer_for(80, 0), DROPS, "{exempts:?}");
        assert_eq!(world.winner_at(443), Some(By::List(ListId(1))));
    }
}

#[test]
fn ports_that_several_policies_are_about_meet_all_of_them() {
    let world = World::of(&[
        P(BAD_FOR_SERVICES, HERE, "80,443"),
        P(BAD, HERE, "443,8443"),
        P(ALLOWED, HERE, "8443"),
    ]);
    let services = drop_answer(KernelScope::Services, 0);
    assert_eq!(world.answer_for(80, 0), services);
    assert_eq!(world.answer_for(443, 0), DROPS);
    assert_eq!(world.answer_for(8443, 0), Answer::PASS);
    assert_eq!(world.answer_for(22, 0), Answer::PASS);
}

#[test]
fn a_lock_drops_everyone_but_those_that_it_lets_in() {
    let lock = P(ONLY, "0.0.0.0/0", "443");
    let outside = World::of(&[lock, P(ListKind::Admit, "198.51.100.0/24", "443")]);
    assert_eq!(outside.answer_for(443, 0), DROPS);
    assert_eq!(outside.winner_at(443), Some(By::List(ListId(1))));
    assert_eq!(outside.answer_for(80, 0), Answer::PASS);
    let inside = World::of(&[lock, P(ListKind::Admit, "192.0.2.0/24", "443")]);
    assert_eq!(inside.answer_for(443, 0), Answer::PASS);
    // It only lets in: what else is said of the address holds.
    let bad = World::of(&[lock, P(ListKind::Admit, HERE, "443"), L(BAD, HERE)]);
    assert_eq!(bad.answer_for(443, 0), DROPS);
    assert_eq!(bad.winner_at(443), Some(By::List(ListId(3))));
    // Another lock has its own list.
    let other = World::of(&[lock, P(ListKind::Admit, HERE, "8443")]);
    assert_eq!(other.answer_for(443, 0), DROPS);
}

#[test]
fn a_lock_stands_below_operators_and_protection_and_above_lists() {
    let lock = P(ONLY, "0.0.0.0/0", "443");
    for above in ["allow", "allow protected", "allow config"] {
        let world = World::of(&[lock, R(above, HERE)]);
        assert_eq!(world.answer_for(443, 0), Answer::PASS, "{above}");
    }
    for beneath in [
        L(ALLOWED, HERE),
        L(CRAWLER, HERE),
        L(POPULAR, HERE),
        R("allow", "AS1"),
    ] {
        let world = World::of(&[lock, beneath]);
        assert_eq!(world.answer_for(443, 0), DROPS, "{beneath:?}");
    }
    let world = World::of(&[lock, R("block services", HERE)]);
    assert_eq!(world.winner_at(443), Some(By::Rule(RuleId(1))));
    assert_eq!(
        world.answer_for(443, 0),
        DROPS,
        "all packets, as the lock says"
    );
    assert_eq!(world.answer(0), drop_answer(KernelScope::Services, 0));
}

#[test]
fn a_lock_that_only_monitors_tells_and_hides_nothing() {
    let watches = ListKind::Only { monitor: true };
    let lock = P(watches, "0.0.0.0/0", "443");
    let told = World::of(&[lock]).answer_for(443, 0);
    assert_eq!((told.action, told.flags), (Action::Drop as u8, 1));
    let world = World::of(&[lock, L(SCORED, HERE)]);
    assert_eq!(world.winner_at(443), Some(By::List(ListId(2))));
}

#[test]
fn a_list_whose_ports_have_no_number_says_nothing() {
    let world = World::of(&[P(BAD, HERE, "443")]);
    let inputs = Inputs {
        ports: &PortGroups::NONE,
        ..world.inputs()
    };
    assert!(compile(&inputs, at(0)).v4.is_empty());
}

/// Rules above a lock that end: each takes one id, as without the lock.
#[test]
fn rules_share_the_lock_beneath_them() {
    let drafts: Vec<_> = (0..100)
        .map(|n| block(&format!("10.0.0.{n}"), Some(1000 + n)))
        .collect();
    let rules = rule_set(&drafts, at(0));
    let everyone = [(prefix("0.0.0.0/0"), Score::MAX)];
    let lock = List::new(ListId(1), "only 443".into(), ONLY, everyone);
    let lists = [lock.about("443".parse().unwrap())];
    let ports = PortGroups::NONE.about(lists[0].ports(), 0).unwrap();
    let inputs = Inputs {
        lists: &lists,
        ports: &ports,
        ..Inputs::of_rules(&rules)
    };
    let mut kernel = Kernel::default();
    let mut enforced = Enforced::empty(ROOMY);
    kernel
        .enforce(&mut enforced, &compile(&inputs, at(0)), at(0))
        .unwrap();
    assert_eq!(enforced.verdicts(), 1 + 100 + 1);
    let lookup = |groups, seconds| kernel.lookup_for(ip("10.0.0.7"), groups, past(seconds));
    assert_eq!(lookup(Groups::NONE, 1006), DROPS);
    assert_eq!(lookup(Groups::NONE, 1020), Answer::PASS, "its time is over");
    assert_eq!(lookup(ports.of(443), 1020), DROPS, "the lock stays");
}
