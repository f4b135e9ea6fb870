//! What must hold for any rules: tested against a naive reference and a simulated kernel.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use bot_common::{
    abi::verdict::{Action, Flags, MAX_CHAIN, Verdict, VerdictId},
    address::Address,
};
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::rules::{
    prefix::Prefix,
    rule::{Draft, Origin, Rule, RuleAction, RuleId, Scope},
    set::RuleSet,
    time::{BootId, Deadline, Now},
};

const SECOND: u64 = 1_000_000_000;
const ROOMY: Limits = Limits {
    prefixes: 1000,
    verdicts: 1000,
};

fn at(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        boot_ns: (100 + seconds) * SECOND,
        boot: BootId(7),
    }
}

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn ip(text: &str) -> Address {
    Address::from(text.parse::<std::net::IpAddr>().unwrap())
}

/// The kernel: its maps, its look-up, and a check that nobody rewrites what a packet may be reading.
#[derive(Clone, Default)]
struct Kernel {
    trie: BTreeMap<Prefix, VerdictId>,
    verdicts: BTreeMap<VerdictId, Verdict>,
    last_reachable: BTreeMap<VerdictId, u64>,
    reset: BTreeSet<VerdictId>,
}

impl Kernel {
    fn apply(&mut self, step: Step, now: u64) {
        for id in self.reachable() {
            self.last_reachable.insert(id, now);
        }
        match step {
            Step::ResetHits(id) => {
                self.check_free(id, now);
                self.reset.insert(id);
            }
            Step::WriteVerdict(id, verdict) => {
                self.check_free(id, now);
                let used_before = self.last_reachable.contains_key(&id);
                assert!(
                    !used_before || self.reset.remove(&id),
                    "{id:?} keeps old hits"
                );
                self.verdicts.insert(id, verdict);
            }
            Step::Upsert(prefix, id) => {
                assert!(id == VerdictId::NONE || self.verdicts.contains_key(&id));
                self.trie.insert(prefix, id);
            }
            Step::Remove(prefix) => assert!(self.trie.remove(&prefix).is_some()),
        }
    }

    fn check_free(&self, id: VerdictId, now: u64) {
        assert_ne!(id, VerdictId::NONE);
        let last = self.last_reachable.get(&id);
        assert!(
            last.is_none_or(|last| now >= last + 5 * SECOND),
            "{id:?} was in use"
        );
    }

    fn reachable(&self) -> BTreeSet<VerdictId> {
        let chains = self.trie.values().flat_map(|id| self.ids(*id));
        chains.collect()
    }

    fn ids(&self, head: VerdictId) -> Vec<VerdictId> {
        let then = |id: &VerdictId| self.verdicts.get(id).map(|verdict| verdict.then);
        std::iter::successors(Some(head), then)
            .take_while(|id| *id != VerdictId::NONE)
            .collect()
    }

    fn lookup(&self, address: Address, boot_ns: u64) -> Answer {
        let matching = self
            .trie
            .iter()
            .filter(|(prefix, _)| prefix.encloses(address));
        let longest = matching.max_by_key(|(prefix, _)| prefix.bits());
        let mut id = longest.map_or(VerdictId::NONE, |(_, id)| *id);
        for _ in 0..MAX_CHAIN {
            match self.verdicts.get(&id) {
                Some(verdict) if verdict.expired(boot_ns) => id = verdict.then,
                Some(verdict) => return Answer::of(verdict),
                None => return Answer::PASS,
            }
        }
        Answer::PASS
    }

    /// The table without ids: what two ways of filling it must agree on.
    fn meaning(&self) -> BTreeMap<Prefix, Vec<Verdict>> {
        let terms = |id: VerdictId| Verdict {
            then: VerdictId::NONE,
            ..self.verdicts[&id]
        };
        let chain = |head: &VerdictId| self.ids(*head).into_iter().map(terms).collect();
        self.trie
            .iter()
            .map(|(prefix, head)| (*prefix, chain(head)))
            .collect()
    }
}

/// What happens to packets; deadlines and ids aside.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Answer {
    action: u8,
    scope: u8,
    flags: u8,
}

impl Answer {
    const PASS: Self = Self {
        action: Action::Pass as u8,
        scope: 0,
        flags: 0,
    };

