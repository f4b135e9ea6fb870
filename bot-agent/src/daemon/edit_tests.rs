//! Changes of rules, as an operator meets them.

use super::*;
use crate::{
    policy::List,
    rules::{rule::Scope, time::BootId},
};

const HOUR: Duration = Duration::from_hours(1);
const DEFAULT: Duration = Duration::from_hours(4);

fn now() -> Now {
    Now {
        wall: "2026-11-22T18:00:00Z".parse().unwrap(),
        boot_ns: 1_000_000_000,
        boot: BootId(1),
    }
}

fn request(targets: &[&str]) -> Put {
    Put {
        targets: targets.iter().map(|word| (*word).to_owned()).collect(),
        seconds: None,
        permanent: false,
        reason: String::new(),
        monitor: false,
        scope: None,
        force: false,
        dry_run: false,
        more: false,
        before: 0,
    }
}

fn permanent(targets: &[&str]) -> Put {
    Put {
        permanent: true,
        ..request(targets)
    }
}

fn block(rules: &RuleSet, request: &Put) -> Result<Edit<Changed>, Failure> {
    put(
        &Inputs::of_rules(rules),
        Err("none"),
        RuleAction::Block,
        request,
        DEFAULT,
        now(),
    )
}

/// The rules after a change.
fn after<T>(rules: &RuleSet, edit: &Edit<T>) -> RuleSet {
    let mut rules = rules.clone();
    let _undo = rules.apply(&edit.changes);
    rules
}

fn blocked(rules: &RuleSet, request: &Put) -> RuleSet {
    after(rules, &block(rules, request).unwrap())
}

fn unblock(rules: &RuleSet, targets: &[&str]) -> Edit<Taken> {
    unblock_beside(&Inputs::of_rules(rules), targets)
}

fn unblock_beside(inputs: &Inputs<'_>, targets: &[&str]) -> Edit<Taken> {
    let request = Take {
        targets: targets.iter().map(|word| (*word).to_owned()).collect(),
        dry_run: false,
        more: false,
        before: 0,
    };
    take(inputs, RuleAction::Block, &request, now()).unwrap()
}

/// Rules with a protected gateway.
fn with_gateway() -> RuleSet {
    let mut rules = RuleSet::default();
    rules.sync(|_| true, vec![protection()], now());
    rules
}

fn protection() -> Draft {
    Draft {
        subject: "10.0.0.1".parse().unwrap(),
        action: RuleAction::Allow,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin: Origin::Protected("gateway".into()),
    }
}

#[test]
fn single_addresses_have_a_default_end_and_networks_have_none() {
    let edit = block(&RuleSet::default(), &request(&["192.0.2.7", "2001:db8::1"])).unwrap();
    assert!(
        edit.answer
            .rules
            .iter()
            .all(|rule| rule.remaining_seconds == Some(DEFAULT.as_secs()))
    );
    for wide in ["192.0.2.0/24", "192.0.2.7-192.0.2.9"] {
        let failure = block(&RuleSet::default(), &request(&["192.0.2.7", wide])).unwrap_err();
        assert_eq!(failure.code, FailureCode::Invalid);
        assert!(failure.message.contains("--permanent"), "{failure}");
    }
}

#[test]
fn an_exemption_has_no_default_end() {
    let failure = put(
        &Inputs::of_rules(&RuleSet::default()),
        Err("none"),
        RuleAction::Allow,
        &request(&["192.0.2.7"]),
        DEFAULT,
        now(),
    );
    assert!(failure.unwrap_err().message.contains("--duration"));
}

#[test]
fn lifetimes_that_make_no_sense_are_refused() {
    for (seconds, permanent) in [(Some(0), false), (Some(u64::MAX), false), (Some(1), true)] {
        let asked = Put {
            seconds,
            permanent,
            ..request(&["192.0.2.7"])
        };
        assert_eq!(
            block(&RuleSet::default(), &asked).unwrap_err().code,
            FailureCode::Invalid
        );
    }
}

#[test]
fn a_bad_target_changes_nothing_and_is_named() {
    let failure = block(&RuleSet::default(), &request(&["192.0.2.7", "10.0.0.1/8"])).unwrap_err();
    assert!(failure.message.contains("10.0.0.0/8"), "{failure}");
    assert!(block(&RuleSet::default(), &request(&[])).is_err());
}

#[test]
fn very_wide_networks_need_force() {
    let asked = permanent(&["10.0.0.0/7"]);
    assert_eq!(
        block(&RuleSet::default(), &asked).unwrap_err().code,
        FailureCode::Refused
    );
    let forced = Put {
        force: true,
        ..asked
    };
    assert!(block(&RuleSet::default(), &forced).is_ok());
}

