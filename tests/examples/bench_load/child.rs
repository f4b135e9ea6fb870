//! What runs in a process of its own: from the file to the kernel, then waiting to be ended.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _},
    os::fd::AsFd as _,
    path::Path,
};

use bot_agent::{
    datapath::{Datapath, Options, PinFolder, object::OBJECT},
    host::clock,
    lists,
    policy::{self, Enforced, Inputs, Limits, List, ListId, ListKind, PortGroups, Score, Tiers},
    rules::{prefix::Prefix, rule::Scope, set::RuleSet},
    table::Image,
};
use bot_common::abi::verdict::{Action, VerdictId};
use bot_tests::{
    bpf,
    bpffs::BpfFs,
    lists::{Entry, number},
};

/// Fills a plain trie with the prefixes of a list.
pub(crate) fn trie(list: &Path) {
    begin();
    let file = BufReader::new(File::open(list).expect("the list"));
    let entries: Vec<Entry> = file
        .lines()
        .map(|line| entry(&line.expect("a line")))
        .collect();
    let trie = bpf::trie(4, entries.len() as u32).expect("a trie");
    bpf::fill(trie.as_fd(), true, &entries).expect("the trie is filled");
    ready();
}

/// Blocks the prefixes of a list by the agent's own steps. The program is loaded before, as it is
/// in an agent that runs.
pub(crate) fn table(list: &Path) {
    const OPTIONS: Options<'_> = Options {
        object: OBJECT,
        debug: false,
        verdicts: 1 << 16,
        report_ring: 1 << 20,
        hello_ring: 1 << 22,
    };
    const LIMITS: Limits = Limits {
        prefixes: 1 << 20,
        verdicts: 1 << 16,
    };
    const DROP: ListKind = ListKind::Category {
        action: Action::Drop,
        scope: Scope::All,
        monitor: false,
    };
    let bpffs = BpfFs::mount();
    let pins = PinFolder::open(&bpffs.pin_dir()).expect("the folder of pins");
    let mut datapath = Datapath::open(&OPTIONS, pins)
        .expect("the program is loaded")
        .datapath;
    begin();
    let read = lists::read(&fs::read(list).expect("the list")).expect("a list of addresses");
    let entries = read.prefixes.into_iter().map(|prefix| (prefix, Score::MAX));
    let list = List::new(ListId(1), "bench".into(), DROP, entries);
    let inputs = Inputs {
        rules: &RuleSet::default(),
        ports: &PortGroups::NONE,
        lists: &[list],
        tiers: Tiers::default(),
        database: None,
    };
    let now = clock::now();
    let compiled = policy::compile(&inputs, now);
    let assigned = Enforced::empty(LIMITS)
        .assign(&compiled, |_| VerdictId::NONE, now)
        .expect("there are ids");
    for fresh in assigned.fresh {
        datapath
            .write_verdict(fresh.id, fresh.verdict)
            .expect("the verdict is written");
    }
    let image = Image::build(&assigned.ranges).expect("the image is built");
    datapath.swap(image).expect("it is in force");
    ready();
}

fn entry(line: &str) -> Entry {
    let prefix: Prefix = line.parse().expect("a prefix");
    Entry {
        first: number(prefix.address()),
        bits: prefix.bits(),
        id: 1,
    }
}

/// Says that the work begins.
fn begin() {
    println!("begin");
}

/// Says that it is done, and waits until standard input ends.
fn ready() {
    println!("ready");
    io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("standard input");
}
