//! Whom feeds do not drop, with an agent and real packets: crawlers that DNS vouches for, declared
//! proxies, and the ports that a policy is not about.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs,
    net::{IpAddr, Ipv6Addr},
};

use bot_tests::{
    dns::{DnsServer, Record, reverse},
    feeds::{CLIENTS, PORT, client, enforcing, file_feed, lab_with_clients, show, told, write},
    lab::{HOST, HOST6, IFACE, PEER_IFACE, address},
    privilege::is_root,
    resident::Resident,
    traffic::{Sink, Stream, is_cut_off, listen, reaches},
};
use serde_json::Value;

/// A port that is not the one a lock or a policy is about.
const OTHER: u16 = 8081;
/// An IPv6 client and its network; like those of [`CLIENTS`] it may stand in a feed.
const CLIENT6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2a01, 0xbad, 0, 0, 0, 0, 0, 1));
const CLIENTS6: &str = "2a01:bad::/64";

/// An index with one crawler.
const INDEX: &str = r#"{
    "example": {
        "name": "ExampleBot",
        "category": "crawler-search",
        "rdns_suffixes": ["crawler.example"]
    }
}"#;

/// A source whose packets the filter drops.
#[track_caller]
fn is_dropped(agent: &Resident<'_>, source: IpAddr) {
    let source = source.to_string();
    agent.event(&format!("a drop of {source}"), |event| {
        event["event"] == "drop" && event["src"] == source && event["origin"] == "list bad"
    });
}

/// The category under which DNS vouches for an address.
fn verified_as(agent: &Resident<'_>, source: IpAddr) -> Option<Value> {
    let check = agent.json(&["check", &source.to_string()]);
    let parts = check["evidence"]["parts"].as_array().unwrap().iter();
    let verified = |part: &&Value| part["feed"].as_str().unwrap().starts_with("verified:");
    let part = parts.clone().find(verified)?;
    assert_eq!(part["entry"], source.to_string(), "{check}");
    Some(part["feed"].clone())
}

#[test]
fn a_crawler_that_a_feed_names_passes_once_dns_vouches_for_it_and_a_forged_name_does_not_help() {
    if !is_root("a_crawler_that_a_feed_names") {
        return;
    }
    let lab = lab_with_clients("crawlers", 3);
    lab.host.ip(&["route", "add", CLIENTS6, "dev", IFACE]);
    address(&lab.peer, PEER_IFACE, CLIENT6, 128);
    let [crawler, forger, nameless] = [1, 2, 3].map(client);
    let dns = DnsServer::new(
        &lab.host,
        &[
            Record::Name(crawler, "one.crawler.example"),
            Record::Address("one.crawler.example", crawler),
            Record::Name(CLIENT6, "six.crawler.example"),
            Record::Address("six.crawler.example", CLIENT6),
            // Whose address it is says so, and the crawler's operator does not.
            Record::Name(forger, "two.crawler.example"),
            Record::Address("two.crawler.example", crawler),
        ],
    );
    let mut agent = Resident::new(&lab.host, "");
    let index = agent.path("crawlers.json");
    fs::write(&index, INDEX).unwrap();
    write(&agent, "bad", format!("{CLIENTS}\n{CLIENTS6}\n"));
    let (bad, index, resolver) = (
        file_feed(&agent, "bad", "action = \"block\""),
        index.display(),
        dns.address(),
    );
    let policy = "[[policy]]\ncategory = \"crawler-search\"\naction = \"allow\"\n";
    agent.configure(&enforcing(&format!(
        "{bad}[crawlers]\nverify = \"on\"\nindex = \"{index}\"\nresolver = \"{resolver}\"\n{policy}"
    )));
    agent.start(&["-i", IFACE]);
    told(&agent, "bad", "updated", "2 entries in force");
    let _server = listen(&lab.host, PORT);
    let sink = Sink::new(&lab.host, PORT);

    // Nobody is asked about who does not come.
    let _strangers = Stream::new(&lab.peer, &[forger, nameless], (HOST, PORT));
    for stranger in [forger, nameless] {
        is_dropped(&agent, stranger);
    }
    dns.wait_for(&reverse(nameless));
    dns.wait_for("two.crawler.example");
    let _crawler = Stream::new(&lab.peer, &[crawler], (HOST, PORT));
    let _crawler6 = Stream::new(&lab.peer, &[CLIENT6], (HOST6, PORT));
    for (source, host) in [(crawler, HOST), (CLIENT6, HOST6)] {
        is_dropped(&agent, source);
        sink.wait_for(source, 1);
        reaches(&lab.peer, source, (host, PORT));
        assert_eq!(
            verified_as(&agent, source),
            Some("verified:crawler-search".into())
        );
    }
    for stranger in [forger, nameless] {
        assert_eq!(verified_as(&agent, stranger), None);
        is_cut_off(&lab.peer, stranger, (HOST, PORT));
        assert_eq!(sink.count(stranger), 0);
    }

    // An operator stands above DNS.
    agent.ok(&["block", &crawler.to_string()]);
    sink.wait_for_silence(crawler);
    is_cut_off(&lab.peer, crawler, (HOST, PORT));
    // Nobody is vouched for any more where nobody is asked.
    agent.configure(&enforcing(&(bad + policy)));
    agent.ok(&["reload"]);
    sink.wait_for_silence(CLIENT6);
    is_cut_off(&lab.peer, CLIENT6, (HOST6, PORT));
}

