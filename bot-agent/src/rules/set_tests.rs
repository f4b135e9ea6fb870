//! Rules that come, go, replace one another and expire.

use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::rules::{
    rule::Scope,
    time::{BootId, Deadline},
};

fn now(seconds: u64) -> Now {
    Now {
        wall: Timestamp::from_second(1_000_000 + i64::try_from(seconds).unwrap()).unwrap(),
        boot_ns: (100 + seconds) * 1_000_000_000,
        boot: BootId(1),
    }
}

fn draft(prefix: &str, action: RuleAction, origin: Origin) -> Draft {
    Draft {
        subject: prefix.parse().unwrap(),
        action,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin,
    }
}

fn block(set: &mut RuleSet, prefix: &str, seconds: Option<u64>) -> (RuleId, Inserted) {
    let deadline =
        seconds.and_then(|seconds| Deadline::after(now(0), Duration::from_secs(seconds)));
    let draft = Draft {
        deadline,
        ..draft(prefix, RuleAction::Block, Origin::Operator)
    };
    let rule = draft.into_rule(set.reserve_id(), now(0));
    (rule.id, set.insert(rule, now(0)))
}

#[test]
fn a_block_of_the_same_prefix_again_replaces_the_earlier_one() {
    let mut set = RuleSet::default();
    let (first, inserted) = block(&mut set, "10.0.0.0/8", Some(5));
    assert_eq!(inserted, Inserted::Added);
    let (second, inserted) = block(&mut set, "10.0.0.0/8", None);
    assert!(matches!(inserted, Inserted::Replaced(rule) if rule.id == first));
    assert_eq!(set.len(), 1);
    assert!(set.get(second).is_some());
    assert_eq!(set.next_deadline(), None);
}

#[test]
fn rules_of_other_actions_and_origins_stand_beside_it() {
    let mut set = RuleSet::default();
    block(&mut set, "10.0.0.0/8", None);
    for (action, origin) in [
        (RuleAction::Allow, Origin::Operator),
        (RuleAction::Block, Origin::Config),
        (RuleAction::Allow, Origin::Protected("gateway".into())),
        (RuleAction::Allow, Origin::Protected("dns".into())),
    ] {
        let rule = draft("10.0.0.0/8", action, origin).into_rule(set.reserve_id(), now(0));
        assert_eq!(set.insert(rule, now(0)), Inserted::Added);
    }
    assert_eq!(set.at("10.0.0.0/8".parse().unwrap()).count(), 5);
}

#[test]
fn what_covers_and_what_lies_within() {
    let mut set = RuleSet::default();
    for prefix in [
        "::/0",
        "0.0.0.0/0",
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "11.0.0.0/8",
    ] {
        block(&mut set, prefix, None);
    }
    let texts = |rules: Vec<&Rule>| -> Vec<String> {
        rules.iter().map(|rule| rule.subject.to_string()).collect()
    };
    assert_eq!(
        texts(set.covering("10.1.0.0/16".parse().unwrap()).collect()),
        ["0.0.0.0/0", "10.0.0.0/8", "10.1.0.0/16"]
    );
    assert_eq!(
        texts(set.within("10.0.0.0/8".parse().unwrap()).collect()),
        ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3"]
    );
    assert_eq!(
        texts(set.within("::/0".parse().unwrap()).collect()),
        ["::/0"]
    );
    let address = Address::from_v6([0x20; 16]);
    assert_eq!(texts(set.covering_address(address).collect()), ["::/0"]);
}

#[test]
fn asns_and_countries_stand_beside_prefixes() {
    let mut set = RuleSet::default();
    let subjects = [
        "country:DE",
        "AS64500",
        "::/0",
        "AS64500",
        "AS4294967295",
        "10.0.0.0/8",
        "country:AA",
        "AS1",
    ];
    for subject in subjects {
        block(&mut set, subject, None);
    }
    let allow = draft("AS1", RuleAction::Allow, Origin::Operator);
    let allow = allow.into_rule(set.reserve_id(), now(0));
    set.insert(allow, now(0));
    assert_eq!(set.len(), 8);

    let prefixes: Vec<_> = set.by_prefix().map(|(p, _)| p.to_string()).collect();
    assert_eq!(prefixes, ["::/0", "10.0.0.0/8"]);
    let asns = set
        .by_asn()
        .map(|(asn, rules)| (asn.number(), rules.count()));
    assert_eq!(
        asns.collect::<Vec<_>>(),
        [(1, 2), (64_500, 1), (u32::MAX, 1)]
    );
    let countries: Vec<_> = set.by_country().map(|(c, _)| c.to_string()).collect();
    assert_eq!(countries, ["AA", "DE"]);
    assert_eq!(set.within("::/0".parse().unwrap()).count(), 1);
    assert_eq!(set.about("AS1".parse().unwrap()).count(), 2);

    for id in [4, 5, 8, 9] {
        assert!(set.remove(RuleId(id)).is_some());
    }
    assert_eq!((set.by_asn().count(), set.by_country().count()), (0, 2));
}

