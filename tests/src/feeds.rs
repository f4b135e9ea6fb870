//! Feeds at a real agent: clients with public addresses, and what the kernel makes of a feed.
//!
//! A feed may not name the documentation networks of [`Lab`], so clients get addresses of
//! [`CLIENTS`] besides. They are seen in the test's namespaces only.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
};

use bot_agent::datapath::Pinned;
use bot_common::abi::verdict::{Action, Flags};
use serde_json::Value;

use crate::{
    agent::Ran,
    lab::{IFACE, Lab, PEER_IFACE, address},
    resident::Resident,
};

/// A served port.
pub const PORT: u16 = 8080;
/// The clients' network.
pub const CLIENTS: &str = "11.0.0.0/24";

/// A client.
pub const fn client(last: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(11, 0, 0, last))
}

/// A lab with so many clients, from [`client`] 1 on.
pub fn lab_with_clients(test: &str, count: u8) -> Lab {
    let lab = Lab::new(test);
    lab.host.ip(&["route", "add", CLIENTS, "dev", IFACE]);
    for last in 1..=count {
        address(&lab.peer, PEER_IFACE, client(last), 32);
    }
    lab
}

/// A configuration that enforces, serves [`PORT`] and has these feeds.
pub fn enforcing(feeds: &str) -> String {
    format!("[mode]\nstart = \"enforce\"\n[services]\ntcp = [{PORT}]\nudp = [{PORT}]\n{feeds}")
}

/// A `[[feed]]` of a file in the agent's folder, see [`write()`].
pub fn file_feed(agent: &Resident<'_>, name: &str, rest: &str) -> String {
    let path = agent.path(name);
    let path = path.display();
    format!("[[feed]]\nname = \"{name}\"\nfile = \"{path}\"\n{rest}\n")
}

/// Writes a feed's file, as a download does.
pub fn write(agent: &Resident<'_>, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let (fresh, path) = (agent.path("fresh"), agent.path(name));
    fs::write(&fresh, content).expect("a file");
    fs::rename(&fresh, &path).expect("a file");
    path
}

/// Addresses from `first` on, a line each.
pub fn hosts(first: [u8; 4], count: u32) -> String {
    let first = u32::from(Ipv4Addr::from(first));
    let host = |number| format!("{}\n", Ipv4Addr::from(first + number));
    (0..count).map(host).collect()
}

/// `feeds VERB NAME`.
pub fn feeds(agent: &Resident<'_>, verb: &str, name: &str) -> Ran {
    agent.cli(&["feeds", verb, name])
}

/// What the agent tells of a feed. What should be in the kernel and what is must agree.
#[track_caller]
pub fn show(agent: &Resident<'_>, name: &str) -> Value {
    let feed = agent.json(&["feeds", "show", name]);
    assert_eq!(feed["prefixes"], feed["enforced"], "{feed}");
    feed
}

/// Waits for an event about a feed that says `change` and has this in its message.
pub fn told(agent: &Resident<'_>, name: &str, change: &str, message: &str) -> Value {
    agent.event(&format!("{name}: {change}, {message}"), |event| {
        event["event"] == "feed"
            && event["feed"] == name
            && event["change"] == change
            && event["message"]
                .as_str()
                .is_some_and(|text| text.contains(message))
    })
}

/// Whether the kernel's own tables drop what an address sends to a service.
pub fn drops(agent: &Resident<'_>, address: impl Into<IpAddr>) -> bool {
    let pinned = Pinned::open(&agent.pin_dir()).expect("pins");
    let id = pinned.verdict_id(address.into().into());
    let verdict = pinned.verdict(id).expect("a verdict");
    Action::from_code(verdict.action) == Action::Drop && !verdict.has(Flags::MONITOR_ONLY)
}
