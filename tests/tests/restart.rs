//! The filter outlives its agent: restart, kill, upgrade and interfaces that go and come back, with
//! traffic running, and not one packet of a blocked source comes through.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::{fs::symlink, net::UnixStream},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use bot_agent::host::interface;
use bot_tests::{
    agent::binary,
    foreign,
    lab::{FRIEND, HOST, IFACE, Lab, NETWORK, STRANGER},
    privilege::is_root,
    resident::Resident,
    traffic::{Sink, Stream, is_cut_off, listen, reaches},
};
use rustix::process::Signal;
use serde_json::json;

/// Where datagrams go.
const PORT: u16 = 9000;

#[test]
fn restarts_kills_and_upgrades_let_nothing_through() {
    if !is_root("restarts_kills_and_upgrades_let_nothing_through") {
        return;
    }
    let lab = Lab::new("restart");
    let sink = Sink::new(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    let (ours, newer) = (binary(), agent.path("newer-bot-agent"));
    symlink(&ours, &newer).unwrap();
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent", "--reason", "kept"]);
    let stream = Stream::new(&lab.peer, &[STRANGER, FRIEND], (HOST, PORT));
    sink.wait_for_more(FRIEND, 10);

    let mut loaded = program(&lab);
    for round in 0..12u8 {
        let (graceful, upgrade) = (round % 3 != 1, round % 3 == 2);
        if graceful {
            agent.stop();
        } else {
            agent.kill();
        }
        sink.wait_for_more(FRIEND, 20);
        let path = if upgrade { &newer } else { &ours };
        agent.start_binary(path, &["-i", IFACE]);
        let attach = agent.event("the adoption", |event| event["event"] == "attach");
        assert_eq!(attach["adopted"], true, "round {round}");
        // The new agent's own program took the place of the old one's, on the same link.
        let now = program(&lab);
        assert_ne!(now, loaded, "round {round}");
        loaded = now;
        // What was acknowledged is there, and what is acknowledged now will be.
        let host = format!("203.0.113.{round}");
        agent.ok(&["block", &host, "--permanent"]);
        for earlier in 0..=round {
            let check = agent.cli(&["check", &format!("203.0.113.{earlier}")]);
            assert_eq!(check.code, 1, "round {round}: {check:?}");
        }
        sink.wait_for_more(FRIEND, 20);
    }
    assert_eq!(sink.count(STRANGER), 0);
    let sent = stream.end();
    assert!(sent > 1_000, "{sent} datagrams are no traffic");
    // More datagrams behind all others: when they are there, those were looked at.
    let last = Stream::new(&lab.peer, &[FRIEND], (HOST, PORT));
    sink.wait_for_more(FRIEND, 5);
    drop(last);
    let check = agent.json(&["check", &STRANGER.to_string()]);
    assert_eq!(
        (&check["effect"], &check["rule"]["reason"]),
        (&"drop".into(), &"kept".into())
    );
    // The rule's counter went on through all of it: half of what was sent came from the stranger.
    assert_eq!(check["rule"]["hits"]["packets"], sent / 2, "{check}");
}

#[test]
fn a_start_that_is_killed_halfway_harms_nothing() {
    if !is_root("a_start_that_is_killed_halfway_harms_nothing") {
        return;
    }
    let lab = Lab::new("halfway");
    let sink = Sink::new(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    // Before there is anything, and on what an agent left behind.
    let starts_halfway = |agent: &Resident<'_>| {
        for delay in (10..250).step_by(20) {
            let mut process = agent.run_command(&["-i", IFACE]).spawn().unwrap();
            thread::sleep(Duration::from_millis(delay));
            process.kill().unwrap();
            process.wait().unwrap();
        }
    };
    starts_halfway(&agent);
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    let stream = Stream::new(&lab.peer, &[STRANGER, FRIEND], (HOST, PORT));
    sink.wait_for_more(FRIEND, 10);
    agent.stop();
    starts_halfway(&agent);
    agent.start(&["-i", IFACE]);
    sink.wait_for_more(FRIEND, 10);
    drop(stream);
    assert_eq!(sink.count(STRANGER), 0);
    let list = agent.ok(&["list"]);
    assert!(list.contains(NETWORK), "{list}");
}

#[test]
fn rules_that_were_acknowledged_survive_a_kill_at_any_instant() {
    if !is_root("rules_that_were_acknowledged_survive_a_kill_at_any_instant") {
        return;
    }
    let lab = Lab::new("kill");
    let mut agent = Resident::new(&lab.host, "");
    let mut acknowledged = Vec::new();
    for round in 0..5u8 {
        agent.start(&["-i", IFACE]);
        let socket = agent.socket();
        let client = thread::spawn(move || {
            let stream = UnixStream::connect(socket).unwrap();
            let mut answers = BufReader::new(&stream).lines();
            let mut done = Vec::new();
            for number in 0.. {
                let target = format!("10.{round}.{}.{}", number / 250, number % 250);
                let request = json!({ "command": "block", "targets": [target], "permanent": true });
                // The agent dies in the midst of it.
                if writeln!(&stream, "{request}").is_err() {
                    break;
                }
                let Some(Ok(answer)) = answers.next() else {
                    break;
                };
                assert!(answer.contains("changed"), "{answer}");
                done.push(target);
            }
            done
        });
        agent.events("rules", 10 + 7 * usize::from(round), |event| {
            event["event"] == "rule_added" && event["origin"] == "operator"
        });
        agent.kill();
        acknowledged.extend(client.join().unwrap());
    }
    agent.start(&["-i", IFACE]);
    let list = agent.ok(&["--output", "raw", "list"]);
    assert!(acknowledged.len() > 50);
    for target in &acknowledged {
        let listed = list
            .lines()
            .any(|line| line.split('\t').any(|word| word == target));
        assert!(listed, "{target} was acknowledged and is gone");
    }
    let newest = acknowledged.last().unwrap();
    assert_eq!(agent.cli(&["check", newest]).code, 1);
}

#[test]
fn rules_that_come_and_go_around_a_block_let_nothing_through() {
    if !is_root("rules_that_come_and_go_around_a_block_let_nothing_through") {
        return;
    }
    let lab = Lab::new("around");
    let sink = Sink::new(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    let stream = Stream::new(&lab.peer, &[STRANGER, FRIEND], (HOST, PORT));
    sink.wait_for_more(FRIEND, 20);
    for _ in 0..5 {
        for other in ["198.51.0.0/17", "198.51.100.64/26", "198.51.100.77"] {
            agent.ok(&["block", other, "--duration", "1h"]);
            // The same again takes its place.
            agent.ok(&["block", other, "--permanent", "--scope", "all"]);
        }
        let around = ["198.51.100.64/26", "198.51.100.77", "198.51.0.0/17"];
        for other in around {
            assert_ne!(agent.cli(&["unblock", other]).code, 2);
        }
        agent.ok(&["block", NETWORK, "--permanent"]);
        sink.wait_for_more(FRIEND, 5);
    }
    drop(stream);
    assert_eq!(sink.count(STRANGER), 0);
}

#[test]
fn an_interface_that_comes_back_is_filtered_within_a_second() {
    if !is_root("an_interface_that_comes_back_is_filtered_within_a_second") {
        return;
    }
    let lab = Lab::new("recreate");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    for round in 1..=3 {
        lab.part();
        agent.events("the end", round, |event| event["event"] == "detach");
        lab.join();
        let attached = agent.events("the return", round + 1, |event| event["event"] == "attach");
        assert_eq!(attached.last().unwrap()["adopted"], false);
        is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
        reaches(&lab.peer, FRIEND, (HOST, PORT));
    }
    // From the device's birth to its filter, by the clock.
    lab.part();
    agent.events("the end", 4, |event| event["event"] == "detach");
    lab.join();
    let born = std::time::Instant::now();
    agent.events("the return", 5, |event| event["event"] == "attach");
    assert!(born.elapsed() < Duration::from_secs(1));
    // And when nobody looks: the next agent finds a severed link and a new device.
    agent.kill();
    lab.part();
    lab.join();
    agent.start(&["-i", IFACE]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    let pins = pins(agent.bpffs());
    let links = pins.filter(|pin| pin.parent().unwrap().ends_with("links"));
    assert_eq!(links.count(), 1);
}

#[test]
fn an_interface_of_an_old_index_or_with_a_new_name_is_filtered() {
    if !is_root("an_interface_of_an_old_index_or_with_a_new_name_is_filtered") {
        return;
    }
    let lab = Lab::new("names");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    let index = agent.json(&["status"])["interfaces"][0]["ifindex"].clone();
    agent.signal(Signal::STOP);
    lab.part();
    lab.join_with_index(&index.to_string());
    agent.signal(Signal::CONT);
    agent.events("the return", 2, |event| event["event"] == "attach");
    assert_eq!(agent.json(&["status"])["interfaces"][0]["ifindex"], index);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));

    lab.host.ip(&["link", "set", IFACE, "name", "other0"]);
    agent.event("the new name", |event| {
        event["event"] == "error" && event["message"].to_string().contains("other0")
    });
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    agent.event("a drop on it", |event| event["iface"] == "other0");
    let status = agent.json(&["status"]);
    assert_eq!(status["interfaces"][0]["iface"], "other0");
    assert_eq!(status["interfaces"][0]["xdp"], "native");
    agent.ok(&["detach", "other0"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
}

#[test]
fn detach_removes_everything_that_was_made() {
    if !is_root("detach_removes_everything_that_was_made") {
        return;
    }
    let lab = Lab::new("detach");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    // The kernel puts files of its own into every BPF file system.
    let before: Vec<_> = pins(agent.bpffs()).collect();
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    assert!(program(&lab).is_some());
    agent.stop();
    assert!(!agent.socket().exists(), "nobody listens: no socket");
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));

    let said = agent.ok(&["detach"]);
    assert!(said.contains(IFACE), "{said}");
    assert_eq!(program(&lab), None);
    assert!(pins(agent.bpffs()).eq(before));
    assert!(!agent.pin_dir().exists());
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    assert!(agent.ok(&["detach"]).contains("nothing"));
    let status = agent.cli(&["status"]);
    assert_eq!(status.code, 3, "{status:?}");
    // Rules are not pins: they come back with the agent.
    agent.start(&["-i", IFACE]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
}

#[test]
fn a_second_agent_on_the_same_pins_is_refused() {
    if !is_root("a_second_agent_on_the_same_pins_is_refused") {
        return;
    }
    let lab = Lab::new("second");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let before = program(&lab);
    let refused = agent.refuses_to_start(&["-i", IFACE]);
    assert_eq!(refused.code, 2);
    assert!(
        refused
            .error_line()
            .contains(&format!("pid {}", agent.pid())),
        "{refused:?}"
    );
    // Another run folder does not help: the pins are taken.
    let elsewhere = agent.path("elsewhere");
    let arguments = ["-i", IFACE, "--run-dir", elsewhere.to_str().unwrap()];
    let refused = agent.refuses_to_start(&arguments);
    assert_eq!(refused.code, 2);
    assert!(
        refused.error_line().contains("another agent"),
        "{refused:?}"
    );
    assert_eq!(program(&lab), before);
    agent.ok(&["status"]);
    assert!(agent.is_running());
}

#[test]
fn another_ones_program_is_not_replaced_unless_asked() {
    if !is_root("another_ones_program_is_not_replaced_unless_asked") {
        return;
    }
    let lab = Lab::new("foreign");
    let mut agent = Resident::new(&lab.host, "");
    let mut foreign = foreign::load();
    let pin = agent.bpffs().join("foreign");
    foreign::xdp(&mut foreign).pin(&pin).unwrap();
    let pinned = pin.to_str().unwrap();
    lab.host
        .ip(&["link", "set", "dev", IFACE, "xdpdrv", "pinned", pinned]);
    let theirs = program(&lab);
    assert!(theirs.is_some());

    let refused = agent.refuses_to_start(&["-i", IFACE]);
    assert_eq!(refused.code, 4, "{refused:?}");
    assert!(refused.err.contains("--replace"), "{refused:?}");
    assert_eq!(program(&lab), theirs);
    // A running agent refuses likewise, and goes on.
    agent.start(&["-i", "lo", "--xdp", "generic"]);
    let attach = agent.cli(&["attach", IFACE]);
    assert_eq!(attach.code, 4, "{attach:?}");
    assert!(attach.error_line().contains("--replace"));
    assert_eq!(program(&lab), theirs);
    agent.ok(&["attach", IFACE, "--replace"]);
    assert_ne!(program(&lab), theirs);
}

#[test]
fn a_damaged_store_stops_the_agent_and_not_the_filter() {
    if !is_root("a_damaged_store_stops_the_agent_and_not_the_filter") {
        return;
    }
    let lab = Lab::new("damaged");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    agent.stop();
    let store = agent.path("state").join(bot_agent::store::FILE);
    let good = fs::read(&store).unwrap();
    fs::write(&store, b"this is no store").unwrap();

    let refused = agent.refuses_to_start(&["-i", IFACE]);
    assert_eq!(refused.code, 2);
    assert!(refused.err.contains("damaged"), "{refused:?}");
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    let check = agent.cli(&["check", &STRANGER.to_string()]);
    assert_eq!(check.code, 1, "{check:?}");
    assert_eq!(fs::read(&store).unwrap(), b"this is no store");

    fs::write(&store, good).unwrap();
    agent.start(&["-i", IFACE]);
    let list = agent.ok(&["list"]);
    assert!(list.contains(NETWORK), "{list}");
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
}

#[test]
fn a_reload_is_valid_or_changes_nothing() {
    if !is_root("a_reload_is_valid_or_changes_nothing") {
        return;
    }
    let lab = Lab::new("reload");
    let sink = Sink::new(&lab.host, PORT);
    let blocking =
        format!("[[rule]]\naction = \"block\"\nsource = \"{NETWORK}\"\nreason = \"configured\"\n");
    let mut agent = Resident::new(&lab.host, &blocking);
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    let stream = Stream::new(&lab.peer, &[STRANGER, FRIEND], (HOST, PORT));
    sink.wait_for_more(FRIEND, 20);
    assert_eq!(sink.count(STRANGER), 0);

    agent.configure(&format!("{blocking}[log]\nbudget_per_secnod = 5\n"));
    let refused = agent.cli(&["reload"]);
    assert_eq!(refused.code, 7, "{refused:?}");
    let line = refused.error_line();
    for part in ["budget_per_secnod", "budget_per_second", "test.toml"] {
        assert!(line.contains(part), "{part}: {line}");
    }
    let more = format!("{blocking}[log]\nbudget_per_second = 5\n");
    agent.configure(&more);
    agent.ok(&["reload"]);
    sink.wait_for_more(FRIEND, 20);
    assert_eq!(sink.count(STRANGER), 0);

    agent.configure("");
    agent.signal(Signal::HUP);
    sink.wait_for_more(STRANGER, 20);
    drop(stream);
}

/// The id of the program on the host's interface.
fn program(lab: &Lab) -> Option<u32> {
    let found = lab.host.run(|| interface::by_name(IFACE).unwrap().unwrap());
    found.xdp.map(|xdp| xdp.program)
}

/// Every pin below a folder.
fn pins(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let mut folders = vec![folder.to_owned()];
    let mut pins = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                pins.push(path);
            }
        }
    }
    pins.into_iter()
}