#[test]
fn a_protected_address_needs_force_and_is_named() {
    let rules = with_gateway();
    let failure = block(&rules, &request(&["10.0.0.1"])).unwrap_err();
    assert_eq!(failure.code, FailureCode::Refused);
    assert!(failure.message.contains("gateway") && failure.message.contains("--force"));
    let forced = Put {
        force: true,
        ..request(&["10.0.0.1"])
    };
    let edit = block(&rules, &forced).unwrap();
    assert_eq!(edit.answer.protected.len(), 1);
    assert_eq!(edit.answer.exempt, 0);
}

#[test]
fn protected_addresses_of_a_list_are_counted_and_the_first_are_named() {
    let addresses: Vec<String> = (1..=5).map(|host| format!("10.0.0.{host}")).collect();
    let mut rules = RuleSet::default();
    let drafts = addresses.iter().map(|address| Draft {
        subject: address.parse().unwrap(),
        ..protection()
    });
    rules.sync(|_| true, drafts.collect(), now());
    let refusal = |count: usize| {
        let targets = addresses.iter().take(count).map(String::as_str);
        let targets: Vec<&str> = targets.chain(["192.0.2.7"]).collect();
        block(&rules, &request(&targets)).unwrap_err().message
    };
    let one = refusal(1);
    assert!(
        one.starts_with("10.0.0.1 is protected (gateway): blocking it may"),
        "{one}"
    );
    let three = refusal(3);
    let named = "10.0.0.1 is protected (gateway), 10.0.0.2 is protected (gateway), \
                 10.0.0.3 is protected (gateway)";
    let expected = format!("3 of the prefixes are protected: {named}: blocking them may");
    assert!(three.starts_with(&expected), "{three}");
    let five = refusal(5);
    let expected = format!("5 of the prefixes are protected: {named}, and 2 more: blocking them");
    assert!(five.starts_with(&expected), "{five}");
    assert!(
        five.contains("With --force they are blocked all the same"),
        "{five}"
    );
}

#[test]
fn a_network_around_a_protected_address_leaves_it_out() {
    let edit = block(&with_gateway(), &permanent(&["10.0.0.0/24"])).unwrap();
    assert_eq!((edit.answer.addresses, edit.answer.exempt), (256, 1));
    assert_eq!(edit.answer.exempt_by.len(), 1);
}

#[test]
fn overlapping_targets_are_counted_once() {
    let asked = permanent(&["10.0.0.0/24", "10.0.0.5", "10.0.0.0-10.0.0.9"]);
    let edit = block(&RuleSet::default(), &asked).unwrap();
    assert_eq!(edit.answer.addresses, 256);
}

#[test]
fn the_same_target_again_replaces_and_can_be_undone() {
    let before = blocked(&RuleSet::default(), &request(&["192.0.2.7"]));
    let old = before.iter().next().unwrap().clone();
    let asked = Put {
        seconds: Some(HOUR.as_secs()),
        ..request(&["192.0.2.7"])
    };
    let edit = block(&before, &asked).unwrap();
    assert_eq!((edit.answer.added, edit.answer.replaced), (0, 1));
    let new = edit.added[0];
    let mut rules = before.clone();
    let undo = rules.apply(&edit.changes);
    assert_eq!(rules.iter().map(|rule| rule.id).collect::<Vec<_>>(), [new]);
    let stored = stored(&edit.changes, rules.next_id());
    assert_eq!(stored[0], Change::Delete(old.id));
    assert!(matches!(&stored[1], Change::Put(rule) if rule.id == new));
    let expected = [Change::Delete(new), Change::Put(old.into())];
    assert_eq!(taken_back(&undo), expected);
    rules.undo(undo);
    assert_eq!(rules, before);
}

#[test]
fn ids_go_on_after_the_newest_rule_is_gone() {
    let none = RuleSet::default();
    let edit = block(&none, &request(&["192.0.2.7", "192.0.2.8"])).unwrap();
    let next = after(&none, &edit).next_id();
    assert!(edit.added.iter().all(|id| *id < next));
    assert_eq!(
        stored(&edit.changes, next).last(),
        Some(&Change::NextId(next))
    );
}

#[test]
fn what_stays_blocked_is_said_with_the_reason() {
    let wide = Put {
        reason: "scrapers".into(),
        ..permanent(&["10.0.0.0/8"])
    };
    let rules = blocked(&RuleSet::default(), &wide);
    let rules = blocked(&rules, &request(&["10.0.0.7"]));
    let edit = unblock(&rules, &["10.0.0.7"]);
    assert_eq!(edit.answer.removed, 1);
    let by = edit.answer.still[0].by.as_ref();
    assert_eq!(by.map(|by| by.reason.as_str()), Some("scrapers"));
    let rules = after(&rules, &edit);
    let edit = unblock(&rules, &["10.0.0.7"]);
    assert_eq!(edit.answer.unknown.len(), 1);
    assert_eq!(edit.answer.still.len(), 1);
    let edit = unblock(&rules, &["10.0.0.0/8"]);
    assert_eq!(edit.answer.still, []);
    assert!(after(&rules, &edit).is_empty());
}

