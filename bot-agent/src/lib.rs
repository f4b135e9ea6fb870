//! The agent as a library: pure parts first (rules, policy, tls), the shells around them after.
//!
//! The binary is `main.rs`; tests reach inside through here.

pub mod datapath;
pub mod host;
pub mod policy;
pub mod rules;
