//! Lists while the rules change, and what each condition means.

use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::rules::{change::RuleChange, rule::Scope};

fn rule(id: u64, subject: &str, action: RuleAction, origin: Origin) -> Rule {
    Rule {
        id: RuleId(id),
        subject: subject.parse().unwrap(),
        action,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin,
        created: Timestamp::UNIX_EPOCH,
    }
}

fn block(id: u64) -> Rule {
    let address = std::net::Ipv4Addr::from(0x0a00_0000 + u32::try_from(id).unwrap());
    rule(
        id,
        &address.to_string(),
        RuleAction::Block,
        Origin::Operator,
    )
}

fn set(rules: impl IntoIterator<Item = Rule>) -> RuleSet {
    let mut set = RuleSet::default();
    for rule in rules {
        put(&mut set, rule);
    }
    set
}

fn put(set: &mut RuleSet, rule: Rule) {
    let _undo = set.apply(&[RuleChange::Insert(rule.into())]);
}

/// One of each kind.
fn mixed() -> RuleSet {
    let gateway = Origin::Protected("gateway".into());
    set([
        rule(1, "10.0.0.0/8", RuleAction::Block, Origin::Operator),
        rule(2, "10.1.0.0/16", RuleAction::Allow, Origin::Operator),
        rule(3, "2001:db8::/32", RuleAction::Block, Origin::Config),
        rule(4, "10.0.0.1", RuleAction::Allow, gateway),
        rule(5, "AS64500", RuleAction::Block, Origin::Operator),
        rule(6, "country:DE", RuleAction::Block, Origin::Config),
        rule(7, "10.1.2.0/24", RuleAction::Block, Origin::Operator),
    ])
}

fn ids(page: &Page<'_>) -> Vec<u64> {
    page.rules.iter().map(|rule| rule.id.0).collect()
}

#[track_caller]
fn shows(list: &List, expected: &[u64]) {
    let rules = mixed();
    let page = list.page(&rules);
    assert_eq!(ids(&page), expected);
    assert_eq!(page.next, None);
}

#[test]
fn every_condition_leaves_out_what_does_not_meet_it() {
    shows(&List::default(), &[1, 2, 3, 5, 6, 7]);
    let list = |change: fn(&mut List)| {
        let mut list = List::default();
        change(&mut list);
        list
    };
    shows(&list(|list| list.protected = true), &[1, 2, 3, 4, 5, 6, 7]);
    shows(&list(|list| list.action = Some(RuleAction::Allow)), &[2]);
    shows(
        &list(|list| list.origin = Some(OriginName::Config)),
        &[3, 6],
    );
    shows(
        &list(|list| list.origin = Some(OriginName::Protected)),
        &[4],
    );
    shows(&list(|list| list.family = Some(Family::V4)), &[1, 2, 7]);
    shows(&list(|list| list.family = Some(Family::V6)), &[3]);
    let net = |text: &str| Some(text.parse().unwrap());
    let within = List {
        within: net("10.1.0.0/16"),
        ..List::default()
    };
    shows(&within, &[2, 7]);
    let overlaps = List {
        overlaps: net("10.1.0.0/16"),
        ..List::default()
    };
    shows(&overlaps, &[1, 2, 7]);
    let both = List {
        action: Some(RuleAction::Block),
        origin: Some(OriginName::Operator),
        ..within
    };
    shows(&both, &[7]);
    let other_family = List {
        within: net("::/0"),
        ..List::default()
    };
    shows(&other_family, &[3]);
}

#[test]
fn a_summary_counts_by_origin_action_and_family() {
    let summary = List::default().summarize(&mixed());
    let rows: Vec<_> = summary
        .counts
        .iter()
        .map(|count| (count.origin, count.action, count.family, count.rules))
        .collect();
    let (operator, config) = (OriginName::Operator, OriginName::Config);
    let (block, allow) = (RuleAction::Block, RuleAction::Allow);
    assert_eq!(
        rows,
        [
            (operator, block, None, 1),
            (operator, block, Some(Family::V4), 2),
            (operator, allow, Some(Family::V4), 1),
            (config, block, None, 1),
            (config, block, Some(Family::V6), 1),
            (OriginName::Protected, allow, Some(Family::V4), 1),
        ]
    );
    assert_eq!(summary.rules, 7);
    let some = List {
        family: Some(Family::V4),
        action: Some(block),
        ..List::default()
    };
    assert_eq!(some.summarize(&mixed()).rules, 2);
}

#[test]
fn pages_are_of_bounded_size_and_so_is_the_work_for_them() {
    let rules = set((1..=30_000).map(block));
    let first = List::default().page(&rules);
    assert_eq!(first.rules.len(), PAGE);
    assert_eq!(first.next, Some(RuleId(1_000)));
    let greedy = List {
        limit: Some(usize::MAX),
        ..List::default()
    };
    assert_eq!(greedy.page(&rules).rules.len(), PAGE);
    let none_meets = List {
        action: Some(RuleAction::Allow),
        ..List::default()
    };
    let empty = none_meets.page(&rules);
    assert_eq!((empty.rules.len(), empty.next), (0, Some(RuleId(20_000))));
    let after = List {
        after: empty.next,
        ..none_meets
    };
    assert_eq!(after.page(&rules).next, None);
}

#[test]
fn a_page_that_ends_with_the_last_rule_is_the_last() {
    let rules = set((1..=4).map(block));
    let list = List {
        limit: Some(4),
        ..List::default()
    };
    assert_eq!(list.page(&rules).next, None);
    let list = List {
        limit: Some(3),
        ..list
    };
    assert_eq!(list.page(&rules).next, Some(RuleId(3)));
}

#[test]
fn a_family_is_a_number() {
    let list: List = serde_json::from_str(r#"{"family":6}"#).unwrap();
    assert_eq!(list.family, Some(Family::V6));
    assert!(serde_json::from_str::<List>(r#"{"family":5}"#).is_err());
}

proptest! {
    /// Rules come and go between pages, the one at the cursor included.
    #[test]
    fn what_is_there_all_the_time_is_shown_once(
        count in 0..60u64,
        limit in 1..9usize,
        changes in proptest::collection::vec((1..80u64, any::<bool>()), 0..40),
    ) {
        let mut rules = set((1..=count).map(block));
        let mut stable: std::collections::BTreeSet<u64> = (1..=count).collect();
        let (mut shown, mut after) = (Vec::new(), None);
        let mut changes = changes.into_iter();
        let mut pages = 0;
        loop {
            let list = List { after, limit: Some(limit), ..List::default() };
            let page = list.page(&rules);
            shown.extend(ids(&page));
            after = page.next;
            if after.is_none() {
                break;
            }
            for (id, goes) in changes.by_ref().take(5) {
                if goes {
                    rules.remove(RuleId(id));
                    stable.remove(&id);
                } else {
                    // The same addresses again are a new rule.
                    let id_of_new = rules.next_id();
                    put(&mut rules, Rule { id: id_of_new, ..block(id) });
                    stable.remove(&id);
                }
            }
            pages += 1;
            prop_assert!(pages < 100, "it must end");
        }
        prop_assert!(shown.is_sorted_by(|a, b| a < b), "{:?}", shown);
        prop_assert!(stable.iter().all(|id| shown.contains(id)));
    }
}
