//! Single cases that deserve a name.

use std::time::Duration;

use bot_common::abi::verdict::{self, MAX_CHAIN, VerdictId};

use super::{
    simulation::{Kernel, ROOMY, at, ip, prefix, rule_set},
    *,
};
use crate::rules::{
    rule::{Draft, Origin, RuleAction, RuleId, Scope},
    set::RuleSet,
    time::Deadline,
};

fn block(text: &str, seconds: Option<u64>) -> (Draft, Option<u64>) {
    let draft = Draft {
        subject: prefix(text).into(),
        action: RuleAction::Block,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin: Origin::Operator,
    };
    (draft, seconds)
}

fn owner_of(enforced: &Enforced, text: &str) -> Owner {
    let id = enforced.verdict_id(prefix(text)).unwrap();
    enforced.owners().find(|(other, _)| *other == id).unwrap().1
}

#[test]
fn a_chain_beyond_the_bound_is_cut_and_passes_at_its_end() {
    // Ten nested blocks, the narrow ones ending first.
    let drafts: Vec<_> = (0..10u64)
        .map(|n| block(&format!("10.0.0.0/{}", 32 - n), Some(10 + n)))
        .collect();
    let rules = rule_set(&drafts, at(0));
    let chain = explain(&rules, ip("10.0.0.0"), at(0)).chain;
    assert_eq!(chain.len(), MAX_CHAIN);
    let mut kernel = Kernel::default();
    let mut enforced = Enforced::empty(ROOMY);
    for step in enforced.plan(&compile(&rules, at(0)), at(0)).unwrap() {
        kernel.apply(step, at(0).boot_ns);
    }
    assert!(kernel.lookup(ip("10.0.0.0"), at(16).boot_ns).drops());
    assert!(!kernel.lookup(ip("10.0.0.0"), at(18).boot_ns).drops());
    // The agent is alive and compiles again: the whole time is covered.
    for step in enforced.plan(&compile(&rules, at(11)), at(11)).unwrap() {
        kernel.apply(step, at(11).boot_ns);
    }
    assert!(kernel.lookup(ip("10.0.0.0"), at(18).boot_ns).drops());
}

#[test]
fn a_forced_block_of_services_takes_nothing_from_a_block_of_everything() {
    let mut wide = block("0.0.0.0/0", None);
    wide.0.forced = true;
    wide.0.scope = Scope::Services;
    let rules = rule_set(&[wide, block("192.0.2.1", Some(10))], at(0));
    let terms = explain(&rules, ip("192.0.2.1"), at(0)).chain;
    let scopes: Vec<_> = terms
        .iter()
        .map(|link| (link.terms.scope, link.terms.forced))
        .collect();
    let (all, services) = (verdict::Scope::All, verdict::Scope::Services);
    assert_eq!(scopes, [(all, true), (services, true)]);
}

#[test]
fn rules_have_their_own_ids_until_half_are_given_away_and_then_share() {
    let limits = Limits {
        prefixes: 100,
        verdicts: 9,
    };
    let texts: Vec<String> = (0..20).map(|n| format!("192.0.2.{}", 2 * n)).collect();
    let drafts: Vec<_> = texts.iter().map(|text| block(text, None)).collect();
    let mut enforced = Enforced::empty(limits);
    enforced
        .plan(&compile(&rule_set(&drafts, at(0)), at(0)), at(0))
        .unwrap();
    assert_eq!(owner_of(&enforced, "192.0.2.0"), Owner::Rule(RuleId(1)));
    assert_eq!(
        owner_of(&enforced, "192.0.2.38"),
        Owner::Group(Group::Operator)
    );
    assert_eq!(enforced.used().verdicts, 1 + 4 + 1);
}

#[test]
fn shared_ids_are_adopted_as_shared() {
    let limits = Limits {
        prefixes: 100,
        verdicts: 9,
    };
    let texts: Vec<String> = (0..20).map(|n| format!("192.0.2.{}", 2 * n)).collect();
    let drafts: Vec<_> = texts.iter().map(|text| block(text, None)).collect();
    let desired = compile(&rule_set(&drafts, at(0)), at(0));
    let mut kernel = Kernel::default();
    let mut before = Enforced::empty(limits);
    for step in before.plan(&desired, at(0)).unwrap() {
        kernel.apply(step, at(0).boot_ns);
    }
    let verdicts: Vec<_> = kernel.verdicts.into_iter().collect();
    let mut after = Enforced::from_kernel(limits, kernel.trie.into_iter().collect(), &verdicts);
    assert_eq!(after.plan(&desired, at(1)).unwrap(), []);
    assert!(after.owners().eq(before.owners()));
}

