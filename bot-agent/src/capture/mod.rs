//! Captures: pcap and pcapng files, and the ClientHellos in them.
//!
//! - [`CaptureReader`]: the container. Packets with their time and link type, gzip or not.
//! - `link`, `ip`: from a link header to a TCP segment, by the walk that the kernel program runs.
//! - [`Hellos`]: every hello of every connection, on every port.
//!
//! Memory is bounded for any input.

mod container;
mod fields;
mod fragments;
mod hellos;
mod ip;
mod link;
mod pcapng;
mod tunnel;

pub use container::{CaptureError, CapturePacket, CaptureReader};
pub use hellos::{Hellos, SeenHello, Skipped};
