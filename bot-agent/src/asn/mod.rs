//! Which network and which country an address belongs to, from a database file on this host.
//!
//! [`Database::open`] reads files of three formats (`text` and `mmdb` know them, `open` finds out
//! which one a file has), `range` makes sorted disjoint ranges of what they say, and [`Database`]
//! answers: by address, by ASN, by country. Nothing is ever looked up over the network.
//!
//! Sources: range CSV as `@ip-location-db` publishes it, TSV as iptoasn.com does, and the MaxMind DB
//! format 2.0.

mod database;
mod extent;
mod line;
mod mmdb;
mod names;
mod open;
#[cfg(test)]
mod properties;
mod range;
mod spans;
#[cfg(test)]
mod tests;
mod text;

pub use self::{
    database::{AsInfo, Database},
    extent::{Extent, Reach},
    line::Fault,
    open::{Error, Format, Source, Tally},
    range::{AsRange, Bound},
    spans::Spans,
};

/// What somebody hears who needs a database where none is configured.
pub const UNCONFIGURED: &str = "no ASN database is configured: set `database` in [asn] of the \
     configuration to one or more files (range CSV like asn-ipv4.csv, iptoasn.com's TSV, or MaxMind \
     .mmdb; plain or .gz) and reload";
