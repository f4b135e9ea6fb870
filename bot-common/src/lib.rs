//! What the kernel program and the agent must agree on, and the packet logic both run.
//!
//! `no_std`, no allocation, no aya: the same code is compiled into the BPF object, unit- and
//! property-tested on the host, and run over captures. Nothing here may panic: on the BPF side a
//! panic path is a program the verifier refuses.
//!
//! In the order in which a packet meets them:
//! - [`read`]: access to its bytes; [`packet`]: the walk from Ethernet to the transport header.
//! - [`address`]: one address space for IPv4 and IPv6.
//! - [`table`]: the verdict of an address.
//! - [`decide`]: verdict, mode and packet make an outcome.
//! - [`flow`]: which segments go to the agent; [`report`]: which drops do; [`hash`]: keyed tags.
//! - [`abi`]: map values, ring records and names; layouts are proved at compile time by zerocopy.
#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
pub mod address;
pub mod decide;
pub mod flow;
pub mod hash;
pub mod packet;
pub mod read;
pub mod report;
pub mod table;
