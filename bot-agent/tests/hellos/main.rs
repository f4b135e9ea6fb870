//! From bytes to JA4: properties over generated hellos, streams and captures.
#![allow(
    clippy::cast_possible_truncation,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    unreachable_pub,
    reason = "what was generated has the size and shape that it was given"
)]

mod assembler;
mod build;
mod captures;
mod fingerprint;
mod links;
mod parsing;
mod scanner;
