//! Single cases about ids: whom they count for, how long they stay, and what happens when they run
//! short.

use std::{collections::BTreeSet, time::Duration};

use bot_common::{
    abi::{ports::Groups, verdict::VerdictId},
    decide::in_force,
};

use super::{
    simulation::{Kernel, ROOMY, SECOND, at, bad, block, ip, rule_set},
    *,
};
use crate::{
    asn::Database,
    rules::{
        rule::{Draft, Origin, Rule, RuleAction, RuleId},
        set::RuleSet,
        time::{Deadline, Now},
    },
};

fn compiled(drafts: &[(Draft, Option<u64>)], now: Now) -> Compiled {
    compile(&Inputs::of_rules(&rule_set(drafts, now)), now)
}

/// Blocks of single addresses that are no neighbours.
fn hosts(count: u64, seconds: impl Fn(u64) -> Option<u64>) -> Vec<(Draft, Option<u64>)> {
    let host = |n: u64| block(&format!("198.51.{}.{}", n / 100, 2 * (n % 100)), seconds(n));
    (0..count).map(host).collect()
}

fn limited(verdicts: usize) -> Limits {
    Limits {
        prefixes: 1000,
        verdicts,
    }
}

#[test]
fn rules_have_their_own_ids_until_half_are_given_away_and_then_share() {
    let drafts = hosts(20, |_| None);
    let mut kernel = Kernel::default();
    let mut enforced = Enforced::empty(limited(9));
    kernel
        .enforce(&mut enforced, &compiled(&drafts, at(0)), at(0))
        .unwrap();
    let owner = |text| enforced.owner(kernel.id_at(ip(text)));
    assert_eq!(owner("198.51.0.0"), Some(Owner::Rule(RuleId(1))));
    assert_eq!(owner("198.51.0.38"), Some(Owner::Group(Group::Operator)));
    assert_eq!(enforced.verdicts(), 1 + 4 + 1);
}

#[test]
fn lists_and_rules_about_networks_have_ids_of_their_own_beyond_half() {
    let mut drafts = hosts(20, |_| None);
    drafts.extend((1..=5).map(|n| block(&format!("AS{n}"), None)));
    let rules = rule_set(&drafts, at(0));
    let file = tempfile::NamedTempFile::new().unwrap();
    let lines = (1..=5).map(|n| format!("203.0.113.{n},203.0.113.{n},{n},Name\n"));
    std::fs::write(file.path(), lines.collect::<String>()).unwrap();
    let database = Database::open(&[file.path()]).unwrap();
    let lists = [bad(7, &["192.0.2.0/25"]), bad(8, &["192.0.2.128/25"])];
    let inputs = Inputs {
        lists: &lists,
        database: Some(&database),
        ..Inputs::of_rules(&rules)
    };
    let mut kernel = Kernel::default();
    let mut enforced = Enforced::empty(limited(20));
    kernel
        .enforce(&mut enforced, &compile(&inputs, at(0)), at(0))
        .unwrap();
    let owner = |text| enforced.owner(kernel.id_at(ip(text)));
    assert_eq!(owner("198.51.0.38"), Some(Owner::Group(Group::Operator)));
    assert_eq!(owner("203.0.113.5"), Some(Owner::Rule(RuleId(25))));
    assert_eq!(owner("192.0.2.1"), Some(Owner::List(ListId(7))));
    assert_eq!(owner("192.0.2.200"), Some(Owner::List(ListId(8))));
}

#[test]
fn shared_ids_are_adopted_as_shared() {
    let policy = compiled(&hosts(20, |_| None), at(0));
    let mut kernel = Kernel::default();
    let mut before = Enforced::empty(limited(9));
    kernel.enforce(&mut before, &policy, at(0)).unwrap();
    let mut after = Enforced::from_kernel(limited(9), &kernel.verdicts(), kernel.live());
    let assigned = kernel.enforce(&mut after, &policy, at(1)).unwrap();
    assert_eq!(assigned.fresh, []);
    assert!(after.owners().eq(before.owners()));
}

