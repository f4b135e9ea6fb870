//! What must hold for any rules.

use bot_common::abi::verdict::MAX_CHAIN;
use proptest::prelude::*;

use super::{
    simulation::{Answer, Kernel, ROOMY, at, ip, prefix, reference, rule_set},
    *,
};
use crate::rules::{
    rule::{Draft, Origin, RuleAction, Scope},
    set::RuleSet,
    time::Now,
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
                    subject: prefix(text).into(),
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
