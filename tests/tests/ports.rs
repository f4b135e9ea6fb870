//! Policies for some ports: verdict tables that run through the program in the kernel, and `only` with
//! an agent and real connections.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fs, net::IpAddr};

use bot_common::abi::{
    counter::{Counter, Outcome},
    ports::Groups,
    verdict::{Action, MAX_CHAIN, MAX_FORKS, Scope, Verdict, VerdictId},
};
use bot_tests::{
    frame::{Frame, flag},
    kernel,
    kernel::{Entry, Kernel},
    lab::{FRIEND, FRIEND6, HOST, HOST6, IFACE, Lab, STRANGER, STRANGER6},
    privilege::is_root,
    resident::Resident,
    traffic::{is_cut_off, listen, reaches},
};

const BLOCK: Verdict = Verdict {
    action: Action::Drop as u8,
    ..Verdict::PASS
};
/// Ports 443 and 8443.
const WEB: Groups = Groups::one(3);
/// Ports 22 and 8443.
const ADMIN: Groups = Groups::one(15);

/// A kernel with the two groups.
macro_rules! kernel_with_groups {
    () => {{
        let mut kernel = kernel!();
        kernel.groups(|port| match port {
            443 => WEB,
            22 => ADMIN,
            8443 => WEB.or(ADMIN),
            _ => Groups::NONE,
        });
        kernel
    }};
}

/// Runs each line's frame and compares the one outcome that was counted.
fn expect(kernel: &Kernel, table: &[(&str, Frame, Outcome)]) {
    let counts = || -> Vec<u64> {
        let counters = Outcome::ALL.iter().copied().map(Counter::Outcome);
        counters
            .map(|counter| kernel.counter(counter).packets)
            .collect()
    };
    for entry in Entry::ALL {
        for (what, frame, expected) in table {
            let before = counts();
            kernel.run(entry, &frame.bytes());
            let changes = before.into_iter().zip(counts());
            let outcomes = Outcome::ALL.iter().zip(changes);
            let counted = outcomes.filter(|(_, (before, after))| before != after);
            let counted: Vec<Outcome> = counted.map(|(outcome, _)| *outcome).collect();
            assert_eq!(counted, [*expected], "{what} ({entry:?})");
        }
    }
}

fn from() -> Frame {
    Frame::from("198.51.100.7")
}

#[test]
fn a_verdict_for_some_ports_leaves_other_packets_to_what_is_otherwise() {
    let mut kernel = kernel_with_groups!();
    let web = Verdict {
        ports: WEB,
        ..BLOCK
    };
    let id = kernel.rule("198.51.100.0/24", web);
    let services = kernel.verdict(Verdict {
        scope: Scope::Services as u8,
        ..BLOCK
    });
    let above = Verdict {
        otherwise: services,
        ports: WEB,
        ..Verdict::PASS
    };
    kernel.rule("203.0.113.0/24", above);
    let beneath = || Frame::from("203.0.113.9");
    expect(
        &kernel,
        &[
            ("a SYN", from().tcp(443, flag::SYN), Outcome::Dropped),
            ("data", from().tcp(443, flag::DATA), Outcome::Dropped),
            ("UDP", from().udp(443), Outcome::Dropped),
            (
                "another port of the group",
                from().tcp(8443, flag::DATA),
                Outcome::Dropped,
            ),
            ("another port", from().tcp(80, flag::SYN), Outcome::NoRule),
            (
                "a neighbour in the same entry",
                from().tcp(442, flag::SYN),
                Outcome::NoRule,
            ),
            ("UDP elsewhere", from().udp(80), Outcome::NoRule),
            ("ICMP", from().icmp(8, 0), Outcome::NoRule),
            (
                "a reply from that port",
                from().tcp(40_000, flag::DATA).sport(443),
                Outcome::NoRule,
            ),
            (
                "a later fragment",
                from().tcp(443, flag::DATA).fragment(100),
                Outcome::NoRule,
            ),
            (
                "allowed to the ports",
                beneath().tcp(443, flag::SYN),
                Outcome::Allowed,
            ),
            (
                "blocked otherwise",
                beneath().tcp(80, flag::SYN),
                Outcome::Dropped,
            ),
            (
                "its scope is its own",
                beneath().icmp(8, 0),
                Outcome::OutOfScope,
            ),
        ],
    );
    let entries = Entry::ALL.len() as u64;
    assert_eq!(kernel.hits(id).packets, 4 * entries);
    assert_eq!(kernel.hits(services).packets, entries);
}

