//! Time to read databases of ASNs and countries, their size in memory, and time of a look-up. Takes
//! the files as arguments; prints one JSON object. Run it in release.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "a measuring program"
)]

use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Instant,
};

use bot_agent::{asn::Database, rules::subject::Asn};

/// Times that the files are read; the best one counts.
const ROUNDS: u32 = 5;
const LOOKUPS: u32 = 2_000_000;
const ASNS: u32 = 1_000;

fn main() {
    let paths: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let read = || {
        let start = Instant::now();
        let database = Database::open(&paths).expect("a database");
        (start.elapsed(), database)
    };
    let (mut best, database) = read();
    for _ in 1..ROUNDS {
        best = best.min(read().0);
    }
    let start = Instant::now();
    let mut address = 1u32;
    let mut hits = 0;
    for _ in 0..LOOKUPS {
        address = address.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        hits += u32::from(
            database
                .lookup(IpAddr::from(Ipv4Addr::from(address)).into())
                .is_some(),
        );
    }
    let lookup = start.elapsed() / LOOKUPS;
    let mut asns: Vec<Asn> = database
        .ranges_v4()
        .iter()
        .filter_map(|range| range.asn)
        .collect();
    asns.sort_unstable();
    asns.dedup();
    let start = Instant::now();
    let step = (asns.len() / ASNS as usize).max(1);
    let mut ranges = 0;
    for asn in asns.iter().step_by(step).take(ASNS as usize) {
        let extent = database.of_asn(*asn);
        ranges += black_box(extent.v4().count() + extent.v6().count());
    }
    println!(
        r#"{{"load_ms":{},"bytes":{},"ranges_v4":{},"ranges_v6":{},"lookup_ns":{},"hits":{hits},"asns":{ASNS},"asn_ranges":{ranges},"asns_us":{}}}"#,
        best.as_millis(),
        database.bytes(),
        database.ranges_v4().len(),
        database.ranges_v6().len(),
        lookup.as_nanos(),
        start.elapsed().as_micros(),
    );
}