/// Two hundred rules with twenty lives of 1,000 to 1,190 s.
#[test]
fn where_ids_run_short_rules_share_them_and_then_deadlines_are_rounded_farther() {
    let lives = |n: u64| 1000 + 10 * (n % 20);
    let policy = compiled(&hosts(200, |n| Some(lives(n))), at(0));
    let ids = |verdicts: usize| {
        let mut kernel = Kernel::default();
        let mut enforced = Enforced::empty(limited(verdicts));
        kernel
            .enforce(&mut enforced, &policy, at(0))
            .map(|_| (kernel, enforced))
    };
    let late = |kernel: &Kernel, n: u64| {
        let id = kernel.id_at(ip(&format!("198.51.{}.{}", n / 100, 2 * (n % 100))));
        let expires = kernel.verdicts[&id].expires;
        (expires - at(lives(n)).boot_ns, lives(n) * SECOND)
    };
    let (kernel, enforced) = ids(1000).unwrap();
    assert_eq!(enforced.verdicts(), 201, "one for each");
    assert!((0..200).all(|n| late(&kernel, n).0 * 100 < late(&kernel, n).1));

    // Half are own, and the rest is enough for all deadlines of the group.
    let (kernel, enforced) = ids(50).unwrap();
    assert_eq!(enforced.verdicts(), 1 + 25 + 20);
    assert!((0..200).all(|n| late(&kernel, n).0 * 100 < late(&kernel, n).1));

    // Half as own ones would leave too few.
    let (kernel, enforced) = ids(24).unwrap();
    assert_eq!(enforced.verdicts(), 1 + 20);
    assert!(
        enforced
            .owners()
            .all(|(_, owner)| owner == Owner::Group(Group::Operator))
    );
    assert!((0..200).all(|n| late(&kernel, n).0 * 100 < late(&kernel, n).1));

    let (kernel, enforced) = ids(18).unwrap();
    assert!(enforced.verdicts() <= 18);
    assert!((0..200).all(|n| late(&kernel, n).0 * 16 < late(&kernel, n).1));
    assert!((0..200).any(|n| late(&kernel, n).0 * 100 >= late(&kernel, n).1));

    assert_eq!(ids(5).map(|_| ()), Err(TableFull::Verdicts { capacity: 4 }));
}

#[test]
fn a_hundred_thousand_rules_with_their_own_ends_fit_and_stay_as_they_are() {
    let mut rules = RuleSet::default();
    for n in 0..100_000u64 {
        let [.., b, c, d] = n.to_be_bytes();
        let made = at(n / 10);
        let (draft, _) = block(&format!("10.{b}.{c}.{d}"), None);
        let life = Duration::from_millis(60_000_000 + n * 25_913 % 2_592_000_000);
        let deadline = Deadline::after(made, life);
        let rule = Draft { deadline, ..draft }.into_rule(rules.reserve_id(), made);
        rules.insert(rule, made);
    }
    let inputs = Inputs::of_rules(&rules);
    let ends = |rule: &Rule| rule.deadline.map(|deadline| deadline.boot_ns);
    assert!(rules.iter().map(ends).collect::<BTreeSet<_>>().len() > 99_000);
    let mut kernel = Kernel::default();
    let limits = Limits {
        prefixes: 1_000_000,
        verdicts: 65_536,
    };
    let mut enforced = Enforced::empty(limits);
    let now = at(10_000);
    let assigned = enforced
        .assign(&compile(&inputs, now), |_| VerdictId::NONE, now)
        .unwrap();
    kernel.write(&assigned, now);
    enforced.sweep(assigned.ranges.v4.iter().map(|range| range.id), now);
    assert_eq!(assigned.ranges.v6, []);
    // No rule takes more than its share of what is left; most ids are those of single rules.
    let used = enforced.verdicts();
    assert!((32_768..40_000).contains(&used), "{used}");
    // Every tenth rule against its own deadline.
    for rule in rules.iter().step_by(10) {
        let deadline = rule.deadline.unwrap();
        let address = rule.subject.prefix().unwrap().address();
        let [.., b, c, d] = address.octets();
        let here = u32::from_be_bytes([10, b, c, d]);
        let index = assigned
            .ranges
            .v4
            .partition_point(|range| range.last < here);
        let id = assigned.ranges.v4[index].id;
        let (_, verdict) = in_force(
            id,
            |id| kernel.verdicts.get(&id).copied(),
            || Groups::NONE,
            || now.boot_ns,
        );
        let late = verdict.expires - deadline.boot_ns;
        let life = Duration::try_from(deadline.wall.duration_since(rule.created)).unwrap();
        assert!(u128::from(late) * 100 <= life.as_nanos());
    }
    // An hour later the same ids say the same.
    let later = at(13_600);
    let again = enforced
        .assign(&compile(&inputs, later), |_| VerdictId::NONE, later)
        .unwrap();
    assert_eq!(again.fresh, []);
    assert_eq!(again.ranges, assigned.ranges);
}