#[test]
fn a_verdict_of_two_groups_is_for_ports_in_both_and_failsafe_ports_stay_open() {
    let mut kernel = kernel_with_groups!();
    let admin = kernel.verdict(Verdict {
        ports: ADMIN,
        ..BLOCK
    });
    kernel.rule(
        "198.51.100.0/24",
        Verdict {
            ports: WEB.or(ADMIN),
            otherwise: admin,
            ..Verdict::PASS
        },
    );
    expect(
        &kernel,
        &[
            ("in both", from().tcp(8443, flag::SYN), Outcome::Allowed),
            ("in one", from().tcp(443, flag::SYN), Outcome::NoRule),
            ("failsafe", from().tcp(22, flag::SYN), Outcome::FailsafePort),
            (
                "UDP has no failsafe ports",
                from().udp(22),
                Outcome::Dropped,
            ),
        ],
    );
}

#[test]
fn deadlines_and_ports_are_followed_together() {
    let mut kernel = kernel_with_groups!();
    let later = kernel.verdict(BLOCK);
    // What is over for the ports goes on beneath; what is for others does not ask when.
    let over = kernel.verdict(Verdict {
        expires: 1,
        then: later,
        ports: WEB,
        ..Verdict::PASS
    });
    let above = Verdict {
        expires: 1,
        then: over,
        ..Verdict::PASS
    };
    kernel.rule("198.51.100.0/24", above);
    expect(
        &kernel,
        &[
            ("to the ports", from().tcp(443, flag::SYN), Outcome::Dropped),
            ("to others", from().tcp(80, flag::SYN), Outcome::NoRule),
        ],
    );
}

#[test]
fn the_way_of_a_packet_has_an_end() {
    let mut kernel = kernel_with_groups!();
    let forks = |kernel: &mut Kernel, count: usize| {
        let last = kernel.verdict(BLOCK);
        (0..count).fold(last, |otherwise, _| {
            kernel.verdict(Verdict {
                otherwise,
                ports: ADMIN,
                ..Verdict::PASS
            })
        })
    };
    let longest = forks(&mut kernel, MAX_FORKS + MAX_CHAIN - 1);
    kernel.point("198.51.100.1/32", longest);
    let too_long = forks(&mut kernel, MAX_FORKS + MAX_CHAIN);
    kernel.point("198.51.100.2/32", too_long);
    let own = VerdictId::new(too_long.get() + 1).unwrap();
    let tail = kernel.verdict(Verdict {
        otherwise: own,
        ports: ADMIN,
        ..BLOCK
    });
    kernel.point("198.51.100.3/32", tail);
    let syn = |src| Frame::from(src).tcp(443, flag::SYN);
    expect(
        &kernel,
        &[
            ("the longest", syn("198.51.100.1"), Outcome::Dropped),
            ("one longer", syn("198.51.100.2"), Outcome::NoRule),
            ("a loop", syn("198.51.100.3"), Outcome::NoRule),
        ],
    );
}

const PORT: u16 = 8443;
const OTHER: u16 = 8080;

/// A host with a list `cdn`, which the friend is in and the stranger is not.
fn with_cdn<'a>(lab: &'a Lab, more: &str) -> Resident<'a> {
    let agent = Resident::new(&lab.host, "");
    let file = agent.path("cdn.txt");
    fs::write(&file, format!("{FRIEND}\n{FRIEND6}\n")).unwrap();
    let file = file.display();
    agent.configure(&format!(
        "{more}\n[[list]]\nname = \"cdn\"\nfile = \"{file}\"\naction = \"allow\"\n"
    ));
    agent
}

/// The friends reach both ports, the strangers only the other one.
fn is_locked(lab: &Lab) {
    for (friend, stranger, host) in [(FRIEND, STRANGER, HOST), (FRIEND6, STRANGER6, HOST6)] {
        reaches(&lab.peer, friend, (host, PORT));
        reaches(&lab.peer, friend, (host, OTHER));
        is_cut_off(&lab.peer, stranger, (host, PORT));
        reaches(&lab.peer, stranger, (host, OTHER));
    }
}

fn check(agent: &Resident<'_>, address: IpAddr) -> serde_json::Value {
    agent.json(&["check", &address.to_string()])
}

