use bot_common::abi::verdict::Action;

use super::{words::*, *};
use crate::{
    config::{FeedAction, Policy, PolicyAction, Role},
    feeds::{category::Category, rail::Rail},
    policy::{self, By, Inputs, List, ListId, ListKind},
    rules::{
        rule::Scope,
        set::RuleSet,
        time::{BootId, Now},
    },
};

/// The lists of feeds, numbered in their order.
fn made(feeds: &[(Feed, Snapshot)], policies: &[Policy]) -> Vec<List> {
    let mut names: Vec<String> = Vec::new();
    let mut id = |name: &str| {
        assert!(!names.iter().any(|known| known == name), "{name} twice");
        names.push(name.to_owned());
        ListId(u32::try_from(names.len()).unwrap())
    };
    lists(&told(feeds), policies, Some(&database()), at(0), &mut id)
}

fn names(lists: &[List]) -> Vec<&str> {
    lists.iter().map(|list| &**list.name()).collect()
}

fn texts(list: &List) -> Vec<String> {
    let entries = list.entries();
    entries
        .map(|(prefix, score)| format!("{prefix} {}", score.get()))
        .collect()
}

/// The score of an address, of feeds of one group or apart, after days.
fn score(feeds: &[(Feed, Snapshot)], text: &str, days: i64) -> u8 {
    let database = database();
    let evidence = evidence(
        &told(feeds),
        address(text),
        Some(&database),
        TIERS,
        at(days),
    );
    evidence.score.get()
}

#[test]
fn groups_are_independent_evidence_and_copies_are_one() {
    let host = || said(&[("192.0.2.1", 100)]);
    let two = [
        (feed("a", weigh(50)), host()),
        (feed("b", weigh(50)), host()),
    ];
    assert_eq!(score(&two, "192.0.2.1", 0), 75);
    let [mut a, mut b] = two;
    a.0.group = "copies".into();
    b.0.group = "copies".into();
    b.0.role = weigh(30);
    assert_eq!(score(&[a, b], "192.0.2.1", 0), 50);
}

#[test]
fn confidence_and_age_make_an_entry_lighter() {
    let mut one = feed("a", weigh(80));
    let snapshot = said(&[("192.0.2.1", 100), ("192.0.2.2", 50)]);
    one.half_life = Some(DAY * 7);
    let feeds = [(one, snapshot)];
    let scores = [
        ("192.0.2.1", 0),
        ("192.0.2.2", 0),
        ("192.0.2.1", 7),
        ("192.0.2.1", 14),
    ];
    let scores = scores.map(|(address, days)| score(&feeds, address, days));
    assert_eq!(scores, [80, 40, 40, 20]);
    let forever = [(feed("a", weigh(80)), said(&[("192.0.2.1", 100)]))];
    assert_eq!(score(&forever, "192.0.2.1", 10_000), 80);
}

#[test]
fn a_prefix_has_the_score_of_everything_that_covers_it() {
    let feeds = [
        (
            feed("a", weigh(50)),
            said(&[("192.0.2.0/24", 100), ("192.0.2.7", 20)]),
        ),
        (
            feed("b", weigh(50)),
            said(&[("192.0.2.0/28", 100), ("198.51.100.7", 0)]),
        ),
        (feed("c", weigh(20)), said(&[("AS1", 100)])),
    ];
    let lists = made(&feeds, &[]);
    assert_eq!(names(&lists), ["popular-networks", "scores"]);
    assert_eq!(
        texts(&lists[1]),
        [
            "192.0.2.0/24 50",
            "192.0.2.0/28 75",
            "192.0.2.0/30 80",
            "192.0.2.4/31 80",
            "192.0.2.6 80",
            "192.0.2.7 75",
            "2001:db8::/126 20",
            "2001:db8::4/127 20",
        ]
    );
}

