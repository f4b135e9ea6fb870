//! Library of the agent. The pure core names neither aya nor tokio nor the clock.

pub mod stream;
pub mod tls;
