//! Ports this host serves, found from its sockets.
//!
//! A listening TCP socket is a service. A bound, unconnected UDP socket is one too, unless its
//! port lies in the range from which the kernel takes ports for clients
//! (`net.ipv4.ip_local_port_range`): there a service and a resolver's socket look alike, and
//! taking the resolver for a service would drop answers to this host's own questions. Services on
//! such UDP ports (`WireGuard`'s 51820) are named in the configuration.

use std::{net::IpAddr, ops::RangeInclusive};

use super::{
    netlink::Error,
    ports::PortSet,
    socket::{self, Kind, Socket},
};

/// What this host serves to others than itself.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Served {
    /// TCP ports.
    pub tcp: PortSet,
    /// UDP ports.
    pub udp: PortSet,
}

/// The served ports at this moment. Cheap enough to be asked every second.
pub fn listening() -> Result<Served, Error> {
    let ephemeral = ephemeral_ports();
    let udp = socket::list(Kind::UdpUnconnected)?;
    Ok(Served {
        tcp: ports(&socket::list(Kind::TcpListen)?),
        udp: ports(&udp)
            .iter()
            .filter(|port| !ephemeral.contains(port))
            .collect(),
    })
}

fn ports(sockets: &[Socket]) -> PortSet {
    sockets
        .iter()
        .map(|socket| socket.local)
        .filter(|local| local.port() != 0 && !is_loopback(local.ip()))
        .map(|local| local.port())
        .collect()
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn ephemeral_ports() -> RangeInclusive<u16> {
    std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range")
        .ok()
        .and_then(|text| parse_range(&text))
        .unwrap_or(32768..=60999)
}

fn parse_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut numbers = text.split_whitespace().map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(low)), Some(Ok(high))) => Some(low..=high),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    #[test]
    fn loopback_listeners_are_not_served_others_are() {
        let everywhere = TcpListener::bind("0.0.0.0:0").unwrap();
        let local = TcpListener::bind("127.0.0.1:0").unwrap();
        let mapped = TcpListener::bind("[::ffff:127.0.0.1]:0").unwrap();
        let served = listening().unwrap().tcp;
        assert!(served.contains(everywhere.local_addr().unwrap().port()));
        assert!(!served.contains(local.local_addr().unwrap().port()));
        assert!(!served.contains(mapped.local_addr().unwrap().port()));
    }

    #[test]
    fn a_clients_udp_socket_is_no_service() {
        let client = UdpSocket::bind("0.0.0.0:0").unwrap();
        let port = client.local_addr().unwrap().port();
        assert!(ephemeral_ports().contains(&port));
        assert!(!listening().unwrap().udp.contains(port));
    }

    #[test]
    fn the_port_range_parses() {
        assert_eq!(parse_range("32768\t60999\n"), Some(32768..=60999));
        assert_eq!(parse_range("32768"), None);
        assert_eq!(parse_range("1 99999"), None);
    }
}
