use std::time::Duration;

use jiff::Timestamp;

use super::*;
use crate::feeds::entry::{Entry, Parsed};

const GRACE: Duration = Duration::from_hours(24);

fn update(subjects: &[String]) -> Parsed {
    let entries = subjects
        .iter()
        .map(|text| Entry::sure(text.parse().unwrap()));
    Parsed {
        entries: entries.collect(),
        ..Parsed::default()
    }
}

fn hosts(count: usize) -> Vec<String> {
    let host = |n: usize| format!("8.8.{}.{}", n / 256, n % 256);
    (0..count).map(host).collect()
}

fn judged(before: Option<&[String]>, after: &[String], loosen: &[Rail]) -> Verdict {
    let at = |second| Timestamp::from_second(second).unwrap();
    let before = before.map(|before| Snapshot::next(None, &update(before), at(1_000), GRACE).0);
    let (next, _) = Snapshot::next(before.as_ref(), &update(after), at(2_000), GRACE);
    let limits = Limits {
        max_change: MAX_CHANGE,
        loosen: &loosen.iter().copied().collect(),
    };
    judge(before.as_ref(), &next, None, &limits)
}

fn held(before: Option<&[String]>, after: &[String]) -> String {
    match judged(before, after, &[]) {
        Verdict::Take => "taken".to_owned(),
        Verdict::Hold(hold) => hold.to_string(),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn an_update_without_entries_is_held_the_first_too() {
    assert_eq!(held(None, &[]), "it has no entries");
    assert_eq!(
        held(Some(&hosts(3)), &[]),
        "it has no entries, and had 3 before"
    );
    assert_eq!(judged(None, &[], &[Rail::Change]), Verdict::Take);
}

#[test]
fn an_update_that_shrinks_or_grows_by_more_than_half_is_held() {
    assert_eq!(held(Some(&hosts(1_000)), &hosts(500)), "taken");
    assert_eq!(
        held(Some(&hosts(1_000)), &hosts(499)),
        "it has 499 entries, 1,000 before (-50 %, more than 50 %)"
    );
    assert_eq!(held(Some(&hosts(1_000)), &hosts(1_500)), "taken");
    assert_eq!(
        held(Some(&hosts(1_000)), &hosts(2_500)),
        "it has 2,500 entries, 1,000 before (+150 %, more than 50 %)"
    );
    let loose = judged(Some(&hosts(1_000)), &hosts(1), &[Rail::Change]);
    assert_eq!(loose, Verdict::Take);
}

#[test]
fn small_feeds_may_change_by_a_few_entries() {
    assert_eq!(held(Some(&hosts(1)), &hosts(20)), "taken");
    assert_eq!(
        held(Some(&hosts(1)), &hosts(21)),
        "it has 21 entries, 1 before (+2,000 %, more than 50 %)"
    );
    assert_eq!(held(Some(&hosts(20)), &hosts(1)), "taken");
}

#[test]
fn what_lingers_does_not_hide_that_a_feed_has_shrunk() {
    // All thousand are still in force.
    assert!(held(Some(&hosts(1_000)), &hosts(100)).starts_with("it has 100 entries"));
}

#[test]
fn one_entry_that_covers_much_is_as_many_as_it_covers() {
    let mut wide = hosts(1_000);
    wide.push("9.0.0.0/8".into());
    assert_eq!(
        held(Some(&hosts(1_000)), &wide),
        "it covers 16,778,216 IPv4 addresses, 1,000 before (+1,677,721 %, more than 50 %)"
    );
    assert!(held(Some(&wide), &hosts(1_000)).starts_with("it covers 1,000 IPv4 addresses"));
    let v6 = texts(&["2600::/20"]);
    let other = texts(&["2600::/32"]);
    assert!(held(Some(&other), &v6).contains("IPv6 addresses"));
}

#[test]
fn a_first_update_may_be_of_any_size_up_to_what_any_list_covers() {
    assert_eq!(held(None, &hosts(5_000)), "taken");
    let eights: Vec<String> = (11..43).map(|n| format!("{n}.0.0.0/8")).collect();
    assert_eq!(held(None, &eights), "taken");
    let one_more: Vec<String> = (11..44).map(|n| format!("{n}.0.0.0/8")).collect();
    assert_eq!(
        held(None, &one_more),
        "it covers 553,648,128 IPv4 addresses, more than any list should (536,870,912)"
    );
    assert_eq!(judged(None, &one_more, &[Rail::Coverage]), Verdict::Take);
    assert!(held(None, &texts(&["2000::/12"])).contains("IPv6 addresses, more than any"));
}

#[test]
fn what_is_covered_twice_counts_once() {
    let mut eights: Vec<String> = (11..43).map(|n| format!("{n}.0.0.0/8")).collect();
    eights.extend((0..255).map(|n| format!("12.{n}.0.0/16")));
    assert_eq!(held(None, &eights), "taken");
}

#[test]
fn people_hear_what_to_do() {
    let dropped = vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    let hold = Hold::KnownGood { dropped, limit: 1 };
    assert_eq!(
        hold.of_feed("ipsum").to_string(),
        "the update of ipsum is held: it would drop 2 sources known to be good, more than 1 \
         (192.0.2.1, 2001:db8::1); what was in force stays. `bot-agent feeds accept ipsum` takes it"
    );
}
