//! From a file of prefixes to a kernel that knows them: time and peak memory, side by side with nft,
//! ipset and a plain longest-prefix trie. One JSON object a line.
//!
//! Each loader is a process of its own that begins with the file; its time ends when everything is
//! in force. This process stays small, because a new process inherits its parent's peak.
#![allow(
    clippy::print_stdout,
    clippy::indexing_slicing,
    clippy::expect_used,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::panic,
    reason = "a program that prints figures"
)]

mod child;
mod files;
mod loader;

use std::{collections::HashMap, env, path::Path};

use bot_tests::{
    figures::{Figure, median},
    spent::Spent,
};

use self::{files::Files, loader::Loader};

/// Entries, and how often each loader runs.
const SIZES: [(usize, usize); 4] = [(10_000, 7), (100_000, 5), (300_000, 5), (1_000_000, 3)];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [] => SIZES
            .iter()
            .for_each(|&(size, rounds)| compare(size, rounds)),
        ["write", size, folder] => files::write(size.parse().expect("a size"), Path::new(folder)),
        ["table", list] => child::table(Path::new(list)),
        ["trie", list] => child::trie(Path::new(list)),
        _ => panic!("no such part: {arguments:?}"),
    }
}

type Measure = fn(&Spent) -> f64;

fn compare(size: usize, rounds: usize) {
    let files = Files::make(size);
    let mut all: HashMap<Loader, Result<Vec<Spent>, String>> = HashMap::new();
    for _ in 0..rounds {
        for loader in Loader::ALL {
            let so_far = all.entry(loader).or_insert_with(|| Ok(Vec::new()));
            // What fails once would fail again, and may take long to.
            let Ok(runs) = so_far else { continue };
            match loader.run(&files) {
                Ok(spent) => runs.push(spent),
                Err(reason) => *so_far = Err(reason),
            }
        }
    }
    let of = |loader: Loader, figure: Measure| {
        let runs = all[&loader].as_ref().ok()?;
        Some(median(runs.iter().map(figure).collect()))
    };
    for loader in Loader::ALL {
        for (workload, unit, figure) in FIGURES {
            let line = Figure {
                bench: "load",
                variant: loader.name(),
                family: "IPv4",
                size,
                workload,
            };
            let text = match (&all[&loader], of(loader, figure)) {
                (Ok(_), Some(value)) => {
                    let ours = of(Loader::ALL[0], figure);
                    line.line(value, unit, ours.map(|ours| value / ours))
                }
                (Err(reason), _) => line.skipped(reason),
                (Ok(_), None) => line.skipped("it never ran"),
            };
            println!("{text}");
        }
    }
}

/// What is said of a run: a name, a unit, and how to get it.
const FIGURES: [(&str, &str, Measure); 3] = [
    ("time", "ms", |spent| spent.time.as_secs_f64() * 1e3),
    ("peak of the process", "MB", |spent| spent.peak as f64 / 1e6),
    ("kernel memory", "MB", |spent| spent.kernel as f64 / 1e6),
];
