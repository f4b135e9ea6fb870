//! Time from rules, lists and an ASN database to disjoint ranges with verdict ids, on one core:
//! everything at once, and one region after one rule has changed. Prints one JSON object per line;
//! run it in release. With `BOT_DATA` set to the folder of the reference data the whole Internet's
//! ASN table takes part.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a measuring program"
)]

use std::{
    collections::BTreeSet,
    hint::black_box,
    net::{Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::atomic::AtomicU64,
    time::{Duration, Instant},
};

use bot_agent::{
    asn::Database,
    policy::{
        Compiled, Enforced, Inputs, Limits, List, ListId, ListKind, PortGroups, Score, Tiers,
        compile, compile_within,
    },
    rules::{
        prefix::Prefix,
        rule::{Draft, Origin, RuleAction, Scope},
        set::RuleSet,
        subject::Asn,
        time::{BootId, Deadline, Now},
    },
    table::{Image, Table},
};
use bot_common::{
    abi::verdict::{Action, VerdictId},
    address::Address,
};
use jiff::Timestamp;

/// How often everything is timed; the best counts, which was disturbed least.
const ROUNDS: u32 = 7;
/// How many regions are timed together.
const REGIONS: u32 = 2000;
/// Prefixes of all lists.
const ENTRIES: u32 = 1_000_000;
const LIMITS: Limits = Limits {
    prefixes: 2_000_000,
    verdicts: 65_536,
};

fn main() {
    let now = Now {
        wall: Timestamp::UNIX_EPOCH,
        boot_ns: 1_000_000_000,
        boot: BootId(1),
    };
    let entries = entries(ENTRIES);
    let begin = Instant::now();
    let lists = lists(&entries);
    report("lists: 1 M prefixes sorted", begin.elapsed());
    let none = RuleSet::default();
    let many = rules(100_000, now);
    let mut cases = vec![
        ("1 M prefixes in 8 lists", &none, &lists[..], None),
        ("100 k rules", &many, &[], None),
        (
            "1 M prefixes in 8 lists, 100 k rules",
            &many,
            &lists[..],
            None,
        ),
    ];
    let database = internet();
    let asns = database
        .as_ref()
        .map(|database| asn_rules(database, 1000, now));
    if let Some(asns) = &asns {
        let whole = database.as_ref();
        cases.push(("1,000 ASN rules, whole Internet", asns, &[], whole));
        cases.push((
            "1 M prefixes in 8 lists, 1,000 ASN rules, whole Internet",
            asns,
            &lists[..],
            whole,
        ));
    }
    for (name, rules, lists, database) in cases {
        let inputs = Inputs {
            ports: &PortGroups::NONE,
            rules,
            lists,
            tiers: tiers(),
            database,
        };
        measure(name, &inputs, now);
    }
}

/// The ASN table of the whole Internet, if it is there.
fn internet() -> Option<Database> {
    let Some(data) = std::env::var_os("BOT_DATA") else {
        eprintln!("skipped: BOT_DATA is not set, so there is no ASN table");
        return None;
    };
    let folder = Path::new(&data).join("asn");
    let files = ["asn-ipv4.csv.gz", "asn-ipv6.csv.gz"].map(|file| folder.join(file));
    Some(Database::open(&files).expect("the ASN table"))
}

/// Blocks and allows of ASNs all over the table.
fn asn_rules(database: &Database, count: usize, now: Now) -> RuleSet {
    let asns: BTreeSet<Asn> = database
        .ranges_v4()
        .iter()
        .filter_map(|range| range.asn)
        .collect();
    let every = asns.len() / count;
    let mut rules = RuleSet::default();
    for (asn, n) in asns.into_iter().step_by(every.max(1)).zip(0u64..) {
        let draft = Draft {
            subject: asn.into(),
            action: if n.is_multiple_of(4) {
                RuleAction::Allow
            } else {
                RuleAction::Block
            },
            scope: Scope::Services,
            monitor: n.is_multiple_of(3),
            forced: false,
            deadline: Deadline::after(now, Duration::from_hours(1 + n)),
            reason: String::new(),
            origin: Origin::Operator,
        };
        let rule = draft.into_rule(rules.reserve_id(), now);
        rules.insert(rule, now);
    }
    rules
}

fn measure(name: &str, inputs: &Inputs<'_>, now: Now) {
    let (everything, compiled) = best(|| compile(black_box(inputs), now));
    let pieces = compiled.v4.len() + compiled.v6.len();
    report(&format!("compile {name}, {pieces} pieces"), everything);
    let (time, assigned) = best(|| {
        let mut enforced = Enforced::empty(LIMITS);
        let assigned = enforced.assign(&compiled, |_| VerdictId::NONE, now);
        (enforced, assigned.expect("there is room"))
    });
    let (mut enforced, assigned) = assigned;
    let fresh = assigned.fresh.len();
    report(&format!("assign {name}, {fresh} verdicts"), time);
    let (time, again) = best(|| enforced.assign(&compiled, |_| VerdictId::NONE, now));
    assert!(again.expect("nothing new").fresh.is_empty());
    report(&format!("assign {name}, again"), time);
    let (time, image) = best(|| Image::build(&assigned.ranges).expect("there is room"));
    report(&format!("build the table of {name}"), time);
    let v4 = assigned.ranges.v4.iter().map(|range| range.id);
    let v6 = assigned.ranges.v6.iter().map(|range| range.id);
    let live: Vec<VerdictId> = v4.chain(v6).collect();
    let (time, ()) = best(|| enforced.sweep(live.iter().copied(), now));
    report(&format!("sweep {name}"), time);
    let words = image.lines().saturating_mul(3) * 8;
    let memory: Vec<AtomicU64> = (0..words).map(|_| AtomicU64::new(0)).collect();
    let table = Table::install(memory, image).expect("there is room");
    regions(name, inputs, (&mut enforced, table), everything, now);
}

/// Compiles regions around addresses that are listed, gives them ids, and stores them in a table.
/// The ratio says how much longer everything takes to compile.
fn regions(
    name: &str,
    inputs: &Inputs<'_>,
    (enforced, mut table): (&mut Enforced, Table<Vec<AtomicU64>>),
    everything: Duration,
    now: Now,
) {
    for (family, shift, bits) in [("an IPv4 /16", 0, 16 + 96), ("an IPv6 /32", 1, 32)] {
        let regions = (0..REGIONS).map(|n| {
            let seed = mix(u64::from(n) + shift);
            let host = if shift == 0 {
                Prefix::host(v4(seed).into())
            } else {
                Prefix::host(v6(seed).into())
            };
            host.shortened(bits)
        });
        let regions: Vec<Prefix> = regions.collect();
        let (time, pieces) = best(|| {
            let each = |region: &Prefix| {
                let part: Compiled = compile_within(black_box(inputs), *region, now);
                part.v4.len() + part.v6.len()
            };
            regions.iter().map(each).sum::<usize>()
        });
        let pieces = pieces as f64 / f64::from(REGIONS);
        let what = format!("{family} of {name}, {pieces:.1} pieces");
        let us = time.as_secs_f64() * 1e6 / f64::from(REGIONS);
        let ratio = everything.as_secs_f64() * 1e6 / us;
        println!(
            r#"{{"bench":"compile","case":"compile {what}","value":{us:.2},"unit":"us","ratio":{ratio:.0}}}"#
        );
        let (time, ()) = best(|| {
            for region in &regions {
                let part = compile_within(inputs, *region, now);
                let present = |address: Address| table.lookup(&address);
                let assigned = enforced.assign(&part, present, now).expect("room for ids");
                table
                    .update(*region, &assigned.ranges)
                    .expect("room for lines");
                table.quiesce();
            }
        });
        let us = time.as_secs_f64() * 1e6 / f64::from(REGIONS);
        println!(
            r#"{{"bench":"compile","case":"compile, assign, store {what}","value":{us:.2},"unit":"us"}}"#
        );
    }
}

fn best<T>(mut call: impl FnMut() -> T) -> (Duration, T) {
    let mut round = || {
        let begin = Instant::now();
        let outcome = black_box(call());
        (begin.elapsed(), outcome)
    };
    let mut best = round();
    for _ in 1..ROUNDS {
        let next = round();
        if next.0 < best.0 {
            best = next;
        }
    }
    best
}

fn report(case: &str, time: Duration) {
    let ms = time.as_secs_f64() * 1e3;
    println!(r#"{{"bench":"compile","case":"{case}","value":{ms:.2},"unit":"ms"}}"#);
}

/// The finaliser of splitmix64: numbers that look random, the same in every run.
const fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// An address of 1.0.0.0 to 223.255.255.255.
fn v4(seed: u64) -> Ipv4Addr {
    let [.., high, low] = seed.to_be_bytes();
    let first = u32::from(u16::from_be_bytes([high, low]) % 223) + 1;
    let rest = u32::try_from(seed >> 40).unwrap_or(0);
    Ipv4Addr::from(first << 24 | rest)
}

/// An address of `2000::/16`, in one of 65,536 networks of a /32.
fn v6(seed: u64) -> Ipv6Addr {
    let network = 0x2000 << 112 | u128::from(seed >> 48) << 96;
    let rest = u128::from(seed & 0xffff_ffff) << 64 | u128::from(seed >> 32 & 0xffff);
    Ipv6Addr::from(network | rest)
}

/// Prefixes: 90 % IPv4, of these 70 % hosts, 20 % of a /24, the rest /16 to /31; IPv6 mostly /64,
/// /128, /48 and /56.
fn entries(count: u32) -> Vec<(Prefix, Score)> {
    let entry = |n: u32| {
        let seed = mix(u64::from(n));
        let kind = mix(seed) % 100;
        let length = mix(seed ^ 7);
        let prefix = if n % 10 == 9 {
            let bits = match kind {
                0..50 => 64,
                50..75 => 128,
                75..90 => 48,
                _ => 56,
            };
            Prefix::host(v6(seed).into()).shortened(bits)
        } else {
            let bits = match kind {
                0..70 => 32,
                70..90 => 24,
                _ => 16 + u8::try_from(length % 16).unwrap_or(0),
            };
            Prefix::host(v4(seed).into()).shortened(bits + 96)
        };
        let score = Score::new(u8::try_from(length % 101).unwrap_or(0));
        (prefix, score.unwrap_or_default())
    };
    (0..count).map(entry).collect()
}

/// The prefixes in eight lists of different kinds and sizes.
fn lists(entries: &[(Prefix, Score)]) -> Vec<List> {
    let drop = |action, monitor| ListKind::Category {
        action,
        scope: Scope::Services,
        monitor,
    };
    let score = ListKind::Score {
        scope: Scope::Services,
        monitor: false,
    };
    let kinds = [
        (score, 500),
        (drop(Action::Drop, false), 200),
        (drop(Action::Drop, true), 100),
        (drop(Action::Throttle, false), 100),
        (score, 60),
        (ListKind::Allow, 20),
        (ListKind::VerifiedCrawler, 10),
        (ListKind::Popular, 10),
    ];
    let mut rest = entries;
    let mut lists = Vec::new();
    for ((kind, thousandths), id) in kinds.into_iter().zip(1u32..) {
        let share = entries.len() / 1000 * thousandths;
        let (own, others) = rest.split_at(share.min(rest.len()));
        rest = others;
        let name = format!("list {id}").into();
        lists.push(List::new(ListId(id), name, kind, own.iter().copied()));
    }
    lists
}

fn tiers() -> Tiers {
    Tiers {
        monitor: Score::new(20),
        throttle: Score::new(50),
        challenge: Score::new(70),
        block: Score::new(85),
    }
}

/// Blocks of an operator with lives of a minute to a month, each another one.
fn rules(count: u32, now: Now) -> RuleSet {
    let mut rules = RuleSet::default();
    for (n, (prefix, _)) in (0..).zip(entries(count)) {
        let life = Duration::from_millis(60_000 + mix(n) % 2_592_000_000);
        let draft = Draft {
            subject: prefix.into(),
            action: RuleAction::Block,
            scope: Scope::All,
            monitor: false,
            forced: false,
            deadline: Deadline::after(now, life),
            reason: String::new(),
            origin: Origin::Operator,
        };
        let rule = draft.into_rule(rules.reserve_id(), now);
        rules.insert(rule, now);
    }
    rules
}
