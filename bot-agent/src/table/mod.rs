//! The verdict table: disjoint ranges of addresses, each with a verdict id.

mod ranges;

pub use ranges::{Range, Ranges};
