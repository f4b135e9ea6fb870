//! Policy: which of many rules decides about an address, and how the kernel comes to know.
//!
//! `RuleSet` --[`compile()`]--> [`Desired`] table --[`Enforced::plan`]--> ordered [`Step`]s.
//! Pure throughout: the time comes in as [`crate::rules::time::Now`], the steps are carried out by
//! the datapath.

mod compile;
mod dictionary;
mod explain;
mod plan;
mod precedence;
mod preview;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use compile::{Chain, Desired, Link, Terms, compile};
pub use dictionary::{Owner, REST, TableFull};
pub use explain::{Covering, Explanation, explain};
pub use plan::{Enforced, Limits, Step};
pub use precedence::{Group, Precedence};
pub use preview::{Impact, impact};
