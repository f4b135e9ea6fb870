//! The binary interface between the kernel program and the agent.
//!
//! Every type is `repr(C)`, derives zerocopy's `IntoBytes` (which refuses padding at compile
//! time) and holds integers only: no `bool`, `Option`, `usize` or Rust enum crosses the border.
//! Meaning is given by typed accessors. Any change of a layout or a name raises
//! [`names::LAYOUT_VERSION`].

pub mod counter;
pub mod flow;
pub mod names;
pub mod ports;
pub mod record;
pub mod settings;
pub mod verdict;
