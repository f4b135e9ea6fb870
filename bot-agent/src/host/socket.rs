//! Sockets of this network namespace, from the kernel's `sock_diag` (`sock_diag(7)`).
//!
//! Listing needs no capability; which process holds a socket is another question (see
//! [`super::sshd`]).

use std::net::SocketAddr;

use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP},
    inet::{ExtensionFlags, InetRequest, SocketId, StateFlags},
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::netlink::{self, Error};

/// One socket.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Socket {
    /// Local address; mapped IPv4 addresses are unmapped.
    pub local: SocketAddr,
    /// Remote address; unspecified when there is none.
    pub remote: SocketAddr,
    /// Inode in `sockfs`, 0 when no process holds it.
    pub inode: u32,
}

/// Which sockets.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// TCP, accepting connections.
    TcpListen,
    /// TCP, connected in both directions.
    TcpEstablished,
    /// UDP, bound and not connected to a peer.
    UdpUnconnected,
}

/// The sockets of a kind, IPv4 and IPv6.
pub fn list(kind: Kind) -> Result<Vec<Socket>, Error> {
    let mut sockets = Vec::new();
    for (family, id) in [
        (AF_INET, SocketId::new_v4()),
        (AF_INET6, SocketId::new_v6()),
    ] {
        let (protocol, states) = match kind {
            Kind::TcpListen => (IPPROTO_TCP, StateFlags::LISTEN),
            Kind::TcpEstablished => (IPPROTO_TCP, StateFlags::ESTABLISHED),
            // An unconnected UDP socket is in state 7 (`TCP_CLOSE`) as long as it is bound.
            Kind::UdpUnconnected => (IPPROTO_UDP, StateFlags::CLOSE),
        };
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol,
            extensions: ExtensionFlags::empty(),
            states,
            socket_id: id,
        });
        let answers = netlink::dump("sockets", NETLINK_SOCK_DIAG, request)?;
        sockets.extend(answers.iter().filter_map(socket));
    }
    Ok(sockets)
}

fn socket(message: &SockDiagMessage) -> Option<Socket> {
    let SockDiagMessage::InetResponse(response) = message else {
        return None;
    };
    let header = &response.header;
    let id = &header.socket_id;
    Some(Socket {
        local: SocketAddr::new(id.source_address.to_canonical(), id.source_port),
        remote: SocketAddr::new(id.destination_address.to_canonical(), id.destination_port),
        inode: header.inode,
    })
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream, UdpSocket};

    use super::*;

    #[test]
    fn sockets_of_this_process_are_found() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = listener.local_addr().unwrap();
        let client = TcpStream::connect(listening).unwrap();
        let bound = UdpSocket::bind("[::1]:0").unwrap();

        let find = |kind, local| list(kind).unwrap().into_iter().find(|s| s.local == local);
        assert!(find(Kind::TcpListen, listening).is_some_and(|s| s.inode != 0));
        let accepted = find(Kind::TcpEstablished, listening).unwrap();
        assert_eq!(accepted.remote, client.local_addr().unwrap());
        assert!(find(Kind::UdpUnconnected, bound.local_addr().unwrap()).is_some());
        assert!(find(Kind::TcpListen, client.local_addr().unwrap()).is_none());
    }
}
