//! Pages of entries while lists change, and what each condition means.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::policy::ListId;

const BLOCKS: ListKind = ListKind::Category {
    action: Action::Drop,
    scope: Scope::Services,
    monitor: false,
};
const SCORES: ListKind = ListKind::Score {
    scope: Scope::All,
    monitor: false,
};

fn scored(name: &str, kind: ListKind, entries: &[(&str, u8)]) -> policy::List {
    let entries = entries.iter();
    let entries = entries.map(|(text, score)| (text.parse().unwrap(), Score::new(*score).unwrap()));
    policy::List::new(ListId(0), name.into(), kind, entries)
}

fn list(name: &str, kind: ListKind, entries: &[&str]) -> policy::List {
    let entries: Vec<(&str, u8)> = entries.iter().map(|text| (*text, 100)).collect();
    scored(name, kind, &entries)
}

fn hosts(name: &str, hosts: impl IntoIterator<Item = u32>) -> policy::List {
    let entries = hosts.into_iter().map(|host| (of_host(host), Score::MAX));
    policy::List::new(ListId(0), name.into(), BLOCKS, entries)
}

fn of_host(host: u32) -> Prefix {
    Prefix::host(std::net::Ipv4Addr::from(0x0a00_0000 + host).into())
}

fn lists(lists: &[policy::List]) -> Lists<'_> {
    let tiers = Tiers {
        throttle: Score::new(50),
        block: Score::new(90),
        ..Tiers::default()
    };
    Lists { lists, tiers }
}

/// Not in order of their names.
fn mixed() -> Vec<policy::List> {
    vec![
        scored(
            "scores",
            SCORES,
            &[("192.0.2.1", 95), ("192.0.2.2", 50), ("192.0.2.3", 7)],
        ),
        list(
            "bad",
            BLOCKS,
            &["198.51.100.0/24", "198.51.100.7", "2001:db8::/32"],
        ),
        list("friends", ListKind::Allow, &["198.51.100.7"]),
    ]
}

#[track_caller]
fn shows(asked: &List, expected: &[&str]) {
    let all = mixed();
    let page = asked.entries(lists(&all));
    let shown = page.entries.iter();
    let shown: Vec<String> = shown
        .map(|entry| format!("{} {} {}", entry.list, entry.action, entry.prefix))
        .collect();
    assert_eq!(shown, expected);
    assert_eq!(page.next, None);
    let counted: usize = asked
        .count_entries(lists(&all))
        .iter()
        .map(|count| count.entries)
        .sum();
    assert_eq!(counted, expected.len());
}

#[test]
fn entries_come_by_list_and_every_condition_leaves_some_out() {
    let bad = [
        "bad block 198.51.100.0/24",
        "bad block 198.51.100.7",
        "bad block 2001:db8::/32",
    ];
    let friend = "friends allow 198.51.100.7";
    let scores = [
        "scores block 192.0.2.1",
        "scores throttle 192.0.2.2",
        "scores pass 192.0.2.3",
    ];
    let list = |change: fn(&mut List)| {
        let mut list = List::default();
        change(&mut list);
        list
    };
    let all = [
        bad[0], bad[1], bad[2], friend, scores[0], scores[1], scores[2],
    ];
    shows(&List::default(), &all);
    shows(&list(|list| list.list = Some("bad".into())), &bad);
    shows(&list(|list| list.family = Some(Family::V6)), &bad[2..]);
    shows(
        &list(|list| list.action = Some(RuleAction::Block)),
        &[bad[0], bad[1], bad[2], scores[0]],
    );
    shows(
        &list(|list| list.action = Some(RuleAction::Allow)),
        &[friend],
    );
    shows(
        &list(|list| list.within = "198.51.100.0/25".parse().ok()),
        &[bad[1], friend],
    );
    shows(
        &list(|list| list.overlaps = "198.51.100.0/25".parse().ok()),
        &[bad[0], bad[1], friend],
    );
}

#[test]
fn an_entry_has_the_scope_of_its_list_and_a_score_where_there_is_one() {
    let all = mixed();
    let page = List::default().entries(lists(&all));
    let json = |place: usize| serde_json::to_string(&page.entries[place]).unwrap();
    assert_eq!(
        json(0),
        r#"{"prefix":"198.51.100.0/24","action":"block","scope":"services","list":"bad"}"#
    );
    assert_eq!(
        json(3),
        r#"{"prefix":"198.51.100.7","action":"allow","scope":"all","list":"friends"}"#
    );
    assert_eq!(
        json(5),
        r#"{"prefix":"192.0.2.2","action":"throttle","scope":"all","list":"scores","score":50}"#
    );
}

