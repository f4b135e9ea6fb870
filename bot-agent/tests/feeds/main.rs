//! Feeds from servers: a publisher that answers well and badly, and a real `CrowdSec`.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    dead_code,
    unreachable_pub,
    reason = "test support, shared with the tests of the whole agent"
)]

mod answers;
mod crowdsec;
mod fetcher;
mod proxy;
mod redirects;
mod secrets;
mod tls;
mod world;

#[path = "../../../tests/src/crowdsec.rs"]
mod local_api;
#[path = "../../../tests/src/publisher.rs"]
mod publisher;
