//! Peers of this host's services that are proved to be there, from the kernel's `sock_diag`.
//!
//! A source address can be forged, an answer to it cannot be read. So a peer counts once it
//! acknowledged data that this host sent, or the end of the connection: that takes sequence numbers
//! that only a reader of the answers knows. A hello proves nothing of the kind: the filter sees it
//! before the kernel compares its numbers.
//!
//! Connections are looked at from time to time. A short one is seen afterwards all the same if this
//! host closed it first (`TIME_WAIT` lasts a minute); if the peer did, it may come and go unseen.

use std::collections::BTreeMap;

use bot_common::address::Address;
use netlink_packet_sock_diag::{
    SockDiagMessage,
    constants::{AF_INET, AF_INET6, IPPROTO_TCP, TCP_FIN_WAIT2, TCP_TIME_WAIT},
    inet::{ExtensionFlags, InetRequest, InetResponse, SocketId, StateFlags, nlas::Nla},
};
use netlink_sys::protocols::NETLINK_SOCK_DIAG;

use super::{
    netlink::{self, Error},
    ports::PortSet,
};

/// Sources with proved connections to the TCP ports `served`, and how many each has. Of a listing as
/// long as this one the addresses alone are kept.
pub fn proved(served: &PortSet) -> Result<BTreeMap<Address, u32>, Error> {
    let mut sources = BTreeMap::new();
    for (family, id) in [
        (AF_INET, SocketId::new_v4()),
        (AF_INET6, SocketId::new_v6()),
    ] {
        let request = SockDiagMessage::InetRequest(InetRequest {
            family,
            protocol: IPPROTO_TCP,
            extensions: ExtensionFlags::INFO,
            states: states(),
            socket_id: id,
        });
        netlink::each("connections", NETLINK_SOCK_DIAG, request, |message| {
            if let SockDiagMessage::InetResponse(response) = message
                && served.contains(response.header.socket_id.source_port)
                && is_proved(response.header.state, bytes_acked(&response))
            {
                let remote = response.header.socket_id.destination_address;
                let count: &mut u32 = sources.entry(remote.to_canonical().into()).or_default();
                *count = count.saturating_add(1);
            }
        })?;
    }
    Ok(sources)
}

/// Every state behind a handshake.
fn states() -> StateFlags {
    StateFlags::ESTABLISHED
        | StateFlags::FIN_WAIT1
        | StateFlags::FIN_WAIT2
        | StateFlags::TIME_WAIT
        | StateFlags::CLOSE_WAIT
        | StateFlags::LAST_ACK
        | StateFlags::CLOSING
}

/// Whether a peer read what it was sent. In `FIN_WAIT2` and `TIME_WAIT` it acknowledged this host's
/// FIN; those may be stubs that know no counts. Elsewhere it must have acknowledged more than a SYN
/// or FIN, which count for one byte: with TCP Fast Open even a forged SYN may open a connection.
fn is_proved(state: u8, bytes_acked: Option<u64>) -> bool {
    matches!(state, TCP_FIN_WAIT2 | TCP_TIME_WAIT) || bytes_acked.is_some_and(|bytes| bytes > 1)
}

/// `tcpi_bytes_acked` of `struct tcp_info` (`linux/tcp.h`).
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "other attributes are skipped"
)]
fn bytes_acked(response: &InetResponse) -> Option<u64> {
    const OFFSET: usize = 120;
    let info = response.nlas.iter().find_map(|attribute| match attribute {
        Nla::TcpInfo(info) => Some(info),
        _ => None,
    })?;
    let bytes = info.get(OFFSET..)?.first_chunk()?;
    Some(u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::{IpAddr, Ipv4Addr, SocketAddrV4, TcpListener, TcpStream},
        time::{Duration, Instant},
    };

    use netlink_packet_sock_diag::constants::TCP_ESTABLISHED;
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

    use super::*;

    /// A connection from an address of its own, so that tests do not see each other's.
    fn connected(listener: &TcpListener, from: [u8; 4]) -> (TcpStream, TcpStream) {
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&client, &SocketAddrV4::new(from.into(), 0)).unwrap();
        connect(&client, &listener.local_addr().unwrap()).unwrap();
        (TcpStream::from(client), listener.accept().unwrap().0)
    }

    fn count(listener: &TcpListener, from: [u8; 4]) -> u32 {
        let ports = PortSet::from_iter([listener.local_addr().unwrap().port()]);
        let address = IpAddr::V4(Ipv4Addr::from(from)).into();
        proved(&ports).unwrap().get(&address).copied().unwrap_or(0)
    }

    /// Acknowledgements come when they come.
    fn comes_to(expected: u32, listener: &TcpListener, from: [u8; 4]) {
        let end = Instant::now() + Duration::from_secs(5);
        while count(listener, from) != expected {
            assert!(
                Instant::now() < end,
                "{} of {expected}",
                count(listener, from)
            );
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_peer_is_proved_by_acknowledging_data_and_not_by_sending_some() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = [127, 80, 0, 1];
        let (mut client, mut server) = connected(&listener, from);
        client.write_all(b"hello").unwrap();
        server.read_exact(&mut [0; 5]).unwrap();
        assert_eq!(count(&listener, from), 0);
        server.write_all(b"hello").unwrap();
        comes_to(1, &listener, from);
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        assert_eq!(count(&other, from), 0);
    }

    #[test]
    fn each_connection_counts() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = [127, 80, 0, 2];
        let mut kept: Vec<_> = (0..3).map(|_| connected(&listener, from)).collect();
        for (_, server) in &mut kept {
            server.write_all(b"hello").unwrap();
        }
        comes_to(3, &listener, from);
    }

    #[test]
    fn a_connection_that_this_host_closed_is_seen_after_its_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let from = [127, 80, 0, 3];
        let (client, server) = connected(&listener, from);
        drop(server);
        comes_to(1, &listener, from);
        drop(client);
        comes_to(1, &listener, from);
    }

    #[test]
    fn ipv6_peers_of_either_kind_of_socket_are_seen() {
        let listener = TcpListener::bind("[::]:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        for host in ["::1", "127.0.0.1"] {
            let client = TcpStream::connect((host, port)).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            server.write_all(b"hello").unwrap();
            let address: Address = client.local_addr().unwrap().ip().into();
            let ports = PortSet::from_iter([port]);
            let end = Instant::now() + Duration::from_secs(5);
            while !proved(&ports).unwrap().contains_key(&address) {
                assert!(Instant::now() < end, "{host}");
            }
        }
    }

    #[test]
    fn what_could_be_forged_is_no_proof() {
        for acked in [None, Some(0), Some(1)] {
            assert!(!is_proved(TCP_ESTABLISHED, acked));
        }
        assert!(is_proved(TCP_ESTABLISHED, Some(2)));
        assert!(is_proved(TCP_TIME_WAIT, None));
    }
}