    fn of(verdict: &Verdict) -> Self {
        Self {
            action: verdict.action,
            scope: verdict.scope,
            flags: verdict.flags,
        }
    }

    fn drop(services: bool, flags: u8) -> Self {
        Self {
            action: Action::Drop as u8,
            scope: u8::from(services),
            flags,
        }
    }

    fn drops(self) -> bool {
        self.action == Action::Drop as u8
    }
}

/// The reference: precedence in plain words, over every rule, at one time.
fn reference(rules: &RuleSet, address: Address, now: Now) -> Answer {
    let covering: Vec<&Rule> = rules
        .iter()
        .filter(|rule| rule.prefix.contains(address) && rule.is_live(now))
        .collect();
    let any = |test: &dyn Fn(&Rule) -> bool| covering.iter().any(|rule| test(rule));
    let block = |rule: &Rule| rule.action == RuleAction::Block && !rule.monitor;
    let all = |rule: &Rule| rule.scope == Scope::All;
    let protection = |rule: &Rule| matches!(rule.origin, Origin::Protected(_));

    if any(&|rule| rule.action == RuleAction::Allow && !protection(rule)) {
        return Answer::PASS;
    }
    let protected = any(&|rule| rule.action == RuleAction::Allow && protection(rule));
    let everything = any(&|rule| block(rule) && all(rule) && (rule.forced || !protected));
    if any(&|rule| block(rule) && rule.forced) {
        return Answer::drop(!everything, Flags::FORCED.0);
    }
    if protected {
        return Answer::PASS;
    }
    if any(&block) {
        return Answer::drop(!everything, 0);
    }
    let watching = covering
        .iter()
        .filter(|rule| rule.action == RuleAction::Block);
    let watching = watching.max_by_key(|rule| {
        let ends = rule.deadline.map_or(u64::MAX, |deadline| deadline.boot_ns);
        (rule.prefix.bits(), ends, rule.id)
    });
    watching.map_or(Answer::PASS, |rule| {
        let forced = if rule.forced { Flags::FORCED.0 } else { 0 };
        Answer::drop(!all(rule), Flags::MONITOR_ONLY.0 | forced)
    })
}

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

const PROBES: [&str; 16] = [
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
    "::1",
    "2001:db8::",
    "2001:db8::1",
    "2001:db8::3",
    "2001:db9::",
    "4000::1",
];

fn any_draft() -> impl Strategy<Value = (Draft, Option<u64>)> {
    let origin = prop_oneof![
        4 => Just(Origin::Operator),
        2 => Just(Origin::Config),
        1 => Just(Origin::Protected("gateway".to_owned())),
        1 => Just(Origin::Protected("dns".to_owned())),
    ];
    let expiry = proptest::option::weighted(0.7, 1u64..30);
    (
        proptest::sample::select(&PREFIXES[..]),
        origin,
        proptest::bool::weighted(0.8),
        any::<(bool, bool, bool)>(),
        expiry,
    )
        .prop_map(
            |(text, origin, blocks, (services, monitor, forced), expiry)| {
                let blocks = blocks && !matches!(origin, Origin::Protected(_));
                let draft = Draft {
                    prefix: prefix(text),
                    action: if blocks {
                        RuleAction::Block
                    } else {
                        RuleAction::Allow
                    },
                    scope: if services {
                        Scope::Services
                    } else {
                        Scope::All
                    },
                    monitor: blocks && monitor,
                    forced: blocks && forced,
                    deadline: None,
                    reason: String::new(),
                    origin,
                };
                (draft, expiry)
            },
        )
}

fn any_rules() -> impl Strategy<Value = Vec<(Draft, Option<u64>)>> {
    proptest::collection::vec(any_draft(), 0..14)
}

/// The rules made at `now`, some of which are over already.
fn rule_set(drafts: &[(Draft, Option<u64>)], now: Now) -> RuleSet {
    let mut set = RuleSet::default();
    for (draft, expiry) in drafts {
        let deadline = expiry.and_then(|s| Deadline::after(now, Duration::from_secs(s)));
        let draft = Draft {
            deadline,
            ..draft.clone()
        };
        let rule = draft.into_rule(set.reserve_id(), now);
        set.insert(rule, now);
    }
    set
}

