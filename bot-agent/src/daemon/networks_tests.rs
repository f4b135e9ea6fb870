//! Rules about ASNs and countries, as an operator meets them.

use std::time::Duration;

use super::*;
use crate::{
    control::protocol::Put,
    daemon::edit,
    policy::{ListId, ListKind, Score},
    rules::{
        rule::{Origin, Scope},
        time::BootId,
    },
};

/// AS1 has more than a 64th of the addresses there are, and more than a /8.
const CSV: &str = "\
10.0.0.0,12.255.255.255,1,Large
192.0.2.0,192.0.2.255,64500,\"Example, Inc.\"
198.51.100.0,198.51.100.127,64501,Other
203.0.113.0,203.0.113.255,64500,\"Example, Inc.\"
2001:db8::,2001:db8:0:ffff:ffff:ffff:ffff:ffff,64500,\"Example, Inc.\"
";
const COUNTRIES: &str = "192.0.2.0,192.0.2.127,DE\n198.51.100.0,198.51.100.255,DE\n";

struct World {
    database: Database,
    rules: RuleSet,
    lists: Vec<List>,
}

fn now() -> Now {
    Now {
        wall: "2026-11-22T18:00:00Z".parse().unwrap(),
        boot_ns: 1_000_000_000,
        boot: BootId(1),
    }
}

fn draft(subject: &str, action: RuleAction, origin: Origin) -> Draft {
    Draft {
        subject: subject.parse().unwrap(),
        action,
        scope: Scope::All,
        monitor: false,
        forced: false,
        deadline: None,
        reason: String::new(),
        origin,
    }
}

impl World {
    fn with(files: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let paths = files.iter().zip(0..).map(|(content, number)| {
            let path = folder.path().join(number.to_string());
            std::fs::write(&path, content).unwrap();
            path
        });
        let database = Database::open(&paths.collect::<Vec<_>>()).unwrap();
        Self {
            database,
            rules: RuleSet::default(),
            lists: Vec::new(),
        }
    }

    fn new() -> Self {
        Self::with(&[CSV, COUNTRIES])
    }

    fn allow(mut self, subject: &str, origin: Origin) -> Self {
        let rule = draft(subject, RuleAction::Allow, origin);
        let rule = rule.into_rule(self.rules.reserve_id(), now());
        self.rules.insert(rule, now());
        self
    }

    fn list(mut self, name: &str, kind: ListKind, prefixes: &[&str]) -> Self {
        let entry = |text: &&str| (text.parse().unwrap(), Score::MAX);
        let id = ListId(u32::try_from(self.lists.len()).unwrap());
        let list = List::new(id, name.into(), kind, prefixes.iter().map(entry));
        self.lists.push(list);
        self
    }

    fn put(&self, action: RuleAction, targets: &[&str], force: bool) -> Result<Changed, Failure> {
        let put = Put {
            targets: targets.iter().map(|word| (*word).to_owned()).collect(),
            seconds: None,
            permanent: true,
            reason: String::new(),
            monitor: false,
            scope: None,
            force,
            dry_run: false,
            more: false,
            before: 0,
        };
        let hour = Duration::from_hours(1);
        let inputs = Inputs {
            lists: &self.lists,
            database: Some(&self.database),
            ..Inputs::of_rules(&self.rules)
        };
        edit::put(&inputs, Ok(&self.database), action, &put, hour, now()).map(|edit| edit.answer)
    }

    fn block(&self, targets: &[&str]) -> Changed {
        self.put(RuleAction::Block, targets, false).unwrap()
    }

    fn refusal(&self, target: &str) -> String {
        let failure = self.put(RuleAction::Block, &[target], false).unwrap_err();
        assert_eq!(failure.code, FailureCode::Refused);
        failure.message
    }
}

fn names(views: &[RuleView]) -> Vec<String> {
    views.iter().map(|view| view.subject.to_string()).collect()
}

#[test]
fn a_block_of_an_asn_is_of_services_and_says_what_it_reaches() {
    let changed = World::new().block(&["AS64500"]);
    assert_eq!(changed.rules[0].scope, Scope::Services);
    assert_eq!(changed.addresses, 512 + (1 << 80));
    assert_eq!(changed.exempt, 0);
    let [network] = changed.networks.as_slice() else {
        panic!("{changed:?}");
    };
    assert_eq!(network.name, "Example, Inc.");
    assert_eq!((network.prefixes_v4, network.addresses_v4), (2, 512));
    assert_eq!((network.prefixes_v6, network.addresses_v6), (1, 1 << 80));
}

#[test]
fn what_is_named_twice_counts_once() {
    let world = World::new();
    let changed = world.block(&["AS64501", "198.51.100.64/26", "198.51.100.0/24"]);
    assert_eq!((changed.added, changed.addresses), (3, 256));
}