#[test]
fn a_reclaimed_id_tells_whom_it_counted_for() {
    let limits = Limits {
        prefixes: 10,
        verdicts: 2,
    };
    let mut enforced = Enforced::empty(limits);
    let mut kernel = Kernel::default();
    let only = |text: &str, now| compiled(&[block(text, None)], now);
    kernel
        .enforce(&mut enforced, &only("192.0.2.1", at(0)), at(0))
        .unwrap();
    kernel
        .enforce(&mut enforced, &Compiled::default(), at(1))
        .unwrap();
    let full = kernel
        .enforce(&mut enforced, &only("192.0.2.2", at(5)), at(5))
        .unwrap_err();
    assert_eq!(
        full,
        TableFull::Resting { seconds: 1 },
        "only time is needed"
    );
    let both = compiled(
        &[block("192.0.2.1", None), block("192.0.2.2", Some(9))],
        at(5),
    );
    let full = kernel.enforce(&mut enforced, &both, at(5)).unwrap_err();
    assert_eq!(full, TableFull::Verdicts { capacity: 1 });
    assert!(full.to_string().contains("raise [tables] verdicts"));
    let assigned = kernel
        .enforce(&mut enforced, &only("192.0.2.2", at(6)), at(6))
        .unwrap();
    let id = VerdictId::new(1).unwrap();
    assert!(assigned.fresh[0].id == id && assigned.fresh[0].reset);
    assert_eq!(enforced.take_reclaimed(), [(id, Owner::Rule(RuleId(1)))]);
    assert_eq!(enforced.take_reclaimed(), []);
}

