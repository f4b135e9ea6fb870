//! Real lists and the whole Internet's ASN table: what the ranges say against what explanations say.

use std::{
    fs,
    path::{Path, PathBuf},
};

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
    rules::{prefix::Prefix, rule::Scope},
    table::Range,
};

/// Addresses that are asked about, spread evenly over those at the ends of what lists name.
const PROBES: usize = 20_000;

fn data() -> Option<PathBuf> {
    let data = std::env::var_os("BOT_DATA").map(PathBuf::from);
    if data.is_none() {
        eprintln!("skipped: BOT_DATA is not set");
    }
    data
}

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

#[test]
fn real_lists_and_networks_compile_to_what_explanations_say() {
    let Some(data) = data() else { return };
    let feeds = data.join("feeds");
    let category = |action| ListKind::Category {
        action,
        scope: Scope::Services,
        monitor: false,
    };
    let scores = ListKind::Score {
        scope: Scope::Services,
        monitor: false,
    };
    let lists = [
        list(&feeds, 1, "ipsum.txt", scores),
        list(&feeds, 2, "spamhaus_drop.txt", category(Action::Drop)),
        list(&feeds, 3, "tor_exits.txt", category(Action::Challenge)),
        list(
            &feeds,
            4,
            "x4bnet_datacenter_ipv4.txt",
            category(Action::Throttle),
        ),
        list(
            &feeds,
            5,
            "x4bnet_datacenter_ipv6.txt",
            category(Action::Throttle),
        ),
        list(&feeds, 6, "x4bnet_vpn_ipv4.txt", ListKind::Popular),
        list(&feeds, 7, "x4bnet_vpn_ipv6.txt", ListKind::Allow),
    ];
    let asns = fs::read_to_string(feeds.join("bad-asn-list.csv")).unwrap();
    let asns = asns.lines().filter_map(|line| {
        let number: u32 = line.split(',').next()?.trim_matches('"').parse().ok()?;
        Some(block(
            &format!("AS{number}"),
            Some(3600 + u64::from(number) % 86_400),
        ))
    });
    let mut drafts: Vec<_> = asns.collect();
    assert!(drafts.len() > 700);
    drafts.push(block("3.0.0.0/9", None));
    drafts.push(block("2600::/20", None));
    let rules = rule_set(&drafts, at(0));
    let files = ["asn-ipv4.csv.gz", "asn-ipv6.csv.gz"].map(|file| data.join("asn").join(file));
    let database = Database::open(&files).unwrap();
    let inputs = Inputs {
        rules: &rules,
        lists: &lists,
        tiers: Tiers {
            monitor: Score::new(10),
            throttle: Score::new(30),
            challenge: None,
            block: Score::new(60),
        },
        database: Some(&database),
    };
    let compiled = compile(&inputs, at(0));
    let limits = Limits {
        prefixes: 1_000_000,
        verdicts: 65_536,
    };
    let mut enforced = Enforced::empty(limits);
    let assigned = enforced
        .assign(&compiled, |_| VerdictId::NONE, at(0))
        .unwrap();
    eprintln!(
        "{} prefixes, {} pieces, {} verdicts",
        compiled.prefixes.unwrap(),
        compiled.v4.len() + compiled.v6.len(),
        assigned.fresh.len()
    );

    let named = lists
        .iter()
        .flat_map(List::entries)
        .map(|(prefix, _)| prefix);
    let named: Vec<Prefix> = named.collect();
    let mut probes: Vec<Address> = Vec::new();
    for prefix in named.iter().step_by(named.len() * 3 / PROBES) {
        if let Some((first, bits)) = u32::of(*prefix) {
            let last = first.last_of(bits);
            probes.extend([first, last, last.wrapping_add(1)].map(Family::address));
        } else if let Some((first, bits)) = u128::of(*prefix) {
            let last = first.last_of(bits);
            probes.extend([first, last, last.wrapping_add(1)].map(Family::address));
        }
    }
    let ends = database.ranges_v4().iter().step_by(100);
    probes.extend(
        ends.flat_map(|range| [range.first, range.last])
            .map(Family::address),
    );
    let mut decided = 0;
    for address in probes {
        let host = Prefix::host(address.to_ip());
        let id = match (u32::of(host), u128::of(host)) {
            (Some((at, _)), _) => asked(&assigned.ranges.v4, at),
            (_, Some((at, _))) => asked(&assigned.ranges.v6, at),
            (None, None) => VerdictId::NONE,
        };
        let said = std::iter::successors(enforced.verdict(id), |verdict| {
            enforced.verdict(verdict.then)
        });
        let explained = explain(&inputs, address, at(0)).chain;
        let mut next = id;
        for (link, verdict) in explained.iter().zip(said.clone()) {
            assert_eq!(
                link.terms.verdict(verdict.then),
                verdict,
                "{}",
                address.to_ip()
            );
            let owner = match link.by {
                By::Rule(rule) => Owner::Rule(rule),
                By::List(list) => Owner::List(list),
            };
            assert_eq!(enforced.owner(next), Some(owner));
            next = verdict.then;
        }
        assert_eq!(explained.len(), said.count(), "{}", address.to_ip());
        decided += usize::from(!explained.is_empty());
    }
    assert!(decided > PROBES / 2, "{decided}");
}
