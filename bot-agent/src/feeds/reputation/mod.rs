//! Reputation: from the snapshots of all feeds to lists of the policy, and the sum behind a score.
//!
//! Invariant: what [`evidence`] says about an address is what [`lists()`] put into force for it, from
//! the same entries, the same database and the same time.

mod evidence;
mod lists;
mod overlap;
#[cfg(test)]
mod real_tests;
mod resolve;
mod score;
#[cfg(test)]
mod tests;

use super::snapshot::Snapshot;
use crate::config::Feed;

pub use self::{
    evidence::{Evidence, Part, evidence},
    lists::{POPULAR, SCORES, lists},
    overlap::{Amount, Overlap, overlap},
    score::{Weighing, combine},
};

/// A feed, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// How it is configured.
    pub feed: &'a Feed,
    /// Its entries in force.
    pub snapshot: &'a Snapshot,
}
