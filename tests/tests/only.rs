//! Locks of ports, with an agent and real connections.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{fs, net::IpAddr};

use bot_tests::{
    lab::{FRIEND, FRIEND6, HOST, HOST6, IFACE, Lab, STRANGER, STRANGER6},
    privilege::is_root,
    resident::Resident,
    traffic::{is_cut_off, listen, reaches},
};

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
