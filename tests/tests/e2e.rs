//! The agent on a real interface, with real sockets: blocked, allowed, watched, and who is spared.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    collections::BTreeMap,
    fs,
    net::{IpAddr, Ipv4Addr, TcpListener},
};

use bot_tests::{
    agent::USER,
    frame::{Frame, flag},
    lab::{
        FRIEND, FRIEND6, HOST, HOST6, IFACE, Lab, NETWORK, NETWORK6, PEER_IFACE, STRANGER,
        STRANGER6, address,
    },
    netns::{Ends, veth},
    privilege::is_root,
    recorded,
    resident::Resident,
    traffic::{Sink, Wire, is_cut_off, listen, reaches},
};
use nix::unistd::User;
use serde_json::Value;

/// A served port.
const PORT: u16 = 8080;
/// Sources of the flood.
const SOURCES: u64 = 2_000;
/// Lines a second that the log may have in it.
const BUDGET: usize = 50;

#[test]
fn a_client_in_the_middle_of_a_blocked_network_is_cut_off_and_nobody_else() {
    if !is_root("a_client_in_the_middle_of_a_blocked_network_is_cut_off") {
        return;
    }
    let lab = Lab::new("block");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let attach = agent.event("the attachment", |event| event["event"] == "attach");
    assert_eq!(
        (&attach["mode"], &attach["adopted"]),
        (&"native".into(), &false.into())
    );
    reaches(&lab.peer, STRANGER, (HOST, PORT));

    agent.ok(&[
        "block",
        NETWORK,
        NETWORK6,
        "--duration",
        "1h",
        "--reason",
        "scraper",
    ]);
    agent.ok(&["mode", "enforce"]);
    for (stranger, friend, host) in [(STRANGER, FRIEND, HOST), (STRANGER6, FRIEND6, HOST6)] {
        is_cut_off(&lab.peer, stranger, (host, PORT));
        reaches(&lab.peer, friend, (host, PORT));

        let check = agent.cli(&["check", &stranger.to_string()]);
        assert_eq!(check.code, 1, "{check:?}");
        let check = agent.json(&["check", &stranger.to_string()]);
        assert_eq!(check["effect"], "drop");
        assert_eq!(check["rule"]["reason"], "scraper");
        assert_eq!(check["rule"]["origin"], "operator");
        // A SYN and at least the one that was sent again after a second.
        assert!(number(&check["rule"]["hits"]["packets"]) >= 2, "{check}");
        assert!(
            number(&check["rule"]["remaining_seconds"]) > 3_500,
            "{check}"
        );
        let friend = agent.cli(&["check", &friend.to_string()]);
        assert_eq!(friend.code, 0, "{friend:?}");

        let drop = agent.event("a drop event", |event| {
            event["event"] == "drop" && event["src"] == stranger.to_string()
        });
        assert_eq!(drop["rule"], check["rule"]["rule"]);
        assert_eq!(drop["reason"], "scraper");
        assert_eq!(
            (&drop["protocol"], &drop["dport"]),
            (&"tcp".into(), &PORT.into())
        );
        assert_eq!(
            (&drop["iface"], &drop["outcome"]),
            (&IFACE.into(), &"dropped".into())
        );
    }

    let unblock = agent.cli(&["unblock", NETWORK]);
    assert_eq!(unblock.code, 0, "{unblock:?}");
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    is_cut_off(&lab.peer, STRANGER6, (HOST6, PORT));
}

#[test]
fn by_default_nothing_is_dropped_but_reported() {
    if !is_root("by_default_nothing_is_dropped_but_reported") {
        return;
    }
    let lab = Lab::new("monitor");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["block", NETWORK, "--duration", "1h", "--reason", "scraper"]);
    assert_eq!(agent.ok(&["--output", "raw", "mode"]).trim(), "monitor");

    reaches(&lab.peer, STRANGER, (HOST, PORT));
    let event = agent.event("a would_drop event", |event| event["event"] == "would_drop");
    assert_eq!(event["src"], STRANGER.to_string());
    assert_eq!(
        (&event["reason"], &event["outcome"]),
        (&"scraper".into(), &"would_drop_mode".into())
    );
    let status = agent.json(&["status"]);
    assert!(outcome(&status, "would_drop_mode") >= 3, "{status}");
    assert_eq!(outcome(&status, "dropped"), 0);
    // The exit code says what enforcing would do.
    let check = agent.cli(&["--output", "raw", "check", &STRANGER.to_string()]);
    assert_eq!((check.code, check.out.trim()), (1, "would_drop"));
}

