//! Rules about ASNs and countries at a real agent: where they come from, what is said of them, what
//! stays of them.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "tests"
)]

use std::fs;

use bot_tests::{
    agent::{TestAgent, bare},
    netns::Namespace,
    privilege::is_root,
};

/// A small network of both families, one with two ranges, and one that is wide enough to be asked about.
const RANGES: &str = "\
10.88.0.0,10.88.0.127,64500,\"Example, Inc.\"
198.51.100.0,198.51.100.255,64501,Other
203.0.113.0,203.0.113.3,64501,Other
2001:db8::,2001:db8:0:ff:ffff:ffff:ffff:ffff,64500,\"Example, Inc.\"
172.16.0.0,172.17.255.255,64502,Large
";
const COUNTRIES: &str = "198.51.100.0,198.51.100.127,DE\n";

struct World {
    agent: TestAgent,
    host: Namespace,
}

impl World {
    fn new(test: &str) -> Self {
        Self {
            agent: TestAgent::new(),
            host: Namespace::new(test),
        }
    }

    /// Writes databases and a configuration with them.
    fn configure(&self, rest: &str) {
        let agent = &self.agent;
        self.write("asn.csv", RANGES);
        self.write("countries.csv", COUNTRIES);
        let paths = ["asn.csv", "countries.csv"].map(|name| agent.path(name));
        agent.configure(&format!("[asn]\ndatabase = {paths:?}\n{rest}"));
    }

    /// As another file, as a download does.
    fn write(&self, name: &str, content: &str) {
        let fresh = self.agent.path("fresh");
        fs::write(&fresh, content).unwrap();
        fs::rename(fresh, self.agent.path(name)).unwrap();
    }

    fn start(&mut self) {
        self.agent.start(&self.host, &["-i", "lo"]);
    }

    fn list(&self) -> Vec<String> {
        let text = self.agent.cli(&["list", "-o", "raw"]).ok();
        let subjects = text.lines().map(|line| line.split('\t').nth(1).unwrap());
        subjects.map(str::to_owned).collect()
    }
}

#[test]
fn without_a_database_it_is_said_what_to_do() {
    if !is_root("without_a_database") {
        return;
    }
    let mut world = World::new("asn-none");
    world.start();
    let agent = &world.agent;
    for arguments in [
        &["block", "AS64500", "--duration", "7d"][..],
        &["block", "--country", "DE", "--permanent"],
        &["allow", "AS64500", "--permanent"],
        &["asn", "10.88.0.2"],
        &["asn", "show", "AS64500"],
    ] {
        let error = agent.cli(arguments).fails(2);
        assert!(
            error.contains("`database` in [asn]") && error.contains(".mmdb"),
            "{error}"
        );
    }
    assert!(world.list().is_empty());
}

