//! The network of the end-to-end tests: a host with one filtered interface, and a peer that plays
//! the clients, good and bad.
//!
//! The peer holds the last address of [`NETWORK`] and of its IPv6 twin: blocking the network must
//! reach an address in the middle of it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::netns::{Ends, Namespace, veth};

/// The filtered interface.
pub const IFACE: &str = "bot0";
/// The clients' end.
pub const PEER_IFACE: &str = "peer0";
/// The host.
pub const HOST: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
/// A client that no test blocks.
pub const FRIEND: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));
/// A client in the middle of [`NETWORK`].
pub const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(198, 51, 100, 77));
/// The network that tests block.
pub const NETWORK: &str = "198.51.100.0/24";
/// [`HOST`] in IPv6.
pub const HOST6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));
/// [`FRIEND`] in IPv6.
pub const FRIEND6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2));
/// A client in the middle of [`NETWORK6`].
pub const STRANGER6: IpAddr = IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0xbad, 0x77, 0, 0, 0, 0x77));
/// The IPv6 network that tests block.
pub const NETWORK6: &str = "2001:db8:bad::/56";

/// The two namespaces.
#[derive(Debug)]
pub struct Lab {
    /// Where the agent runs.
    pub host: Namespace,
    /// Where its clients are.
    pub peer: Namespace,
}

impl Lab {
    /// Makes it; `test` tells tests apart.
    pub fn new(test: &str) -> Self {
        let lab = Self {
            host: Namespace::new(&format!("{test}-host")),
            peer: Namespace::new(&format!("{test}-peer")),
        };
        lab.join();
        lab
    }

    /// Makes the interfaces, with addresses and routes.
    pub fn join(&self) {
        veth(Ends {
            left: (&self.host, IFACE),
            right: (&self.peer, PEER_IFACE),
        });
        self.dress();
    }

    /// The same with an index of the test's choice for the host's interface.
    pub fn join_with_index(&self, index: &str) {
        let peer = ["peer", "name", PEER_IFACE, "netns", self.peer.name()];
        let make = ["link", "add", IFACE, "index", index, "type", "veth"];
        self.host.ip(&[&make[..], &peer[..]].concat());
        self.host.ip(&["link", "set", IFACE, "up"]);
        self.peer.ip(&["link", "set", PEER_IFACE, "up"]);
        self.dress();
    }

    fn dress(&self) {
        let (host, peer) = (&self.host, &self.peer);
        address(host, IFACE, HOST, 24);
        address(host, IFACE, HOST6, 64);
        address(peer, PEER_IFACE, FRIEND, 24);
        address(peer, PEER_IFACE, FRIEND6, 64);
        address(peer, PEER_IFACE, STRANGER, 32);
        address(peer, PEER_IFACE, STRANGER6, 128);
        host.ip(&["route", "add", NETWORK, "dev", IFACE]);
        host.ip(&["route", "add", NETWORK6, "dev", IFACE]);
    }

    /// Takes the interfaces away.
    pub fn part(&self) {
        self.host.ip(&["link", "del", IFACE]);
    }
}

/// Adds an address that can be used at once.
pub fn address(namespace: &Namespace, iface: &str, address: IpAddr, bits: u8) {
    let prefix = format!("{address}/{bits}");
    let mut arguments = vec!["addr", "add", &prefix, "dev", iface];
    if address.is_ipv6() {
        arguments.push("nodad");
    }
    namespace.ip(&arguments);
}
