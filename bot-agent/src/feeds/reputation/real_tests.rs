//! Real feeds: what the rails say about each of them, and what combining them takes.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    time::{Duration, Instant},
};

use jiff::Timestamp;

use super::*;
use crate::{
    asn::Database,
    feeds::{
        entry::{Entry, Parsed},
        rails::{Limits, MAX_CHANGE, Screen, Size, Verdict, judge, screen},
    },
    policy::{List, ListId, ListKind, Score},
    real_data,
    rules::prefix::Prefix,
};

const GRACE: Duration = Duration::from_hours(24);

fn now() -> Timestamp {
    Timestamp::from_second(1_787_500_000).unwrap()
}

/// The entries of a file whose lines begin with them; ASNs may be bare numbers in a CSV.
fn parsed(folder: &Path, file: &str) -> Parsed {
    let text = fs::read_to_string(folder.join(file)).unwrap();
    let entries = text.lines().filter_map(|line| {
        let word = line.split([';', '\t', ' ', ',']).next()?.trim_matches('"');
        let subject = word.parse().or_else(|_| format!("AS{word}").parse());
        Some(Entry::sure(subject.ok()?))
    });
    let entries: Vec<Entry> = entries.collect();
    Parsed {
        lines: entries.len(),
        entries,
        ..Parsed::default()
    }
}

fn database() -> Option<Database> {
    let folder = real_data::folder("asn")?;
    let files = ["asn-ipv4.csv.gz", "asn-ipv6.csv.gz"].map(|file| folder.join(file));
    Some(Database::open(&files).unwrap())
}

#[test]
fn every_real_feed_is_taken_with_room_to_spare() {
    let (Some(feeds), Some(database)) = (real_data::folder("feeds"), database()) else {
        return;
    };
    let loosen = BTreeSet::new();
    for (file, entries, thrown) in [
        ("ipsum.txt", 120_430, 0),
        ("spamhaus_drop.txt", 1_406, 0),
        ("tor_exits.txt", 821, 0),
        ("x4bnet_datacenter_ipv4.txt", 42_566, 0),
        ("x4bnet_datacenter_ipv6.txt", 8_752, 0),
        ("x4bnet_datacenter_asn.txt", 906, 0),
        ("x4bnet_vpn_ipv4.txt", 10_862, 0),
        ("x4bnet_vpn_ipv6.txt", 498, 0),
        ("bad-asn-list.csv", 742, 0),
        // Documentation, benchmarks, ORCHID, and all of 6to4.
        ("providers.csv", 158_288, 7),
    ] {
        let rails = Screen {
            min_confidence: 0,
            loosen: &loosen,
        };
        let screened = screen(parsed(&feeds, file), &rails);
        let out: usize = screened.thrown.iter().map(|thrown| thrown.count).sum();
        println!("{file}: {:?}", screened.thrown);
        assert_eq!((screened.update.lines, out), (entries, thrown), "{file}");
        let (next, _) = Snapshot::next(None, &screened.update, now(), GRACE);
        let limits = Limits {
            max_change: MAX_CHANGE,
            loosen: &loosen,
        };
        let verdict = judge(None, &next, Some(&database), &limits);
        assert_eq!(verdict, Verdict::Take, "{file}");
        let size = Size::of_all(&next, Some(&database));
        println!(
            "{file}: {size:?}, 1/{} of IPv4",
            (1u128 << 32) / size.v4.max(1)
        );
    }
}