#[test]
fn each_role_makes_its_kind_of_list() {
    let host = || said(&[("192.0.2.1", 100)]);
    let of = |name: &str, role: Role, category: Option<Category>| {
        let feed = Feed {
            category,
            ..feed(name, role)
        };
        (feed, host())
    };
    let (search, training) = (Category::CrawlerSearch, Category::CrawlerAiTraining);
    let feeds = [
        of("friends", Role::Allow, None),
        of("searchers", Role::Allow, Some(search)),
        of("relays", Role::Guard, None),
        of("drop", Role::Act(FeedAction::Block), Some(Category::Abuse)),
        of("bots", Role::ByCategory, Some(search)),
        of("trainers", Role::ByCategory, Some(training)),
        of("exits", Role::ByCategory, Some(Category::Tor)),
        of("clouds", Role::ByCategory, Some(Category::Hosting)),
        of("tools", Role::ByCategory, Some(Category::Tool)),
    ];
    let policy = |category, action| Policy {
        category,
        action,
        ports: None,
        scope: Scope::Services,
        monitor: false,
    };
    let policies = [
        policy(search, PolicyAction::Allow),
        policy(training, PolicyAction::Act(FeedAction::Block)),
        policy(Category::Tor, PolicyAction::Act(FeedAction::Throttle)),
        policy(Category::Hosting, PolicyAction::Pass),
    ];
    let lists = made(&feeds, &policies);
    let category = |action| ListKind::Category {
        action,
        scope: Scope::Services,
        monitor: false,
    };
    let found: Vec<_> = lists
        .iter()
        .map(|list| (&**list.name(), list.kind()))
        .collect();
    assert_eq!(
        found,
        [
            ("popular-networks", ListKind::Popular),
            ("friends", ListKind::Allow),
            ("searchers", ListKind::VerifiedCrawler),
            ("relays", ListKind::Popular),
            ("drop", category(Action::Drop)),
            ("bots", ListKind::VerifiedCrawler),
            ("trainers", category(Action::Drop)),
            ("exits", category(Action::Throttle)),
        ]
    );
}

/// What decides about an address, by the name of the list.
fn decides(feeds: &[(Feed, Snapshot)], text: &str) -> Option<(String, Action, bool)> {
    let lists = made(feeds, &[]);
    let rules = RuleSet::default();
    let inputs = Inputs {
        lists: &lists,
        tiers: TIERS,
        ..Inputs::of_rules(&rules)
    };
    let now = Now {
        wall: at(0),
        boot_ns: 1,
        boot: BootId(1),
    };
    let explanation = policy::explain(&inputs, address(text), now);
    let link = explanation.chain().first()?;
    let By::List(id) = link.by else { return None };
    let list = lists.iter().find(|list| list.id() == id)?;
    Some((
        list.name().to_string(),
        link.terms.action,
        link.terms.monitor,
    ))
}

#[test]
fn the_guard_stands_above_every_feed_that_is_not_trusted_past_it() {
    let resolver = "8.8.8.8";
    for role in [Role::Act(FeedAction::Block), weigh(100)] {
        let mut feeds = [(
            feed("bad", role),
            said(&[("8.8.8.8", 100), ("8.8.9.9", 100)]),
        )];
        let guarded = ("popular-networks".to_owned(), Action::Pass, false);
        assert_eq!(decides(&feeds, resolver), Some(guarded));
        assert_eq!(decides(&feeds, "8.8.9.9").unwrap().1, Action::Drop);
        feeds[0].0.loosen.insert(Rail::Popular);
        assert_eq!(decides(&feeds, resolver).unwrap().1, Action::Drop);
    }
}

#[test]
fn past_the_guard_only_the_evidence_of_trusted_feeds_counts() {
    let both = || said(&[("8.8.8.8", 100), ("8.8.9.9", 100)]);
    let mut trusted = feed("trusted", weigh(70));
    trusted.loosen.insert(Rail::Popular);
    let feeds = [(feed("other", weigh(90)), both()), (trusted, both())];
    let past = ("scores-past-guard".to_owned(), Action::Throttle, false);
    assert_eq!(decides(&feeds, "8.8.8.8"), Some(past));
    let all = ("scores".to_owned(), Action::Drop, false);
    assert_eq!(decides(&feeds, "8.8.9.9"), Some(all));
}

#[test]
fn evidence_that_is_only_watched_drops_nobody() {
    let host = || said(&[("192.0.2.1", 100)]);
    let mut watched = feed("watched", weigh(95));
    watched.monitor = true;
    let feeds = [(watched, host())];
    let told = ("scores-monitor".to_owned(), Action::Drop, true);
    assert_eq!(decides(&feeds, "192.0.2.1"), Some(told));
    let [(watched, _)] = feeds;
    let feeds = [(watched, host()), (feed("acts", weigh(60)), host())];
    let slowed = ("scores".to_owned(), Action::Throttle, false);
    assert_eq!(decides(&feeds, "192.0.2.1"), Some(slowed));
}

