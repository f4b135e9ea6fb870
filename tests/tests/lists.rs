//! Many rules at a time: lists with conditions, exports, imports, and the sets for other packet
//! filters, which their own tools must take.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

use std::{
    collections::BTreeSet,
    fs,
    io::Write as _,
    net::Ipv4Addr,
    path::PathBuf,
    process::{Command, Stdio},
};

use aya::maps::MapData;
use bot_common::abi::names::{LAYOUT_VERSION, MAP_VERDICTS};
use bot_tests::{
    agent::Ran,
    bpf,
    lab::{IFACE, Lab},
    netns::Namespace,
    privilege::is_root,
    resident::Resident,
    tool::is_installed,
};
use serde_json::Value;

/// An agent with some rules of every kind.
fn with_rules(lab: &Lab) -> Resident<'_> {
    let config = "[[rule]]\nsource = \"203.0.113.0/24\"\naction = \"block\"\n";
    let mut agent = Resident::new(&lab.host, config);
    agent.start(&["-i", IFACE]);
    for command in [
        &["block", "198.51.100.0/24", "--permanent", "-r", "scraper"][..],
        &["block", "198.51.100.7", "--duration", "2h", "--monitor"],
        &[
            "block",
            "2001:db8:bad::/56",
            "--duration",
            "7d",
            "--scope",
            "services",
        ],
        &["allow", "198.51.100.64/27", "--permanent"],
    ] {
        agent.ok(command);
    }
    agent
}