#[test]
fn a_monitor_only_rule_never_drops_and_an_allow_beats_a_block() {
    if !is_root("a_monitor_only_rule_never_drops_and_an_allow_beats_a_block") {
        return;
    }
    let lab = Lab::new("watch");
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK6, "--duration", "1h", "--monitor"]);
    reaches(&lab.peer, STRANGER6, (HOST6, PORT));
    let event = agent.event("a would_drop event", |event| event["event"] == "would_drop");
    assert_eq!(event["outcome"], "would_drop_rule");

    agent.ok(&["block", NETWORK, "--duration", "1h"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    agent.ok(&["allow", &STRANGER.to_string(), "--permanent"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    // Unblocking part of it says by what it stays covered.
    agent.ok(&["unallow", &STRANGER.to_string()]);
    let still = agent.cli(&["unblock", &STRANGER.to_string()]);
    assert_eq!(still.code, 1);
    assert!(still.out.contains(NETWORK), "{still:?}");
}

#[test]
fn scope_services_spares_what_this_host_asked_for() {
    if !is_root("scope_services_spares_what_this_host_asked_for") {
        return;
    }
    let lab = Lab::new("scope");
    let _here = listen(&lab.host, PORT);
    let _there = listen(&lab.peer, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    for (network, stranger, host) in [(NETWORK, STRANGER, HOST), (NETWORK6, STRANGER6, HOST6)] {
        agent.ok(&["block", network, "--duration", "1h", "--scope", "services"]);
        is_cut_off(&lab.peer, stranger, (host, PORT));
        is_cut_off(&lab.peer, stranger, (host, 9));
        reaches(&lab.host, host, (stranger, PORT));
        agent.ok(&["block", network, "--duration", "1h", "--scope", "all"]);
        is_cut_off(&lab.host, host, (stranger, PORT));
    }
}

#[test]
fn both_interfaces_are_filtered_and_what_is_detached_is_not() {
    if !is_root("both_interfaces_are_filtered") {
        return;
    }
    let lab = Lab::new("two");
    let other = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1));
    let other_client = IpAddr::V4(Ipv4Addr::new(203, 0, 113, 2));
    veth(Ends {
        left: (&lab.host, "bot1"),
        right: (&lab.peer, "peer1"),
    });
    address(&lab.host, "bot1", other, 24);
    address(&lab.peer, "peer1", other_client, 24);
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE, "-i", "bot1"]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", &other_client.to_string(), &STRANGER.to_string()]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    is_cut_off(&lab.peer, other_client, (other, PORT));
    let drop = agent.event("a drop on the second", |event| {
        event["src"] == other_client.to_string()
    });
    assert_eq!(drop["iface"], "bot1");

    agent.ok(&["detach", "bot1"]);
    reaches(&lab.peer, other_client, (other, PORT));
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    agent.ok(&["attach", "bot1"]);
    is_cut_off(&lab.peer, other_client, (other, PORT));
}

#[test]
fn jumbo_frames_are_filtered() {
    if !is_root("jumbo_frames_are_filtered") {
        return;
    }
    let lab = Lab::new("jumbo");
    for (namespace, iface) in [(&lab.host, IFACE), (&lab.peer, PEER_IFACE)] {
        namespace.ip(&["link", "set", iface, "mtu", "9000"]);
    }
    let sink = Sink::new(&lab.host, 9000);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE, "--xdp", "native"]);
    assert_eq!(agent.json(&["status"])["interfaces"][0]["program"], "frags");
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--duration", "1h"]);
    let send = |from: IpAddr| {
        lab.peer.run(|| {
            let socket = std::net::UdpSocket::bind((from, 0)).unwrap();
            socket.send_to(&[7; 8_900], (HOST, 9000)).unwrap();
        });
    };
    send(STRANGER);
    send(FRIEND);
    sink.wait_for(FRIEND, 1);
    assert_eq!(sink.count(STRANGER), 0);
    let check = agent.json(&["check", &STRANGER.to_string()]);
    let hits = &check["rule"]["hits"];
    assert_eq!(hits["packets"], 1);
    assert!(
        number(&hits["bytes"]) > 8_900,
        "all buffers are counted: {hits}"
    );
}

#[test]
fn tagged_frames_are_filtered_and_read_like_others() {
    if !is_root("tagged_frames_are_filtered_and_read_like_others") {
        return;
    }
    let lab = Lab::new("tagged");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--duration", "1h"]);
    let wire = Wire::new(&lab.peer, PEER_IFACE);
    let syn = |source: &str| Frame::from(source).tcp(443, flag::SYN);
    for frame in [
        syn("198.51.100.77"),
        syn("198.51.100.77").vlan(0x8100, 7),
        syn("198.51.100.77").vlan(0x88a8, 9).vlan(0x8100, 7),
    ] {
        wire.send(&frame.bytes());
    }
    let hello = recorded::chrome();
    let at = hello.len() / 2;
    let data = |seq: u32, part: &[u8]| {
        let frame = syn("192.0.2.2").tcp(443, flag::DATA).seq(seq).payload(part);
        frame.vlan(0x88a8, 9).vlan(0x8100, 7).bytes()
    };
    wire.send(&syn("192.0.2.2").vlan(0x88a8, 9).vlan(0x8100, 7).bytes());
    wire.send(&data(1_001, &hello[..at]));
    wire.send(&data(1_001 + u32::try_from(at).unwrap(), &hello[at..]));
    let event = agent.event("a hello", |event| event["event"] == "hello");
    assert_eq!(event["ja4"], recorded::CHROME_JA4);
    let check = agent.json(&["check", &STRANGER.to_string()]);
    assert_eq!(check["rule"]["hits"]["packets"], 3);
}

