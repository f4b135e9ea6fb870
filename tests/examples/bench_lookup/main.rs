//! Nanoseconds for one lookup, beside the kernel's longest-prefix trie of the same run; memory and
//! time to fill. One JSON object a line.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::cast_precision_loss,
    reason = "a program that prints figures"
)]

use std::time::Instant;

use bot_tests::{
    bpf,
    latency::{Latency, Store},
    lists::{self, Entry, Family, Reference, Space, Workload},
};

const ROUNDS: usize = 7;
const SIZES: [usize; 2] = [100_000, 1_000_000];
const SEED: u64 = 0x10_0c;

fn main() {
    for family in [Family::V4, Family::V6] {
        for size in SIZES {
            let space = Space::registries(family);
            let entries = lists::list(&space, size, SEED);
            measure(family, &format!("{size}"), &entries, &space, &Workload::ALL);
        }
    }
}

fn measure(family: Family, size: &str, entries: &[Entry], space: &Space, workloads: &[Workload]) {
    let reference = Reference::new(entries);
    let mut latency = Latency::load(entries.len());
    let begin = Instant::now();
    bpf::fill(latency.trie(family), family == Family::V4, entries).expect("the trie is filled");
    let filled = begin.elapsed();
    println!(
        "trie {family:?} {size}: fill {filled:?}, {} MB",
        bpf::memory(latency.trie(family)) as f64 / 1e6
    );
    for &workload in workloads {
        let addresses = lists::workload(workload, entries, space, &reference, SEED + 1);
        latency.addresses(&addresses);
        for (index, address) in (0..).zip(&addresses) {
            let want = reference.lookup(lists::number(address.to_ip()));
            let got = latency.answer(Store::Trie(family), index);
            assert_eq!(got, want, "{address:?}");
        }
        let mut rounds = Vec::new();
        for _ in 0..ROUNDS {
            let floor = latency.time(Store::Nothing, 1 << 16);
            let trie = latency.time(Store::Trie(family), 1 << 16);
            rounds.push((floor, trie - floor));
        }
        rounds.sort_by(|a, b| a.1.total_cmp(&b.1));
        println!(
            "{family:?} {size} {workload:?}: {:?} [{:?}..{:?}]",
            rounds[ROUNDS / 2],
            rounds[0],
            rounds[ROUNDS - 1]
        );
    }
}