#[test]
fn a_reclaimed_id_tells_whom_it_counted_for() {
    let limits = Limits {
        prefixes: 10,
        verdicts: 2,
    };
    let mut enforced = Enforced::empty(limits);
    let set = |text: &str, now| compile(&rule_set(&[block(text, None)], now), now);
    enforced.plan(&set("192.0.2.1", at(0)), at(0)).unwrap();
    enforced.plan(&Desired::default(), at(1)).unwrap();
    let full = enforced.plan(&set("192.0.2.2", at(5)), at(5)).unwrap_err();
    assert_eq!(
        full,
        TableFull::Resting { seconds: 1 },
        "only time is needed"
    );
    let both = rule_set(
        &[block("192.0.2.1", None), block("192.0.2.2", Some(9))],
        at(5),
    );
    let full = enforced.plan(&compile(&both, at(5)), at(5)).unwrap_err();
    assert_eq!(full, TableFull::Verdicts { capacity: 1 });
    assert!(full.to_string().contains("raise [tables] verdicts"));
    let steps = enforced.plan(&set("192.0.2.2", at(6)), at(6)).unwrap();
    let id = VerdictId::new(1).unwrap();
    assert_eq!(steps[0], Step::ResetHits(id));
    assert_eq!(enforced.take_reclaimed(), [(id, Owner::Rule(RuleId(1)))]);
    assert_eq!(enforced.take_reclaimed(), []);
}

#[test]
fn a_table_of_the_largest_size_is_not_to_be_raised() {
    let full = TableFull::Verdicts { capacity: 65_535 };
    assert!(!full.to_string().contains("raise"), "{full}");
    let rests = TableFull::Resting { seconds: 3 }.to_string();
    assert!(
        rests.contains("try again in 3 s") && !rests.contains("raise"),
        "{rests}"
    );
}

/// Every id was in use once, few are now: the next agent may use all others at once, and resets
/// their hits.
#[test]
fn what_no_prefix_leads_to_is_free_after_a_restart() {
    let limits = Limits {
        prefixes: 100,
        verdicts: 33,
    };
    let nested = [block("10.0.0.1", Some(20)), block("10.0.0.0/24", None)];
    let hosts = |count: u64| {
        let hosts = (0..count).map(|n| block(&format!("192.0.2.{n}"), Some(100 + n)));
        nested.clone().into_iter().chain(hosts).collect::<Vec<_>>()
    };
    let mut kernel = Kernel::default();
    let mut before = Enforced::empty(limits);
    for drafts in [hosts(30), nested.to_vec()] {
        let rules = rule_set(&drafts, at(0));
        for step in before.plan(&compile(&rules, at(0)), at(0)).unwrap() {
            kernel.apply(step, at(0).boot_ns);
        }
    }
    assert_eq!(kernel.verdicts.len(), 32, "every id was in use");
    let more = compile(&rule_set(&hosts(30), at(0)), at(1));
    assert_eq!(
        before.plan(&more, at(1)).unwrap_err(),
        TableFull::Resting { seconds: 4 }
    );

    let read = |kernel: &Kernel| {
        let prefixes = kernel.trie.iter().map(|(prefix, id)| (*prefix, *id));
        let verdicts = kernel.verdicts.iter().map(|(id, verdict)| (*id, *verdict));
        (prefixes.collect::<Vec<_>>(), verdicts.collect::<Vec<_>>())
    };
    let (prefixes, verdicts) = read(&kernel);
    // This agent itself must wait, and needs to wait only once.
    let mut anew = Enforced::read_anew(limits, prefixes.clone(), &verdicts, at(1));
    assert_eq!(
        anew.plan(&more, at(2)).unwrap_err(),
        TableFull::Resting { seconds: 4 }
    );
    assert!(anew.plan(&more, at(6)).is_ok());

    kernel.outlive_agent();
    let mut after = Enforced::from_kernel(limits, prefixes, &verdicts);
    let steps = after.plan(&more, at(1)).unwrap();
    let resets = steps
        .iter()
        .filter(|step| matches!(step, Step::ResetHits(_)));
    assert!(resets.count() >= 30);
    for step in steps {
        // The kernel checks that no id in use is written, and no used one without a reset.
        kernel.apply(step, at(1).boot_ns);
    }
    assert!(kernel.lookup(ip("192.0.2.7"), at(2).boot_ns).drops());
    assert!(kernel.lookup(ip("10.0.0.1"), at(50).boot_ns).drops());
}