#[test]
fn evidence_about_services_drops_no_other_packets() {
    let host = || said(&[("192.0.2.1", 100)]);
    let mut wide = feed("wide", weigh(60));
    wide.scope = Scope::All;
    let mut past = feed("past", weigh(60));
    past.loosen.insert(Rail::Popular);
    let lists = made(&[(wide, host()), (past, host())], &[]);
    let scores: Vec<_> = lists.iter().skip(1).collect();
    let found: Vec<_> = scores
        .iter()
        .map(|list| (&**list.name(), list.is_past_guard(), texts(list)))
        .collect();
    let of = |score: u8| vec![format!("192.0.2.1 {score}")];
    assert_eq!(
        found,
        [
            ("scores-all", false, of(60)),
            ("scores-past-guard", true, of(60)),
            ("scores", false, of(84)),
        ]
    );
}

#[test]
fn a_score_is_explained_in_parts() {
    let mut half = feed("half", weigh(60));
    half.half_life = Some(DAY);
    half.group = "both".into();
    let mut copy = feed("copy", weigh(40));
    copy.group = "both".into();
    let mut named = feed("clouds", Role::ByCategory);
    named.category = Some(Category::Hosting);
    let feeds = [
        (half, said(&[("192.0.2.1", 100)])),
        (copy, said(&[("192.0.2.0/24", 100)])),
        (named, said(&[("AS1", 100), ("country:AA", 100)])),
        (feed("nets", weigh(50)), said(&[("AS1", 80), ("AS2", 100)])),
    ];
    let database = database();
    let evidence = evidence(
        &told(&feeds),
        address("192.0.2.1"),
        Some(&database),
        TIERS,
        at(1),
    );
    let parts: Vec<_> = evidence
        .parts
        .iter()
        .map(|part| {
            let weighs = part.weighs.as_ref();
            let weighs = weighs.map(|weight| (weight.now, weight.counts));
            (part.feed.as_str(), part.entry.to_string(), weighs)
        })
        .collect();
    assert_eq!(
        parts,
        [
            ("half", "192.0.2.1".to_owned(), Some((0.3, false))),
            ("copy", "192.0.2.0/24".to_owned(), Some((0.4, true))),
            ("clouds", "AS1".to_owned(), None),
            ("clouds", "country:AA".to_owned(), None),
            ("nets", "AS1".to_owned(), Some((0.4, true))),
        ]
    );
    assert_eq!(
        (evidence.score.get(), evidence.tier),
        (64, Some("throttle".to_owned()))
    );
    assert_eq!(evidence.parts[0].age, 86_400);
    let json = serde_json::to_value(&evidence.parts[1]).unwrap();
    assert_eq!(json["entry"], "192.0.2.0/24");
    assert_eq!(json["weighs"]["group"], "both");
}

#[test]
fn overlaps_count_entries_that_are_the_same_and_addresses_whatever_names_them() {
    let one = said(&[
        ("192.0.2.0/24", 100),
        ("192.0.2.1", 100),
        ("198.51.100.1", 100),
        ("AS1", 100),
    ]);
    let other = said(&[
        ("192.0.2.0/25", 100),
        ("198.51.100.1", 50),
        ("2001:db8::/126", 100),
    ]);
    let found = overlap(&one, &other, Some(&database()));
    assert_eq!((found.one.entries, found.one.addresses_v4), (4, 257));
    assert_eq!((found.other.entries, found.other.addresses_v4), (3, 129));
    assert_eq!((found.common.entries, found.common.addresses_v4), (1, 129));
    assert_eq!(found.common.addresses_v6, 4);
    let [entries, v4, v6] = found.common.percent_of(&found.other);
    assert!((entries - 100.0 / 3.0).abs() < 1e-9);
    assert!((v4 - 100.0).abs() < 1e-9 && (v6 - 100.0).abs() < 1e-9);
    let none = overlap(&said(&[]), &other, None).common;
    assert!(none.percent_of(&none).iter().all(|share| *share == 0.0));
}
