use std::collections::HashMap;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::feeds::entry::{Entry, SURE};

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn at(hours: i64) -> Timestamp {
    Timestamp::from_second(1_750_000_000 + hours * 3600).unwrap()
}

fn update(subjects: &[&str]) -> Parsed {
    let entries = subjects
        .iter()
        .map(|text| Entry::sure(text.parse().unwrap()));
    Parsed {
        entries: entries.collect(),
        ..Parsed::default()
    }
}

fn first(subjects: &[&str]) -> Snapshot {
    Snapshot::next(None, &update(subjects), at(0), DAY).0
}

/// Subjects; those that linger in brackets.
fn texts(snapshot: &Snapshot) -> Vec<String> {
    let text = |known: Known| {
        if known.listed {
            known.subject.to_string()
        } else {
            format!("({})", known.subject)
        }
    };
    snapshot.entries().map(text).collect()
}

fn age(snapshot: &Snapshot, subject: &str, now: Timestamp) -> u32 {
    let known = snapshot.find(subject.parse().unwrap()).unwrap();
    known.seen.age(Seconds::of(now)) / 3600
}

#[test]
fn what_is_gone_lingers_until_it_was_away_for_the_grace() {
    let snapshot = first(&["192.0.2.1", "192.0.2.2", "AS64500"]);
    let (snapshot, delta) = Snapshot::next(Some(&snapshot), &update(&["192.0.2.2"]), at(1), DAY);
    assert_eq!(
        (delta.added, delta.removed, delta.kept),
        (0, 2, 2),
        "{delta:?}"
    );
    assert_eq!(texts(&snapshot), ["(192.0.2.1)", "192.0.2.2", "(AS64500)"]);
    assert_eq!((snapshot.len(), snapshot.listed()), (3, 1));
    // It was last seen at the first update.
    let (still, _) = Snapshot::next(Some(&snapshot), &update(&["192.0.2.2"]), at(23), DAY);
    assert_eq!(still.len(), 3);
    let (gone, delta) = Snapshot::next(Some(&snapshot), &update(&["192.0.2.2"]), at(24), DAY);
    assert_eq!(texts(&gone), ["192.0.2.2"]);
    assert_eq!(delta, Delta::default());
}

