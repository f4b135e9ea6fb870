//! A real agent on a real interface: what it filters, remembers, explains, and survives.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

use std::{
    fs,
    io::{ErrorKind, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::net::UnixStream,
    time::Duration,
};

use bot_tests::{
    agent::{TestAgent, USER, exists},
    netns::{Ends, Namespace, veth},
    privilege::is_root,
};

const SERVER: &str = "10.88.0.1:443";

/// The filtered host and a client, joined by a veth pair.
struct World {
    agent: TestAgent,
    host: Namespace,
    client: Namespace,
    _server: TcpListener,
}

impl World {
    fn new(test: &str) -> Self {
        let host = Namespace::new(test);
        let client = Namespace::new(&format!("{test}-c"));
        connect(&host, &client);
        let server = host.run(|| TcpListener::bind(SERVER).unwrap());
        let mut world = Self {
            agent: TestAgent::new(),
            host,
            client,
            _server: server,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.agent.start(&self.host, &["-i", "veth-h"]);
    }

    fn reaches(&self) -> bool {
        self.client.run(|| {
            let server: SocketAddr = SERVER.parse().unwrap();
            match TcpStream::connect_timeout(&server, Duration::from_millis(700)) {
                Ok(_) => true,
                Err(error) => {
                    assert_eq!(error.kind(), ErrorKind::TimedOut);
                    false
                }
            }
        })
    }
}

fn connect(host: &Namespace, client: &Namespace) {
    veth(Ends {
        left: (host, "veth-h"),
        right: (client, "veth-c"),
    });
    host.ip(&["addr", "add", "10.88.0.1/24", "dev", "veth-h"]);
    client.ip(&["addr", "add", "10.88.0.2/24", "dev", "veth-c"]);
}

/// A TLS 1.3 hello for `shop.example` with one cipher suite and no other extensions.
fn client_hello() -> Vec<u8> {
    let name = b"shop.example";
    let mut sni = vec![0, 0, 0, 17, 0, 15, 0, 0, 12];
    sni.extend(name);
    let versions = [0, 43, 0, 3, 2, 3, 4];
    let extensions = [&sni[..], &versions].concat();
    let mut body = vec![3, 3];
    body.extend([7; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0]);
    body.push(u8::try_from(extensions.len()).unwrap());
    body.extend(extensions);
    let mut handshake = vec![1, 0, 0, u8::try_from(body.len()).unwrap()];
    handshake.extend(body);
    let mut record = vec![0x16, 3, 1, 0, u8::try_from(handshake.len()).unwrap()];
    record.extend(handshake);
    record
}

#[test]
fn a_block_counts_first_drops_when_enforced_and_is_explained() {
    if !is_root("a_block_counts_first") {
        return;
    }
    let world = World::new("block");
    let agent = &world.agent;
    assert_eq!(agent.cli(&["check", "10.88.0.2"]).code, 0);
    let mut events = agent.follow(&["--event", "drop", "--event", "would_drop"]);
    agent
        .cli(&["block", "10.88.0.2", "--reason", "scraper"])
        .ok();

    assert!(world.reaches(), "monitor mode drops nothing");
    let watched = events.next_event();
    assert_eq!(watched["event"], "would_drop");
    assert_eq!(watched["src"], "10.88.0.2");
    assert_eq!(watched["iface"], "veth-h");
    assert_eq!(watched["reason"], "scraper");
    assert_eq!(watched["origin"], "operator");

    agent.cli(&["mode", "enforce"]).ok();
    assert!(!world.reaches());
    let drop = std::iter::repeat_with(|| events.next_event())
        .find(|event| event["event"] == "drop")
        .unwrap();
    assert_eq!(drop["dport"], 443);
    assert_eq!(drop["rule"], watched["rule"]);

    let check = agent.cli(&["check", "10.88.0.2", "-o", "json"]);
    assert_eq!(check.code, 1);
    let check = check.json();
    assert_eq!(check["effect"], "drop");
    assert_eq!(check["rule"]["reason"], "scraper");
    assert_eq!(check["kernel"][0]["action"], "drop");
    assert!(check["rule"]["hits"]["packets"].as_u64().unwrap() > 0);
    assert!(check["rule"]["remaining_seconds"].as_u64().unwrap() > 4 * 3600 - 60);

    agent.cli(&["unblock", "10.88.0.2"]).ok();
    assert!(world.reaches());
    assert_eq!(agent.cli(&["check", "10.88.0.2"]).code, 0);
}

#[test]
fn a_client_hello_becomes_an_event() {
    if !is_root("a_client_hello_becomes_an_event") {
        return;
    }
    let world = World::new("hello");
    let mut events = world.agent.follow(&["--event", "hello"]);
    world.client.run(|| {
        let mut stream = TcpStream::connect(SERVER).unwrap();
        stream.write_all(&client_hello()).unwrap();
    });
    let hello = events.next_event();
    assert_eq!(hello["sni"], "shop.example");
    assert_eq!(hello["src"], "10.88.0.2");
    assert_eq!(hello["action"], "pass");
    assert_eq!(hello["tls"], serde_json::json!(["1.3"]));
    assert!(
        hello["ja4"].as_str().unwrap().starts_with("t13d0102"),
        "{hello}"
    );
    let ja4 = hello["ja4"].as_str().unwrap();
    let found = world.agent.cli(&["logs", "--ja4", ja4, "-o", "json"]).ok();
    assert_eq!(found.lines().count(), 1);
}

#[test]
fn rules_filter_on_without_the_agent_and_with_the_next_one() {
    if !is_root("rules_filter_on_without_the_agent") {
        return;
    }
    let mut world = World::new("kill");
    world
        .agent
        .cli(&["block", "10.88.0.0/24", "--permanent", "--reason", "kept"])
        .ok();
    world.agent.cli(&["mode", "enforce"]).ok();
    world.agent.kill();

    assert!(!world.reaches(), "the kernel filters on");
    assert_eq!(world.agent.cli(&["status"]).code, 3);
    let check = world.agent.cli(&["check", "10.88.0.2", "-o", "json"]);
    assert_eq!(check.code, 1);
    assert_eq!(check.json()["rule"]["reason"], "kept");

    world.start();
    assert!(world.agent.log().contains(r#""adopted":true"#));
    assert!(!world.reaches());
    let rules = world.agent.cli(&["list", "-o", "raw"]).ok();
    assert!(
        rules.contains("10.88.0.0/24") && rules.contains("kept"),
        "{rules}"
    );
    assert_eq!(world.agent.cli(&["mode", "-o", "raw"]).ok(), "enforce\n");
    assert_eq!(world.agent.stop(), Some(0));
    assert!(!world.reaches());

    let detached = world.agent.command(Some(&world.host), &["detach"]).output();
    assert!(detached.unwrap().status.success());
    assert!(world.reaches());
    assert!(!exists(&world.agent.pin_dir()));
}

#[test]
fn bypass_works_with_and_without_the_agent() {
    if !is_root("bypass_works") {
        return;
    }
    let mut world = World::new("bypass");
    world.agent.cli(&["block", "10.88.0.2"]).ok();
    world.agent.cli(&["mode", "enforce"]).ok();
    world
        .agent
        .cli(&["bypass", "--reason", "incident 7", "--for", "1h"])
        .ok();
    assert!(world.reaches());
    let status = world.agent.cli(&["status", "-o", "json"]).json();
    assert_eq!(status["mode"]["bypass"]["reason"], "incident 7");
    world.agent.cli(&["resume"]).ok();
    assert!(!world.reaches());

    world.agent.kill();
    world.agent.cli(&["bypass", "--reason", "incident 8"]).ok();
    assert!(world.reaches());
    world.start();
    assert!(world.reaches(), "the next agent keeps the bypass");
    let status = world.agent.cli(&["status", "-o", "json"]).json();
    assert_eq!(status["mode"]["bypass"]["reason"], "incident 8");
    world.agent.cli(&["resume"]).ok();
    assert!(!world.reaches());
}

#[test]
fn an_unconfirmed_enforce_ends_by_itself_and_only_a_new_session_confirms() {
    if !is_root("an_unconfirmed_enforce_ends_by_itself") {
        return;
    }
    let world = World::new("confirm");
    let agent = &world.agent;
    agent.cli(&["block", "10.88.0.2"]).ok();
    let mut modes = agent.follow(&["--event", "mode"]);
    agent
        .cli(&["mode", "enforce", "--confirm-within", "1s"])
        .ok();
    assert_eq!(modes.next_event()["mode"], "enforce");
    assert_eq!(modes.next_event()["mode"], "monitor");
    assert!(world.reaches());
    let late = agent.cli_in_new_session(&["confirm"]).fails(2);
    assert!(late.contains("nothing waits"), "{late}");

    agent
        .cli(&["mode", "enforce", "--confirm-within", "1h"])
        .ok();
    let same = agent.cli(&["confirm"]).fails(2);
    assert!(same.contains("another login session"), "{same}");
    agent.cli_in_new_session(&["confirm"]).ok();
    assert!(!world.reaches());
    let mode = agent.cli(&["mode", "-o", "json"]).json();
    assert_eq!(mode, serde_json::json!({"mode": "enforce"}));
}

#[test]
fn a_protected_address_needs_force() {
    if !is_root("a_protected_address_needs_force") {
        return;
    }
    let world = World::new("protect");
    let refusal = world.agent.cli(&["block", "10.88.0.1"]).fails(2);
    assert!(
        refusal.contains("own address") && refusal.contains("--force"),
        "{refusal}"
    );
    let dry = world.agent.cli(&[
        "block",
        "10.88.0.0/24",
        "--permanent",
        "--dry-run",
        "-o",
        "json",
    ]);
    let dry = dry.json();
    assert_eq!(
        (dry["addresses"].as_u64(), dry["exempt"].as_u64()),
        (Some(256), Some(1))
    );
    assert_eq!(world.agent.cli(&["list"]).ok(), "no rules\n");
    let wide = world.agent.cli(&["block", "10.88.0.0/16", "--permanent"]);
    assert_eq!(wide.code, 2);
    assert!(
        wide.err.contains("65,536 addresses") && wide.err.contains("--yes"),
        "{}",
        wide.err
    );
}

#[test]
fn what_stays_covered_is_named() {
    if !is_root("what_stays_covered_is_named") {
        return;
    }
    let world = World::new("covered");
    let agent = &world.agent;
    agent
        .cli(&[
            "block",
            "10.88.0.0/24",
            "--permanent",
            "-r",
            "the whole net",
        ])
        .ok();
    agent.cli(&["block", "10.88.0.2"]).ok();
    let ran = agent.cli(&["unblock", "10.88.0.2"]);
    assert_eq!(ran.code, 1);
    assert!(ran.out.contains("stays covered by") && ran.out.contains("the whole net"));
}

#[test]
fn a_second_agent_is_refused_and_says_what_is_in_its_way() {
    if !is_root("a_second_agent_is_refused") {
        return;
    }
    let world = World::new("second");
    let pid = world.agent.pid().to_string();
    let same = world
        .agent
        .try_start(&world.host, &["-i", "veth-h"])
        .fails(2);
    assert!(same.contains(&pid), "{same}");

    let other = TestAgent::new();
    let foreign = other.try_start(&world.host, &["-i", "veth-h"]);
    let foreign = foreign.err.lines().last().unwrap_or_default().to_owned();
    assert!(
        foreign.contains("veth-h") && foreign.contains("another XDP program")
            || foreign.contains("BPF link"),
        "{foreign}"
    );
    let code = other.try_start(&world.host, &["-i", "veth-h"]).code;
    assert_eq!(code, 4);
    let unknown = other.try_start(&world.host, &["-i", "nosuch"]);
    assert_eq!(unknown.code, 2);
    assert!(
        unknown.err.contains("there is no interface `nosuch`"),
        "{unknown:?}"
    );
}

#[test]
fn an_interface_that_comes_back_is_filtered_again() {
    if !is_root("an_interface_that_comes_back") {
        return;
    }
    let world = World::new("back");
    world.agent.cli(&["block", "10.88.0.2"]).ok();
    world.agent.cli(&["mode", "enforce"]).ok();
    let mut events = world
        .agent
        .follow(&["--event", "attach", "--event", "detach"]);
    assert_eq!(events.next_event()["event"], "attach");
    world.host.ip(&["link", "del", "veth-h"]);
    assert_eq!(events.next_event()["event"], "detach");
    connect(&world.host, &world.client);
    let attach = events.next_event();
    assert_eq!(
        (&attach["event"], &attach["iface"]),
        (&"attach".into(), &"veth-h".into())
    );
    assert!(!world.reaches());
}

#[test]
fn a_reload_is_valid_or_changes_nothing() {
    if !is_root("a_reload_is_valid_or_changes_nothing") {
        return;
    }
    let world = World::new("reload");
    let agent = &world.agent;
    let rule =
        "[[rule]]\naction = \"block\"\nsource = \"203.0.113.0/24\"\nreason = \"configured\"\n";
    agent.configure(rule);
    agent.cli(&["reload"]).ok();
    assert_eq!(agent.cli(&["check", "203.0.113.9"]).code, 1);

    agent.configure("[agnt]\n");
    let error = agent.cli(&["reload"]).fails(7);
    assert!(error.contains(":3") && error.contains("`agent`"), "{error}");
    assert_eq!(agent.cli(&["check", "203.0.113.9"]).code, 1);

    let mut events = agent.follow(&["--event", "error", "--event", "reload"]);
    assert_eq!(events.next_event()["event"], "reload");
    agent.signal("HUP");
    assert_eq!(events.next_event()["event"], "error");
    agent.configure("");
    agent.signal("HUP");
    assert_eq!(events.next_event()["event"], "reload");
    assert_eq!(agent.cli(&["check", "203.0.113.9"]).code, 0);
}

#[test]
fn bad_clients_disturb_nobody() {
    if !is_root("bad_clients_disturb_nobody") {
        return;
    }
    let world = World::new("clients");
    let connect = || UnixStream::connect(world.agent.socket()).unwrap();
    let _nothing = connect();
    let mut half = connect();
    half.write_all(b"{\"command\":\"bypass\",\"reason\":")
        .unwrap();
    let mut megabyte = connect();
    drop(megabyte.write_all(&vec![b'x'; 2 << 20]));
    let mut answer = String::new();
    drop(megabyte.read_to_string(&mut answer));
    assert!(answer.contains("too_large"), "{answer}");
    drop(half);
    let status = world.agent.cli(&["status", "-o", "json"]).json();
    assert_eq!(status["mode"], serde_json::json!({"mode": "monitor"}));
}

#[test]
fn a_full_disk_changes_nothing_and_is_said() {
    if !is_root("a_full_disk_changes_nothing") {
        return;
    }
    let host = Namespace::new("disk");
    let client = Namespace::new("disk-c");
    connect(&host, &client);
    let mut agent = TestAgent::new();
    let state = agent.path("state");
    fs::create_dir(&state).unwrap();
    let _disk = Disk::mount(&state);
    let nobody = Some(nix::unistd::User::from_name(USER).unwrap().unwrap().uid);
    nix::unistd::chown(&state, nobody, None).unwrap();
    agent.start(&host, &["-i", "veth-h"]);
    agent.cli(&["block", "192.0.2.1"]).ok();
    fill(&state.join("filler"));
    let hosts: Vec<String> = (0..5000u32)
        .map(|host| format!("198.18.{}.{}", host / 256, host % 256))
        .collect();
    let file = agent.path("list");
    fs::write(&file, hosts.join("\n")).unwrap();
    let path = file.to_string_lossy().into_owned();
    let error = agent.cli(&["block", "--yes", "--from-file", &path]);
    assert_eq!(error.code, 2, "{error:?}");
    let error = error.err;
    assert!(error.contains("no space left"), "{error}");
    assert_eq!(agent.cli(&["check", "198.18.0.7"]).code, 0);
    assert_eq!(agent.cli(&["list", "-o", "raw"]).ok().lines().count(), 1);
    agent.cli(&["bypass", "-r", "still works"]);
    let mode = agent.cli(&["mode", "-o", "raw"]).ok();
    assert_eq!(mode, "bypass\n", "a rescue does not need the disk");

    fs::remove_file(state.join("filler")).unwrap();
    agent.cli(&["block", "--yes", "--from-file", &path]).ok();
    assert_eq!(agent.cli(&["check", "198.18.0.7"]).code, 1);
}

/// A small file system.
struct Disk(std::path::PathBuf);

impl Disk {
    fn mount(path: &std::path::Path) -> Self {
        let flags = rustix::mount::MountFlags::empty();
        rustix::mount::mount("tmpfs", path, "tmpfs", flags, Some(c"size=4m")).unwrap();
        Self(path.to_owned())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(error) = rustix::mount::unmount(&self.0, rustix::mount::UnmountFlags::DETACH) {
            eprintln!("unmounting {}: {error}", self.0.display());
        }
    }
}

fn fill(path: &std::path::Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
}
