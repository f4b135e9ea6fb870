//! Port sets, written by the agent.

use aya_ebpf::{macros::map, maps::Array};
use bot_common::abi::ports::{GROUP_LINES, GroupLine, Groups, PORT_WORDS, PortWord};

#[map]
static PORTS: Array<PortWord> = Array::with_max_entries(PORT_WORDS, 0);

#[map(name = "PORT_GROUPS")]
static GROUPS: Array<GroupLine> = Array::with_max_entries(GROUP_LINES, 0);

/// The sets' words around `port`.
#[inline(always)]
pub(crate) fn word(port: u16) -> PortWord {
    PORTS
        .get(PortWord::index(port))
        .copied()
        .unwrap_or_default()
}

/// The groups that `port` is in.
#[inline(always)]
pub(crate) fn groups(port: u16) -> Groups {
    GROUPS
        .get(GroupLine::index(port))
        .map_or(Groups::NONE, |line| line.of(port))
}
