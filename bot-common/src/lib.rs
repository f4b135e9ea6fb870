//! What the kernel program and the agent must agree on, and the packet logic both run.
//!
//! `no_std`, no allocation, no aya: the same code is compiled into the BPF object, unit- and
//! property-tested on the host, and run over captures. Nothing here may panic: on the BPF side a
//! panic path is a program the verifier refuses.
//!
//! - [`abi`]: map values, ring records and names; layouts are proved at compile time by zerocopy.
//! - [`address`]: one address space for IPv4 and IPv6.
#![no_std]
#![forbid(unsafe_code)]

pub mod abi;
pub mod address;
