//! Limits: what does not fit is refused and leaves no trace, and what is there is never lost to them.
#![allow(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{fs, net::Ipv4Addr, ops::Range};

use bot_agent::datapath::Pinned;
use bot_common::abi::verdict::{Verdict, VerdictId};
use bot_tests::{
    lab::{IFACE, Lab},
    privilege::is_root,
    resident::Resident,
};
use serde_json::Value;

/// Exit code of what was refused.
const REFUSED: i32 = 2;

/// Addresses that are no neighbours, one a line.
fn hosts(numbers: Range<u32>) -> String {
    let hosts = numbers.map(|n| Ipv4Addr::from(0x0b00_0000 + 2 * n));
    let lines: Vec<String> = hosts.map(|host| host.to_string()).collect();
    lines.join("\n")
}

fn file(agent: &Resident<'_>, name: &str, text: &str) -> String {
    let path = agent.path(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

fn limit(prefixes: u32) -> String {
    format!("[tables]\nprefixes = {prefixes}\n")
}

/// The limit and a list.
fn limit_and_list(agent: &Resident<'_>, prefixes: u32, list: &str) {
    let path = file(agent, "list.txt", list);
    agent.configure(&format!(
        "{}[[list]]\nname = \"bad\"\nfile = \"{path}\"\naction = \"block\"\n",
        limit(prefixes)
    ));
}

/// An agent with 2,000 rules of operators.
fn with_rules(lab: &Lab) -> Resident<'_> {
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let path = file(&agent, "hosts.txt", &hosts(0..2_000));
    agent.ok(&["block", "--from-file", &path, "--permanent", "--yes"]);
    agent
}

/// Prefixes that are named, and how many may be.
fn prefixes(status: &Value) -> (u64, u64) {
    let table = &status["table"];
    let number = |key: &str| table[key].as_u64().unwrap();
    (number("prefixes"), number("max_prefixes"))
}

/// All is well.
#[track_caller]
fn assert_no_notes(agent: &Resident<'_>) {
    assert_eq!(agent.json(&["status"])["notes"], Value::Array(Vec::new()));
}

#[test]
fn a_limit_below_what_is_in_force_is_refused_and_nothing_changes() {
    if !is_root("a_limit_below_what_is_in_force_is_refused") {
        return;
    }
    let lab = Lab::new("lowered");
    let agent = with_rules(&lab);
    agent.configure(&limit(1_500));
    let refused = agent.cli(&["reload"]).fails(REFUSED);
    assert!(
        refused.contains("name 2000 prefixes, [tables] prefixes allows 1500"),
        "{refused}"
    );
    assert_eq!(prefixes(&agent.json(&["status"])), (2_000, 1_000_000));
    assert_no_notes(&agent);
    agent.ok(&["unblock", "11.0.0.0"]);
    agent.ok(&["block", "203.0.113.77"]);
    agent.ok(&["block", "203.0.113.78"]);

    // What fits is taken.
    agent.configure(&limit(2_001));
    agent.ok(&["reload"]);
    assert_eq!(prefixes(&agent.json(&["status"])), (2_001, 2_001));
    agent.cli(&["block", "203.0.113.79"]).fails(REFUSED);
    agent.ok(&["unblock", "203.0.113.78"]);
    agent.ok(&["block", "203.0.113.79"]);
    assert_no_notes(&agent);
}

#[test]
fn what_is_above_the_limit_at_a_start_stays_and_can_only_become_less() {
    if !is_root("what_is_above_the_limit_at_a_start_stays") {
        return;
    }
    let lab = Lab::new("above");
    let mut agent = with_rules(&lab);
    let many = 2_000 + 1_000;
    limit_and_list(&agent, 1_500, &hosts(2_000..many));
    agent.stop();
    agent.start(&["-i", IFACE]);
    let said =
        "name 3000 prefixes, [tables] prefixes allows 1500: all of them are in force, but none";
    agent.event("an error", |event| {
        event["event"] == "error" && event["message"].to_string().contains(said)
    });
    let status = agent.json(&["status"]);
    assert_eq!(prefixes(&status), (3_000, 1_500));
    assert!(status["notes"].to_string().contains(said), "{status}");
    for address in ["11.0.0.0", "11.0.15.158", "11.0.23.110"] {
        assert_eq!(agent.cli(&["check", address]).code, 1, "{address}");
    }

    // What adds nothing is never refused.
    agent.ok(&["block", "11.0.0.0", "--duration", "2h"]);
    agent.ok(&["unblock", "11.0.0.2", "11.0.0.4"]);
    agent.ok(&["block", "11.0.0.8", "--permanent", "-r", "worse"]);
    let refused = agent.cli(&["block", "11.0.0.4"]).fails(REFUSED);
    assert!(refused.contains("prefixes allows 1500"), "{refused}");
    agent.ok(&["block", "11.0.0.6", "--duration", "1s"]);
    agent.event("an end", |event| event["event"] == "rule_expired");
    limit_and_list(&agent, 1_500, &hosts(2_000..many - 100));
    agent.ok(&["reload"]);
    limit_and_list(&agent, 1_500, &hosts(2_000..many));
    agent.cli(&["reload"]).fails(REFUSED);
    limit_and_list(&agent, 1_400, &hosts(2_000..many - 200));
    agent.cli(&["reload"]).fails(REFUSED);
    let listed = agent.json(&["status"])["lists"][0]["entries"].clone();
    assert_eq!(listed, 900);
    let path = file(&agent, "some.txt", &hosts(100..2_000));
    agent.ok(&["unblock", "--from-file", &path]);
    assert_no_notes(&agent);
    agent.ok(&["block", "11.0.0.5"]);
}

#[test]
fn a_refused_reload_is_no_alarm() {
    if !is_root("a_refused_reload_is_no_alarm") {
        return;
    }
    let lab = Lab::new("no-alarm");
    let mut agent = Resident::new(&lab.host, "");
    limit_and_list(&agent, 2_000, &hosts(0..1_900));
    agent.start(&["-i", IFACE]);
    let refusals = [(1_500, 0..1_900), (1_500, 0..1_600), (2_000, 0..2_001)];
    for (prefixes, list) in refusals {
        limit_and_list(&agent, prefixes, &hosts(list));
        let refused = agent.cli(&["reload"]).fails(REFUSED);
        assert!(refused.contains("[tables] prefixes"), "{refused}");
        assert_no_notes(&agent);
        let ran = agent.cli(&["list", "--summary", "-o", "json"]).json();
        assert_eq!(ran["differs"], Value::Null);
    }
    assert_eq!(prefixes(&agent.json(&["status"])), (1_900, 2_000));
    limit_and_list(&agent, 1_500, &hosts(0..1_500));
    agent.ok(&["reload"]);
    assert_eq!(prefixes(&agent.json(&["status"])), (1_500, 1_500));
}

#[test]
fn a_rehearsal_leaves_no_verdict_behind() {
    if !is_root("a_rehearsal_leaves_no_verdict_behind") {
        return;
    }
    let lab = Lab::new("rehearsed");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let few = file(&agent, "few.txt", &hosts(0..20));
    let many = file(&agent, "many.txt", &hosts(0..5_000));
    let before = (used(&agent), written(&agent));
    for path in [&few, &many] {
        agent.ok(&["block", "--from-file", path, "--dry-run"]);
    }
    let unconfirmed = agent.cli(&["block", "100.64.0.0/10", "--permanent"]);
    assert_eq!(unconfirmed.code, REFUSED, "{unconfirmed:?}");
    let export = r#"{"prefix":"192.0.2.99","action":"block"}"#;
    let export = file(&agent, "export.jsonl", export);
    agent.ok(&["import", &export, "--dry-run"]);
    assert_eq!((used(&agent), written(&agent)), before);

    // It says what the change itself would: the ids were not in anybody's way.
    agent.ok(&["block", "--from-file", &many, "--yes"]);
    assert_eq!(used(&agent), before.0 + 5_000);
    agent.ok(&["unblock", "--from-file", &many, "--dry-run"]);
    assert_eq!(used(&agent), before.0 + 5_000);
}

/// Verdicts that count as used.
fn used(agent: &Resident<'_>) -> u64 {
    let status = agent.json(&["status"]);
    status["table"]["verdicts"].as_u64().unwrap()
}

/// Verdicts that the kernel has been given.
fn written(agent: &Resident<'_>) -> Vec<(VerdictId, Verdict)> {
    let pinned = Pinned::open(&agent.pin_dir()).unwrap();
    pinned.verdicts().unwrap()
}