#[test]
fn a_feed_says_nothing_about_declared_proxies_and_a_port_can_be_locked_to_them() {
    if !is_root("a_feed_says_nothing_about_declared_proxies") {
        return;
    }
    let lab = lab_with_clients("proxies", 4);
    let _servers = [PORT, OTHER].map(|port| listen(&lab.host, port));
    let mut agent = Resident::new(&lab.host, "");
    write(&agent, "bad", "11.0.0.1\n11.0.0.2\n11.0.0.3\n");
    write(&agent, "ranges", "11.0.0.2\n");
    let both = [("bad", "block"), ("ranges", "monitor")];
    let both =
        both.map(|(name, action)| file_feed(&agent, name, &format!("action = \"{action}\"")));
    let proxy =
        "[[proxy]]\nname = \"cdn\"\naddresses = [\"11.0.0.1\"]\nfrom = [\"ranges\"]\n".to_owned();
    agent.configure(&enforcing(&(both.concat() + &proxy)));
    agent.start(&["-i", IFACE]);
    agent.ok(&["feeds", "refresh"]);
    assert_eq!(show(&agent, "bad")["entries"], 3);
    let [by_address, by_list, named, stranger] = [1, 2, 3, 4].map(client);
    for port in [PORT, OTHER] {
        reaches(&lab.peer, by_address, (HOST, port));
        reaches(&lab.peer, by_list, (HOST, port));
        is_cut_off(&lab.peer, named, (HOST, port));
        reaches(&lab.peer, stranger, (HOST, port));
    }

    let port = PORT.to_string();
    let said = agent.ok(&["only", "--port", &port, "--from", "cdn"]);
    assert!(said.contains("(2 prefixes)"), "{said}");
    for proxy in [by_address, by_list] {
        reaches(&lab.peer, proxy, (HOST, PORT));
        reaches(&lab.peer, proxy, (HOST, OTHER));
    }
    is_cut_off(&lab.peer, stranger, (HOST, PORT));
    reaches(&lab.peer, stranger, (HOST, OTHER));

    // The lock follows the list of its proxy.
    write(&agent, "ranges", "11.0.0.2\n11.0.0.4\n");
    agent.ok(&["feeds", "refresh", "ranges"]);
    reaches(&lab.peer, stranger, (HOST, PORT));
}

#[test]
fn a_policy_for_some_ports_blocks_there_and_another_one_only_watches_elsewhere() {
    if !is_root("a_policy_for_some_ports") {
        return;
    }
    let lab = lab_with_clients("policies", 2);
    let _servers = [PORT, OTHER].map(|port| listen(&lab.host, port));
    let mut agent = Resident::new(&lab.host, "");
    write(&agent, "exits", "11.0.0.1\n");
    let exits = file_feed(&agent, "exits", "category = \"tor\"");
    let policies = format!(
        "[[policy]]\ncategory = \"tor\"\naction = \"block\"\nports = [{PORT}]\n\
         [[policy]]\ncategory = \"tor\"\naction = \"monitor\"\n"
    );
    agent.configure(&enforcing(&(exits + &policies)));
    agent.start(&["-i", IFACE]);
    told(&agent, "exits", "updated", "1 entry in force");
    let (exit, stranger) = (client(1), client(2));
    is_cut_off(&lab.peer, exit, (HOST, PORT));
    reaches(&lab.peer, exit, (HOST, OTHER));
    for port in [PORT, OTHER] {
        reaches(&lab.peer, stranger, (HOST, port));
    }
    for (what, port) in [("drop", PORT), ("would_drop", OTHER)] {
        let event = agent.event(what, |event| {
            event["event"] == what && event["src"] == exit.to_string()
        });
        assert_eq!(event["dport"], port, "{event}");
    }
    let check = agent.json(&["check", &exit.to_string()]);
    assert_eq!(check["effect"], "pass", "{check}");
    let ports = &check["ports"][0];
    assert_eq!(
        (&ports["ports"][0], &ports["effect"]),
        (&PORT.into(), &"drop".into()),
        "{check}"
    );
    assert_eq!(check["evidence"]["parts"][0]["category"], "tor", "{check}");

    // Without the policy for the port nobody is dropped there any more.
    let policies = "[[policy]]\ncategory = \"tor\"\naction = \"monitor\"\n".to_owned();
    let exits = file_feed(&agent, "exits", "category = \"tor\"");
    agent.configure(&enforcing(&(exits + &policies)));
    agent.ok(&["reload"]);
    reaches(&lab.peer, exit, (HOST, PORT));
}
