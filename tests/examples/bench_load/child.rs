//! What runs in a process of its own: from the file to the kernel, then waiting to be ended.

use std::{
    fs::File,
    io::{self, BufRead as _, BufReader, Read as _},
    os::fd::AsFd as _,
    path::Path,
};

use bot_agent::rules::prefix::Prefix;
use bot_tests::{
    bpf,
    lists::{self, Entry},
};

/// Fills a plain trie with the prefixes of a list.
pub(crate) fn trie(list: &Path) {
    let file = BufReader::new(File::open(list).expect("the list"));
    let entries: Vec<Entry> = file
        .lines()
        .map(|line| entry(&line.expect("a line")))
        .collect();
    let trie = bpf::trie(4, entries.len() as u32).expect("a trie");
    bpf::fill(trie.as_fd(), true, &entries).expect("the trie is filled");
    ready();
}

fn entry(line: &str) -> Entry {
    let prefix: Prefix = line.parse().expect("a prefix");
    Entry {
        first: lists::number(prefix.address()),
        bits: prefix.bits(),
        id: 1,
    }
}

/// Says that the work is done, and waits until standard input ends.
fn ready() {
    println!("ready");
    io::stdin()
        .read_to_end(&mut Vec::new())
        .expect("standard input");
}