#[test]
fn only_locks_a_port_to_a_list_until_it_is_removed_whatever_happens_to_the_agent() {
    if !is_root("only_locks_a_port_to_a_list") {
        return;
    }
    let lab = Lab::new("only");
    let _servers = [PORT, OTHER].map(|port| listen(&lab.host, port));
    let mut agent = with_cdn(&lab, "");
    agent.start(&["-i", IFACE]);
    let port = PORT.to_string();
    let refused = agent.cli(&["only", "--port", &port, "--from", "nobody"]);
    assert_eq!(refused.code, 2, "{refused:?}");
    assert!(
        refused.err.contains("there is no list `nobody`"),
        "{refused:?}"
    );

    // In monitor mode it is only told.
    let said = agent.ok(&["only", "--port", &port, "--from", "cdn"]);
    assert!(said.contains("cdn (2 prefixes)"), "{said}");
    assert!(said.contains("would be dropped"), "{said}");
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    let told = agent.event("a report", |event| event["event"] == "would_drop");
    assert_eq!(
        (&told["src"], &told["dport"]),
        (&STRANGER.to_string().into(), &PORT.into())
    );
    assert_eq!(told["origin"], format!("only {PORT}"));

    agent.ok(&["mode", "enforce"]);
    is_locked(&lab);
    let stranger = check(&agent, STRANGER);
    assert_eq!(stranger["effect"], "pass", "{stranger}");
    let ports = &stranger["ports"][0];
    assert_eq!(
        (&ports["ports"][0], &ports["effect"]),
        (&PORT.into(), &"drop".into())
    );
    assert_eq!(ports["list"], format!("only {PORT}"));
    assert_eq!(check(&agent, FRIEND)["ports"], serde_json::Value::Null);
    let status = agent.json(&["status"]);
    assert_eq!(status["onlys"][0]["ports"][0], PORT, "{status}");
    assert!(
        status["onlys"][0]["hits"]["packets"].as_u64().unwrap() >= 2,
        "{status}"
    );
    let listed = agent.ok(&["-o", "raw", "only", "list"]);
    assert_eq!(listed.trim_end(), format!("{PORT}\tcdn\toperator\tlocked"));

    // An operator's allow stands above it, an operator's block too.
    agent.ok(&["allow", &STRANGER.to_string(), "--permanent"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.ok(&["unallow", &STRANGER.to_string()]);
    agent.ok(&["block", &FRIEND.to_string(), "--permanent"]);
    is_cut_off(&lab.peer, FRIEND, (HOST, OTHER));
    agent.ok(&["unblock", &FRIEND.to_string()]);

    let hits = |agent: &Resident<'_>| {
        let status = agent.json(&["status"]);
        status["onlys"][0]["hits"]["packets"].as_u64().unwrap()
    };
    let before = hits(&agent);
    agent.kill();
    is_locked(&lab);
    agent.start(&["-i", IFACE]);
    assert!(hits(&agent) > before, "the count goes on");
    is_locked(&lab);

    agent.ok(&["only", "remove", "--port", &port]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    agent.stop();
    agent.start(&["-i", IFACE]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    assert_eq!(agent.ok(&["only", "list"]).trim_end(), "no port is locked");
}

#[test]
fn a_lock_whose_list_has_gone_is_open_and_says_so() {
    if !is_root("a_lock_whose_list_has_gone_is_open") {
        return;
    }
    let lab = Lab::new("only-open");
    let _servers = [PORT, OTHER].map(|port| listen(&lab.host, port));
    let lock = format!("[[only]]\nports = [{PORT}]\nfrom = [\"cdn\"]\n");
    let mut agent = with_cdn(&lab, &lock);
    agent.start(&["-i", IFACE]);
    agent.ok(&["mode", "enforce"]);
    is_locked(&lab);
    let port = PORT.to_string();
    let refused = agent.cli(&["only", "remove", "--port", &port]);
    assert!(
        refused.err.contains("stands in the configuration"),
        "{refused:?}"
    );
    agent.ok(&["only", "--port", &OTHER.to_string(), "--from", "cdn"]);
    is_cut_off(&lab.peer, STRANGER, (HOST, OTHER));

    agent.configure("");
    agent.ok(&["reload"]);
    reaches(&lab.peer, STRANGER, (HOST, PORT));
    reaches(&lab.peer, STRANGER, (HOST, OTHER));
    let status = agent.json(&["status"]);
    let why = &status["onlys"][0]["obstacle"];
    assert_eq!(why, "there is no list `cdn`", "{status}");
    let told = agent.event("a trouble", |event| event["event"] == "error");
    let message = told["message"].as_str().unwrap();
    assert!(
        message.starts_with(&format!("only {OTHER} is not in force")),
        "{message}"
    );
}
