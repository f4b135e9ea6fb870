//! What the host is: clocks, interfaces, addresses, sockets, privileges. Names no aya.
//!
//! Reading is separate from meaning: every text or message format has a pure parser next to the
//! function that fetches it. Everything here works with `CAP_BPF`, `CAP_NET_ADMIN` and
//! `CAP_PERFMON` only, except what says that it must run before the privileges are dropped.

pub mod clock;
pub mod connections;
pub mod interface;
pub mod kernel;
pub mod lease;
mod netlink;
pub mod ownership;
pub mod ports;
pub mod privilege;
pub mod protected;
pub mod readiness;
pub mod resolver;
pub mod served;
pub mod socket;
pub mod sshd;
pub mod watch;

pub use clock::{boot_id, now, random};
pub use netlink::Error as NetlinkError;