#[test]
fn rules_expire_in_order_and_only_when_due() {
    let mut set = RuleSet::default();
    let (late, _) = block(&mut set, "192.0.2.1", Some(20));
    let (early, _) = block(&mut set, "192.0.2.2", Some(10));
    block(&mut set, "192.0.2.3", None);
    assert_eq!(set.next_deadline(), Some(now(10).boot_ns));
    assert_eq!(set.expire(now(9)), []);
    let ended: Vec<RuleId> = set.expire(now(20)).iter().map(|rule| rule.id).collect();
    assert_eq!(ended, [early, late]);
    assert_eq!(set.len(), 1);
}

#[test]
fn stored_rules_come_back_on_the_new_boot_s_clock() {
    let mut set = RuleSet::default();
    block(&mut set, "192.0.2.1", Some(600));
    let (last, _) = block(&mut set, "192.0.2.2", None);
    let rebooted = Now {
        boot: BootId(2),
        boot_ns: 7,
        ..now(300)
    };
    let (mut loaded, rebased) = RuleSet::load(set.iter().cloned().collect(), RuleId(0), rebooted);
    assert_eq!(rebased.len(), 1);
    assert_eq!(loaded.next_deadline(), Some(7 + 300_000_000_000));
    assert!(loaded.reserve_id() > last);
}

#[test]
fn what_is_loaded_is_what_was_inserted_the_newer_in_place_of_the_older() {
    let mut inserted = RuleSet::default();
    let mut stored = Vec::new();
    for (subject, action, seconds) in [
        ("192.0.2.0/24", RuleAction::Block, Some(60)),
        ("192.0.2.0/24", RuleAction::Allow, None),
        ("AS64500", RuleAction::Block, None),
        ("192.0.2.0/24", RuleAction::Block, Some(30)),
        ("10.0.0.0/8", RuleAction::Block, None),
    ] {
        let ends = |seconds| Deadline::after(now(0), Duration::from_secs(seconds));
        let draft = Draft {
            deadline: seconds.and_then(ends),
            ..draft(subject, action, Origin::Operator)
        };
        let rule = draft.into_rule(inserted.reserve_id(), now(0));
        stored.push(rule.clone());
        inserted.insert(rule, now(0));
    }
    let (loaded, rebased) = RuleSet::load(stored, RuleId(3), now(1));
    assert_eq!(loaded, inserted);
    assert_eq!((loaded.len(), rebased.len()), (4, 0));
    assert_eq!(loaded.next_id(), RuleId(6));
}

#[test]
fn syncing_keeps_what_is_unchanged() {
    let mut set = RuleSet::default();
    let config = |origin: &Origin| *origin == Origin::Config;
    let drafts = |prefixes: &[&str]| {
        let drafts = prefixes.iter();
        drafts
            .map(|prefix| draft(prefix, RuleAction::Block, Origin::Config))
            .collect::<Vec<_>>()
    };
    block(&mut set, "192.0.2.9", None);
    let first = set.sync(config, drafts(&["192.0.2.1", "192.0.2.2"]), now(0));
    assert_eq!(first.added.len(), 2);
    let second = set.sync(config, drafts(&["192.0.2.2", "192.0.2.3"]), now(1));
    assert_eq!(second.added.len(), 1);
    assert_eq!(second.removed.len(), 1);
    assert_eq!(second.removed[0].subject.to_string(), "192.0.2.1");
    assert_eq!(
        set.sync(config, drafts(&["192.0.2.2", "192.0.2.3"]), now(2)),
        Synced::default()
    );
    let changed = Draft {
        monitor: true,
        ..draft("192.0.2.2", RuleAction::Block, Origin::Config)
    };
    let third = set.sync(config, vec![changed], now(3));
    assert_eq!((third.added.len(), third.removed.len()), (1, 2));
    assert_eq!(set.len(), 2);
}