#[test]
fn an_asn_is_previewed_blocked_listed_and_taken_back() {
    if !is_root("an_asn_is_previewed") {
        return;
    }
    let mut world = World::new("asn-block");
    world.configure("[protect]\naddresses = [\"198.51.100.7\"]\n");
    world.start();
    let agent = &world.agent;

    let preview = agent
        .cli(&["block", "AS64501", "--duration", "7d", "--dry-run"])
        .ok();
    assert_eq!(
        preview,
        "nothing was changed; 1 rule about\n  \
         AS64501 Other: IPv4 260 addresses in 2 prefixes; IPv6 nothing\n\
         1 of 260 addresses stays exempt, by 198.51.100.7 (protected (configured))\n"
    );
    assert!(world.list().is_empty());

    let done = agent
        .cli(&["block", "AS64501", "--duration", "7d", "-o", "json"])
        .json();
    assert_eq!(done["rules"][0]["asn"], "AS64501");
    assert_eq!(done["rules"][0]["scope"], "services");
    assert_eq!(done["networks"][0]["name"], "Other");
    assert_eq!(
        (&done["addresses"], &done["exempt"]),
        (&260.into(), &1.into())
    );

    agent
        .cli(&["block", "--country", "de", "--permanent", "--scope", "all"])
        .ok();
    assert_eq!(world.list(), ["AS64501", "country:DE"]);
    let shown = agent.cli(&["asn", "show", "AS64501"]).ok();
    assert!(shown.contains("block AS64501 (services), for "), "{shown}");

    // An address whose own rule goes stays covered by that of its AS, with and without a rule of its own.
    agent.cli(&["block", "203.0.113.2"]).ok();
    for _ in 0..2 {
        let ran = agent.cli(&["unblock", "203.0.113.2"]);
        assert_eq!(ran.code, 1, "{ran:?}");
        let said = "203.0.113.2 stays covered by ";
        assert!(
            ran.out.contains(said) && ran.out.contains("block AS64501"),
            "{ran:?}"
        );
    }

    let list = agent.path("list");
    fs::write(&list, "AS64500 # one\n192.0.2.1\n").unwrap();
    let list = list.to_str().unwrap();
    agent
        .cli(&["allow", "--permanent", "--from-file", list])
        .ok();
    assert_eq!(agent.cli(&["unallow", "--from-file", list]).code, 0);

    agent.cli(&["unblock", "AS64501", "--country", "DE"]).ok();
    assert!(world.list().is_empty());
    let error = agent.cli(&["unblock", "AS64501"]).fails(2);
    assert!(error.contains("there is no such rule: AS64501"), "{error}");
}

#[test]
fn a_wide_asn_is_asked_about_and_a_wrong_one_refused() {
    if !is_root("a_wide_asn") {
        return;
    }
    let mut world = World::new("asn-wide");
    world.configure("");
    world.start();
    let agent = &world.agent;
    let asked = agent.cli(&["block", "AS64502", "--permanent"]);
    assert_eq!(asked.code, 2);
    assert!(
        asked.err.contains("131,072 addresses in 1 prefix"),
        "{asked:?}"
    );
    assert!(asked.err.contains("say --yes"), "{asked:?}");
    assert!(world.list().is_empty());
    agent
        .cli(&["block", "AS64502", "--permanent", "--yes"])
        .ok();
    assert_eq!(world.list(), ["AS64502"]);

    assert!(agent.cli(&["block", "AS0"]).err.contains("is no AS number"));
    let error = agent.cli(&["block", "AS64500"]).fails(2);
    assert!(error.contains("say how long with --duration"), "{error}");
}

#[test]
fn check_and_asn_name_the_network_with_and_without_an_agent() {
    if !is_root("check_and_asn_name") {
        return;
    }
    let mut world = World::new("asn-name");
    world.configure("");
    world.start();
    let named = |world: &World| {
        let agent = &world.agent;
        let check = agent.cli(&["check", "10.88.0.2", "-o", "json"]).json();
        assert_eq!(check["announced"]["asn"], "AS64500");
        let raw = agent.cli(&["asn", "10.88.0.2", "198.51.100.1", "10.0.0.1", "-o", "raw"]);
        raw.ok()
    };
    let expected = "10.88.0.2\t10.88.0.0\t10.88.0.127\tAS64500\t\tExample, Inc.\n\
                    198.51.100.1\t198.51.100.0\t198.51.100.127\tAS64501\tDE\tOther\n\
                    10.0.0.1\t\t\t\t\t\n";
    assert_eq!(named(&world), expected);
    let status = world.agent.cli(&["status", "-o", "json"]).json();
    assert_eq!(status["asn"]["files"][0]["ranges"], 5);
    world.agent.kill();
    assert_eq!(named(&world), expected);

    let file = world.agent.path("asn.csv");
    let facts = bare(&[
        "asn",
        "AS64500",
        "--database",
        file.to_str().unwrap(),
        "-o",
        "json",
    ]);
    assert_eq!(facts.json()["network"]["addresses_v4"], 128);
}

