//! The kernel side as the rest of the agent sees it; the only place that names aya.
//!
//! [`open`] loads the programs against pinned tables, which it makes or adopts. [`attach`] puts
//! them on interfaces by pinned BPF links. [`tables`] reads and writes what they decide by;
//! [`ring`] brings their reports up. One task owns all of it.
//!
//! What is pinned, under a folder of a BPF file system (see [`folder`]):
//!
//! ```text
//! <pin_dir>/v<LAYOUT_VERSION>/maps/<MAP NAME>
//!                             programs/<program name>
//!                             links/<interface index>
//! ```
//!
//! Nothing here outlives a wrong shape: tables of another layout version lie in another folder,
//! and pins of this version are compared with the object before anything is loaded. Links are
//! taken over from every layout version, their program swapped in one step, so that a restart or
//! an upgrade leaves no packet unfiltered. For that the tables must be filled before `attach`.

pub mod attach;
pub mod attachment;
pub mod debug_log;
pub mod detach;
pub mod error;
pub mod folder;
mod fresh;
pub mod generation;
mod link;
pub mod object;
pub mod open;
pub mod pinned;
mod ports;
mod prefixes;
mod program;
mod reason;
pub mod ring;
mod settings;
mod shape;
pub mod tables;

pub use attach::{Attached, XdpRequest, foreign_program};
pub use attachment::Attachment;
pub use detach::{Detached, detach_all, detach_links};
pub use error::{AttachError, Error};
pub use folder::{Owner, PinFolder};
pub use fresh::FreshPins;
pub use open::{Datapath, Opened, Options, check_host};
pub use pinned::Pinned;
pub use program::EntryPoint;
pub use ring::{Drained, Ring};
pub use tables::{SlotPlace, TableError, Tables};