#[test]
fn a_configured_interface_may_come_later_and_one_left_out_stays_filtered() {
    if !is_root("a_configured_interface_may_come_later_and_one_left_out_stays_filtered") {
        return;
    }
    let lab = Lab::new("later");
    let _server = listen(&lab.host, PORT);
    lab.part();
    let mut agent = Resident::new(&lab.host, "");
    let interfaces = agent.path("conf.d/interfaces.toml");
    fs::write(
        &interfaces,
        format!("[agent]\ninterfaces = [\"{IFACE}\"]\n"),
    )
    .unwrap();
    agent.start(&[]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--permanent"]);
    assert!(agent.json(&["status"])["interfaces"][0]["xdp"].is_null());
    lab.join();
    agent.event("the attachment", |event| event["event"] == "attach");
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));

    // An agent that is not told of it leaves it as it is, and shows it.
    agent.stop();
    fs::remove_file(&interfaces).unwrap();
    agent.start(&["-i", "lo", "--xdp", "generic"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    let status = agent.json(&["status"]);
    let shown = status["interfaces"].as_array().unwrap();
    assert!(
        shown.iter().any(|shown| shown["iface"] == IFACE),
        "{status}"
    );
    agent.ok(&["detach", IFACE]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
}

#[test]
fn what_this_host_cannot_do_without_needs_force() {
    if !is_root("what_this_host_cannot_do_without_needs_force") {
        return;
    }
    let lab = Lab::new("protect");
    lab.host
        .ip(&["route", "add", "default", "via", &FRIEND.to_string()]);
    let _server = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);

    for (address, what) in [(FRIEND, "gateway"), (HOST, "own address")] {
        let refused = agent.cli(&["block", &address.to_string()]);
        assert_eq!(refused.code, 2);
        let line = refused.error_line();
        assert!(line.contains(what) && line.contains("--force"), "{line}");
    }
    // Around it a block does not reach it.
    agent.ok(&["block", "192.0.2.0/24", "--duration", "1h"]);
    reaches(&lab.peer, FRIEND, (HOST, PORT));
    let check = agent.cli(&["check", &FRIEND.to_string()]);
    assert_eq!(check.code, 0, "{check:?}");
    let forced = agent.ok(&["block", &FRIEND.to_string(), "--force"]);
    assert!(forced.contains("gateway"), "{forced}");
    is_cut_off(&lab.peer, FRIEND, (HOST, PORT));

    // Protection follows the host.
    agent.ok(&["unblock", &FRIEND.to_string()]);
    reaches(&lab.peer, FRIEND, (HOST, PORT));
    lab.host.ip(&["route", "del", "default"]);
    agent.event("the end of protection", |event| {
        event["event"] == "rule_removed" && event["origin"] == "protected (gateway)"
    });
    is_cut_off(&lab.peer, FRIEND, (HOST, PORT));
}

#[test]
fn failsafe_ports_stay_open_unless_forced() {
    if !is_root("failsafe_ports_stay_open_unless_forced") {
        return;
    }
    let lab = Lab::new("failsafe");
    let _servers = [listen(&lab.host, PORT), listen(&lab.host, 2222)];
    let mut agent = Resident::new(&lab.host, "[protect]\nfailsafe_ports = [2222]\n");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--duration", "1h"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    reaches(&lab.peer, STRANGER, (HOST, 2222));
    agent.ok(&["block", NETWORK, "--duration", "1h", "--force"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, 2222));
}

#[test]
fn served_ports_follow_the_sockets_that_listen() {
    if !is_root("served_ports_follow_the_sockets_that_listen") {
        return;
    }
    let lab = Lab::new("served");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--duration", "1h", "--scope", "services"]);
    let sink = Sink::new(&lab.host, 9000);
    let stream = bot_tests::traffic::Stream::new(&lab.peer, &[STRANGER], (HOST, 9000));
    // A datagram to a port that nobody knows yet may come through; soon none does.
    agent.event("a drop", |event| {
        event["event"] == "drop" && event["dport"] == 9000
    });
    let before = sink.count(STRANGER);
    agent.events("more drops", 2, |event| {
        event["event"] == "drop" && event["dport"] == 9000
    });
    assert_eq!(sink.count(STRANGER), before);
    drop(stream);
}

#[test]
fn a_flood_is_counted_in_full_and_told_within_the_budget() {
    if !is_root("a_flood_is_counted_in_full_and_told_within_the_budget") {
        return;
    }
    let lab = Lab::new("flood");
    let config = format!("[log]\nbudget_per_second = {BUDGET}\n");
    let mut agent = Resident::new(&lab.host, &config);
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", "10.0.0.0/8", "--duration", "1h", "--yes"]);
    let wire = Wire::new(&lab.peer, PEER_IFACE);
    for number in 0..SOURCES {
        let source = format!("10.7.{}.{}", number / 256, number % 256);
        wire.send(&Frame::from(&source).tcp(PORT, flag::SYN).bytes());
    }
    let summary = agent.event("a summary", |event| {
        event["event"] == "suppressed" && event["kind"] == "drop"
    });
    assert!(number(&summary["count"]) > 0);

    let check = agent.json(&["check", "10.7.3.3"]);
    assert_eq!(check["rule"]["hits"]["packets"], SOURCES);
    assert_eq!(outcome(&agent.json(&["status"]), "dropped"), SOURCES);

    let mut lines = BTreeMap::<String, usize>::new();
    for event in agent.log() {
        if event["event"] == "drop" {
            let second = event["ts"].as_str().unwrap()[..19].to_owned();
            *lines.entry(second).or_default() += 1;
        }
    }
    // The budget's seconds are not those of the wall: one of these may touch two of those.
    assert!(!lines.is_empty());
    assert!(
        lines.values().all(|count| *count <= 2 * BUDGET),
        "{lines:?}"
    );
}

#[test]
fn the_agent_is_its_own_user_with_three_capabilities() {
    if !is_root("the_agent_is_its_own_user_with_three_capabilities") {
        return;
    }
    let lab = Lab::new("caps");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let user = User::from_name(USER).unwrap().unwrap();
    let uid = user.uid.as_raw().to_string();
    // CAP_NET_ADMIN is bit 12, CAP_PERFMON 38, CAP_BPF 39.
    let (three, none) = ("000000c000001000", "0000000000000000");
    for task in fs::read_dir(format!("/proc/{}/task", agent.pid())).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        let of = |key: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(key));
            line.and_then(|rest| rest.strip_prefix(":\t"))
                .unwrap()
                .to_owned()
        };
        for (key, value) in [
            ("CapPrm", three),
            ("CapEff", three),
            ("CapBnd", three),
            ("CapInh", none),
            ("CapAmb", none),
            ("NoNewPrivs", "1"),
            ("Uid", &[uid.as_str(); 4].join("\t")),
        ] {
            assert_eq!(of(key), value, "{key}");
        }
    }
    // And what it made is for its group and nobody else.
    let mode = |path| {
        use std::os::unix::fs::MetadataExt as _;
        let found = fs::metadata(path).unwrap();
        (found.mode() & 0o777, found.uid(), found.gid())
    };
    let (uid, gid) = (user.uid.as_raw(), user.gid.as_raw());
    assert_eq!(mode(agent.socket()), (0o660, uid, gid));
    assert_eq!(mode(agent.path("state")), (0o750, uid, gid));
}