/// What the kernel may say at `now`: what the policy says, or pass behind a chain that was cut.
fn agrees(kernel: &Kernel, rules: &RuleSet, cut_after: Option<u64>, now: Now) {
    for text in PROBES {
        let got = kernel.lookup(ip(text), now.boot_ns);
        let right = reference(rules, ip(text), now);
        let cut = cut_after.is_some_and(|cut| now.boot_ns >= cut) && got == Answer::PASS;
        assert!(
            got == right || cut,
            "{text}: kernel {got:?}, policy {right:?}"
        );
    }
}

fn first_cut(desired: &Desired) -> Option<u64> {
    let full = desired
        .chains
        .values()
        .filter(|chain| chain.len() == MAX_CHAIN);
    full.filter_map(|chain| chain.last())
        .map(|link| link.terms.expires)
        .min()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn the_kernel_says_what_the_precedence_says_before_and_after_every_deadline(drafts in any_rules()) {
        let rules = rule_set(&drafts, at(0));
        let desired = compile(&rules, at(0));
        let mut kernel = Kernel::default();
        for step in Enforced::empty(ROOMY).plan(&desired, at(0)).unwrap() {
            kernel.apply(step, at(0).boot_ns);
        }
        for seconds in 0..31 {
            agrees(&kernel, &rules, first_cut(&desired), at(seconds));
        }
    }

    #[test]
    fn at_every_step_each_address_has_its_old_verdict_or_its_new_one(
        history in proptest::collection::vec((any_rules(), 0u64..8), 1..6)
    ) {
        let mut kernel = Kernel::default();
        let mut enforced = Enforced::empty(ROOMY);
        let mut seconds = 0;
        for (drafts, pause) in history {
            seconds += pause;
            let now = at(seconds);
            let rules = rule_set(&drafts, now);
            let answers = |kernel: &Kernel| PROBES.map(|text| kernel.lookup(ip(text), now.boot_ns));
            let old = answers(&kernel);
            let new = PROBES.map(|text| reference(&rules, ip(text), now));
            for step in enforced.plan(&compile(&rules, now), now).unwrap() {
                kernel.apply(step, now.boot_ns);
                for (index, got) in answers(&kernel).into_iter().enumerate() {
                    prop_assert!(
                        got == old[index] || got == new[index],
                        "{} is {:?} after {:?}", PROBES[index], got, step
                    );
                }
            }
            prop_assert_eq!(answers(&kernel), new);
        }
    }

    #[test]
    fn a_history_of_changes_ends_where_a_rebuild_begins(
        history in proptest::collection::vec((any_rules(), 0u64..8), 1..6)
    ) {
        let (mut kernel, mut rebuilt) = (Kernel::default(), Kernel::default());
        let mut enforced = Enforced::empty(ROOMY);
        let mut seconds = 0;
        for (drafts, pause) in &history {
            seconds += pause;
            let desired = compile(&rule_set(drafts, at(seconds)), at(seconds));
            for step in enforced.plan(&desired, at(seconds)).unwrap() {
                kernel.apply(step, at(seconds).boot_ns);
            }
            prop_assert_eq!(enforced.plan(&desired, at(seconds)).unwrap(), []);
        }
        let (drafts, _) = history.last().unwrap();
        let desired = compile(&rule_set(drafts, at(seconds)), at(seconds));
        for step in Enforced::empty(ROOMY).plan(&desired, at(seconds)).unwrap() {
            rebuilt.apply(step, at(seconds).boot_ns);
        }
        prop_assert_eq!(kernel.meaning(), rebuilt.meaning());
        let known: Vec<_> = enforced.prefixes().collect();
        prop_assert_eq!(known, kernel.trie.into_iter().collect::<Vec<_>>());
    }

    #[test]
    fn an_agent_that_comes_back_changes_nothing_that_is_right(
        drafts in any_rules(), later in any_rules(), away in 0u64..40
    ) {
        let rules = rule_set(&drafts, at(0));
        let mut kernel = Kernel::default();
        let mut before = Enforced::empty(ROOMY);
        for step in before.plan(&compile(&rules, at(0)), at(0)).unwrap() {
            kernel.apply(step, at(0).boot_ns);
        }
        let contents = |kernel: &Kernel| {
            let prefixes = kernel.trie.iter().map(|(prefix, id)| (*prefix, *id));
            let verdicts = kernel.verdicts.iter().map(|(id, verdict)| (*id, *verdict));
            (prefixes.collect::<Vec<_>>(), verdicts.collect::<Vec<_>>())
        };
        let (prefixes, verdicts) = contents(&kernel);
        let mut after = Enforced::from_kernel(ROOMY, prefixes, &verdicts);
        prop_assert_eq!(after.plan(&compile(&rules, at(0)), at(0)).unwrap(), []);
        let owners = |enforced: &Enforced| enforced.owners().collect::<Vec<_>>();
        prop_assert_eq!(owners(&after), owners(&before));

        let (prefixes, verdicts) = contents(&kernel);
        let mut after = Enforced::from_kernel(ROOMY, prefixes, &verdicts);
        let rules = rule_set(&later, at(away));
        for step in after.plan(&compile(&rules, at(away)), at(away)).unwrap() {
            kernel.apply(step, at(away).boot_ns);
        }
        agrees(&kernel, &rules, None, at(away));
    }

    #[test]
    fn tight_tables_are_full_or_right_and_never_in_between(
        history in proptest::collection::vec((any_rules(), 0u64..8), 1..8),
        prefixes in 1usize..20,
        verdicts in 1usize..12,
    ) {
        let mut kernel = Kernel::default();
        let mut enforced = Enforced::empty(Limits { prefixes, verdicts });
        let mut seconds = 0;
        for (drafts, pause) in history {
            seconds += pause;
            let now = at(seconds);
            let rules = rule_set(&drafts, now);
            let untouched = enforced.prefixes().collect::<Vec<_>>();
            let Ok(steps) = enforced.plan(&compile(&rules, now), now) else {
                prop_assert_eq!(untouched, enforced.prefixes().collect::<Vec<_>>());
                continue;
            };
            for step in steps {
                kernel.apply(step, now.boot_ns);
                prop_assert!(kernel.trie.len() <= prefixes);
                prop_assert!(kernel.verdicts.len() < verdicts.max(1));
            }
            agrees(&kernel, &rules, None, now);
        }
    }

    #[test]
    fn explanations_name_the_rule_that_the_table_goes_by(drafts in any_rules(), seconds in 0u64..31) {
        let now = at(seconds);
        let rules = rule_set(&drafts, at(0));
        let desired = compile(&rules, now);
        for text in PROBES {
            let explanation = explain(&rules, ip(text), now);
            let entry = desired.chains.iter().filter(|(prefix, _)| prefix.encloses(ip(text)));
            let stored = entry.max_by_key(|(prefix, _)| prefix.bits()).map(|(_, chain)| chain);
            prop_assert_eq!(&explanation.chain, &stored.cloned().unwrap_or_default());
            let best = explanation.covering.first().map(|covering| covering.rule.id);
            prop_assert_eq!(explanation.winner(), best);
            prop_assert!(explanation.covering.is_sorted_by_key(|covering| covering.class));
        }
    }
}

