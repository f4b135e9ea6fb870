//! Addresses whose loss would lock the operator out or cut the host off.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "netlink messages are open-ended: what is not asked for is skipped"
)]

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use ipnet::IpNet;
use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteVia},
};
use netlink_sys::protocols::NETLINK_ROUTE;

use super::{lease, netlink, netlink::Error, resolver, sshd::Sshd};
use crate::rules::prefix::Prefix;

/// Prefixes that are protected on every host.
const ALWAYS: [(&str, &str); 4] = [
    ("127.0.0.0/8", "loopback"),
    ("::1", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("fe80::/10", "link-local"),
];

/// Finds protected addresses, again and again.
///
/// Create it before privileges are dropped: what only root can see then (sockets of sshd, lease
/// files) is remembered for good.
#[derive(Clone, Debug)]
pub struct Finder {
    sshd: Sshd,
    dhcp_servers: BTreeSet<IpAddr>,
}

impl Finder {
    /// Looks at what only root can see.
    pub fn new() -> Result<Self, Error> {
        Ok(Self {
            sshd: Sshd::discover()?,
            dhcp_servers: lease::servers().into_iter().collect(),
        })
    }

    /// Ports on which SSH servers listen: the default of `failsafe_ports`. Never empty.
    pub fn sshd_ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.sshd.ports()
    }

    /// Every protected prefix with what it is, each prefix once, in order.
    pub fn find(&mut self) -> Result<Vec<(Prefix, String)>, Error> {
        self.sshd.refresh()?;
        self.dhcp_servers.extend(lease::servers());

        let mut found = BTreeMap::new();
        for (text, what) in ALWAYS {
            if let Ok(prefix) = text.parse() {
                found.insert(prefix, what.to_owned());
            }
        }
        let mut add = |addresses: &mut dyn Iterator<Item = IpAddr>, what: &str| {
            for address in addresses.filter(|address| is_protectable(*address)) {
                // IpNet of a host cuts nothing off; the first name stays.
                let prefix = Prefix::from_net(IpNet::from(address.to_canonical()));
                found.entry(prefix).or_insert_with(|| what.to_owned());
            }
        };
        add(&mut own_addresses()?.into_iter(), "own address");
        add(&mut gateways()?.into_iter(), "gateway");
        add(&mut resolver::nameservers().into_iter(), "dns server");
        add(&mut self.dhcp_servers.iter().copied(), "dhcp server");
        add(&mut self.sshd.peers()?.into_iter(), "ssh client");
        Ok(found.into_iter().collect())
    }
}

/// Neither "any address" nor a broadcast or multicast address: those are no peers.
fn is_protectable(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_broadcast() && !ip.is_multicast(),
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast(),
    }
}

fn own_addresses() -> Result<Vec<IpAddr>, Error> {
    let request = RouteNetlinkMessage::GetAddress(AddressMessage::default());
    let answers = netlink::dump("addresses", NETLINK_ROUTE, request)?;
    Ok(answers.iter().filter_map(own_address).collect())
}

/// `IFA_LOCAL` where it is given: on a point-to-point link `IFA_ADDRESS` is the peer's.
fn own_address(message: &RouteNetlinkMessage) -> Option<IpAddr> {
    let RouteNetlinkMessage::NewAddress(message) = message else {
        return None;
    };
    let attributes = &message.attributes;
    let local = attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Local(ip) => Some(*ip),
        _ => None,
    });
    local.or_else(|| {
        attributes.iter().find_map(|attribute| match attribute {
            AddressAttribute::Address(ip) => Some(*ip),
            _ => None,
        })
    })
}

fn gateways() -> Result<Vec<IpAddr>, Error> {
    let request = RouteNetlinkMessage::GetRoute(RouteMessage::default());
    let answers = netlink::dump("routes", NETLINK_ROUTE, request)?;
    Ok(answers
        .iter()
        .filter_map(|message| match message {
            RouteNetlinkMessage::NewRoute(route) => Some(route),
            _ => None,
        })
        .filter(|route| is_default(route))
        .flat_map(|route| next_hops(&route.attributes))
        .collect())
}

/// A default route of any table, or one of the two halves with which VPNs shadow it.
fn is_default(route: &RouteMessage) -> bool {
    route.header.destination_prefix_length <= 1
}

fn next_hops(attributes: &[RouteAttribute]) -> Vec<IpAddr> {
    attributes
        .iter()
        .flat_map(|attribute| match attribute {
            RouteAttribute::Gateway(RouteAddress::Inet(ip))
            | RouteAttribute::Via(RouteVia::Inet(ip)) => vec![IpAddr::V4(*ip)],
            RouteAttribute::Gateway(RouteAddress::Inet6(ip))
            | RouteAttribute::Via(RouteVia::Inet6(ip)) => vec![IpAddr::V6(*ip)],
            RouteAttribute::MultiPath(hops) => hops
                .iter()
                .flat_map(|hop| next_hops(&hop.attributes))
                .collect(),
            _ => Vec::new(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddrV4, TcpListener};

    use netlink_packet_route::route::RouteNextHop;
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

    use super::*;

    #[test]
    fn loopback_and_link_local_are_always_there() {
        let found = Finder::new().unwrap().find().unwrap();
        for (text, what) in ALWAYS {
            let prefix = text.parse().unwrap();
            assert!(
                found.contains(&(prefix, what.to_owned())),
                "{text}: {found:?}"
            );
        }
    }

    #[test]
    fn an_ssh_client_is_protected_while_it_is_connected() {
        let server = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut finder = Finder {
            sshd: Sshd::with_port(server.local_addr().unwrap().port()),
            dhcp_servers: BTreeSet::new(),
        };
        let expected = ("127.9.9.9".parse().unwrap(), "ssh client".to_owned());
        assert!(!finder.find().unwrap().contains(&expected));
        let client = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
        bind(&client, &SocketAddrV4::new([127, 9, 9, 9].into(), 0)).unwrap();
        connect(&client, &server.local_addr().unwrap()).unwrap();
        assert!(finder.find().unwrap().contains(&expected));
    }

    #[test]
    fn a_point_to_point_peer_is_not_an_own_address() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let mut message = AddressMessage::default();
        message.attributes = vec![
            AddressAttribute::Address(ip("192.0.2.1")),
            AddressAttribute::Local(ip("192.0.2.2")),
        ];
        let own = |message| own_address(&RouteNetlinkMessage::NewAddress(message));
        assert_eq!(own(message.clone()), Some(ip("192.0.2.2")));
        message.attributes.pop();
        assert_eq!(own(message), Some(ip("192.0.2.1")));
    }

    #[test]
    fn gateways_of_several_paths_and_families() {
        let mut hop = RouteNextHop::default();
        hop.attributes = vec![RouteAttribute::Via(RouteVia::Inet6(
            "2001:db8::1".parse().unwrap(),
        ))];
        let attributes = [
            RouteAttribute::Gateway(RouteAddress::Inet([192, 0, 2, 1].into())),
            RouteAttribute::MultiPath(vec![hop]),
            RouteAttribute::Oif(3),
        ];
        let hops: Vec<String> = next_hops(&attributes)
            .iter()
            .map(IpAddr::to_string)
            .collect();
        assert_eq!(hops, ["192.0.2.1", "2001:db8::1"]);
    }

    #[test]
    fn nobody_is_called_broadcast() {
        for text in ["0.0.0.0", "::", "255.255.255.255", "224.0.0.1", "ff02::1"] {
            assert!(!is_protectable(text.parse().unwrap()), "{text}");
        }
        assert!(is_protectable([192, 0, 2, 1].into()));
    }
}
