//! Filling the two stores with the same entries.

use std::time::{Duration, Instant};

use bot_agent::{
    datapath::generation::Generation,
    table::{Image, Range, Ranges, Table},
};
use bot_common::abi::verdict::VerdictId;
use bot_tests::{
    bpf,
    latency::Latency,
    lists::{self, Entry, Family},
    spent,
};

/// What it took to fill a store.
pub(crate) struct Filled {
    /// Kernel memory.
    pub(crate) bytes: u64,
    /// From entries in memory to the kernel.
    pub(crate) time: Duration,
}

/// The verdict table: flat ranges, an image, a generation of just its size.
pub(crate) fn table(latency: &mut Latency, family: Family, entries: &[Entry]) -> Filled {
    let begin = Instant::now();
    let ranges = ranges(family, entries);
    let image = Image::build(&ranges).expect("the image is built");
    let lines = image.lines();
    let generation = Generation::make(lines).expect("a generation");
    let table = Table::install(generation, image).expect("it fits");
    latency.publish(table.memory());
    Filled {
        bytes: u64::from(lines) * 64,
        time: begin.elapsed(),
    }
}

/// The trie. Its memory is what the kernel's slab grew by: `memlock` counts entries only, neither
/// the nodes in between nor what the allocator adds.
pub(crate) fn trie(latency: &Latency, family: Family, entries: &[Entry]) -> Filled {
    spent::settle();
    let before = spent::kernel_memory();
    let begin = Instant::now();
    let trie = latency.trie(family);
    bpf::fill(trie, family == Family::V4, entries).expect("the trie is filled");
    let time = begin.elapsed();
    let grown = spent::kernel_memory().saturating_sub(before);
    Filled {
        bytes: grown.max(bpf::memory(trie)),
        time,
    }
}

/// The last 32 bits of a mapped address.
fn v4(number: u128) -> u32 {
    (number & u128::from(u32::MAX)) as u32
}

pub(crate) fn ranges(family: Family, entries: &[Entry]) -> Ranges {
    let mut ranges = Ranges::default();
    for (first, last, id) in lists::flatten(entries) {
        let id = VerdictId::new(id).expect("an id");
        match family {
            Family::V4 => ranges.v4.push(Range {
                first: v4(first),
                last: v4(last),
                id,
            }),
            Family::V6 => ranges.v6.push(Range { first, last, id }),
        }
    }
    ranges
}
