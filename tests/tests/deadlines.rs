//! What ends by itself: rules, unconfirmed enforcing, bypass. With the agent dead too.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use bot_tests::{
    lab::{HOST, IFACE, Lab, NETWORK, STRANGER},
    privilege::is_root,
    resident::Resident,
    traffic::{Sink, Stream, is_cut_off, listen, reaches},
};

/// A served port.
const PORT: u16 = 8080;

#[test]
fn a_block_ends_by_itself() {
    if !is_root("a_block_ends_by_itself") {
        return;
    }
    let lab = Lab::new("expiry");
    let sink = Sink::new(&lab.host, PORT);
    let mut agent = enforcing(&lab);
    let _stream = Stream::new(&lab.peer, &[STRANGER], (HOST, PORT));
    sink.wait_for_more(STRANGER, 10);
    agent.ok(&["block", NETWORK, "--duration", "2s"]);
    let blocked = sink.count(STRANGER);
    agent.event("a drop", |event| event["event"] == "drop");
    sink.wait_for_more(STRANGER, 10);
    // At most those arrived late that were on their way when the block came.
    let expired = agent.event("the end", |event| event["event"] == "rule_expired");
    assert_eq!(expired["prefix"], NETWORK);
    assert!(blocked > 0);
    assert_eq!(agent.cli(&["check", &STRANGER.to_string()]).code, 0);
    assert_eq!(agent.ok(&["--output", "raw", "list"]), "");

    // The same with nobody there to end it, over a permanent block that it uncovers: none.
    agent.ok(&["block", NETWORK, "--duration", "2s"]);
    agent.kill();
    assert_eq!(agent.cli(&["check", &STRANGER.to_string()]).code, 1);
    sink.wait_for_more(STRANGER, 100);
    assert_eq!(agent.cli(&["check", &STRANGER.to_string()]).code, 0);
    // The next agent does not bring it back.
    agent.start(&["-i", IFACE]);
    assert_eq!(agent.cli(&["check", &STRANGER.to_string()]).code, 0);
}

#[test]
fn an_allow_that_ends_uncovers_the_block_with_the_agent_dead() {
    if !is_root("an_allow_that_ends_uncovers_the_block_with_the_agent_dead") {
        return;
    }
    let lab = Lab::new("uncover");
    let _server = listen(&lab.host, PORT);
    let mut agent = enforcing(&lab);
    agent.ok(&["block", NETWORK, "--permanent"]);
    agent.ok(&["allow", &STRANGER.to_string(), "--duration", "3s"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.kill();
    until_cut_off(&lab);
}

#[test]
fn unconfirmed_enforcing_falls_back_by_itself() {
    if !is_root("unconfirmed_enforcing_falls_back_by_itself") {
        return;
    }
    let lab = Lab::new("fallback");
    let sink = Sink::new(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    let _stream = Stream::new(&lab.peer, &[STRANGER], (HOST, PORT));
    sink.wait_for_more(STRANGER, 10);

    agent.ok(&["mode", "enforce", "--confirm-within", "2s"]);
    agent.event("a drop", |event| event["event"] == "drop");
    sink.wait_for_more(STRANGER, 10);
    let fallen = agent.event("the fall-back", |event| {
        event["event"] == "mode" && event["mode"] == "monitor"
    });
    assert!(
        fallen["reason"].as_str().unwrap().contains("confirmed"),
        "{fallen}"
    );

    agent.ok(&["mode", "enforce", "--confirm-within", "2s"]);
    let mode = agent.json(&["mode"]);
    assert_eq!(mode["mode"], "enforce");
    agent.kill();
    assert_eq!(agent.json(&["status"])["mode"]["mode"], "enforce");
    sink.wait_for_more(STRANGER, 100);
    assert_eq!(agent.json(&["status"])["mode"]["mode"], "monitor");
    agent.start(&["-i", IFACE]);
    assert_eq!(agent.json(&["mode"])["mode"], "monitor");
}

#[test]
fn only_a_new_session_confirms_and_then_it_is_for_good() {
    if !is_root("only_a_new_session_confirms_and_then_it_is_for_good") {
        return;
    }
    let lab = Lab::new("confirm");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    let nothing = agent.cli(&["confirm"]);
    assert_eq!(nothing.code, 2, "{nothing:?}");
    agent.ok(&["mode", "enforce", "--confirm-within", "30s"]);
    let same = agent.cli(&["confirm"]);
    assert_eq!(same.code, 2);
    assert!(
        same.error_line().contains("another login session"),
        "{same:?}"
    );
    assert!(agent.json(&["mode"])["remaining_seconds"].is_u64());

    let confirmed = agent.cli_in_new_session(&["confirm"]);
    assert_eq!(confirmed.code, 0, "{confirmed:?}");
    assert!(agent.json(&["mode"])["remaining_seconds"].is_null());
    agent.kill();
    agent.start(&["-i", IFACE]);
    assert_eq!(agent.json(&["mode"])["mode"], "enforce");
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
}

#[test]
fn bypass_passes_everything_at_once_and_ends() {
    if !is_root("bypass_passes_everything_at_once_and_ends") {
        return;
    }
    let lab = Lab::new("bypass");
    let _server = listen(&lab.host, PORT);
    let mut agent = enforcing(&lab);
    agent.ok(&["block", NETWORK, "--permanent"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));

    agent.ok(&["bypass", "--reason", "customers complain"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    let status = agent.json(&["status"]);
    let reason = status["mode"]["bypass"]["reason"].as_str().unwrap();
    assert_eq!(reason, "customers complain");
    let event = agent.event("the bypass", |event| event["event"] == "bypass");
    assert_eq!(event["active"], true);
    // It outlives the agent.
    agent.kill();
    agent.start(&["-i", IFACE]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.ok(&["resume"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));

    agent.ok(&["bypass", "--reason", "a moment", "--for", "3s"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.kill();
    until_cut_off(&lab);
}

fn enforcing(lab: &Lab) -> Resident<'_> {
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent
}

/// The stranger's datagrams stop within ten seconds.
#[track_caller]
fn until_cut_off(lab: &Lab) {
    let sink = Sink::new(&lab.host, 9_000);
    let stream = Stream::new(&lab.peer, &[STRANGER], (HOST, 9_000));
    sink.wait_for_more(STRANGER, 1);
    sink.wait_for_silence(STRANGER);
    drop(stream);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
}
