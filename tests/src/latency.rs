//! Nanoseconds for one lookup: the programs of `bot-ebpf-lookup`, walking over addresses of ours.
//!
//! Each address waits for the last answer, so this is latency; the walk itself is a program, too, for
//! the caller to subtract.

use std::{
    fs,
    os::fd::{AsFd as _, BorrowedFd},
};

use aya::{
    Ebpf, EbpfLoader, TestRun,
    maps::{Array, ArrayOfMaps, Map, MapData},
    programs::{TestRunOptions, Xdp},
};
use bot_agent::datapath::generation::Generation;
use bot_common::{abi::names, address::Address};

use crate::lists::Family;

/// What answers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Store {
    /// The walk alone: an address is loaded and taken for the answer.
    Nothing,
    /// The verdict table.
    Table,
    /// `BPF_MAP_TYPE_LPM_TRIE`.
    Trie(Family),
}

impl Store {
    const fn program(self) -> &'static str {
        match self {
            Self::Nothing => "walk_nothing",
            Self::Table => "walk_table",
            Self::Trie(Family::V4) => "walk_trie_v4",
            Self::Trie(Family::V6) => "walk_trie_v6",
        }
    }
}

/// The loaded programs with their maps.
pub struct Latency {
    ebpf: Ebpf,
    addresses: Array<MapData, [u64; 2]>,
    walk: Array<MapData, [u32; 4]>,
    table: ArrayOfMaps<MapData, MapData>,
    count: u32,
}

impl Latency {
    /// Loads the programs with tries for so many entries.
    pub fn load(trie_entries: usize) -> Self {
        let object = fs::read(concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../target/bpf/bot-ebpf-lookup.o"
        ))
        .expect("the BPF object: run `cargo xtask build`");
        let mut ebpf = EbpfLoader::new()
            .map_max_entries("TRIE_V4", trie_entries as u32)
            .map_max_entries("TRIE_V6", trie_entries as u32)
            .load(&object)
            .expect("the object loads");
        for (name, program) in ebpf.programs_mut() {
            let program: &mut Xdp = program.try_into().expect("XDP");
            program
                .load()
                .unwrap_or_else(|error| panic!("{name}: {error:?}"));
        }
        let mut map = |name| ebpf.take_map(name).unwrap_or_else(|| panic!("map {name}"));
        Self {
            addresses: map("ADDRESSES").try_into().expect("an array"),
            walk: map("WALK").try_into().expect("an array"),
            table: map(names::MAP_TABLE).try_into().expect("a map of maps"),
            ebpf,
            count: 0,
        }
    }

    /// The trie of a family, to be filled.
    pub fn trie(&self, family: Family) -> BorrowedFd<'_> {
        let name = match family {
            Family::V4 => "TRIE_V4",
            Family::V6 => "TRIE_V6",
        };
        match self.ebpf.map(name) {
            Some(Map::LpmTrie(map)) => map.fd().as_fd(),
            _ => panic!("no trie {name}"),
        }
    }

    /// Puts a generation in force; it lives on without the caller's mapping.
    pub fn publish(&mut self, generation: &Generation) {
        self.table
            .set(0, generation.map(), 0)
            .expect("the generation is put in force");
    }

    /// Says what is looked up (65,536 addresses at most).
    pub fn addresses(&mut self, addresses: &[Address]) {
        self.count = addresses.len() as u32;
        for (index, address) in (0..).zip(addresses) {
            let octets = address.octets();
            let (high, low) = octets.split_at(8);
            let word = |half: &[u8]| u64::from_ne_bytes(half.try_into().expect("eight octets"));
            self.addresses
                .set(index, [word(high), word(low)], 0)
                .expect("an address is written");
        }
    }

    /// The answer for one of the addresses.
    pub fn answer(&mut self, store: Store, index: u32) -> u32 {
        self.start(index, 1);
        self.run(store, 1).0
    }

    /// Nanoseconds a step, over one walk after another until `steps` are done.
    pub fn time(&mut self, store: Store, steps: u32) -> f64 {
        const RUN: u32 = 1 << 14;
        self.start(0, RUN);
        self.run(store, steps.div_ceil(RUN)).1 / f64::from(RUN)
    }

    fn start(&mut self, index: u32, lookups: u32) {
        self.walk
            .set(0, [index, self.count, 0, lookups], 0)
            .expect("the walk is written");
    }

    /// Last answer and nanoseconds a run.
    fn run(&self, store: Store, repeat: u32) -> (u32, f64) {
        let program: &Xdp = self
            .ebpf
            .program(store.program())
            .expect("a program")
            .try_into()
            .expect("XDP");
        let mut options = TestRunOptions::new();
        options.data_in = Some(&[0; 64]);
        options.repeat = repeat;
        let result = program.test_run(options).expect("the walk runs");
        (result.return_value, result.duration.as_secs_f64() * 1e9)
    }
}
