//! Imports, as an operator meets them.

use std::time::Duration;

use super::*;
use crate::rules::{
    rule::{Draft, Scope},
    time::BootId,
};

fn now() -> Now {
    Now {
        wall: "2026-11-22T18:00:00Z".parse().unwrap(),
        boot_ns: 1_000_000_000,
        boot: BootId(1),
    }
}

fn later(seconds: u64) -> Now {
    let passed = Duration::from_secs(seconds);
    Now {
        wall: now().wall + passed,
        boot_ns: now().boot_ns + seconds * 1_000_000_000,
        ..now()
    }
}

fn records(lines: &[&str]) -> Vec<Record> {
    let lines = lines.iter();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

fn with_gateway() -> RuleSet {
    let mut rules = RuleSet::default();
    let draft = Draft {
        subject: "10.0.0.1".parse().unwrap(),
        action: RuleAction::Allow,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin: Origin::Protected("gateway".into()),
    };
    rules.sync(|_| true, vec![draft], now());
    rules
}

const NONE: Result<&Database, &str> = Err("none is configured");

fn of(lines: &[&str]) -> Import {
    Import {
        rules: records(lines),
        ..Import::default()
    }
}

/// Imports, carries it out, and returns the numbers: added, replaced, unchanged.
fn carry_out(rules: &mut RuleSet, lines: &[&str], now: Now) -> (usize, usize, usize) {
    let edit = import(rules, NONE, of(lines), now).unwrap();
    let _undo = rules.apply(&edit.changes);
    let answer = edit.answer;
    assert_eq!(edit.added.len(), answer.added + answer.replaced);
    (answer.added, answer.replaced, answer.unchanged)
}

const LINES: [&str; 3] = [
    r#"{"prefix":"198.51.100.0/24","action":"block","until":"2026-11-22T19:00:00Z","reason":"scraper"}"#,
    r#"{"prefix":"198.51.100.7","action":"allow"}"#,
    r#"{"prefix":"2001:db8::/32","action":"block","monitor":true}"#,
];

#[test]
fn the_same_import_again_changes_nothing() {
    let mut rules = with_gateway();
    assert_eq!(carry_out(&mut rules, &LINES, now()), (3, 0, 0));
    let before = rules.clone();
    assert_eq!(carry_out(&mut rules, &LINES, later(600)), (0, 0, 3));
    assert_eq!(rules, before);
}

#[test]
fn what_says_something_else_takes_the_place_of_the_earlier_rule() {
    let mut rules = RuleSet::default();
    carry_out(&mut rules, &LINES, now());
    let changed = [
        r#"{"prefix":"198.51.100.0/24","action":"block","until":"2026-11-22T20:00:00Z","reason":"scraper"}"#,
        r#"{"prefix":"198.51.100.7","action":"block"}"#,
    ];
    assert_eq!(carry_out(&mut rules, &changed, now()), (1, 1, 0));
    assert_eq!(rules.len(), 4);
}

#[test]
fn what_cannot_be_made_again_is_left_out_and_counted() {
    let lines = [
        r#"{"prefix":"192.0.2.1","action":"block","until":"2026-11-22T18:00:00Z"}"#,
        r#"{"prefix":"10.0.0.1","action":"block","until":"2026-11-22T17:00:00Z"}"#,
        r#"{"prefix":"192.0.2.2","action":"block","origin":"config"}"#,
        r#"{"prefix":"10.0.0.1","action":"allow","origin":"protected (gateway)"}"#,
        r#"{"prefix":"192.0.2.3","action":"block","reason":"first"}"#,
        r#"{"prefix":"192.0.2.3","action":"block","reason":"last"}"#,
        r#"{"prefix":"192.0.2.3","action":"allow"}"#,
    ];
    let rules = with_gateway();
    let rehearsal = Import {
        dry_run: true,
        ..of(&lines)
    };
    let edit = import(&rules, NONE, rehearsal, now()).unwrap();
    let answer = edit.answer;
    assert_eq!((answer.expired, answer.others, answer.repeated), (2, 2, 1));
    assert_eq!((answer.added, answer.dry_run), (2, true));
    let reasons: Vec<&str> = answer
        .rules
        .iter()
        .map(|rule| rule.reason.as_str())
        .collect();
    assert_eq!(reasons, ["last", ""]);
}

#[test]
fn a_protected_address_is_refused_with_its_line_unless_it_was_forced() {
    let rules = with_gateway();
    let mut asked = of(&[
        r#"{"prefix":"192.0.2.1","action":"block"}"#,
        r#"{"prefix":"10.0.0.1","action":"block"}"#,
    ]);
    let failure = import(&rules, NONE, asked.clone(), now()).unwrap_err();
    assert_eq!(failure.code, FailureCode::Refused);
    assert!(
        failure
            .message
            .starts_with("rule 2: 10.0.0.1 is protected (gateway)"),
        "{failure}"
    );
    asked.rules[1].line = Some(17);
    let failure = import(&rules, NONE, asked.clone(), now()).unwrap_err();
    assert!(failure.message.starts_with("line 17: "), "{failure}");
    asked.rules[1].forced = true;
    let edit = import(&rules, NONE, asked, now()).unwrap();
    assert_eq!(edit.answer.protected.len(), 1);
    assert!(edit.answer.rules.iter().any(|rule| rule.forced));
}

#[test]
fn what_a_client_should_have_seen_is_refused_all_the_same() {
    let reason = "x".repeat(600);
    let long = format!(r#"{{"prefix":"192.0.2.1","action":"block","reason":"{reason}"}}"#);
    for line in [r#"{"prefix":"10.0.0.0/7","action":"block"}"#, &long] {
        let failure = import(&RuleSet::default(), NONE, of(&[line]), now());
        assert_eq!(failure.unwrap_err().code, FailureCode::Invalid);
    }
}

#[test]
fn rules_get_ids_that_nothing_had() {
    let mut rules = RuleSet::default();
    carry_out(&mut rules, &LINES, now());
    let next = rules.next_id();
    let one = of(&[r#"{"prefix":"192.0.2.1","action":"block"}"#]);
    let edit = import(&rules, NONE, one, now());
    assert_eq!(edit.unwrap().added, [next]);
}

#[test]
fn a_network_without_a_database_is_refused_unless_nothing_is_made_of_it() {
    let none = RuleSet::default();
    let asked = of(&[r#"{"asn":"AS64500","action":"block"}"#]);
    let failure = import(&none, NONE, asked, now()).unwrap_err();
    assert_eq!(failure.code, FailureCode::Refused);
    assert_eq!(
        failure.message,
        "rule 1: AS64500 needs a database: none is configured; nothing was changed"
    );
    let configured = of(&[r#"{"asn":"AS64500","action":"block","origin":"config"}"#]);
    let edit = import(&none, NONE, configured, now()).unwrap();
    assert_eq!(edit.answer.others, 1);
}
