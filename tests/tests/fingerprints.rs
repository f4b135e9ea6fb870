//! Who says hello: JA4, server name and ALPN of real TLS clients while they connect, compared with
//! what an independent capture of the same connections holds.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    collections::BTreeSet,
    net::IpAddr,
    path::Path,
    process::{Command, Stdio},
};

use bot_tests::{
    agent::bare,
    clients::{Capture, Client, NAME, PORT, TlsServer},
    frame::{Frame, flag},
    lab::{FRIEND, FRIEND6, HOST, HOST6, IFACE, Lab, NETWORK, PEER_IFACE, STRANGER},
    netns::Namespace,
    privilege::is_root,
    recorded::{self, CHROME_JA4},
    resident::Resident,
    traffic::Wire,
};
use serde_json::Value;

/// curl 7.88 with OpenSSL 3.0, as recorded in `fixtures/captures`.
const CURL: &str = "t13d3112h2_e8f1e7e78f70_b26ce05bbdd6";
/// `openssl s_client -tls1_2 -noservername` of OpenSSL 3.0.
const OPENSSL_12: &str = "t12i280600_d943125447b4_e7e480e5a997";

#[test]
fn real_clients_are_fingerprinted_as_an_independent_capture_says() {
    if !is_root("real_clients_are_fingerprinted_as_an_independent_capture_says") {
        return;
    }
    let lab = Lab::new("hellos");
    let _server = TlsServer::new(&lab.host);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let capture = Capture::new(&lab.peer, PEER_IFACE);
    let clients: Vec<Client> = Client::ALL.into_iter().filter(|it| it.is_here()).collect();
    for client in &clients {
        for (src, dst) in [(FRIEND, HOST), (FRIEND6, HOST6)] {
            let hello = hello_of(&agent, *client, &lab.peer, src, dst);
            look_at(*client, &hello);
        }
    }
    agent.ok(&["logs", "--event", "hello"]);

    let Some(mut capture) = capture else { return };
    let seen: BTreeSet<Hello> = agent
        .log()
        .iter()
        .filter(|event| event["event"] == "hello")
        .map(Hello::of)
        .collect();
    let captured = in_capture(&capture.end());
    assert_eq!(seen, captured);
    assert_eq!(seen.len(), 2 * clients.len());
}

#[test]
fn hellos_in_many_small_segments_are_put_together() {
    if !is_root("hellos_in_many_small_segments_are_put_together") {
        return;
    }
    let lab = Lab::new("segments");
    // The server tells its clients to send at most so much at once.
    for route in ["192.0.2.0/24", NETWORK] {
        let mss = ["route", "replace", route, "dev", IFACE, "advmss", "100"];
        lab.host.ip(&mss);
    }
    without_offloads(&lab.peer);
    let _server = TlsServer::new(&lab.host);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let clients = [Client::Curl, Client::Chrome];
    for client in clients.into_iter().filter(|it| it.is_here()) {
        let before = segments(&agent);
        let hello = hello_of(&agent, client, &lab.peer, STRANGER, HOST);
        look_at(client, &hello);
        // 517 bytes in pieces of 88; a post-quantum hello has more than 1,700.
        let least = if client == Client::Chrome { 18 } else { 6 };
        let copied = segments(&agent) - before;
        assert!(copied >= least, "{client:?}: {copied} segments");
    }
}

#[test]
fn hellos_of_another_mtu_and_of_blocked_clients_are_read_too() {
    if !is_root("hellos_of_another_mtu_and_of_blocked_clients_are_read_too") {
        return;
    }
    let lab = Lab::new("mtu");
    lab.peer.ip(&["link", "set", PEER_IFACE, "mtu", "576"]);
    let _server = TlsServer::new(&lab.host);
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    agent.ok(&["block", NETWORK, "--duration", "1h", "--reason", "scraper"]);
    for client in [Client::Curl, Client::Chrome] {
        if client.is_here() {
            let hello = hello_of(&agent, client, &lab.peer, STRANGER, HOST);
            look_at(client, &hello);
            assert_eq!(hello["action"], "would_drop");
            assert_eq!(hello["reason"], "scraper");
        }
    }
    // Filters of the log find it again.
    let found = agent.ok(&[
        "--output", "json", "logs", "--event", "hello", "--src", NETWORK, "--ja4", "t13*",
    ]);
    assert!(!found.is_empty());
    let none = agent.ok(&[
        "--output", "json", "logs", "--event", "hello", "--ja4", "t12*",
    ]);
    assert_eq!(none, "");
}