#[test]
fn rules_about_asns_survive_a_restart_and_a_database_that_is_bad() {
    if !is_root("rules_about_asns_survive") {
        return;
    }
    let mut world = World::new("asn-keep");
    world.configure("[[rule]]\naction = \"block\"\nsource = \"country:DE\"\n");
    world.start();
    world.agent.cli(&["block", "AS64500", "--permanent"]).ok();
    assert_eq!(world.list().len(), 2);

    // A bad file leaves the database from before, and says so.
    world.write("asn.csv", "nonsense\n");
    world.agent.cli(&["reload"]).ok();
    let status = world.agent.cli(&["status"]).ok();
    assert!(
        status.contains("asn.csv: 1 of 1 lines cannot be read")
            && status.contains("the ASN database from before stays"),
        "{status}"
    );
    let shown = world.agent.cli(&["asn", "show", "AS64500"]).ok();
    assert!(shown.contains("Example, Inc."), "{shown}");

    // At a start there is none before.
    world.agent.stop();
    world.start();
    let status = world.agent.cli(&["status"]).ok();
    assert!(
        status.contains("2 rules about ASNs and countries are not in force"),
        "{status}"
    );
    assert_eq!(world.list().len(), 2);
    let listed = world.agent.cli(&["list", "--summary"]);
    assert!(
        listed
            .error_line()
            .contains("2 rules about ASNs and countries are not in force"),
        "{listed:?}"
    );

    world.write("asn.csv", RANGES);
    world.agent.cli(&["reload"]).ok();
    let status = world.agent.cli(&["status"]).ok();
    assert!(!status.contains("not in force"), "{status}");
    assert!(status.contains("asn         "), "{status}");
}

#[test]
fn a_reload_with_a_rule_that_is_too_wide_changes_nothing() {
    if !is_root("a_reload_with_a_rule") {
        return;
    }
    let mut world = World::new("asn-reload");
    world.configure("[[rule]]\naction = \"block\"\nsource = \"AS64501\"\n");
    world.start();
    let huge = "[[rule]]\naction = \"block\"\nsource = \"AS64503\"\n";
    world.configure(huge);
    world.write(
        "asn.csv",
        &format!("{RANGES}20.0.0.0,22.255.255.255,64503,Huge\n"),
    );
    let error = world.agent.cli(&["reload"]).fails(7);
    assert!(error.contains("say so with force = true"), "{error}");
    assert_eq!(world.list(), ["AS64501"]);
    let shown = world.agent.cli(&["asn", "AS64503"]).ok();
    assert!(
        shown.contains("IPv4   nothing"),
        "the database is the old one: {shown}"
    );

    world.configure(&format!("{huge}force = true\n"));
    world.write(
        "asn.csv",
        &format!("{RANGES}20.0.0.0,22.255.255.255,64503,Huge\n"),
    );
    world.agent.cli(&["reload"]).ok();
    assert_eq!(world.list(), ["AS64503"]);
    assert!(world.agent.cli(&["asn", "AS64503"]).ok().contains("Huge"));
}

#[test]
fn the_configuration_is_checked_with_the_database() {
    let folder = tempfile::TempDir::new().unwrap();
    let (config, database) = (folder.path().join("c.toml"), folder.path().join("asn.csv"));
    let check = |rest: &str| {
        let text = format!("[asn]\ndatabase = {database:?}\n{rest}");
        fs::write(&config, text).unwrap();
        bare(&["config", "check", "-c", config.to_str().unwrap()])
    };
    // A start must not depend on files that change by themselves.
    let text = check("").ok();
    assert!(
        text.contains("warning: the ASN database cannot be read: "),
        "{text}"
    );
    assert!(text.contains("asn.csv: No such file"), "{text}");
    fs::write(&database, "10.0.0.0,12.255.255.255,64500,Large\n").unwrap();
    let text = check("").ok();
    assert!(text.contains("asn.csv: csv, 1 range\n"), "{text}");
    let rule = "[[rule]]\naction = \"block\"\nsource = \"AS64500\"\n";
    let text = check(rule).ok();
    let warning = "warning: AS64500 has 50,331,648 IPv4 addresses";
    assert!(text.contains(warning), "{text}");
    let text = check(&format!("{rule}force = true\n")).ok();
    assert!(!text.contains("warning"), "{text}");
}