#[test]
fn a_full_table_names_what_to_raise() {
    let limits = Limits {
        prefixes: 2,
        verdicts: 100,
    };
    let desired = |texts: &[&str]| {
        let drafts: Vec<_> = texts.iter().map(|text| block(text, None)).collect();
        compile(&rule_set(&drafts, at(0)), at(0))
    };
    let mut enforced = Enforced::empty(limits);
    let error = enforced
        .plan(&desired(&["10.0.0.1", "10.0.0.3", "10.0.0.5"]), at(0))
        .unwrap_err();
    assert!(
        error.to_string().contains("raise [tables] prefixes"),
        "{error}"
    );
    enforced
        .plan(&desired(&["10.0.0.1", "10.0.0.3"]), at(0))
        .unwrap();
    let error = enforced
        .plan(&desired(&["10.0.0.1", "10.0.0.5"]), at(0))
        .unwrap_err();
    assert_eq!(
        error,
        TableFull::Transition {
            needed: 3,
            capacity: 2
        }
    );
}

#[test]
fn previews_count_what_allow_entries_subtract() {
    let mut drafts = vec![block("10.0.0.0/30", None), block("10.0.0.9", None)];
    for (text, origin) in [
        ("10.0.0.0/31", Origin::Operator),
        ("10.0.0.1", Origin::Config),
        ("10.0.0.254", Origin::Protected("gateway".into())),
    ] {
        let (draft, _) = block(text, None);
        let draft = Draft {
            action: RuleAction::Allow,
            origin,
            ..draft
        };
        drafts.push((draft, None));
    }
    let rules = rule_set(&drafts, at(0));
    let reach = impact(&rules, &[prefix("10.0.0.0/24")], false, at(0));
    assert_eq!(
        (reach.addresses, reach.exempt, reach.exemptions.len()),
        (256, 3, 3)
    );
    let reach = impact(&rules, &[prefix("10.0.0.0/24")], true, at(0));
    assert_eq!((reach.exempt, reach.exemptions.len()), (2, 2));
    let reach = impact(&rules, &[prefix("10.0.0.1")], false, at(0));
    assert_eq!(
        (reach.addresses, reach.exempt, reach.exemptions.len()),
        (1, 1, 2)
    );
}

/// 100,000 rules: 60,000 hosts, 30,000 networks of a /24, 10,000 hosts inside those, with 1,000
/// deadlines. Time is the thread's own, so that a busy machine counts little.
#[test]
fn compile_and_plan_are_quick() {
    let mut rules = RuleSet::default();
    let mut add = |net: String, seconds: u64| {
        let (draft, _) = block(&net, None);
        let deadline = Deadline::after(at(0), Duration::from_secs(100 + seconds % 1000));
        let rule = Draft { deadline, ..draft }.into_rule(rules.reserve_id(), at(0));
        rules.insert(rule, at(0));
    };
    for n in 0..30_000u64 {
        let (a, b) = (n / 256, n % 256);
        add(format!("20.{a}.{b}.0/24"), n);
        add(format!("60.{a}.{b}.1"), n);
        add(format!("60.{a}.{b}.9"), n + 1);
        if n < 10_000 {
            add(format!("20.{a}.{b}.7"), n + 500);
        }
    }
    assert_eq!(rules.len(), 100_000);
    let limits = Limits {
        prefixes: 1_000_000,
        verdicts: 65_536,
    };
    let mut enforced = Enforced::empty(limits);
    let start = cpu_time();
    let desired = compile(&rules, at(0));
    let compiled = cpu_time().saturating_sub(start);
    let steps = enforced.plan(&desired, at(0)).unwrap();
    let both = cpu_time().saturating_sub(start);
    let start = cpu_time();
    assert_eq!(enforced.plan(&desired, at(0)).unwrap(), []);
    let replanned = cpu_time().saturating_sub(start);
    eprintln!(
        "compile {compiled:?}, with plan {both:?} ({} steps), again {replanned:?}",
        steps.len()
    );
    assert!(both < Duration::from_secs(5));
}

fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap()
}
