//! Port sets, written by the agent.

use aya_ebpf::{macros::map, maps::Array};
use bot_common::abi::ports::{PORT_WORDS, PortWord};

#[map]
static PORTS: Array<PortWord> = Array::with_max_entries(PORT_WORDS, 0);

/// The sets' words around `port`.
#[inline(always)]
pub(crate) fn word(port: u16) -> PortWord {
    PORTS
        .get(PortWord::index(port))
        .copied()
        .unwrap_or_default()
}