#[test]
fn a_summary_has_a_row_for_each_list_action_and_family() {
    let rows: Vec<_> = List::default()
        .count_entries(lists(&mixed()))
        .into_iter()
        .map(|count| (count.list, count.action, count.family, count.entries))
        .collect();
    let (block, allow) = (EntryAction::Block, EntryAction::Allow);
    let row = |list: &str, action, family, entries| (list.to_owned(), action, family, entries);
    assert_eq!(
        rows,
        [
            row("bad", block, Family::V4, 2),
            row("bad", block, Family::V6, 1),
            row("friends", allow, Family::V4, 1),
            row("scores", block, Family::V4, 1),
            row("scores", EntryAction::Throttle, Family::V4, 1),
            row("scores", EntryAction::Pass, Family::V4, 1),
        ]
    );
}

#[test]
fn pages_are_of_bounded_size_and_so_is_the_work_for_them() {
    let all = [hosts("many", 0..30_000)];
    let asked = List {
        limit: Some(usize::MAX),
        ..List::default()
    };
    let page = asked.entries(lists(&all));
    assert_eq!(page.entries.len(), PAGE);
    let cursor = |host| {
        Some(EntryCursor {
            list: "many".into(),
            prefix: of_host(host),
        })
    };
    assert_eq!(page.next, cursor(999));
    let none_meets = List {
        action: Some(RuleAction::Allow),
        ..List::default()
    };
    let empty = none_meets.entries(lists(&all));
    assert_eq!((empty.entries.len(), &empty.next), (0, &cursor(19_999)));
    let rest = List {
        after_entry: empty.next,
        ..none_meets
    };
    assert_eq!(rest.entries(lists(&all)), EntryPage::default());
}

#[test]
fn a_page_that_ends_with_the_last_entry_is_the_last() {
    let all = [hosts("a", 0..2), hosts("b", 0..2)];
    let of = |limit| List {
        limit: Some(limit),
        ..List::default()
    };
    assert_eq!(of(4).entries(lists(&all)).next, None);
    assert!(of(2).entries(lists(&all)).next.is_some());
}

#[test]
fn a_name_that_no_list_has_is_refused_with_those_that_there_are() {
    let asked = List {
        list: Some("bda".into()),
        ..List::default()
    };
    let said = |asked: &List, names: &[&str]| asked.objection(names.iter().copied());
    assert_eq!(
        said(&asked, &["bad", "friends"]).as_deref(),
        Some("there is no list `bda`; there are: bad, friends")
    );
    assert!(said(&asked, &[]).unwrap().contains("no `[[list]]`"));
    assert_eq!(said(&asked, &["bda"]), None);
    let of_rules = List {
        origin: Some(OriginName::Operator),
        ..asked.clone()
    };
    assert!(said(&of_rules, &["bda"]).is_some());
    // It was there when its first page was asked for.
    let next_page = List {
        after_entry: Some(EntryCursor {
            list: "bda".into(),
            prefix: of_host(1),
        }),
        ..asked
    };
    assert_eq!(said(&next_page, &["bad"]), None);
    assert_eq!(next_page.entries(lists(&mixed())), EntryPage::default());
}

proptest! {
    /// Before each page the lists are read anew: entries come and go, the one at the cursor
    /// included, and so do whole lists.
    #[test]
    fn what_is_there_all_the_time_is_shown_once(
        versions in proptest::collection::vec(
            proptest::collection::btree_set((0..4usize, 0..40u32), 0..100), 1..8),
        always in proptest::collection::btree_set((0..4usize, 0..40u32), 0..60),
        limit in 1..9usize,
        reversed: bool,
    ) {
        let names = ["a", "b", "c", "d"];
        let version = |pages: usize| {
            let entries: BTreeSet<_> = versions[pages % versions.len()].union(&always).collect();
            let mut all: Vec<policy::List> = Vec::new();
            for (number, name) in names.iter().enumerate() {
                let of_list = entries.iter().filter(|(list, _)| *list == number);
                let found: Vec<u32> = of_list.map(|(_, host)| *host).collect();
                if !found.is_empty() {
                    all.push(hosts(name, found));
                }
            }
            if reversed && pages % 2 == 1 {
                all.reverse();
            }
            all
        };
        let (mut shown, mut after_entry, mut pages) = (Vec::new(), None, 0);
        loop {
            let asked = List { after_entry, limit: Some(limit), ..List::default() };
            let page = asked.entries(lists(&version(pages)));
            shown.extend(page.entries.into_iter().map(|entry| (entry.list, entry.prefix)));
            after_entry = page.next;
            if after_entry.is_none() {
                break;
            }
            pages += 1;
            prop_assert!(pages <= 160, "it must end");
        }
        prop_assert!(shown.is_sorted_by(|one, other| one < other), "{:?}", shown);
        for (list, host) in always {
            prop_assert!(shown.contains(&(names[list].to_owned(), of_host(host))));
        }
    }
}
