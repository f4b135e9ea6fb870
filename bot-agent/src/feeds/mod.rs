//! Reputation feeds: from a publisher's file to lists of the policy.
//!
//! The way of a feed: `fetch` brings bytes, `format` makes entries of them, `rails` throws out or
//! holds what must not come into force, `snapshot` remembers when each entry was last seen,
//! `reputation` makes lists and scores of all snapshots. Everything but `fetch` and `disk` is pure.
//!
//! Invariant: whatever a publisher sends, a feed's entries in force are those of its last good
//! update until another good one takes their place.

pub mod category;
pub mod entry;
pub mod format;
pub mod rail;
