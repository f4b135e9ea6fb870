//! The way out when the agent is stopped or overrun, and how the agent finds what was done
//! without it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    process::Stdio,
    time::{Duration, Instant},
};

use bot_tests::{
    agent::Ran,
    lab::{HOST, IFACE, Lab, NETWORK, STRANGER},
    privilege::is_root,
    resident::Resident,
    traffic::{is_cut_off, listen, reaches},
};
use rustix::process::Signal;

const PORT: u16 = 8080;
/// Places for clients.
const PLACES: usize = 128;

/// A host that enforces a block of [`STRANGER`].
fn enforcing(lab: &Lab) -> Resident<'_> {
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--duration", "1h"]);
    agent
}

/// Runs a command that must not wait long for an agent that does not answer.
#[track_caller]
fn soon(agent: &Resident<'_>, arguments: &[&str], code: i32) -> Ran {
    let begun = Instant::now();
    let ran = agent.cli(arguments);
    assert!(begun.elapsed() < Duration::from_secs(8), "{arguments:?}");
    assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
    assert!(
        ran.err.contains("the agent does not answer"),
        "{arguments:?}: {ran:?}"
    );
    ran
}

#[test]
fn a_stopped_agent_is_in_nobodys_way_and_finds_what_was_done() {
    if !is_root("a_stopped_agent_is_in_nobodys_way") {
        return;
    }
    let lab = Lab::new("rescue");
    let _server = listen(&lab.host, PORT);
    let mut agent = enforcing(&lab);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));

    agent.signal(Signal::STOP);
    soon(&agent, &["check", &STRANGER.to_string()], 1);
    let status = soon(&agent, &["status"], 3);
    assert!(!status.out.contains("0 protected"), "{status:?}");
    soon(&agent, &["bypass", "--reason", "test"], 0);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    assert_eq!(soon(&agent, &["mode", "-o", "raw"], 0).out, "bypass\n");

    // The agent goes on, hears of it, and does not undo it.
    agent.signal(Signal::CONT);
    let bypass = agent.event("the bypass", |event| event["event"] == "bypass");
    assert_eq!(bypass["active"], true);
    assert_eq!(bypass["reason"], "set without the agent");
    agent.ok(&["mode", "enforce"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.stop();
    agent.start(&["-i", IFACE]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.ok(&["resume"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));

    agent.signal(Signal::STOP);
    soon(&agent, &["mode", "monitor"], 0);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.signal(Signal::CONT);
    agent.event("the mode", |event| {
        event["event"] == "mode" && event["reason"] == "set without the agent"
    });
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    assert_eq!(agent.json(&["status"])["mode"]["mode"], "monitor");
}

#[test]
fn monitor_behind_the_back_of_an_agent_that_dies_is_kept() {
    if !is_root("monitor_behind_the_back") {
        return;
    }
    let lab = Lab::new("rescue-die");
    let _server = listen(&lab.host, PORT);
    let mut agent = enforcing(&lab);
    agent.signal(Signal::STOP);
    soon(&agent, &["mode", "monitor"], 0);
    agent.kill();
    agent.start(&["-i", IFACE]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    assert_eq!(agent.json(&["mode"])["mode"], "monitor");
}

#[test]
fn an_interface_is_freed_though_the_agent_is_stopped() {
    if !is_root("an_interface_is_freed_though") {
        return;
    }
    let lab = Lab::new("rescue-free");
    let _server = listen(&lab.host, PORT);
    let agent = enforcing(&lab);
    agent.signal(Signal::STOP);
    let freed = soon(&agent, &["detach", IFACE], 0);
    assert!(freed.out.contains(IFACE), "{freed:?}");
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    assert_eq!(agent.cli(&["detach", IFACE]).code, 2, "it is free already");
}

#[test]
fn idle_connections_are_in_nobodys_way() {
    if !is_root("idle_connections_are_in_nobodys_way") {
        return;
    }
    let lab = Lab::new("rescue-idle");
    let agent = enforcing(&lab);
    let idle: Vec<UnixStream> = (0..PLACES + 10)
        .map(|_| UnixStream::connect(agent.socket()).unwrap())
        .collect();
    for arguments in [
        &["status"][..],
        &["block", "198.51.100.200"],
        &["bypass", "--reason", "test"],
        &["resume"],
    ] {
        let ran = agent.cli(arguments);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{arguments:?}");
    }
    drop(idle);
}

#[test]
fn an_overrun_agent_is_in_nobodys_way() {
    if !is_root("an_overrun_agent_is_in_nobodys_way") {
        return;
    }
    let lab = Lab::new("rescue-busy");
    let _server = listen(&lab.host, PORT);
    let agent = enforcing(&lab);
    let followers: Vec<UnixStream> = (0..PLACES)
        .map(|_| {
            let mut stream = UnixStream::connect(agent.socket()).unwrap();
            let request = b"{\"command\":\"logs\",\"follow\":true,\"limit\":1}\n";
            stream.write_all(request).unwrap();
            // An event of the past: it is being served.
            assert!(stream.read(&mut [0; 16]).unwrap() > 0);
            stream
        })
        .collect();
    let bypass = agent.cli(&["bypass", "--reason", "test"]);
    assert_eq!(bypass.code, 0, "{bypass:?}");
    assert_eq!(
        bypass.error_line(),
        "bot-agent: the agent is busy; done in the kernel's tables"
    );
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.event("the bypass", |event| event["event"] == "bypass");
    drop(followers);
    agent.ok(&["resume"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
}

#[test]
fn sixty_commands_at_once_all_succeed() {
    if !is_root("sixty_commands_at_once") {
        return;
    }
    let lab = Lab::new("rescue-many");
    let agent = enforcing(&lab);
    let children: Vec<_> = (1..=60)
        .map(|number| {
            let address = format!("203.0.113.{number}");
            let mut command = agent.command(None, &["block", &address]);
            command.stdout(Stdio::null()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    for child in children {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""));
    }
    let listed = agent.ok(&["list", "--overlaps", "203.0.113.0/24", "-o", "raw"]);
    assert_eq!(listed.lines().count(), 60);
}

#[test]
fn a_target_without_a_rule_is_a_typo_and_the_others_go() {
    if !is_root("a_target_without_a_rule_is_a_typo") {
        return;
    }
    let lab = Lab::new("rescue-typo");
    let agent = enforcing(&lab);
    agent.ok(&["block", "203.0.113.1", "203.0.113.2"]);
    let ran = agent.cli(&["unblock", "203.0.113.1", "203.0.113.9", "203.0.113.2"]);
    assert_eq!(ran.code, 2, "{ran:?}");
    assert_eq!(
        ran.error_line(),
        "bot-agent: there is no such rule: 203.0.113.9"
    );
    let listed = agent.ok(&["list", "--overlaps", "203.0.113.0/24", "-o", "raw"]);
    assert_eq!(listed, "");
    assert_eq!(agent.cli(&["unallow", "203.0.113.9"]).code, 2);
    let json = agent.cli(&["unblock", "203.0.113.9", "-o", "json"]);
    let error: serde_json::Value = serde_json::from_str(json.error_line()).unwrap();
    assert_eq!(error["exit"], 2);
    assert_eq!(error["error"], "there is no such rule: 203.0.113.9");
}

#[test]
fn an_interrupted_file_changes_nothing() {
    if !is_root("an_interrupted_file_changes_nothing") {
        return;
    }
    let lab = Lab::new("rescue-part");
    let agent = enforcing(&lab);
    let file = agent.path("list");
    let lines: Vec<String> = (0..60_000u32)
        .map(|number| std::net::Ipv4Addr::from(0x0b00_0000 + number * 2).to_string())
        .collect();
    fs::write(&file, lines.join("\n")).unwrap();
    let file = file.to_string_lossy().into_owned();
    // While the agent is stopped, the command waits for the answer to the first part.
    agent.signal(Signal::STOP);
    let mut command = agent.command(None, &["block", "--from-file", &file, "--yes"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped());
    let child = command.spawn().unwrap();
    let begun = Instant::now();
    while !catches_interrupts(child.id()) {
        assert!(begun.elapsed() < Duration::from_secs(20), "it never began");
        std::thread::sleep(Duration::from_millis(5));
    }
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), Signal::INT).unwrap();
    agent.signal(Signal::CONT);
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.code, 2, "{ran:?}");
    let line = ran.error_line();
    assert_eq!(line, "bot-agent: interrupted; nothing was changed");
    let within = ["list", "--within", "11.0.0.0/8", "-o", "raw"];
    assert_eq!(agent.ok(&within), "");

    // Uninterrupted, all of it comes into force at once.
    agent.ok(&["block", "--from-file", &file, "--yes"]);
    assert_eq!(agent.ok(&within).lines().count(), 60_000);
    agent.ok(&["unblock", "--from-file", &file]);
    assert_eq!(agent.ok(&within), "");
}

/// Whether a process has a handler for SIGINT (signal 2), as `proc_pid_status(5)` shows it.
fn catches_interrupts(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    caught.is_some_and(|mask| mask & 0b10 != 0)
}
