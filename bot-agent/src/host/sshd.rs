//! Where sshd listens, and who is logged in through it.
//!
//! Which process holds a socket can be seen by root only. So the ports are found once before the
//! privileges are dropped and remembered; afterwards they only grow, by what the configuration
//! files say. The peers are found anew each time: established connections to those ports.

use std::{
    collections::{BTreeSet, HashSet},
    fs,
    net::{IpAddr, SocketAddr},
    path::Path,
};

use super::{
    netlink::Error,
    socket::{self, Kind},
};

/// Where `sshd_config` and its drop-ins are.
const CONFIG: &str = "/etc/ssh/sshd_config";
const CONFIG_FOLDER: &str = "/etc/ssh/sshd_config.d";
/// `Port` of `sshd_config`(5) when nothing sets it.
const DEFAULT_PORT: u16 = 22;

/// The ports of the SSH servers of this host.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Sshd {
    ports: BTreeSet<u16>,
}

impl Sshd {
    /// Finds the ports: sockets held by SSH servers (root only), `sshd_config`, else 22.
    pub fn discover() -> Result<Self, Error> {
        let mut sshd = Self {
            ports: BTreeSet::new(),
        };
        sshd.refresh()?;
        Ok(sshd)
    }

    #[cfg(test)]
    pub(super) fn with_port(port: u16) -> Self {
        Self {
            ports: BTreeSet::from([port]),
        }
    }

    /// Adds ports that came up since. None is ever taken away.
    pub fn refresh(&mut self) -> Result<(), Error> {
        let inodes = inodes_of_servers();
        for kind in [Kind::TcpListen, Kind::TcpEstablished] {
            let held = socket::list(kind)?
                .into_iter()
                .filter(|socket| inodes.contains(&socket.inode));
            self.ports.extend(held.map(|socket| socket.local.port()));
        }
        self.ports.extend(configured_ports());
        if self.ports.is_empty() {
            self.ports.insert(DEFAULT_PORT);
        }
        Ok(())
    }

    /// The ports, never empty.
    pub fn ports(&self) -> impl Iterator<Item = u16> + '_ {
        self.ports.iter().copied()
    }

    /// Remote addresses of the connections to those ports, each once.
    pub fn peers(&self) -> Result<BTreeSet<IpAddr>, Error> {
        let connections = socket::list(Kind::TcpEstablished)?;
        Ok(connections
            .into_iter()
            .filter(|connection| self.ports.contains(&connection.local.port()))
            .map(|connection| connection.remote.ip())
            .collect())
    }
}

/// Socket inodes in the descriptor tables of SSH servers. Empty without the right to look.
fn inodes_of_servers() -> HashSet<u32> {
    let Ok(processes) = fs::read_dir("/proc") else {
        return HashSet::new();
    };
    processes
        .filter_map(Result::ok)
        .map(|process| process.path())
        .filter(|process| {
            fs::read_to_string(process.join("comm")).is_ok_and(|name| is_server(name.trim_end()))
        })
        .flat_map(|process| socket_inodes(&process.join("fd")))
        .collect()
}

/// OpenSSH's listener and, from 9.8 on, the processes of its connections; Dropbear.
fn is_server(command: &str) -> bool {
    matches!(command, "sshd" | "sshd-session" | "sshd-auth" | "dropbear")
}

fn socket_inodes(descriptors: &Path) -> Vec<u32> {
    let Ok(entries) = fs::read_dir(descriptors) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_link(entry.path()).ok())
        .filter_map(|target| parse_inode(target.to_str()?))
        .collect()
}

fn parse_inode(link: &str) -> Option<u32> {
    link.strip_prefix("socket:[")?
        .strip_suffix(']')?
        .parse()
        .ok()
}

fn configured_ports() -> BTreeSet<u16> {
    let mut files = vec![CONFIG.into()];
    if let Ok(entries) = fs::read_dir(CONFIG_FOLDER) {
        files.extend(entries.filter_map(Result::ok).map(|entry| entry.path()));
    }
    files
        .iter()
        .filter_map(|file| fs::read_to_string(file).ok())
        .flat_map(|text| parse_config(&text))
        .collect()
}

/// Ports of the `Port` and `ListenAddress` lines of a `sshd_config`(5). Keywords have no case;
/// a `Match` block cannot hold them, so it needs no attention.
fn parse_config(text: &str) -> BTreeSet<u16> {
    text.lines()
        .filter_map(|line| {
            let mut words = line
                .split(|c: char| c.is_whitespace() || c == '=')
                .filter(|word| !word.is_empty());
            let keyword = words.next()?;
            let value = words.next()?.trim_matches('"');
            if keyword.eq_ignore_ascii_case("port") {
                value.parse().ok()
            } else if keyword.eq_ignore_ascii_case("listenaddress") {
                port_of(value)
            } else {
                None
            }
        })
        .collect()
}

/// The port of `host:port`, `a.b.c.d:port` or `[v6]:port`; `None` when there is only an address.
fn port_of(value: &str) -> Option<u16> {
    if let Ok(address) = value.parse::<SocketAddr>() {
        return Some(address.port());
    }
    let (host, port) = value.rsplit_once(':')?;
    if host.contains(':') && !host.starts_with('[') {
        return None;
    }
    port.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[test]
    fn ports_of_the_configuration() {
        let text = "# Port 1\nPort 2222\nport=2223\nPermitRootLogin no\n\
                    ListenAddress 192.0.2.1:2224\nListenAddress [2001:db8::1]:2225\n\
                    ListenAddress 2001:db8::1\nListenAddress host.example:2226\n\
                    ListenAddress 0.0.0.0\nPort 99999\nPort\n";
        assert_eq!(
            parse_config(text),
            BTreeSet::from([2222, 2223, 2224, 2225, 2226])
        );
    }

    #[test]
    fn descriptors_name_their_sockets() {
        assert_eq!(parse_inode("socket:[12345]"), Some(12345));
        assert_eq!(parse_inode("pipe:[12345]"), None);
        assert!(is_server("sshd-session"));
        assert!(!is_server("sshd-keygen"));
    }

    #[test]
    fn peers_are_those_of_its_ports_only() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let peers = |port| Sshd::with_port(port).peers().unwrap();
        assert_eq!(peers(port), BTreeSet::from(["127.0.0.1".parse().unwrap()]));
        assert!(peers(1).is_empty());
    }

    #[test]
    fn there_is_always_a_port() {
        assert!(Sshd::discover().unwrap().ports().count() > 0);
    }
}
