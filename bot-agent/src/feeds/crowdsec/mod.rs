//! Decisions of a `CrowdSec` Local API, as a bouncer follows them: all of them first, then changes.
//!
//! Pure; asking is [`crate::feeds::fetch`]'s. Invariant: a change is applied only on top of the state
//! that the server believes this bouncer to have. Whenever an answer was lost, everything is asked
//! for again.

pub mod answer;
pub mod decisions;

pub use answer::{Answer, Decision, DecisionType};
pub use decisions::Decisions;

/// What is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Poll {
    /// Every decision that is active.
    Whole,
    /// What was made and lifted since this bouncer asked last.
    Changes,
}
