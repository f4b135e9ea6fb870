//! Reputation: from the snapshots of all feeds to lists of the policy, and the sum behind a score.
//!
//! Invariant: the score that [`evidence()`] explains is the one that [`lists()`] gives an address when
//! all weighing feeds go equally far, from the same entries, the same database and the same time.

mod evidence;
mod lists;
mod overlap;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod real_tests;
mod resolve;
mod score;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod words;

pub use self::{
    evidence::{Evidence, Part, Weight, evidence},
    lists::{POPULAR, SCORES, lists},
    overlap::{Amount, Overlap, overlap},
    resolve::prefixes,
    score::{Weighing, combine},
};
use super::snapshot::Snapshot;
use crate::config::Feed;

/// A feed, and what it says.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// How it is configured.
    pub feed: &'a Feed,
    /// Its entries in force.
    pub snapshot: &'a Snapshot,
}
