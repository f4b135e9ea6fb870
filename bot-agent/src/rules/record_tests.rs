//! Lines of rules: what comes back, what is refused, and what is said about it.

use proptest::prelude::*;

use super::*;
use crate::rules::time::BootId;

fn now() -> Now {
    Now {
        wall: "2026-11-22T18:00:00Z".parse().unwrap(),
        boot_ns: 1_000_000_000,
        boot: BootId(1),
    }
}

fn read(text: &str) -> Result<Vec<Record>, BadLines> {
    let mut records = Vec::new();
    let read = read_lines(text.as_bytes(), now(), |record| {
        records.push(record);
        Ok::<_, io::Error>(())
    });
    read.unwrap().map(|()| records)
}

fn one(text: &str) -> Record {
    let mut records = read(text).unwrap();
    assert_eq!(records.len(), 1, "{text}");
    records.remove(0)
}

#[track_caller]
fn refused(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn a_line_has_its_documented_form() {
    let text = r#"{"prefix":"198.51.100.0/24","action":"block","scope":"services","monitor":true,"forced":false,"until":"2026-11-29T18:00:00Z","reason":"scraper","origin":"operator","created":"2026-11-22T17:00:00Z"}"#;
    let record = one(text);
    let without_line = Record {
        line: None,
        ..record.clone()
    };
    assert_eq!(serde_json::to_string(&without_line).unwrap(), text);
    let rule = record.clone().into_rule(RuleId(7), now());
    assert!(record.says(&rule));
    assert_eq!(rule.subject.to_string(), "198.51.100.0/24");
    assert_eq!((rule.scope, rule.monitor), (Scope::Services, true));
    let left = rule.deadline.unwrap().remaining(now());
    assert_eq!(left, Duration::from_hours(7 * 24));
    assert_eq!(rule.created, "2026-11-22T17:00:00Z".parse().unwrap());
}

#[test]
fn what_is_left_out_has_its_documented_default() {
    let record = one(r#"{"prefix":"192.0.2.7","action":"block"}"#);
    assert_eq!(record.scope, Scope::All);
    assert_eq!((record.monitor, record.forced), (false, false));
    assert_eq!((record.until, record.created), (None, None));
    assert_eq!(record.standing(now()), Standing::Lasts);
    let rule = record.into_rule(RuleId(1), now());
    assert_eq!((rule.deadline, rule.created), (None, now().wall));
    assert_eq!(
        one(r#"{"asn":"AS64500","action":"block"}"#).scope,
        Scope::Services
    );
    assert_eq!(
        one(r#"{"country":"DE","action":"allow","scope":"services","forced":true}"#),
        Record {
            scope: Scope::All,
            forced: false,
            ..one(r#"{"country":"DE","action":"allow"}"#)
        }
    );
}

#[test]
fn bad_lines_are_all_named_and_none_is_handed_over_after_one() {
    let text = r#"
{"prefix":"192.0.2.7","action":"block"}
{"prefix":"10.0.0.1/8","action":"block"}
{"prefix":"192.0.2.8","action":"block"}
{"prefix":"192.0.2.9","action":"block","durtion":7}
nonsense
{"action":"block"}
{"prefix":"192.0.2.7","asn":"AS1","action":"block"}
{"prefix":"10.0.0.0/7","action":"block"}
{"prefix":"192.0.2.7","action":"block","until":"2126-11-22T18:00:00Z"}
{"prefix":"192.0.2.7"}"#;
    let mut handed = Vec::new();
    let bad = read_lines(text.as_bytes(), now(), |record| {
        handed.push(record.line);
        Ok::<_, io::Error>(())
    });
    let bad = bad.unwrap().unwrap_err();
    assert_eq!(handed, [Some(2)]);
    let lines: Vec<usize> = bad.first.iter().map(|(line, _)| *line).collect();
    assert_eq!(lines, [3, 5, 6, 7, 8, 9, 10, 11]);
    let text = bad.to_string();
    for part in [
        "line 3: `10.0.0.1/8` has host bits set; the network would be 10.0.0.0/8 (column ",
        "line 5: unknown field `durtion`",
        "line 7: exactly one of",
        "line 8: exactly one of",
        "line 9: `10.0.0.0/7` covers 10.0.0.0/7, wider than /8; if that is meant, say \"forced\":true",
        "line 10: 2126-11-22T18:00:00Z is more than 10 years away",
        "line 11: missing field `action`",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    assert!(!text.contains("at line 1"), "{text}");
}

#[test]
fn of_many_bad_lines_the_first_are_named_and_all_counted() {
    let text = refused(&"x\n".repeat(25));
    assert_eq!(text.lines().count(), 11);
    assert!(text.ends_with("and 15 more bad lines"), "{text}");
}

#[test]
fn a_line_without_end_is_not_read_to_memory() {
    let long = format!("{}\n{{\"prefix\":\"192.0.2.7\"}}\n", "x".repeat(1 << 20));
    let text = refused(&long);
    assert!(
        text.starts_with("line 1: longer than 64 KiB\nline 2: "),
        "{text}"
    );
    let reason = "x".repeat(MAX_REASON + 1);
    let text = refused(&format!(
        r#"{{"prefix":"::1","action":"block","reason":"{reason}"}}"#
    ));
    assert_eq!(text, "line 1: the reason has 513 bytes, 512 are allowed");
}

#[test]
fn a_mark_and_empty_lines_are_no_rules() {
    assert_eq!(read("").unwrap(), []);
    let text = "\u{feff}{\"prefix\":\"::1\",\"action\":\"block\"}\r\n\r\n  \n";
    assert_eq!(one(text).line, Some(1));
}

#[test]
fn what_is_over_and_what_is_not_an_operator_s_is_told_apart() {
    let over = r#"{"prefix":"::1","action":"block","until":"2026-11-22T18:00:00Z"}"#;
    assert_eq!(one(over).standing(now()), Standing::Over);
    let others = r#"{"prefix":"::1","action":"allow","origin":"protected (gateway)"}"#;
    assert_eq!(one(others).standing(now()), Standing::Others);
    // Of which no rule is made, nothing is asked: link-local addresses are more than a rule may be.
    let wide = r#"{"prefix":"fe80::/10","action":"allow","origin":"protected (link-local)"}"#;
    assert_eq!(one(wide).standing(now()), Standing::Others);
}

proptest! {
    #[test]
    fn a_rule_comes_back(
        v4: u32,
        bits in 8..=32u8,
        blocks: bool,
        flags: (bool, bool, bool),
        seconds in proptest::option::of(1..300_000_000i64),
        reason in "\\PC{0,80}",
    ) {
        let net = ipnet::IpNet::new(std::net::Ipv4Addr::from(v4).into(), bits).unwrap();
        let wall = now().wall.as_second();
        let record = Record {
            subject: Prefix::from_net(net).into(),
            action: if blocks { RuleAction::Block } else { RuleAction::Allow },
            scope: if blocks && flags.0 { Scope::Services } else { Scope::All },
            monitor: blocks && flags.1,
            forced: blocks && flags.2,
            until: seconds.map(|seconds| Timestamp::from_second(wall + seconds).unwrap()),
            reason,
            origin: operator(),
            created: Some(now().wall),
            line: Some(1),
        };
        let line = serde_json::to_string(&record).unwrap();
        prop_assert_eq!(read(&line).unwrap(), vec![record.clone()]);
        let rule = record.clone().into_rule(RuleId(3), now());
        prop_assert!(record.says(&rule));
        prop_assert_eq!(rule.is_live(now()), true);
    }

    #[test]
    fn nothing_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let read = read_lines(&bytes[..], now(), |_| Ok::<_, io::Error>(()));
        prop_assert!(read.is_ok());
    }
}