#[test]
fn what_was_given_out_for_nothing_is_free_after_a_sweep() {
    let mut kernel = Kernel::default();
    let mut enforced = Enforced::empty(limited(4));
    let [one, two, three] = [1, 2, 3].map(|count| compiled(&hosts(count, |_| None), at(0)));
    kernel.enforce(&mut enforced, &one, at(0)).unwrap();
    let present = |address| kernel.id_at(address);
    // The kernel refuses to take this.
    assert_eq!(
        enforced.assign(&three, present, at(1)).unwrap().fresh.len(),
        2
    );
    enforced.sweep(kernel.live(), at(1));
    assert_eq!(enforced.verdicts(), 1 + 1);
    assert_eq!(
        enforced.owner(kernel.id_at(ip("198.51.0.0"))),
        Some(Owner::Rule(RuleId(1)))
    );
    let refused = enforced.assign(&two, present, at(2));
    assert_eq!(refused, Err(TableFull::Resting { seconds: 4 }));
    assert_eq!(
        enforced.assign(&two, present, at(6)).unwrap().fresh.len(),
        1
    );
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
fn what_the_table_does_not_lead_to_is_free_after_a_restart() {
    let limits = limited(33);
    let nested = [block("10.0.0.1", Some(2000)), block("10.0.0.0/24", None)];
    let with_hosts = |count: u64| {
        let hosts = (0..count).map(|n| block(&format!("192.0.2.{}", 2 * n), Some(3000 + 100 * n)));
        nested.clone().into_iter().chain(hosts).collect::<Vec<_>>()
    };
    let mut kernel = Kernel::default();
    let mut before = Enforced::empty(limits);
    for drafts in [with_hosts(30), nested.to_vec()] {
        kernel
            .enforce(&mut before, &compiled(&drafts, at(0)), at(0))
            .unwrap();
    }
    assert_eq!(kernel.verdicts.len(), 32, "every id was in use");
    let more = compile(&Inputs::of_rules(&rule_set(&with_hosts(30), at(0))), at(1));
    let refused = |enforced: &mut Enforced, now| {
        let assigned = enforced.assign(&more, |address| kernel.id_at(address), now);
        assigned.map(|_| ())
    };
    let four = Err(TableFull::Resting { seconds: 4 });
    assert_eq!(refused(&mut before, at(1)), four);

    // This agent itself must wait, and needs to wait only once.
    let mut anew = Enforced::read_anew(limits, &kernel.verdicts(), kernel.live(), at(1));
    assert_eq!(refused(&mut anew, at(2)), four);
    assert_eq!(refused(&mut anew, at(6)), Ok(()));

    kernel.outlive_agent();
    let mut after = Enforced::from_kernel(limits, &kernel.verdicts(), kernel.live());
    // The kernel checks that no id in use is written, and no used one without a reset.
    let assigned = kernel.enforce(&mut after, &more, at(1)).unwrap();
    assert!(assigned.fresh.iter().filter(|fresh| fresh.reset).count() >= 30);
    assert!(kernel.lookup(ip("192.0.2.6"), at(2)).drops());
    assert!(kernel.lookup(ip("10.0.0.1"), at(2500)).drops());
}

#[test]
fn a_list_that_fits_exactly_fits_beside_protected_addresses() {
    let limits = Limits {
        prefixes: 2,
        verdicts: 100,
    };
    let gateways = ["10.0.0.1", "10.0.0.254", "fe80::/10"].map(|text| {
        let (draft, ends) = block(text, None);
        let draft = Draft {
            action: RuleAction::Allow,
            origin: Origin::Protected("gateway".into()),
            ..draft
        };
        (draft, ends)
    });
    let rules = rule_set(&gateways, at(0));
    let room = |lists: &[List]| {
        let inputs = Inputs {
            lists,
            ..Inputs::of_rules(&rules)
        };
        assert_eq!(inputs.named_at_most(), lists[0].len());
        Enforced::empty(limits).assign(&compile(&inputs, at(0)), |_| VerdictId::NONE, at(0))
    };
    assert!(room(&[bad(1, &["10.0.0.0/24", "10.0.0.3"])]).is_ok());
    let error = room(&[bad(1, &["10.0.0.0/24", "10.0.0.3", "10.0.0.1"])]).unwrap_err();
    let (needed, capacity) = (3, 2);
    assert_eq!(error, TableFull::Prefixes { needed, capacity });
}

#[test]
fn a_full_table_names_what_to_raise() {
    let limits = Limits {
        prefixes: 2,
        verdicts: 100,
    };
    let rules = rule_set(&[block("10.0.0.1", None)], at(0));
    let room = |lists: &[List]| {
        let inputs = Inputs {
            lists,
            ..Inputs::of_rules(&rules)
        };
        Enforced::empty(limits).assign(&compile(&inputs, at(0)), |_| VerdictId::NONE, at(0))
    };
    // What several name counts once.
    assert!(room(&[bad(1, &["10.0.0.1", "10.0.0.3"]), bad(2, &["10.0.0.3"])]).is_ok());
    let error = room(&[bad(1, &["10.0.0.3", "2001:db8::/32"])]).unwrap_err();
    let (needed, capacity) = (3, 2);
    assert_eq!(error, TableFull::Prefixes { needed, capacity });
    assert!(
        error.to_string().contains("raise [tables] prefixes"),
        "{error}"
    );
}

#[test]
fn a_list_keeps_its_ids_when_its_entries_change() {
    let rules = RuleSet::default();
    let mut kernel = Kernel::default();
    let mut enforced = Enforced::empty(ROOMY);
    let mut publish = |entries: &[&str]| {
        let lists = [bad(1, entries)];
        let inputs = Inputs {
            lists: &lists,
            ..Inputs::of_rules(&rules)
        };
        let assigned = kernel
            .enforce(&mut enforced, &compile(&inputs, at(0)), at(0))
            .unwrap();
        assigned.fresh.len()
    };
    assert_eq!(publish(&["10.0.0.0/24", "2001:db8::/32"]), 1);
    assert_eq!(publish(&["10.0.9.0/24"]), 0);
}
