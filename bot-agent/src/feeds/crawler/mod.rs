//! Verified crawlers: who is asked for by reverse DNS, and what came of it.
//!
//! An operator that publishes ranges is a feed like any other. One that publishes the names of its
//! machines instead is verified here: the name of the address must end in a suffix of the operator's,
//! and the addresses of that name must contain the address. Only the operator can make both true.
//!
//! The way of a question: `desk` decides whether and when it is asked, `verify` what is asked next,
//! `findings` keeps what came of it. `resolver` does the asking, and alone is not pure.
//!
//! Invariant: nobody waits for an answer. What is not known yet, and what could not be found out, is
//! no crawler's address.

mod bucket;
mod built_in;
pub mod desk;
mod findings;
pub mod index;
pub mod name;
pub mod resolver;
pub mod verify;
