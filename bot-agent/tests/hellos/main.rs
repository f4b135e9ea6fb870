//! From bytes to JA4: properties over generated hellos, streams and captures.
#![allow(
    clippy::cast_possible_truncation,
    reason = "lengths of generated messages are small"
)]

mod assembler;
mod build;
mod captures;
mod fingerprint;
mod parsing;
mod scanner;