#[test]
fn allowed_and_protected_addresses_are_subtracted() {
    let world = World::new()
        .allow("192.0.2.0/25", Origin::Operator)
        .allow("192.0.2.1", Origin::Protected("gateway".into()))
        .allow("203.0.113.9", Origin::Protected("dns".into()))
        .allow("198.51.100.1", Origin::Operator);
    let changed = world.block(&["AS64500"]);
    assert_eq!(changed.exempt, 129);
    assert_eq!(
        names(&changed.exempt_by),
        ["192.0.2.0/25", "192.0.2.1", "203.0.113.9"]
    );
    let forced = world.put(RuleAction::Block, &["AS64500"], true).unwrap();
    assert_eq!(forced.exempt, 128);
    assert_eq!(names(&forced.protected), ["192.0.2.1", "203.0.113.9"]);
    assert!(forced.rules[0].forced);
}

#[test]
fn an_allowed_asn_is_subtracted_from_networks_and_from_nothing_else() {
    let world = World::new().allow("AS64501", Origin::Operator);
    let changed = world.block(&["country:DE"]);
    assert_eq!((changed.addresses, changed.exempt), (384, 128));
    assert_eq!(names(&changed.exempt_by), ["AS64501"]);
    let mixed = world.block(&["198.51.100.0/24", "AS64500"]);
    assert_eq!(mixed.exempt, 0);
}

#[test]
fn allow_lists_are_subtracted_from_networks_and_from_nothing_else() {
    let blocks = ListKind::Category {
        action: bot_common::abi::verdict::Action::Drop,
        scope: Scope::All,
        monitor: false,
    };
    let world = World::new()
        .allow("192.0.2.1", Origin::Operator)
        .list("partners", ListKind::Allow, &["192.0.2.0/30", "10.0.0.0/8"])
        .list(
            "crawlers",
            ListKind::VerifiedCrawler,
            &["192.0.2.2", "203.0.113.8"],
        )
        .list("popular", ListKind::Popular, &["192.0.2.64/26"])
        .list("bad", blocks, &["192.0.2.64/26"]);
    let changed = world.block(&["AS64500"]);
    assert_eq!(changed.exempt, 5);
    let lists = changed.exempt_by_lists.iter();
    let lists: Vec<_> = lists.map(|of| (of.list.as_str(), of.entries)).collect();
    assert_eq!(lists, [("partners", 1), ("crawlers", 2)]);
    // A block of addresses comes before every list, a forced one of a network too.
    let mixed = world.block(&["AS64500", "192.0.2.0/24"]);
    assert_eq!(mixed.exempt, 2);
    assert_eq!(world.block(&["192.0.2.0/24"]).exempt, 1);
    let forced = world.put(RuleAction::Block, &["AS64500"], true).unwrap();
    assert_eq!((forced.exempt, forced.exempt_by_lists.len()), (1, 0));
}

#[test]
fn an_allow_counts_what_it_exempts() {
    let world = World::new().allow("192.0.2.1", Origin::Operator);
    let changed = world.put(RuleAction::Allow, &["AS64500"], false).unwrap();
    assert_eq!((changed.addresses, changed.exempt), (512 + (1 << 80), 0));
    assert_eq!(changed.rules[0].scope, Scope::All);
}

#[test]
fn very_large_networks_need_force() {
    let world = World::new();
    let refusal = world.refusal("AS1");
    assert!(
        refusal.starts_with("AS1 has 50,331,648 IPv4 addresses") && refusal.contains("--force"),
        "{refusal}"
    );
    assert!(world.put(RuleAction::Allow, &["AS1"], false).is_err());
    assert!(world.put(RuleAction::Block, &["AS1"], true).is_ok());
    let rules = [draft("AS1", RuleAction::Block, Origin::Config)];
    let objection = objection(&rules, &world.database).unwrap();
    assert!(
        objection.ends_with("say so with force = true"),
        "{objection}"
    );
    let [rule] = rules;
    let forced = [Draft {
        forced: true,
        ..rule
    }];
    assert_eq!(super::objection(&forced, &world.database), None);
}

#[test]
fn a_country_needs_a_file_that_knows_countries() {
    let world = World::with(&[CSV]);
    assert!(
        world
            .refusal("country:DE")
            .contains("no file of the ASN database says which countries")
    );
    assert!(World::new().block(&["country:FR"]).notes[0].contains("country:FR"));
}

#[test]
fn an_unknown_asn_is_accepted_and_pointed_out() {
    let changed = World::new().block(&["AS64999"]);
    assert_eq!(changed.added, 1);
    assert_eq!(
        changed.notes,
        ["the ASN database has no address of AS64999: the rule does nothing until it has"]
    );
}

#[test]
fn without_a_database_it_is_said_why_there_is_none() {
    let subjects = ["192.0.2.1", "AS64500"].map(|text| text.parse().unwrap());
    let failure = networks(&subjects.into(), Err("the disk is gone"), true).unwrap_err();
    assert_eq!(
        failure.message,
        "AS64500 needs a database: the disk is gone"
    );
    let only = BTreeSet::from(["192.0.2.1".parse().unwrap()]);
    assert!(
        networks(&only, Err("the disk is gone"), false)
            .unwrap()
            .is_empty()
    );
}
