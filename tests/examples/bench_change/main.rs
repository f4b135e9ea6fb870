//! Single changes of an agent that holds a million list entries and the table of the whole Internet's
//! ASNs: how long each part takes, from the socket's read to the kernel. One JSON object a line.
//!
//! The agent takes the times itself and tells them at level debug; the answer's way back is measured
//! here.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    clippy::panic,
    reason = "a program that prints figures"
)]

mod client;
mod told;

use std::fs;

use bot_tests::{
    agent::TestAgent,
    data,
    figures::{Figure, median, percentile},
    lab::{IFACE, Lab},
    lists::{self, Entry, Family, Space},
};

use self::{client::Client, told::Told};

/// Entries of the list.
const SIZE: usize = 1_000_000;
const SEED: u64 = 0xc4a4;
/// Changes of each kind.
const CHANGES: usize = 500;
/// An ASN that a rule is about, so that the database is asked with each change.
const ASN: &str = "AS24940";

/// A kind of change: its name, its command, and which of the list's prefixes it is about.
type Kind = (&'static str, &'static str, fn(&Entry) -> String);

/// In this order: what is blocked is unblocked.
const KINDS: [Kind; 4] = [
    ("block of an address", "block", host),
    ("unblock of an address", "unblock", host),
    ("block of a /24", "block", network),
    ("unblock of a /24", "unblock", network),
];

fn main() {
    let lab = Lab::new("change");
    let mut agent = TestAgent::new();
    let entries = lists::list(&Space::registries(Family::V4), SIZE, SEED);
    configure(&agent, &entries);
    agent.start(&lab.host, &["--interface", IFACE]);
    let mut client = Client::connect(&agent.socket());
    if databases().is_some() {
        client.change("block", &[ASN.to_owned()]);
    }
    let step = entries.len() / CHANGES;
    for (kind, command, about) in KINDS {
        let before = told::all(&agent.log()).len();
        let targets = entries.iter().step_by(step).take(CHANGES).map(about);
        let answered = targets.map(|target| client.change(command, &[target]));
        let answered: Vec<f64> = answered.map(|time| time.as_secs_f64() * 1e6).collect();
        let told = told::all(&agent.log()).split_off(before);
        assert_eq!(told.len(), CHANGES, "the agent tells of each change");
        report(kind, &told, answered);
    }
}

/// How to get a figure of a change, in microseconds.
type Measure = fn(&Told) -> f64;

/// What is said of a change: a name, and how to get it.
const FIGURES: [(&str, Measure); 4] = [
    ("waited", |told| told.waited),
    ("worked out", |told| told.worked_out),
    ("stored", |told| told.stored),
    ("published", |told| told.published),
];

fn report(kind: &str, told: &[Told], answered: Vec<f64>) {
    let print = |variant: &str, value: f64| {
        let figure = Figure {
            bench: "change",
            variant,
            family: "IPv4",
            size: SIZE,
            workload: kind,
        };
        println!("{}", figure.line(value, "µs", None));
    };
    let in_force: Vec<f64> = told.iter().map(|told| told.in_force).collect();
    print("in force, median", median(in_force.clone()));
    print("in force, 99 %", percentile(in_force.clone(), 99));
    print("in force, most", percentile(in_force, 100));
    for (name, figure) in FIGURES {
        print(name, median(told.iter().map(figure).collect()));
    }
    print("answered, with the disk", median(answered));
}

fn configure(agent: &TestAgent, entries: &[Entry]) {
    let list = agent.path("list.txt");
    let lines: Vec<String> = entries
        .iter()
        .map(|entry| entry.prefix().to_string())
        .collect();
    fs::write(&list, lines.join("\n")).expect("the list");
    let databases = databases().unwrap_or_default();
    agent.configure(&format!(
        "[log]\nlevel = \"debug\"\n[tables]\nprefixes = 1100000\n[asn]\ndatabase = {databases:?}\n\
         [[list]]\nname = \"bench\"\nfile = \"{}\"\naction = \"block\"\n",
        list.display()
    ));
}

fn databases() -> Option<[std::path::PathBuf; 2]> {
    Some([
        data::file("asn/asn-ipv4.csv.gz")?,
        data::file("asn/asn-ipv6.csv.gz")?,
    ])
}

fn host(entry: &Entry) -> String {
    entry.prefix().address().to_ip().to_string()
}

/// Around what the entry names.
fn network(entry: &Entry) -> String {
    entry.prefix().shortened(96 + 24).to_string()
}
