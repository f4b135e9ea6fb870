//! Nanoseconds for one lookup in the verdict table and in the kernel's longest-prefix trie, of the
//! same entries, in the same run; memory and time to fill; the whole program with and without
//! entries. One JSON object a line; ratios are to the table's own figure.
//!
//! Every answer of every workload is compared with a plain reference before anything is timed.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a program that prints figures"
)]

mod internet;
mod program;
mod rival;

use bot_common::address::Address;
use bot_tests::{
    figures::{Figure, median},
    latency::{Latency, Store},
    lists::{self, Entry, Family, Reference, Space, Workload},
};

use self::internet::Internet;

const ROUNDS: usize = 9;
/// Lookups in one measurement.
const STEPS: u32 = 1 << 17;
const SIZES: [usize; 2] = [100_000, 1_000_000];
const SEED: u64 = 0x10_0c;

fn main() {
    let internet = Internet::read();
    for family in [Family::V4, Family::V6] {
        let space = match &internet {
            Some(internet) => internet.space(family),
            None => Space::registries(family),
        };
        for size in SIZES {
            let entries = lists::list(&space, size, SEED);
            let case = Case::new(family, "", entries, space.clone());
            case.measure(&Workload::ALL);
            if family == Family::V4 && size == SIZES[1] {
                let [hit, miss] =
                    [Workload::Hot, Workload::Miss].map(|kind| case.addresses(kind)[0].to_ip());
                program::measure(&case.entries, hit, miss);
            }
        }
        if let Some(internet) = &internet {
            // Addresses that nobody announces are those of the registries that are left.
            let entries = internet.entries(family);
            let case = Case::new(family, "ASN table, ", entries, Space::registries(family));
            case.measure(&[Workload::Hit, Workload::Miss, Workload::Mixed]);
        }
    }
}

/// One set of entries.
struct Case {
    family: Family,
    /// What the entries are, where they are no list.
    name: &'static str,
    entries: Vec<Entry>,
    space: Space,
    reference: Reference,
}

impl Case {
    fn new(family: Family, name: &'static str, entries: Vec<Entry>, space: Space) -> Self {
        let reference = Reference::new(&entries);
        Self {
            family,
            name,
            entries,
            space,
            reference,
        }
    }

    fn measure(&self, workloads: &[Workload]) {
        let mut latency = Latency::load(self.entries.len());
        let table = rival::table(&mut latency, self.family, &self.entries);
        let trie = rival::trie(&latency, self.family, &self.entries);
        let bytes = [&table, &trie].map(|filled| filled.bytes as f64 / 1e6);
        self.compare("memory", "MB", bytes, None);
        let times = [&table, &trie].map(|filled| filled.time.as_secs_f64() * 1e3);
        self.compare("build", "ms", times, None);
        for &workload in workloads {
            self.time(&mut latency, workload);
        }
    }

    fn addresses(&self, workload: Workload) -> Vec<Address> {
        let Self {
            entries,
            space,
            reference,
            ..
        } = self;
        lists::workload(workload, entries, space, reference, SEED + 1)
    }

    fn time(&self, latency: &mut Latency, workload: Workload) {
        let stores = [Store::Table, Store::Trie(self.family)];
        let addresses = self.addresses(workload);
        latency.addresses(&addresses);
        for (index, address) in (0..).zip(&addresses) {
            let right = self.reference.lookup(lists::number(address.to_ip()));
            for store in stores {
                let said = latency.answer(store, index);
                assert_eq!(said, right, "{store:?} about {}", address.to_ip());
            }
        }
        let mut rounds = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            let floor = latency.time(Store::Nothing, STEPS);
            let [table, trie] = stores.map(|store| latency.time(store, STEPS) - floor);
            for (figures, figure) in rounds.iter_mut().zip([table, trie, trie / table]) {
                figures.push(figure);
            }
        }
        let [table, trie, ratio] = rounds.map(median);
        self.compare(workload.name(), "ns", [table, trie], Some(ratio));
    }

    /// A line for each. The ratio is that of the figures, where none of single rounds is given.
    fn compare(&self, what: &str, unit: &str, [table, trie]: [f64; 2], ratio: Option<f64>) {
        let workload = format!("{}{what}", self.name);
        let ratio = ratio.unwrap_or(trie / table);
        for (variant, value, ratio) in [("table", table, 1.0), ("trie", trie, ratio)] {
            let figure = Figure {
                bench: "lookup",
                variant,
                family: self.family.name(),
                size: self.entries.len(),
                workload: &workload,
            };
            println!("{}", figure.line(value, unit, Some(ratio)));
        }
    }
}