#[test]
fn what_comes_back_is_new_and_no_longer_lingers() {
    let snapshot = first(&["192.0.2.1", "192.0.2.2"]);
    let (snapshot, _) = Snapshot::next(Some(&snapshot), &update(&["192.0.2.2"]), at(1), DAY);
    let both = update(&["192.0.2.1", "192.0.2.2"]);
    let (snapshot, delta) = Snapshot::next(Some(&snapshot), &both, at(2), DAY);
    assert_eq!(texts(&snapshot), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!((delta.added, delta.removed, delta.kept), (1, 0, 0));
}

#[test]
fn without_a_fetch_nothing_of_the_last_update_expires() {
    let snapshot = first(&["192.0.2.1", "192.0.2.2"]);
    let (mut snapshot, _) = Snapshot::next(Some(&snapshot), &update(&["192.0.2.2"]), at(1), DAY);
    assert_eq!(snapshot.expire(at(23), DAY), 0);
    assert_eq!(snapshot.expire(at(100_000), DAY), 1);
    assert_eq!(texts(&snapshot), ["192.0.2.2"]);
}

#[test]
fn an_answer_that_nothing_has_changed_is_news_of_every_entry() {
    let snapshot = first(&["192.0.2.1", "192.0.2.2"]);
    let (mut snapshot, _) = Snapshot::next(Some(&snapshot), &update(&["192.0.2.2"]), at(1), DAY);
    snapshot.unchanged(at(5));
    assert_eq!(snapshot.fetched(), at(5));
    assert_eq!(age(&snapshot, "192.0.2.2", at(6)), 1);
    assert_eq!(
        age(&snapshot, "192.0.2.1", at(6)),
        6,
        "it is not in the feed"
    );
    let (snapshot, _) = Snapshot::next(Some(&snapshot), &update(&["192.0.2.3"]), at(20), DAY);
    assert_eq!(age(&snapshot, "192.0.2.2", at(20)), 15);
    // A clock that was set back makes nothing older.
    let mut snapshot = snapshot;
    snapshot.unchanged(at(0));
    assert_eq!(snapshot.fetched(), at(20));
}

#[test]
fn a_publisher_says_how_old_its_news_is_and_grace_counts_from_the_feed() {
    let mut old = update(&["192.0.2.1", "192.0.2.2"]);
    old.entries[0].seen = Some(at(-100));
    old.entries[1].seen = Some(at(100));
    let (snapshot, _) = Snapshot::next(None, &old, at(0), DAY);
    assert_eq!(age(&snapshot, "192.0.2.1", at(0)), 100);
    assert_eq!(
        age(&snapshot, "192.0.2.2", at(0)),
        0,
        "nobody sees the future"
    );
    let (snapshot, _) = Snapshot::next(Some(&snapshot), &update(&[]), at(1), DAY);
    assert_eq!(texts(&snapshot), ["(192.0.2.1)", "(192.0.2.2)"]);
    assert_eq!(age(&snapshot, "192.0.2.1", at(1)), 101);
}

#[test]
fn of_a_subject_that_is_there_twice_the_surer_and_later_counts() {
    let mut twice = update(&["192.0.2.1", "192.0.2.1", "192.0.2.1"]);
    twice.entries[0].confidence = 20;
    twice.entries[1].confidence = 60;
    twice.entries[2].confidence = 40;
    twice.entries[2].seen = Some(at(-3));
    twice.entries[0].seen = Some(at(-2));
    let (snapshot, delta) = Snapshot::next(None, &twice, at(0), DAY);
    assert_eq!((snapshot.len(), delta.added), (1, 1));
    let known = snapshot.entries().next().unwrap();
    assert_eq!((known.confidence, known.seen), (60, Seconds::of(at(-2))));
}

#[test]
fn what_covers_an_address_is_found_narrowest_first() {
    let snapshot = first(&[
        "10.0.0.0/8",
        "10.1.0.0/16",
        "10.1.2.3",
        "10.2.0.0/16",
        "::/0",
    ]);
    let covering = |text: &str| -> Vec<String> {
        let ip: std::net::IpAddr = text.parse().unwrap();
        let covering = snapshot.covering(ip.into());
        covering.map(|known| known.subject.to_string()).collect()
    };
    assert_eq!(
        covering("10.1.2.3"),
        ["10.1.2.3", "10.1.0.0/16", "10.0.0.0/8"]
    );
    assert_eq!(covering("10.1.2.4"), ["10.1.0.0/16", "10.0.0.0/8"]);
    assert!(covering("11.0.0.1").is_empty());
    assert_eq!(covering("2001:db8::1"), ["::/0"]);
}

#[test]
fn rows_are_as_small_as_they_can_be() {
    assert_eq!(size_of::<row::Row<u32>>(), 16);
    assert_eq!(size_of::<row::Row<u128>>(), 32);
}

fn written(snapshot: &Snapshot, extra: &Value) -> String {
    let mut out = Vec::new();
    snapshot.write(extra, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn on_disk_it_is_a_text_that_people_can_read() {
    let mut entries = update(&["192.0.2.0/24", "192.0.2.1", "2001:db8::/32", "AS64500"]);
    entries.made = Some(at(-1));
    entries.entries[1].confidence = 70;
    entries.entries[2].seen = Some(at(-2));
    let (snapshot, _) = Snapshot::next(None, &entries, at(0), DAY);
    let (snapshot, _) = Snapshot::next(Some(&snapshot), &update(&["country:DE"]), at(1), DAY);
    let text = written(&snapshot, &json!({"etag": "\"x\""}));
    let expected = r#"{"version":1,"fetched":"2025-06-15T16:06:40Z","extra":{"etag":"\"x\""}}
192.0.2.0/24 100 0 1750000000
192.0.2.1 70 0 1750000000
2001:db8::/32 100 1749992800 1750000000
AS64500 100 0 1750000000
country:DE
end 5
"#;
    assert_eq!(text, expected);
    let (back, extra) = Snapshot::read(text.as_bytes()).unwrap();
    assert_eq!((back, extra), (snapshot, json!({"etag": "\"x\""})));
}

#[test]
fn what_is_wrong_with_a_file_is_named() {
    let whole = written(&first(&["192.0.2.1", "192.0.2.2"]), &Value::Null);
    let refusal = |text: &str| Snapshot::read(text.as_bytes()).unwrap_err().to_string();
    assert_eq!(
        refusal(&whole.replace("end 2", "end 3")),
        "2 entries and no end after them: only part of it was written"
    );
    assert_eq!(
        refusal(&whole.replace("192.0.2.2", "192.0.2.256")),
        "line 3 is no entry"
    );
    assert_eq!(
        refusal(&whole.replace("192.0.2.2", "192.0.2.2 101")),
        "line 3 is no entry"
    );
    assert_eq!(
        refusal(&whole.replace("192.0.2.2", "192.0.2.2 1 2 3 4")),
        "line 3 is no entry"
    );
    assert_eq!(
        refusal(&whole.replace("\"version\":1", "\"version\":2")),
        "written in format 2, and this agent reads 1"
    );
    assert!(refusal("192.0.2.1\n").starts_with("line 1 does not describe a snapshot"));
    assert!(refusal("").starts_with("line 1 does not describe a snapshot"));
    // Wherever it was cut.
    for length in 0..whole.len() {
        assert!(
            Snapshot::read(&whole.as_bytes()[..length]).is_err(),
            "{length}"
        );
    }
}

fn any_subject() -> impl Strategy<Value = Subject> {
    let v4 = (0..64u32, 26..=32u8).prop_map(|(host, bits)| {
        let ip = std::net::Ipv4Addr::from(0x0a00_0000 + host);
        Prefix::host(ip.into()).shortened(96 + bits).into()
    });
    let v6 = (0..64u128, 122..=128u8).prop_map(|(host, bits)| {
        let ip = std::net::Ipv6Addr::from((0x2001_0db8 << 96) + host);
        Prefix::host(ip.into()).shortened(bits).into()
    });
    prop_oneof![
        3 => v4,
        2 => v6,
        1 => (1..9u32).prop_map(|n| format!("AS{n}").parse().unwrap()),
        1 => "country:[A-C][A-C]".prop_map(|text| text.parse().unwrap()),
        1 => Just("::/0".parse().unwrap()),
    ]
}

fn any_update() -> impl Strategy<Value = Parsed> {
    let seen = proptest::option::weighted(0.3, (-50..50i64).prop_map(at));
    let entry = (any_subject(), 0..=SURE, seen);
    let entry = entry.prop_map(|(subject, confidence, seen)| Entry {
        subject,
        confidence,
        seen,
    });
    let made = proptest::option::of((-9..9i64).prop_map(at));
    (proptest::collection::vec(entry, 0..30), made).prop_map(|(entries, made)| Parsed {
        entries,
        made,
        ..Parsed::default()
    })
}

/// What is known about a subject, by the plain rules: surest and latest word in the last update that
/// had it, and when that was.
fn remembered(updates: &[(i64, Parsed)]) -> HashMap<Subject, (u8, Option<Timestamp>, i64)> {
    let mut known = HashMap::new();
    for (hour, update) in updates {
        for entry in &update.entries {
            let seen = entry.seen.map(|seen| seen.min(at(*hour)));
            let known = known
                .entry(entry.subject)
                .or_insert((entry.confidence, seen, *hour));
            *known = if known.2 == *hour {
                (known.0.max(entry.confidence), known.1.max(seen), *hour)
            } else {
                (entry.confidence, seen, *hour)
            };
        }
    }
    known
}

proptest! {
    #[test]
    fn after_any_updates_it_knows_what_was_in_the_feed_less_than_the_grace_ago(
        updates in proptest::collection::vec((1..30i64, any_update()), 1..6),
        grace in 0..40u32,
    ) {
        let grace = HOUR * grace;
        let mut now = 0;
        let updates: Vec<(i64, Parsed)> = updates.into_iter().map(|(hours, update)| {
            now += hours;
            (now, update)
        }).collect();
        let mut snapshot: Option<Snapshot> = None;
        for (hour, update) in &updates {
            let (next, delta) = Snapshot::next(snapshot.as_ref(), update, at(*hour), grace);
            let old = snapshot.as_ref().map_or(0, Snapshot::listed);
            prop_assert_eq!(next.listed(), old + delta.added - delta.removed);
            prop_assert_eq!(next.len(), next.listed() + delta.kept);
            snapshot = Some(next);
        }
        let snapshot = snapshot.unwrap();
        let mut expected = remembered(&updates);
        expected.retain(|_, (.., hour)| *hour == now || at(*hour) > at(now) - grace);
        prop_assert_eq!(snapshot.len(), expected.len());
        for known in snapshot.entries() {
            let (confidence, seen, hour) = expected[&known.subject];
            let seen = Seconds::of(seen.unwrap_or(at(hour)));
            let listed = hour == now;
            prop_assert_eq!(known, Known { subject: known.subject, confidence, seen, listed });
            prop_assert_eq!(snapshot.find(known.subject), Some(known));
        }
    }

    #[test]
    fn what_is_written_is_read_the_same(
        updates in proptest::collection::vec(any_update(), 1..4),
        extra in "\\PC{0,20}",
    ) {
        let mut snapshot = None;
        for (update, hour) in updates.iter().zip(1..) {
            snapshot = Some(Snapshot::next(snapshot.as_ref(), update, at(hour), DAY).0);
        }
        let snapshot = snapshot.unwrap();
        let extra = json!(extra);
        let text = written(&snapshot, &extra);
        prop_assert_eq!(Snapshot::read(text.as_bytes()).unwrap(), (snapshot, extra));
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes: Vec<u8>, lines in "[0-9a-f.:/ \nend]{0,80}") {
        drop(Snapshot::read(&*bytes));
        let header = "{\"version\":1,\"fetched\":\"2025-06-15T16:06:40Z\"}\n";
        drop(Snapshot::read(format!("{header}{lines}").as_bytes()));
    }
}