#[test]
fn segments_out_of_order_twice_and_overlapping_make_the_same_hello() {
    if !is_root("segments_out_of_order_twice_and_overlapping_make_the_same_hello") {
        return;
    }
    let lab = Lab::new("shuffle");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let wire = Wire::new(&lab.peer, PEER_IFACE);
    let bytes = recorded::chrome();
    let len = bytes.len();
    assert!(len > 1_500, "a post-quantum hello");
    let whole: Vec<(usize, usize)> = (0..len).step_by(250).map(|at| (at, at + 250)).collect();
    let backwards: Vec<_> = whole.iter().rev().copied().collect();
    let evens_first: Vec<_> = [0, 1]
        .into_iter()
        .flat_map(|first| whole.iter().copied().skip(first).step_by(2))
        .collect();
    let twice: Vec<_> = whole.iter().flat_map(|part| [*part, *part]).collect();
    let overlapping: Vec<_> = (0..len).step_by(200).map(|at| (at, at + 450)).collect();
    let cut_early = vec![(1, 4), (0, 1), (4, 9), (900, len), (9, 900)];
    let orders = [whole, backwards, evens_first, twice, overlapping, cut_early];
    let syn = |sport: u16| {
        Frame::from("198.51.100.77")
            .tcp(PORT, flag::SYN)
            .sport(sport)
            .seq(u32::MAX - 500)
    };
    for (sport, order) in (20_000..).zip(&orders) {
        wire.send(&syn(sport).bytes());
        for (from, to) in order {
            // Sequence numbers wrap in the middle of it.
            let seq = (u32::MAX - 499).wrapping_add(u32::try_from(*from).unwrap());
            let part = &bytes[*from..(*to).min(len)];
            let frame = syn(sport)
                .tcp(PORT, flag::DATA)
                .sport(sport)
                .seq(seq)
                .payload(part);
            wire.send(&frame.bytes());
        }
        let hello = agent.event("a hello", |event| {
            event["event"] == "hello" && event["sport"] == sport
        });
        assert_eq!(hello["ja4"], CHROME_JA4, "{order:?}");
        assert_eq!(hello["sni"], NAME);
        assert_eq!(hello["pq"], true);
    }
    // One each, whatever came twice.
    let all = agent.log();
    let hellos = all.iter().filter(|event| event["event"] == "hello");
    assert_eq!(hellos.count(), orders.len());
}

/// Lets the client connect; the event of its hello.
#[track_caller]
fn hello_of(
    agent: &Resident<'_>,
    client: Client,
    from: &Namespace,
    src: IpAddr,
    dst: IpAddr,
) -> Value {
    let is_hello = |event: &Value| event["event"] == "hello";
    let before = agent.log().iter().filter(|event| is_hello(event)).count();
    client.connects(from, src, dst);
    let hellos = agent.events("a hello", before + 1, is_hello);
    let hello = hellos.last().unwrap().clone();
    assert_eq!(hello["src"], src.to_string());
    assert_eq!(
        (&hello["dst"], &hello["dport"]),
        (&dst.to_string().into(), &PORT.into())
    );
    hello
}

/// What is known about each client's hello, whatever its version.
#[track_caller]
fn look_at(client: Client, hello: &Value) {
    let ja4 = hello["ja4"].as_str().unwrap();
    let (sni, alpn): (Value, &[&str]) = match client {
        Client::OpenSsl12 => (Value::Null, &[]),
        Client::Python => (NAME.into(), &["http/1.1"]),
        Client::Curl | Client::OpenSsl | Client::Chrome => (NAME.into(), &["h2", "http/1.1"]),
    };
    assert_eq!(hello["sni"], sni, "{hello}");
    assert_eq!(hello["alpn"], serde_json::json!(alpn), "{hello}");
    let start = match client {
        Client::OpenSsl12 => "t12i",
        Client::Python | Client::Curl | Client::OpenSsl | Client::Chrome => "t13d",
    };
    assert!(ja4.starts_with(start), "{hello}");
    let versions = hello["tls"].as_array().unwrap();
    assert_eq!(
        versions.contains(&"1.3".into()),
        client != Client::OpenSsl12,
        "{hello}"
    );
    let known = match client {
        Client::Chrome => Some(CHROME_JA4),
        Client::Curl if version("curl").starts_with("curl 7.88") && is_openssl_30() => Some(CURL),
        Client::OpenSsl12 if is_openssl_30() => Some(OPENSSL_12),
        Client::Curl | Client::OpenSsl | Client::OpenSsl12 | Client::Python => None,
    };
    if let Some(known) = known {
        assert_eq!(ja4, known, "{client:?}");
    }
    if client == Client::Chrome {
        assert_eq!(hello["pq"], true, "{hello}");
    }
}

fn is_openssl_30() -> bool {
    let output = Command::new("openssl").arg("version").output().unwrap();
    output.stdout.starts_with(b"OpenSSL 3.0.") && version("curl").contains("OpenSSL/3.0.")
}

fn version(program: &str) -> String {
    let output = Command::new(program).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Segments that the kernel copied to the agent.
fn segments(agent: &Resident<'_>) -> u64 {
    let status = agent.json(&["status"]);
    // Counters at zero are left out.
    let copied = &status["counters"]["channel"]["hello_copied"]["packets"];
    copied.as_u64().unwrap_or(0)
}

/// Segments leave the namespace as small as they are: nothing is aggregated on the way.
fn without_offloads(namespace: &Namespace) {
    let status = namespace
        .command("ethtool")
        .args(["-K", PEER_IFACE, "tso", "off", "gso", "off"])
        .stdout(Stdio::null())
        .status();
    assert!(status.is_ok_and(|status| status.success()), "ethtool");
}

/// What the agent and the capture must agree about.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
struct Hello {
    client: String,
    server: String,
    sni: String,
    alpn: String,
    ja4: String,
    ja4_r: String,
}

impl Hello {
    /// Events of the agent and lines of `pcap` name these alike.
    fn of(line: &Value) -> Self {
        Self {
            client: format!("{} {}", line["src"], line["sport"]),
            server: format!("{} {}", line["dst"], line["dport"]),
            sni: line["sni"].to_string(),
            alpn: line["alpn"].to_string(),
            ja4: line["ja4"].to_string(),
            ja4_r: line["ja4_r"].to_string(),
        }
    }
}

fn in_capture(path: &Path) -> BTreeSet<Hello> {
    let answer = bare(&["--output", "json", "pcap", path.to_str().unwrap()]);
    assert_eq!(answer.code, 0, "{answer:?}");
    let lines = answer.out.lines();
    lines
        .map(|line| Hello::of(&serde_json::from_str(line).unwrap()))
        .collect()
}
