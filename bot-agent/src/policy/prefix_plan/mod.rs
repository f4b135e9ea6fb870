//! The plan prefix by prefix, for a kernel whose store takes single prefixes. It goes away with
//! that store.

mod compile;
mod dictionary;
mod plan;
mod precedence;

pub use compile::{Chain, Desired, Link, Terms, compile};
pub use dictionary::{Owner, REST, TableFull};
pub use plan::{Enforced, Step};
pub use precedence::Precedence;
