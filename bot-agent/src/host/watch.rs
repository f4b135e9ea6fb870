//! Changes of links, addresses and routes, as the kernel reports them (rtnetlink(7)).
//!
//! The kernel drops reports when nobody reads for too long; that is [`Change::Lost`], and
//! everything must be looked at anew.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink messages are open-ended: what is not asked for is skipped"
)]

use std::{collections::VecDeque, io};

use netlink_packet_core::NetlinkPayload;
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage, link::LinkMessage};
use netlink_sys::{Socket, SocketAddr, protocols::NETLINK_ROUTE};

use super::{interface, netlink, readiness::Readiness};

/// Something that happened to the host's network.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// An interface appeared, changed its state or its name.
    LinkUp(Link),
    /// An interface is gone, and what was attached to it too.
    LinkGone(Link),
    /// An address came or went.
    Address,
    /// A route came or went.
    Route,
    /// Reports were lost: anything may have changed.
    Lost,
}

/// The interface a report is about.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Link {
    /// Index.
    pub index: u32,
    /// Name; empty when the report does not carry it.
    pub name: String,
}

/// A subscription to changes in this thread's network namespace.
#[derive(Debug)]
pub struct Watch {
    socket: Socket,
    readiness: Readiness,
    pending: VecDeque<Change>,
}

impl Watch {
    /// Subscribes; must be called within a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let mut socket = Socket::new(NETLINK_ROUTE)?;
        socket.set_non_blocking(true)?;
        socket.bind(&SocketAddr::new(0, GROUPS))?;
        Ok(Self {
            readiness: Readiness::of(&socket)?,
            socket,
            pending: VecDeque::new(),
        })
    }

    /// The next change. Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> io::Result<Change> {
        loop {
            if let Some(change) = self.pending.pop_front() {
                return Ok(change);
            }
            self.readiness.wait().await?;
            match self.readiness.attempt(|| self.socket.recv_from_full()) {
                Ok((datagram, _)) => self.pending.extend(changes(&datagram)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                    return Ok(Change::Lost);
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// `RTMGRP_*` of linux/rtnetlink.h: links, and addresses and routes of both families.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

fn changes(datagram: &[u8]) -> Vec<Change> {
    netlink::messages::<RouteNetlinkMessage>(datagram)
        .filter_map(|message| match message {
            Ok(message) => match message.payload {
                NetlinkPayload::InnerMessage(message) => change(&message),
                _ => None,
            },
            Err(_) => Some(Change::Lost),
        })
        .collect()
}

fn change(message: &RouteNetlinkMessage) -> Option<Change> {
    match message {
        RouteNetlinkMessage::NewLink(message) => link(message).map(Change::LinkUp),
        RouteNetlinkMessage::DelLink(message) => link(message).map(Change::LinkGone),
        RouteNetlinkMessage::NewAddress(_) | RouteNetlinkMessage::DelAddress(_) => {
            Some(Change::Address)
        }
        RouteNetlinkMessage::NewRoute(_) | RouteNetlinkMessage::DelRoute(_) => Some(Change::Route),
        _ => None,
    }
}

/// The interface of a report; reports of other families (`AF_BRIDGE`: a port left its bridge) are
/// not about its existence.
fn link(message: &LinkMessage) -> Option<Link> {
    (message.header.interface_family == AddressFamily::Unspec).then(|| Link {
        index: message.header.index,
        name: interface::name(message).unwrap_or_default().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use netlink_packet_route::link::LinkAttribute;

    use super::*;

    #[test]
    fn a_port_that_leaves_a_bridge_is_not_gone() {
        let mut message = LinkMessage::default();
        message.header.index = 3;
        message.attributes = vec![LinkAttribute::IfName("eth0".into())];
        let gone = Change::LinkGone(Link {
            index: 3,
            name: "eth0".into(),
        });
        let of = |message: &LinkMessage| change(&RouteNetlinkMessage::DelLink(message.clone()));
        assert_eq!(of(&message), Some(gone));
        message.header.interface_family = AddressFamily::Bridge;
        assert_eq!(of(&message), None);
    }

    #[test]
    fn garbage_means_look_again() {
        assert_eq!(changes(&[1, 2, 3]), [Change::Lost]);
        assert_eq!(changes(&[]), []);
    }
}
