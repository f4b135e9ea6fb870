//! The agent as a library: pure parts first (rules, policy, tls), the shells around them after.
//!
//! The binary is `main.rs`; tests reach inside through here.

pub mod capture;
pub mod cli;
pub mod datapath {
    //! The kernel program: loading it, and talking to its maps.
    pub mod object;
}
pub mod rules;
pub mod stream;
pub mod tls;