fn block(text: &str, seconds: Option<u64>) -> (Draft, Option<u64>) {
    let draft = Draft {
        prefix: prefix(text),
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
    let (all, services) = (
        bot_common::abi::verdict::Scope::All,
        bot_common::abi::verdict::Scope::Services,
    );
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
        TableFull::Verdicts {
            capacity: 1,
            resting: 1
        }
    );
    let steps = enforced.plan(&set("192.0.2.2", at(6)), at(6)).unwrap();
    let id = VerdictId::new(1).unwrap();
    assert_eq!(steps[0], Step::ResetHits(id));
    assert_eq!(enforced.take_reclaimed(), [(id, Owner::Rule(RuleId(1)))]);
    assert_eq!(enforced.take_reclaimed(), []);
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
        error.to_string().contains("raise prefixes in [tables]"),
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
/// deadlines. The bound is loose, for unoptimised builds on busy machines.
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
    let start = Instant::now();
    let desired = compile(&rules, at(0));
    let compiled = start.elapsed();
    let steps = enforced.plan(&desired, at(0)).unwrap();
    let both = start.elapsed();
    let start = Instant::now();
    assert_eq!(enforced.plan(&desired, at(0)).unwrap(), []);
    let replanned = start.elapsed();
    eprintln!(
        "compile {compiled:?}, with plan {both:?} ({} steps), again {replanned:?}",
        steps.len()
    );
    assert!(both < Duration::from_secs(5));
}
