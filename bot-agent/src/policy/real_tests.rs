//! Real lists and the whole Internet's ASN table: what the ranges say against what explanations say.

use std::{fs, path::Path};

use bot_common::{
    abi::verdict::{Action, VerdictId},
    address::Address,
};

use super::{
    family::Family,
    simulation::{at, block, rule_set},
    *,
};
use crate::{
    asn::Database,
    real_data,
    rules::{prefix::Prefix, rule::Scope, set::RuleSet},
    table::Range,
};

/// Addresses that are asked about, spread evenly over those at the ends of what lists name.
const PROBES: usize = 20_000;

/// The prefixes that lines begin with.
fn list(folder: &Path, id: u32, file: &str, kind: ListKind) -> List {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let entries = lines.filter_map(|line| {
        let mut words = line.split([';', '\t', ' ']).filter(|word| !word.is_empty());
        let prefix: Prefix = words.next()?.parse().ok()?;
        let votes = words.next().and_then(|word| word.parse::<u8>().ok());
        let score = votes.map_or(50, |votes| votes.saturating_mul(12).min(100));
        Some((prefix, Score::new(score)?))
    });
    let list = List::new(ListId(id), file.into(), kind, entries);
    assert!(!list.is_empty(), "{file}");
    list
}

fn asked<A: Family>(ranges: &[Range<A>], at: A) -> VerdictId {
    let index = ranges.partition_point(|range| range.last < at);
    let range = ranges.get(index).filter(|range| range.first <= at);
    range.map_or(VerdictId::NONE, |range| range.id)
}

fn lists(feeds: &Path) -> [List; 7] {
    let scope = Scope::Services;
    let category = |action| ListKind::Category {
        action,
        scope,
        monitor: false,
    };
    let scores = ListKind::Score {
        scope,
        monitor: false,
    };
    let slow = category(Action::Throttle);
    [
        list(feeds, 1, "ipsum.txt", scores),
        list(feeds, 2, "spamhaus_drop.txt", category(Action::Drop)),
        list(feeds, 3, "tor_exits.txt", category(Action::Challenge)),
        list(feeds, 4, "x4bnet_datacenter_ipv4.txt", slow),
        list(feeds, 5, "x4bnet_datacenter_ipv6.txt", slow),
        list(feeds, 6, "x4bnet_vpn_ipv4.txt", ListKind::Popular),
        list(feeds, 7, "x4bnet_vpn_ipv6.txt", ListKind::Allow),
    ]
}

/// Blocks of the ASNs of a list, for different times, and of two wide networks.
fn rules(feeds: &Path) -> RuleSet {
    let asns = fs::read_to_string(feeds.join("bad-asn-list.csv")).unwrap();
    let asns = asns.lines().filter_map(|line| {
        let number: u32 = line.split(',').next()?.trim_matches('"').parse().ok()?;
        let seconds = 3600 + u64::from(number) % 86_400;
        Some(block(&format!("AS{number}"), Some(seconds)))
    });
    let mut drafts: Vec<_> = asns.collect();
    assert!(drafts.len() > 700);
    drafts.push(block("3.0.0.0/9", None));
    drafts.push(block("2600::/20", None));
    rule_set(&drafts, at(0))
}

/// Addresses at both ends of what is named, and next to it.
fn probes(lists: &[List], database: &Database) -> Vec<Address> {
    fn around<A: Family>(prefix: Prefix) -> Option<[Address; 3]> {
        let (first, bits) = A::of(prefix)?;
        let last = first.last_of(bits);
        let behind = last.following().unwrap_or(last);
        Some([first, last, behind].map(A::address))
    }
    let named = lists
        .iter()
        .flat_map(List::entries)
        .map(|(prefix, _)| prefix);
    let named: Vec<Prefix> = named.collect();
    let some = named.iter().step_by(named.len() * 3 / PROBES);
    let around = some.filter_map(|prefix| around::<u32>(*prefix).or(around::<u128>(*prefix)));
    let ranges = database.ranges_v4().iter().step_by(100);
    let ends = ranges.flat_map(|range| [range.first, range.last]);
    around.flatten().chain(ends.map(Family::address)).collect()
}

/// What the ranges say about an address is what the explanation says; whether that is anything.
fn agree(assigned: &Assigned, enforced: &Enforced, explanation: &Explanation) -> bool {
    let address = explanation.address.to_ip();
    let host = Prefix::host(address);
    let v4 = u32::of(host).map(|(at, _)| asked(&assigned.ranges.v4, at));
    let v6 = u128::of(host).map(|(at, _)| asked(&assigned.ranges.v6, at));
    let mut id = v4.or(v6).unwrap();
    for link in explanation.chain() {
        let verdict = enforced.verdict(id).unwrap();
        assert_eq!(
            link.terms.verdict(Beneath::of(&verdict)),
            verdict,
            "{address}"
        );
        let owner = match link.by {
            By::Rule(rule) => Owner::Rule(rule),
            By::List(list) => Owner::List(list),
        };
        assert_eq!(enforced.owner(id), Some(owner), "{address}");
        id = verdict.then;
    }
    assert_eq!(id, VerdictId::NONE, "{address}");
    !explanation.chain().is_empty()
}

#[test]
fn real_lists_and_networks_compile_to_what_explanations_say() {
    let (Some(feeds), Some(asn)) = (real_data::folder("feeds"), real_data::folder("asn")) else {
        return;
    };
    let (rules, lists) = (rules(&feeds), lists(&feeds));
    let files = ["asn-ipv4.csv.gz", "asn-ipv6.csv.gz"].map(|file| asn.join(file));
    let database = Database::open(&files).unwrap();
    let inputs = Inputs {
        rules: &rules,
        lists: &lists,
        ports: &PortGroups::NONE,
        tiers: Tiers {
            monitor: Score::new(10),
            throttle: Score::new(30),
            challenge: None,
            block: Score::new(60),
        },
        database: Some(&database),
    };
    let compiled = compile(&inputs, at(0));
    let mut enforced = Enforced::empty(Limits {
        prefixes: 1_000_000,
        verdicts: 65_536,
    });
    let assigned = enforced
        .assign(&compiled, |_| VerdictId::NONE, at(0))
        .unwrap();
    let decided = probes(&lists, &database).into_iter().filter(|address| {
        let explanation = explain(&inputs, *address, at(0));
        agree(&assigned, &enforced, &explanation)
    });
    let decided = decided.count();
    assert!(decided > PROBES / 2, "{decided}");
}