fn lines(text: &str) -> Vec<Value> {
    let lines = text.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// Column 2: what the rules are about.
fn listed(agent: &Resident<'_>, conditions: &[&str]) -> Vec<String> {
    let text = agent.ok(&[&["list", "-o", "raw"], conditions].concat());
    let rows = text.lines();
    rows.map(|row| row.split('\t').nth(1).unwrap().to_owned())
        .collect()
}

fn file(agent: &Resident<'_>, name: &str, text: &str) -> String {
    let path: PathBuf = agent.path(name);
    fs::write(&path, text).unwrap();
    path.to_string_lossy().into_owned()
}

#[test]
fn conditions_may_be_combined_and_a_summary_counts() {
    if !is_root("conditions_may_be_combined") {
        return;
    }
    let lab = Lab::new("conditions");
    let agent = with_rules(&lab);
    assert_eq!(listed(&agent, &["--origin", "config"]), ["203.0.113.0/24"]);
    assert_eq!(listed(&agent, &["--action", "allow"]), ["198.51.100.64/27"]);
    assert_eq!(listed(&agent, &["--family", "6"]), ["2001:db8:bad::/56"]);
    let within = ["--within", "198.51.100.0/25", "--action", "block"];
    assert_eq!(listed(&agent, &within), ["198.51.100.7"]);
    assert!(listed(&agent, &["--origin", "protected"]).contains(&"127.0.0.0/8".to_owned()));

    let summary = agent.cli(&["list", "--summary", "-o", "json"]).json();
    let operators = |action: &str, family: u64| {
        let rows = summary["counts"].as_array().unwrap().iter();
        let mut rows = rows.filter(|row| {
            row["origin"] == "operator" && row["action"] == action && row["family"] == family
        });
        rows.next().map(|row| row["rules"].as_u64().unwrap())
    };
    assert_eq!(operators("block", 4), Some(2));
    assert_eq!(operators("block", 6), Some(1));
    assert_eq!(operators("allow", 4), Some(1));
    assert_eq!(operators("allow", 6), None);
    let text = agent.ok(&["list", "--summary", "--origin", "config"]);
    let rows: Vec<Vec<&str>> = text
        .lines()
        .map(|row| row.split_whitespace().collect())
        .collect();
    assert_eq!(
        rows[1..],
        [
            vec!["config", "block", "ipv4", "1"],
            vec!["all", "rules", "1"]
        ]
    );
}

#[test]
fn a_list_of_several_pages_is_whole() {
    if !is_root("a_list_of_several_pages_is_whole") {
        return;
    }
    let lab = Lab::new("pages");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    let hosts: Vec<String> = (0..2_500u32)
        .map(|number| Ipv4Addr::from(0x0b00_0000 + number * 2).to_string())
        .collect();
    let path = file(&agent, "hosts", &hosts.join("\n"));
    agent.ok(&["block", "--from-file", &path, "--yes"]);
    assert_eq!(listed(&agent, &[]), hosts);
    let json = lines(&agent.ok(&["list", "-o", "json"]));
    assert_eq!(json.len(), hosts.len());
    assert!(
        json.iter()
            .all(|rule| rule["hits"]["packets"] == 0 || rule["hits"].is_null())
    );
    let table = agent.ok(&["list"]);
    assert_eq!(table.lines().count(), hosts.len() + 1);
    let column = table.lines().next().unwrap().find("ORIGIN").unwrap();
    assert!(
        table
            .lines()
            .skip(1)
            .all(|row| row[column..].starts_with("operator"))
    );
    // Who reads no further is no trouble.
    let mut list = agent.command(None, &["list", "-o", "json"]);
    let mut child = list.stdout(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_list_says_so_when_the_kernel_does_not_have_what_it_shows() {
    const SAID: &str = "the kernel's table is not what the rules say: the kernel refused (";
    if !is_root("a_list_says_so") {
        return;
    }
    let lab = Lab::new("list-differs");
    let agent = with_rules(&lab);
    for options in [&["list"][..], &["list", "--summary"]] {
        assert_eq!(agent.cli(options).err, "", "all is well");
    }
    // The kernel refuses new verdicts, and a new address of the host needs one.
    let maps = agent.pin_dir().join(format!("v{LAYOUT_VERSION}/maps"));
    let verdicts = MapData::from_pin(maps.join(MAP_VERDICTS)).unwrap();
    bpf::freeze(verdicts.fd()).unwrap();
    lab.host
        .ip(&["addr", "add", "192.0.2.201/32", "dev", IFACE]);
    agent.event("an error", |event| event["event"] == "error");

    for options in [
        &["list"][..],
        &["list", "--summary"],
        &["list", "-o", "raw"],
    ] {
        let ran = agent.cli(options);
        let line = ran.error_line();
        assert!(line.starts_with(&format!("bot-agent: {SAID}")), "{line}");
        assert_eq!(ran.code, 0);
    }
    let ran = agent.cli(&["list", "-o", "json"]);
    let note: Value = serde_json::from_str(ran.error_line()).unwrap();
    assert!(note["note"].as_str().unwrap().starts_with(SAID), "{note}");
    let summary = agent.cli(&["list", "--summary", "-o", "json"]).json();
    assert!(
        summary["differs"].as_str().unwrap().starts_with(SAID),
        "{summary}"
    );
    let status = agent.json(&["status"]);
    assert!(
        status["notes"].to_string().contains("the kernel refused ("),
        "{status}"
    );
}

#[test]
fn what_was_exported_can_be_imported() {
    if !is_root("what_was_exported_can_be_imported") {
        return;
    }
    let lab = Lab::new("exchange");
    let mut agent = with_rules(&lab);
    let exported = agent.ok(&["export"]);
    let rules = lines(&exported);
    assert_eq!(rules.len(), 4, "the operator's alone: {exported}");
    assert!(rules.iter().all(|rule| rule["origin"] == "operator"));
    let all = lines(&agent.ok(&["export", "--all"]));
    let origins: BTreeSet<&str> = all
        .iter()
        .map(|rule| rule["origin"].as_str().unwrap())
        .collect();
    assert!(
        origins.contains("config") && origins.contains("protected (loopback)"),
        "{origins:?}"
    );

    // The same again changes nothing, ids included.
    let path = file(&agent, "rules.jsonl", &exported);
    let before = listed_with_ids(&agent);
    let said = agent.ok(&["import", &path]);
    assert_eq!(said, "0 rules made, 4 there already\n");
    assert_eq!(listed_with_ids(&agent), before);

    // To another agent, over standard input, with all rules: what is not the operator's stays out.
    agent.ok(&[
        "unblock",
        "198.51.100.0/24",
        "198.51.100.7",
        "2001:db8:bad::/56",
    ]);
    agent.ok(&["unallow", "198.51.100.64/27"]);
    let mut lines_of_all: Vec<String> = all.iter().map(Value::to_string).collect();
    let over = r#"{"prefix":"192.0.2.99","action":"block","until":"2020-01-01T00:00:00Z"}"#;
    lines_of_all.push(over.to_owned());
    let input = lines_of_all.join("\n");
    let would = import_from_stdin(&agent, &["--dry-run", "-o", "json"], &input);
    let would: Value = serde_json::from_str(&would.ok()).unwrap();
    assert_eq!(
        (&would["added"], &would["dry_run"]),
        (&4.into(), &true.into())
    );
    assert_eq!(agent.ok(&["export"]), "");
    let said = import_from_stdin(&agent, &[], &input).ok();
    let others = all.len() - 4;
    assert_eq!(
        said,
        format!("4 rules made, 1 over by now, {others} not an operator's\n")
    );
    assert_eq!(as_set(&agent.ok(&["export"])), as_set(&exported));

    // And they are on the disk.
    agent.stop();
    agent.start(&["-i", IFACE]);
    assert_eq!(as_set(&agent.ok(&["export"])), as_set(&exported));
    assert_eq!(agent.cli(&["check", "198.51.100.9"]).code, 1);
    assert_eq!(agent.cli(&["check", "198.51.100.70"]).code, 0);
}

#[test]
fn an_import_is_made_as_a_whole_or_not_at_all() {
    if !is_root("an_import_is_made_as_a_whole") {
        return;
    }
    let lab = Lab::new("import");
    let mut agent = Resident::new(&lab.host, "");
    agent.start(&["-i", IFACE]);
    // More than one request: the bad line and the protected address are near the end.
    let rule = |number: u32| {
        let address = Ipv4Addr::from(0x0b00_0000 + number);
        format!(r#"{{"prefix":"{address}","action":"block","reason":"a list of scanners"}}"#)
    };
    let good: Vec<String> = (0..3_000).map(rule).collect();
    let with = |line: &str| [&good[..], &[line.to_owned()]].concat().join("\n");

    let path = file(
        &agent,
        "bad",
        &with(r#"{"prefix":"10.0.0.1/8","action":"block"}"#),
    );
    let bad = agent.cli(&["import", &path]);
    assert_eq!(bad.code, 2);
    assert!(
        bad.err
            .contains("/bad has bad lines; nothing was changed\n"),
        "{bad:?}"
    );
    assert!(
        bad.err
            .contains("  line 3001: `10.0.0.1/8` has host bits set"),
        "{bad:?}"
    );

    let path = file(
        &agent,
        "protected",
        &with(r#"{"prefix":"127.0.0.1","action":"block"}"#),
    );
    let refused = agent.cli(&["import", &path]).fails(2);
    assert!(
        refused.contains("line 3001: 127.0.0.1 is protected (loopback)")
            && refused.contains("nothing was changed"),
        "{refused}"
    );
    assert_eq!(agent.ok(&["list", "-o", "raw"]), "");

    let path = file(&agent, "good", &good.join("\n"));
    let said = agent.ok(&["import", &path]);
    assert_eq!(said, "3,000 rules made\n");
    assert_eq!(listed(&agent, &[]).len(), 3_000);
    assert_eq!(agent.cli(&["check", "11.0.11.183"]).code, 1);
    assert_eq!(
        agent.ok(&["import", &path]),
        "0 rules made, 3,000 there already\n"
    );
}

fn listed_with_ids(agent: &Resident<'_>) -> Vec<(String, String)> {
    let text = agent.ok(&["list", "-o", "raw"]);
    let rows = text.lines();
    rows.map(|row| {
        let mut columns = row.split('\t').map(str::to_owned);
        (columns.next().unwrap(), columns.next().unwrap())
    })
    .collect()
}

fn as_set(text: &str) -> BTreeSet<&str> {
    text.lines().collect()
}

fn import_from_stdin(agent: &Resident<'_>, options: &[&str], input: &str) -> Ran {
    let mut command = agent.command(None, &[&["import", "-"], options].concat());
    feed(command.stdout(Stdio::piped()).stderr(Stdio::piped()), input)
}

fn feed(command: &mut Command, input: &str) -> Ran {
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    child.wait_with_output().unwrap().into()
}

/// A script's tool, run inside a namespace of its own.
fn run(namespace: &Namespace, words: &[&str], input: &str) -> Ran {
    let mut command = namespace.command(words[0]);
    command
        .args(&words[1..])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    feed(&mut command, input)
}

/// An agent whose rules need everything that a set can say, and more.
fn with_many_kinds(lab: &Lab) -> Resident<'_> {
    let agent = with_rules(lab);
    for command in [
        &["block", "192.0.2.128-192.0.2.199", "--duration", "1h"][..],
        &["block", "8000::/1", "--permanent", "--force", "--yes"],
        &[
            "block",
            "0.0.0.0/1",
            "--permanent",
            "--force",
            "--yes",
            "--monitor",
        ],
        &["block", "100.64.0.0/10", "--duration", "100d", "--yes"],
        &["allow", "100.64.0.1", "--duration", "1h"],
    ] {
        agent.ok(command);
    }
    agent
}

/// Addresses and whether the sets of all blocks have them.
const IN_SETS: [(&str, bool); 12] = [
    ("198.51.100.7", true),
    ("198.51.100.63", true),
    ("198.51.100.64", false),
    ("198.51.100.96", true),
    ("198.51.101.0", false),
    ("192.0.2.127", false),
    ("192.0.2.199", true),
    ("192.0.2.200", false),
    ("203.0.113.255", true),
    ("100.64.0.1", false),
    ("100.127.255.255", true),
    ("10.9.9.9", false),
];

/// The same, and whether those for services have them.
const IN_SETS_6: [(&str, bool, bool); 5] = [
    ("2001:db8:bad::1", false, true),
    ("2001:db8:bad:100::", false, false),
    ("9000::1", true, false),
    ("7fff::1", false, false),
    ("fe80::1", true, false),
];

#[test]
fn nft_takes_the_sets_and_finds_in_them_what_is_blocked() {
    if !is_root("nft_takes_the_sets") || !is_installed("nft", "nftables") {
        return;
    }
    let lab = Lab::new("nft");
    let agent = with_many_kinds(&lab);
    let script = agent.ok(&["export", "--format", "nft"]);
    for said in [
        "# Rules that only count and report: 2; they are left out.",
        "# services4, services6: ",
        "timeouts count from when this is loaded",
        "what they exempt stays out",
    ] {
        assert!(script.contains(said), "{said}\n{script}");
    }
    let elsewhere = Namespace::new("nft-sets");
    // Twice: it takes the place of the earlier one.
    for _ in 0..2 {
        run(&elsewhere, &["nft", "-f", "-"], &script).ok();
    }
    let holds = |set: &str, address: &str| {
        let element = format!("{{ {address} }}");
        let words = ["nft", "get", "element", "inet", "bot_agent", set, &element];
        run(&elsewhere, &words, "").code == 0
    };
    for (address, blocked) in IN_SETS {
        assert_eq!(holds("block4", address), blocked, "{address}\n{script}");
    }
    for (address, blocked, services) in IN_SETS_6 {
        assert_eq!(holds("block6", address), blocked, "{address}\n{script}");
        assert_eq!(holds("services6", address), services, "{address}\n{script}");
    }
    let listed = run(
        &elsewhere,
        &["nft", "list", "set", "inet", "bot_agent", "block4"],
        "",
    )
    .ok();
    assert!(
        listed.contains("timeout 1h") || listed.contains("expires 59m"),
        "{listed}"
    );
}

#[test]
fn ipset_takes_the_sets_and_finds_in_them_what_is_blocked() {
    if !is_root("ipset_takes_the_sets") || !is_installed("ipset", "ipset") {
        return;
    }
    let lab = Lab::new("ipset");
    let agent = with_many_kinds(&lab);
    let script = agent.ok(&["export", "--format", "ipset"]);
    assert!(
        script.contains("a set can keep no longer timeout"),
        "{script}"
    );
    let elsewhere = Namespace::new("ipset-sets");
    for _ in 0..2 {
        run(&elsewhere, &["ipset", "restore"], &script).ok();
    }
    let holds =
        |set: &str, address: &str| run(&elsewhere, &["ipset", "test", set, address], "").code == 0;
    for (address, blocked) in IN_SETS {
        assert_eq!(
            holds("bot-agent-block4", address),
            blocked,
            "{address}\n{script}"
        );
    }
    for (address, blocked, services) in IN_SETS_6 {
        assert_eq!(
            holds("bot-agent-block6", address),
            blocked,
            "{address}\n{script}"
        );
        let found = holds("bot-agent-services6", address);
        assert_eq!(found, services, "{address}\n{script}");
    }
    let names = run(&elsewhere, &["ipset", "list", "-name"], "").ok();
    assert_eq!(
        names.lines().count(),
        4,
        "nothing is left beside them: {names}"
    );
}
