//! The agent as a library: pure parts first (rules, policy, tls), the shells around them after.
//!
//! The binary is `main.rs`; tests reach inside through here.

pub mod asn;
pub mod capture;
pub mod cli;
pub mod config;
pub mod control;
pub mod daemon;
pub mod datapath;
pub mod event;
pub mod exit_code;
pub mod export;
pub mod feeds;
pub mod host;
pub mod lists;
pub mod policy;
#[cfg(test)]
mod real_data;
pub mod rules;
pub mod store;
pub mod stream;
pub mod table;
pub mod tls;
pub mod wording;
