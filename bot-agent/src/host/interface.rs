//! Network interfaces of this namespace, and the XDP program each runs.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink messages are open-ended: what is not asked for is skipped"
)]

use std::fmt;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp, XdpAttached},
};
use netlink_sys::protocols::NETLINK_ROUTE;
use serde::{Deserialize, Serialize};

use super::netlink::{self, Error};

/// One network interface.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Interface {
    /// Name.
    pub name: String,
    /// Index, unique within the namespace and never reused while it lives.
    pub index: u32,
    /// The XDP program on it.
    pub xdp: Option<Xdp>,
}

/// The XDP program on an interface.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Xdp {
    /// The program's id (`bpftool prog show id`).
    pub program: u32,
    /// How it runs.
    pub mode: XdpMode,
}

/// Where an XDP program runs.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum XdpMode {
    /// In the driver.
    Native,
    /// In the network stack, after the driver made an skb of the packet.
    Generic,
    /// On the network card.
    Offloaded,
}

impl fmt::Display for XdpMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Generic => "generic",
            Self::Offloaded => "offloaded",
        })
    }
}

/// Every interface.
pub fn list() -> Result<Vec<Interface>, Error> {
    let request = RouteNetlinkMessage::GetLink(LinkMessage::default());
    let links = netlink::dump("interfaces", NETLINK_ROUTE, request)?;
    Ok(links.iter().filter_map(interface).collect())
}

/// The interface of a name; `None` when there is none.
pub fn by_name(name: &str) -> Result<Option<Interface>, Error> {
    Ok(list()?.into_iter().find(|interface| interface.name == name))
}

/// Takes an XDP program off an interface to which it was attached by netlink (`ip link set xdp`).
/// Programs held by a BPF link stay: `EBUSY`. Needs `CAP_NET_ADMIN`.
pub fn remove_xdp(index: u32, mode: XdpMode) -> Result<(), Error> {
    // XDP_FLAGS_*_MODE of linux/if_link.h; a descriptor of -1 detaches.
    let mode = match mode {
        XdpMode::Generic => 1 << 1,
        XdpMode::Native => 1 << 2,
        XdpMode::Offloaded => 1 << 3,
    };
    let mut message = LinkMessage::default();
    message.header.index = index;
    message.attributes = vec![LinkAttribute::Xdp(vec![
        LinkXdp::Fd(-1),
        LinkXdp::Flags(mode),
    ])];
    let request = RouteNetlinkMessage::SetLink(message);
    netlink::get("removal of an XDP program", NETLINK_ROUTE, request).map(drop)
}

fn interface(message: &RouteNetlinkMessage) -> Option<Interface> {
    let RouteNetlinkMessage::NewLink(link) = message else {
        return None;
    };
    Some(Interface {
        name: name(link)?.to_owned(),
        index: link.header.index,
        xdp: xdp(link),
    })
}

pub(super) fn name(link: &LinkMessage) -> Option<&str> {
    link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::IfName(name) = attribute {
            Some(name.as_str())
        } else {
            None
        }
    })
}

fn xdp(link: &LinkMessage) -> Option<Xdp> {
    let attributes = link.attributes.iter().find_map(|attribute| {
        if let LinkAttribute::Xdp(attributes) = attribute {
            Some(attributes)
        } else {
            None
        }
    })?;
    // Native and generic exclude each other; beside an offloaded program the host's counts.
    let of = |mode| {
        attributes.iter().find_map(|attribute| {
            let program = match (mode, attribute) {
                (XdpMode::Native, LinkXdp::DrvProgId(id))
                | (XdpMode::Generic, LinkXdp::SkbProgId(id))
                | (XdpMode::Offloaded, LinkXdp::HwProgId(id)) => *id,
                _ => return None,
            };
            (program != 0).then_some(Xdp { program, mode })
        })
    };
    of(XdpMode::Native)
        .or_else(|| of(XdpMode::Generic))
        .or_else(|| of(XdpMode::Offloaded))
        .or_else(|| single(attributes))
}

/// A single attachment: its mode is in `IFLA_XDP_ATTACHED`, its program in `IFLA_XDP_PROG_ID`.
fn single(attributes: &[LinkXdp]) -> Option<Xdp> {
    let mut found = (None, None);
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => found.0 = Some(XdpMode::Native),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => found.0 = Some(XdpMode::Generic),
            LinkXdp::Attached(XdpAttached::Hardware) => found.0 = Some(XdpMode::Offloaded),
            LinkXdp::ProgId(id) if *id != 0 => found.1 = Some(*id),
            _ => {}
        }
    }
    let (Some(mode), Some(program)) = found else {
        return None;
    };
    Some(Xdp { program, mode })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(attributes: Vec<LinkXdp>) -> LinkMessage {
        let mut message = LinkMessage::default();
        message.attributes = vec![LinkAttribute::Xdp(attributes)];
        message
    }

    #[test]
    fn the_program_and_its_mode_are_read() {
        let native = Xdp {
            program: 7,
            mode: XdpMode::Native,
        };
        for attributes in [
            vec![
                LinkXdp::Attached(XdpAttached::Driver),
                LinkXdp::DrvProgId(7),
                LinkXdp::ProgId(7),
            ],
            vec![LinkXdp::Attached(XdpAttached::Driver), LinkXdp::ProgId(7)],
            vec![
                LinkXdp::Attached(XdpAttached::Multiple),
                LinkXdp::HwProgId(9),
                LinkXdp::DrvProgId(7),
            ],
        ] {
            assert_eq!(xdp(&link(attributes)), Some(native));
        }
        assert_eq!(xdp(&link(vec![LinkXdp::Attached(XdpAttached::None)])), None);
        assert_eq!(xdp(&LinkMessage::default()), None);
    }

    #[test]
    fn loopback_is_an_interface() {
        let lo = by_name("lo").unwrap().unwrap();
        assert_eq!(lo.index, 1);
        assert_eq!(by_name("no such name").unwrap(), None);
    }
}