#[test]
fn emergencies_need_no_agent() {
    if !is_root("emergencies_need_no_agent") {
        return;
    }
    let lab = Lab::new("offline");
    let server: TcpListener = listen(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    agent.ok(&["block", NETWORK, "--duration", "1h", "--reason", "scraper"]);
    agent.stop();

    // What must work without an agent does, and what cannot says so.
    let check = agent.cli(&["check", &STRANGER.to_string()]);
    assert_eq!(check.code, 1, "{check:?}");
    assert!(check.out.contains("scraper"), "{check:?}");
    let status = agent.json(&["status"]);
    assert!(status["agent"].is_null());
    assert_eq!(status["mode"]["mode"], "enforce");
    assert_eq!(status["interfaces"][0]["iface"], IFACE);
    let block = agent.cli(&["block", &FRIEND.to_string()]);
    assert_eq!(block.code, 3);
    assert!(block.error_line().contains("not running"));
    agent.ok(&["bypass", "--reason", "test"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.ok(&["resume"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, PORT));
    drop(server);
}

fn outcome(status: &Value, name: &str) -> u64 {
    let counters = status["counters"].as_object().unwrap();
    let found = counters.values().find_map(|family| family.get(name));
    found.map_or(0, |hits| number(&hits["packets"]))
}

#[track_caller]
fn number(value: &Value) -> u64 {
    value
        .as_u64()
        .unwrap_or_else(|| panic!("{value} is no number"))
}
