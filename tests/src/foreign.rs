//! A program that is not the agent's, as far as the agent can know: the same code, pinned elsewhere.

use aya::{Ebpf, EbpfLoader, programs::Xdp};
use bot_agent::datapath::object::{MISSING, OBJECT};
use bot_common::abi::names;

/// Loads it, with tables of its own.
pub fn load() -> Ebpf {
    let mut ebpf = EbpfLoader::new()
        .map_max_entries(names::MAP_VERDICTS, 8)
        .map_max_entries(names::MAP_VERDICT_HITS, 8)
        .load(OBJECT.expect(MISSING))
        .expect("the object loads");
    xdp(&mut ebpf).load().expect("the program loads");
    ebpf
}

/// Its program.
pub fn xdp(ebpf: &mut Ebpf) -> &mut Xdp {
    let program = ebpf.program_mut(names::PROGRAM_PLAIN).expect("a program");
    program.try_into().expect("XDP")
}
