//! Lists of sources from files, and the kernel's table that follows them.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken assumption ends the test"
)]

use std::{
    fs,
    net::Ipv4Addr,
    thread,
    time::{Duration, Instant},
};

use aya::maps::{Array, Map, MapData};
use bot_agent::datapath::Pinned;
use bot_common::abi::{
    names::{LAYOUT_VERSION, MAP_GENERATION},
    verdict::Verdict,
};
use bot_tests::{
    lab::{HOST, IFACE, Lab, NETWORK, STRANGER},
    privilege::is_root,
    resident::Resident,
    traffic::{Sink, Stream},
};

/// A served port.
const PORT: u16 = 8080;

/// An agent in enforce mode with one list, and the list's file.
fn with_list<'a>(lab: &'a Lab, action: &str, text: &str) -> (Resident<'a>, std::path::PathBuf) {
    let mut agent = Resident::new(&lab.host, "");
    let file = agent.path("bad.txt");
    fs::write(&file, text).unwrap();
    agent.configure(&format!(
        "[mode]\nstart = \"enforce\"\n[services]\nudp = [{PORT}]\n[[list]]\nname = \"bad\"\nfile = \"{}\"\naction = \"{action}\"\n",
        file.display()
    ));
    agent.start(&["-i", IFACE]);
    (agent, file)
}