#[test]
fn real_feeds_together_have_scores_that_add_up() {
    let (Some(feeds), Some(database)) = (real_data::folder("feeds"), database()) else {
        return;
    };
    let snapshots = [
        ("ipsum.txt", 60),
        ("spamhaus_drop.txt", 90),
        ("x4bnet_datacenter_ipv4.txt", 20),
        ("x4bnet_datacenter_ipv6.txt", 20),
        ("tor_exits.txt", 50),
        ("bad-asn-list.csv", 30),
    ];
    let snapshots = snapshots.map(|(file, weight)| {
        let update = parsed(&feeds, file);
        (file, weight, Snapshot::next(None, &update, now(), GRACE).0)
    });
    let weighing = snapshots
        .each_ref()
        .map(|(file, weight, snapshot)| Weighing {
            group: file,
            weight: Score::new(*weight).unwrap(),
            half_life: Some(GRACE),
            snapshot,
        });
    let started = Instant::now();
    let combined = combine(&weighing, Some(&database), now());
    println!(
        "{} prefixes combined in {:?}",
        combined.len(),
        started.elapsed()
    );
    assert!(
        combined
            .is_sorted_by(|(one, _), (next, _)| { (!one.is_v4(), *one) < (!next.is_v4(), *next) })
    );
    // Every 500th, against the plain rule.
    let kind = ListKind::Popular;
    let list = List::new(ListId(1), "scores".into(), kind, combined.iter().copied());
    for (prefix, _) in combined.iter().step_by(500) {
        let (_, score) = list.covering(prefix.address()).next().unwrap();
        let mut doubt = 1.0;
        for one in &weighing {
            let asn = database.lookup(prefix.address()).and_then(|info| info.asn);
            let named = asn.and_then(|asn| one.snapshot.find(asn.into()));
            let mut covering = one.snapshot.covering(prefix.address()).chain(named);
            if covering.next().is_some() {
                doubt *= 1.0 - f64::from(one.weight.get()) / 100.0;
            }
        }
        let difference = (1.0 - doubt) * 100.0 - f64::from(score.get());
        assert!(difference.abs() < 0.51, "{prefix} {score:?}");
    }
    let [ipsum, ..] = &snapshots;
    let started = Instant::now();
    let mut text = Vec::new();
    ipsum.2.write(&serde_json::Value::Null, &mut text).unwrap();
    let wrote = started.elapsed();
    let back = Snapshot::read(&*text).unwrap().0;
    println!("written in {wrote:?}, with reading {:?}", started.elapsed());
    assert_eq!(back, ipsum.2);
}

/// `cargo nextest run --release --run-ignored all -p bot-agent a_million --no-capture`
#[test]
#[ignore = "a measurement: in release it should take half a second"]
fn a_million_entries_are_combined() {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let snapshots: Vec<Snapshot> = (0..5)
        .map(|_| {
            let entries = (0..200_000).map(|n| {
                let host = Prefix::host(std::net::Ipv4Addr::from(random()).into());
                let bits = if n % 10 == 0 { 120 } else { 128 };
                Entry::sure(host.shortened(bits).into())
            });
            let update = Parsed {
                entries: entries.collect(),
                ..Parsed::default()
            };
            Snapshot::next(None, &update, now(), GRACE).0
        })
        .collect();
    let groups = ["a", "b", "c", "d", "e"];
    let weighing: Vec<Weighing<'_>> = snapshots
        .iter()
        .zip(groups)
        .map(|(snapshot, group)| Weighing {
            group,
            weight: Score::new(50).unwrap(),
            half_life: Some(GRACE),
            snapshot,
        })
        .collect();
    let started = Instant::now();
    let combined = combine(&weighing, None, now());
    println!(
        "{} prefixes combined in {:?}",
        combined.len(),
        started.elapsed()
    );
    let started = Instant::now();
    let mut text = Vec::new();
    for snapshot in &snapshots {
        text.clear();
        snapshot.write(&serde_json::Value::Null, &mut text).unwrap();
    }
    println!("written in {:?}", started.elapsed());
    let started = Instant::now();
    for _ in &snapshots {
        drop(Snapshot::read(&*text).unwrap());
    }
    println!("read in {:?}", started.elapsed());
    let started = Instant::now();
    let size = Size::of_all(&snapshots[0], None);
    println!("one of them measured in {:?}: {size:?}", started.elapsed());
    assert!(combined.len() > 900_000);
}
