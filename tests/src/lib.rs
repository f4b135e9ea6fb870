//! Worlds for tests: frames, the kernel program with its tables, privileges.
//!
//! The tests themselves lie in `tests/`, one binary per height: `walk`, `verdicts` and `hellos` run
//! packets through `BPF_PROG_TEST_RUN`, `verifier` keeps the program's budget, `datapath`, `host` and
//! `vlan` use the agent's library on real interfaces, and the rest runs the agent's binary there.
#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    clippy::missing_panics_doc,
    clippy::cast_possible_truncation,
    reason = "test support: a broken assumption ends the test"
)]

pub mod agent;
pub mod bpf;
pub mod bpffs;
pub mod clients;
pub mod crowdsec;
pub mod data;
pub mod disk;
pub mod dns;
pub mod feeds;
pub mod figures;
pub mod flatten;
pub mod foreign;
pub mod frame;
pub mod generate;
pub mod kernel;
pub mod lab;
pub mod latency;
pub mod lists;
pub mod netns;
pub mod privilege;
pub mod publisher;
pub mod recorded;
pub mod resident;
pub mod spent;
pub mod tool;
pub mod traffic;
