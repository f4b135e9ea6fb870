//! Policy: which of many rules and lists decides about an address, and how the kernel comes to know.
//!
//! [`Inputs`] --[`compile()`]--> [`Compiled`] pieces with chains --[`Enforced::assign`]--> ranges with
//! verdict ids. Pure throughout: the time comes in as [`crate::rules::time::Now`]; verdicts are
//! written and ranges published by the datapath.

mod candidate;
mod chain;
mod column;
mod compile;
mod deadline;
mod decision;
mod dictionary;
mod differences;
mod enforced;
mod explain;
mod family;
mod full;
mod inputs;
mod list;
mod merge;
mod named;
mod networks;
mod only;
mod ports;
mod precedence;
mod preview;
mod room;
mod select;
mod slots;
mod states;
mod sweep;

#[cfg(test)]
mod ids_tests;
#[cfg(test)]
mod ports_tests;
#[cfg(test)]
mod precedence_tests;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod real_tests;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod table_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod words;
#[cfg(test)]
mod worlds;

pub use self::{
    candidate::{By, Owner, Sharing},
    chain::{Beneath, Chain, Link, Terms},
    compile::{Compiled, Piece, compile, compile_within},
    decision::Decision,
    dictionary::Fresh,
    differences::differences,
    enforced::{Assigned, Enforced},
    explain::{Covering, Explanation, Source, explain, explain_by},
    full::{Limits, TableFull},
    inputs::Inputs,
    list::{List, ListId, ListKind, Score, Tiers},
    named::named,
    only::{NotLocked, Only, list_of_proxy},
    ports::{BadPorts, MOST_PORT_SETS, PortGroups, Ports, TooManyPorts},
    precedence::{Group, Place, Precedence, Strength},
    preview::{Impact, impact},
    room::Room,
    select::Selection,
    slots::REST,
    states::Chains,
};