#[test]
fn a_listed_source_is_dropped_and_the_list_is_named() {
    if !is_root("a_listed_source_is_dropped_and_the_list_is_named") {
        return;
    }
    let lab = Lab::new("listed");
    let sink = Sink::new(&lab.host, PORT);
    let (agent, file) = with_list(&lab, "block", &format!("# bad\n{NETWORK}\n"));
    let _stream = Stream::new(&lab.peer, &[STRANGER], (HOST, PORT));
    let drop = agent.event("a drop", |event| event["event"] == "drop");
    assert_eq!(drop["origin"], "list bad");
    sink.wait_for_silence(STRANGER);

    let source = STRANGER.to_string();
    let check = agent.cli(&["check", &source, "-o", "json"]);
    assert_eq!(check.code, 1);
    let check = check.json();
    assert_eq!(check["lists"][0]["list"], "bad");
    assert_eq!(check["lists"][0]["decides"], true);
    assert!(check["kernel"][0]["hits"]["packets"].as_u64() > Some(0));
    assert_eq!(
        check["notes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|note| note.to_string().contains("the rules say")),
        None
    );
    let status = agent.json(&["status"]);
    assert_eq!(status["lists"][0]["entries"], 1);
    assert!(status["lists"][0]["hits"]["packets"].as_u64() > Some(0));
    assert_eq!(status["table"]["repairs"], 0);

    let still = agent.cli(&["unblock", &source]);
    assert_eq!(still.code, 1, "{still:?}");
    let said = format!("{source} stays covered by the list bad ({NETWORK})");
    assert!(still.out.contains(&said), "{still:?}");

    // An operator's word beats any list, and the file is followed when it is read again.
    agent.ok(&["allow", &source, "--permanent"]);
    sink.wait_for_more(STRANGER, 50);
    agent.ok(&["unallow", &source]);
    sink.wait_for_silence(STRANGER);
    fs::write(&file, "<html>gone</html>\n").unwrap();
    agent.ok(&["reload"]);
    let kept = agent.json(&["status"]);
    assert_eq!(kept["lists"][0]["entries"], 1);
    assert!(
        kept["notes"].to_string().contains("1 earlier entries stay"),
        "{kept}"
    );
    fs::write(&file, "203.0.113.77\n").unwrap();
    agent.ok(&["reload"]);
    sink.wait_for_more(STRANGER, 50);
    assert_eq!(
        agent.json(&["status"])["notes"].as_array().map(Vec::len),
        Some(0)
    );
}

#[test]
fn a_listed_source_stays_blocked_while_no_agent_runs_and_when_the_next_one_starts() {
    if !is_root("a_listed_source_stays_blocked_while_no_agent_runs") {
        return;
    }
    let lab = Lab::new("kept-list");
    let sink = Sink::new(&lab.host, PORT);
    let mut many = format!("{NETWORK}\n");
    for n in 0..50_000u32 {
        many += &Ipv4Addr::from(0x0b00_0000 + n * 77).to_string();
        many.push('\n');
    }
    let (mut agent, _file) = with_list(&lab, "block", &many);
    let _stream = Stream::new(&lab.peer, &[STRANGER], (HOST, PORT));
    agent.event("a drop", |event| event["event"] == "drop");
    sink.wait_for_silence(STRANGER);
    let before = sink.count(STRANGER);
    agent.kill();
    agent.start(&["-i", IFACE]);
    agent.ok(&["reload"]);
    agent.event("a drop", |event| event["event"] == "drop");
    assert_eq!(
        sink.count(STRANGER),
        before,
        "packets passed during the restart"
    );
    assert_eq!(agent.json(&["status"])["lists"][0]["entries"], 50_001);
}

#[test]
fn a_difference_between_the_rules_and_the_kernel_is_mended_and_counted() {
    if !is_root("a_difference_between_the_rules_and_the_kernel_is_mended_and_counted") {
        return;
    }
    let lab = Lab::new("mended");
    let (agent, _file) = with_list(&lab, "block", &format!("{NETWORK}\n"));
    let source = STRANGER.to_string();
    assert_eq!(agent.cli(&["check", &source]).code, 1);
    // Somebody writes into the pinned tables.
    let mut pinned = Pinned::open(&agent.pin_dir()).unwrap();
    let id = pinned.verdict_id(STRANGER.into());
    pinned.write_verdict(id, Verdict::PASS).unwrap();
    assert_eq!(agent.cli(&["check", &source]).code, 0);
    let told = agent.cli(&["check", &source]).out;
    assert!(told.contains("list     bad"), "{told}");
    let begun = Instant::now();
    while agent.json(&["status"])["table"]["repairs"] == 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody mends it");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(agent.cli(&["check", &source]).code, 1);
    assert_eq!(agent.json(&["status"])["table"]["repairs"], 1);
}

#[test]
fn a_change_is_true_in_a_damaged_table_which_is_then_replaced() {
    if !is_root("a_change_is_true_in_a_damaged_table") {
        return;
    }
    let lab = Lab::new("damaged");
    let (agent, _file) = with_list(&lab, "block", &format!("{NETWORK}\n2001:db8:7::/48\n"));
    damage(&agent);
    agent.ok(&["block", "192.0.2.77"]);
    assert_eq!(agent.cli(&["check", "192.0.2.77"]).code, 1);
    // What nobody has changed is found a little later.
    agent.event("an error", |event| {
        event["event"] == "error"
            && event["message"]
                .as_str()
                .is_some_and(|text| text.contains("does somebody write"))
    });
    assert_eq!(agent.cli(&["check", &STRANGER.to_string()]).code, 1);
    assert_eq!(agent.cli(&["check", "2001:db8:7::1"]).code, 1);
    assert_eq!(agent.cli(&["check", "192.0.2.77"]).code, 1);
}

#[test]
fn a_damaged_table_is_found_and_replaced() {
    if !is_root("a_damaged_table_is_found_and_replaced") {
        return;
    }
    let lab = Lab::new("found");
    let (agent, _file) = with_list(&lab, "block", &format!("{NETWORK}\n"));
    damage(&agent);
    let begun = Instant::now();
    while agent.json(&["status"])["table"]["repairs"] == 0 {
        assert!(begun.elapsed() < Duration::from_mins(1), "nobody mends it");
        thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(agent.cli(&["check", &STRANGER.to_string()]).code, 1);
}

/// Writes nonsense over everything in the generation in force but its header.
fn damage(agent: &Resident<'_>) {
    let maps = agent.pin_dir().join(format!("v{LAYOUT_VERSION}/maps"));
    let map = MapData::from_pin(maps.join(MAP_GENERATION)).unwrap();
    let mut lines: Array<MapData, [u64; 8]> = Map::Array(map).try_into().unwrap();
    for line in 1..lines.len() {
        let nonsense = u64::from(line).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        lines.set(line, [nonsense; 8], 0).unwrap();
    }
}

#[test]
fn at_level_debug_the_agent_tells_how_long_each_part_of_a_change_took() {
    if !is_root("at_level_debug_the_agent_tells") {
        return;
    }
    let lab = Lab::new("timing");
    let mut agent = Resident::new(&lab.host, "[log]\nlevel = \"debug\"\n");
    agent.start(&["-i", IFACE]);
    for (command, target) in [("block", "192.0.2.7"), ("unblock", "192.0.2.7")] {
        agent.ok(&[command, target]);
    }
    agent.ok(&["block", "192.0.2.8", "--dry-run"]);
    let told = || {
        let lines = agent.log().into_iter();
        let lines = lines.filter_map(|line| line["message"].as_str().map(str::to_owned));
        let told = lines.filter(|line| line.starts_with("a change is in force rules=1 "));
        told.collect::<Vec<_>>()
    };
    let begun = Instant::now();
    while told().len() < 2 {
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{:?}",
            agent.log()
        );
        thread::sleep(Duration::from_millis(50));
    }
    for line in told() {
        let part = |name: &str| -> u64 {
            let value = line.split(' ').find_map(|field| field.strip_prefix(name));
            value.unwrap().parse().unwrap()
        };
        let sum = part("waited_us=") + part("worked_out_us=") + part("published_us=");
        // Each is cut to whole microseconds.
        assert!((sum..sum + 3).contains(&part("in_force_us=")), "{line}");
        assert!(part("stored_us=") > 0, "{line}");
    }
    assert_eq!(told().len(), 2, "nothing is in force after a dry run");
}

#[test]
fn a_list_of_as_many_prefixes_as_the_table_holds_fits_and_no_rule_more() {
    const ALL: u32 = 1024;
    if !is_root("a_list_of_as_many_prefixes_as_the_table_holds_fits") {
        return;
    }
    let lab = Lab::new("exact");
    let mut agent = Resident::new(&lab.host, "");
    let file = agent.path("list.txt");
    let hosts = (0..ALL).map(|n| Ipv4Addr::from(0x0b00_0000 + 2 * n));
    let lines: Vec<String> = hosts.map(|host| host.to_string()).collect();
    fs::write(&file, lines.join("\n")).unwrap();
    agent.configure(&format!(
        "[tables]\nprefixes = {ALL}\n[[list]]\nname = \"full\"\nfile = \"{}\"\naction = \"block\"\n",
        file.display()
    ));
    agent.start(&["-i", IFACE]);
    let status = agent.json(&["status"]);
    assert!(status["rules"]["protected"].as_u64() > Some(0), "{status}");
    assert_eq!(status["notes"].as_array().map(Vec::len), Some(0));
    assert_eq!(status["table"]["prefixes"], ALL);
    assert_eq!(agent.cli(&["check", "11.0.0.2"]).code, 1);

    // A prefix that is named already takes no place, another one has none.
    agent.ok(&["block", "11.0.0.2"]);
    let refused = agent.cli(&["block", "11.0.0.3"]).fails(2);
    assert!(
        refused.contains("name 1025 prefixes, [tables] prefixes allows 1024"),
        "{refused}"
    );
    assert_eq!(agent.json(&["status"])["table"]["prefixes"], ALL);
    fs::write(&file, "11.0.0.0\n").unwrap();
    agent.ok(&["reload"]);
    agent.ok(&["block", "11.0.0.3"]);
    assert_eq!(agent.json(&["status"])["table"]["prefixes"], 3);
}

/// Column `column` of the raw answer to `list` with these conditions.
fn raw(agent: &Resident<'_>, conditions: &[&str], column: usize) -> Vec<String> {
    let text = agent.ok(&[&["list", "-o", "raw"], conditions].concat());
    let rows = text.lines();
    rows.map(|row| row.split('\t').nth(column).unwrap().to_owned())
        .collect()
}

#[test]
fn the_entries_of_a_list_are_shown_and_counted() {
    const ALL: u32 = 200_000;
    if !is_root("the_entries_of_a_list_are_shown_and_counted") {
        return;
    }
    let lab = Lab::new("entries");
    let hosts = (0..ALL).map(|n| Ipv4Addr::from(0x0b00_0000 + 3 * n).to_string());
    let hosts: Vec<String> = hosts.collect();
    let (agent, file) = with_list(&lab, "monitor", &hosts.join("\n"));
    agent.ok(&["block", "11.0.0.0/24", "--permanent"]);

    // The file has them in order.
    assert!(raw(&agent, &["--origin", "list"], 0) == hosts);
    let within = ["--list", "bad", "--within", "11.0.1.0/29", "-o", "json"];
    let within = agent.ok(&[&["list"], &within[..]].concat());
    let said = |host: &str| {
        format!(
            r#"{{"prefix":"{host}","action":"block","scope":"services","list":"bad","monitor":true}}"#
        )
    };
    let expected = ["11.0.1.2", "11.0.1.5"].map(said);
    assert_eq!(within.lines().collect::<Vec<_>>(), expected);
    let overlaps = ["--origin", "list", "--overlaps", "11.0.1.2/31"];
    assert_eq!(raw(&agent, &overlaps, 0), ["11.0.1.2"]);
    assert!(raw(&agent, &["--list", "bad", "--allows"], 0).is_empty());
    let rows = agent.ok(&["list", "--list", "bad", "--within", "11.0.1.2"]);
    assert_eq!(
        rows,
        "PREFIX    ACTION                           LIST\n\
         11.0.1.2  block (services) (monitor only)  bad\n"
    );

    // A list of rules says what it leaves out, to people.
    let rules = agent.cli(&["list"]);
    assert_eq!(rules.out.lines().count(), 2, "{rules:?}");
    assert!(
        rules
            .err
            .contains("not shown: 200,000 prefixes of 1 list (--origin list shows them"),
        "{rules:?}"
    );
    assert_eq!(agent.cli(&["list", "-o", "raw"]).err, "");

    let summary = agent.ok(&["list", "--summary", "--blocks"]);
    let rows = summary.lines().map(|row| row.split_whitespace().collect());
    let rows: Vec<Vec<&str>> = rows.collect();
    assert_eq!(
        rows,
        [
            vec!["ORIGIN", "ACTION", "FAMILY", "COUNT"],
            vec!["operator", "block", "ipv4", "1"],
            vec!["list", "bad", "block", "ipv4", "200,000"],
            vec!["all", "rules", "1"],
            vec!["all", "lists", "200,000"],
        ]
    );
    let summary = agent.json(&["list", "--summary", "--origin", "list"]);
    assert_eq!(
        (&summary["rules"], &summary["entries"]),
        (&0.into(), &ALL.into())
    );
    assert_eq!(
        summary["lists"].to_string(),
        r#"[{"action":"block","entries":200000,"family":4,"list":"bad","origin":"list"}]"#
    );
    assert_eq!(raw(&agent, &["--summary", "--list", "bad"], 4), ["bad"]);

    let unknown = agent.cli(&["list", "--list", "bda"]).fails(2);
    assert!(
        unknown.contains("there is no list `bda`; there are: bad"),
        "{unknown}"
    );

    // What the list is now, not what it was.
    fs::write(&file, "11.0.0.1\n2001:db8::/32\n").unwrap();
    agent.ok(&["reload"]);
    assert_eq!(
        raw(&agent, &["--list", "bad"], 0),
        ["11.0.0.1", "2001:db8::/32"]
    );
}

#[test]
fn a_blocked_asn_drops_what_the_database_says_it_has() {
    if !is_root("a_blocked_asn_drops_what_the_database_says_it_has") {
        return;
    }
    let lab = Lab::new("asn-drop");
    let sink = Sink::new(&lab.host, PORT);
    let mut agent = Resident::new(&lab.host, "");
    let (fresh, database) = (agent.path("fresh.csv"), agent.path("asn.csv"));
    let write = |ranges: &str| {
        fs::write(&fresh, ranges).unwrap();
        fs::rename(&fresh, &database).unwrap();
    };
    write("198.51.100.0,198.51.100.255,64500,Example\n203.0.113.0,203.0.113.255,64501,Other\n");
    agent.configure(&format!(
        "[mode]\nstart = \"enforce\"\n[services]\nudp = [{PORT}]\n[asn]\ndatabase = [\"{}\"]\n",
        database.display()
    ));
    agent.start(&["-i", IFACE]);
    let _stream = Stream::new(&lab.peer, &[STRANGER], (HOST, PORT));
    sink.wait_for_more(STRANGER, 10);
    agent.ok(&["block", "AS64500", "--duration", "1h", "--yes"]);
    sink.wait_for_silence(STRANGER);
    let source = STRANGER.to_string();
    let check = agent.cli(&["check", &source, "-o", "json"]);
    assert_eq!(check.code, 1);
    let check = check.json();
    assert_eq!(check["rule"]["asn"], "AS64500", "{check}");
    assert_eq!(check["rule"]["scope"], "services");
    assert!(
        check["rule"]["hits"]["packets"].as_u64() > Some(0),
        "{check}"
    );

    // An address is nearer than a network; and the rule follows the database.
    agent.ok(&["allow", &source, "--permanent"]);
    sink.wait_for_more(STRANGER, 50);
    agent.ok(&["unallow", &source]);
    sink.wait_for_silence(STRANGER);
    write("203.0.113.0,203.0.113.255,64500,Example\n198.51.100.0,198.51.100.255,64501,Other\n");
    agent.ok(&["reload"]);
    sink.wait_for_more(STRANGER, 50);
    agent.ok(&["block", "AS64501", "--duration", "1h", "--yes"]);
    sink.wait_for_silence(STRANGER);
}