#[test]
fn what_an_asn_a_country_or_a_list_keeps_blocked_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let (asns, countries) = (folder.path().join("asn"), folder.path().join("countries"));
    let ranges = "10.0.0.0,10.0.0.127,64500,Example\n10.0.1.0,10.0.1.255,64501,Other\n";
    std::fs::write(&asns, ranges).unwrap();
    std::fs::write(&countries, "10.0.0.64,10.0.1.255,DE\n").unwrap();
    let database = Database::open(&[asns, countries]).unwrap();
    let listed = |kind, prefix: &str| {
        let entry = (prefix.parse().unwrap(), policy::Score::MAX);
        List::new(policy::ListId(1), "bad".into(), kind, [entry])
    };
    let blocks = policy::ListKind::Category {
        action: bot_common::abi::verdict::Action::Drop,
        scope: Scope::Services,
        monitor: false,
    };
    let still = |subjects: &[&str], list: List, target: &str| {
        let mut rules = blocked(&RuleSet::default(), &permanent(&[target]));
        for subject in subjects {
            let draft = Draft {
                subject: subject.parse().unwrap(),
                action: RuleAction::Block,
                scope: Scope::Services,
                monitor: false,
                forced: false,
                deadline: None,
                reason: String::new(),
                origin: Origin::Operator,
            };
            rules.insert(draft.into_rule(rules.next_id(), now()), now());
        }
        let inputs = Inputs {
            database: Some(&database),
            lists: &[list],
            ..Inputs::of_rules(&rules)
        };
        let answer = unblock_beside(&inputs, &[target]).answer;
        assert_eq!((answer.removed, answer.absent), (1, 0));
        let by = answer
            .still
            .first()
            .map(|still| match (&still.by, &still.list) {
                (Some(rule), None) => rule.subject.to_string(),
                (None, Some(entry)) => format!("{} {}", entry.list, entry.prefix),
                both => panic!("{both:?}"),
            });
        by.unwrap_or_default()
    };
    let both = ["AS64500", "country:DE"];
    let elsewhere = || listed(blocks, "192.0.2.0/24");
    assert_eq!(still(&both, elsewhere(), "10.0.0.1"), "AS64500");
    assert_eq!(still(&both, elsewhere(), "10.0.0.64"), "AS64500");
    assert_eq!(still(&both, elsewhere(), "10.0.1.0/24"), "country:DE");
    assert_eq!(still(&both, elsewhere(), "10.0.2.1"), "");
    // All of it, or it is not covered; in however many ranges.
    assert_eq!(still(&both, elsewhere(), "10.0.0.0/25"), "AS64500");
    assert_eq!(still(&both, elsewhere(), "10.0.0.0/24"), "");
    // Lists come before networks, and exempt from them.
    assert_eq!(
        still(&both, listed(blocks, "10.0.0.0/31"), "10.0.0.1"),
        "bad 10.0.0.0/31"
    );
    assert_eq!(still(&[], listed(blocks, "10.0.0.0/31"), "10.0.0.0/30"), "");
    let allows = policy::ListKind::Allow;
    assert_eq!(still(&both, listed(allows, "10.0.0.0/31"), "10.0.0.1"), "");
}

#[test]
fn rules_that_go_together_do_not_keep_each_other_blocked() {
    let rules = blocked(&RuleSet::default(), &permanent(&["10.0.0.0/8", "10.0.0.7"]));
    let edit = unblock(&rules, &["10.0.0.7", "10.0.0.0/8"]);
    assert_eq!(edit.answer.still, []);
    assert!(after(&rules, &edit).is_empty());
}

#[test]
fn of_very_many_targets_without_a_rule_the_first_are_named_and_all_counted() {
    let wide = blocked(&RuleSet::default(), &permanent(&["10.0.0.0/24"]));
    let words: Vec<String> = (0..NAMED + 300)
        .map(|number| format!("10.0.{}.{}", number / 256, number % 256))
        .collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let answer = unblock(&wide, &words).answer;
    assert_eq!((answer.unknown.len(), answer.cut), (NAMED, true));
    // The first 256 are covered.
    assert_eq!(answer.still.len(), 256);
    assert_eq!(answer.absent, NAMED + 300 - 256);
    assert_eq!(answer.absent_named().count(), NAMED - 256);
    let first = answer.absent_named().next().unwrap();
    assert_eq!(first.to_string(), "10.0.1.0");
    let answer = unblock(&wide, &words[..NAMED]).answer;
    assert!(!answer.cut);
}

#[test]
fn an_exempt_address_does_not_stay_blocked() {
    let rules = blocked(&RuleSet::default(), &permanent(&["10.0.0.0/8"]));
    let allow = permanent(&["10.0.0.7"]);
    let edit = put(
        &Inputs::of_rules(&rules),
        Err("none"),
        RuleAction::Allow,
        &allow,
        DEFAULT,
        now(),
    )
    .unwrap();
    let rules = after(&rules, &edit);
    assert_eq!(unblock(&rules, &["10.0.0.7"]).answer.still, []);
}
