//! DHCP servers that gave this host its addresses, from the clients' lease files.

use std::{fs, net::IpAddr, path::Path};

/// Folders of lease files: systemd-networkd, `NetworkManager`, dhclient (Debian, Red Hat).
const FOLDERS: [&str; 5] = [
    "/run/systemd/netif/leases",
    "/var/lib/NetworkManager",
    "/var/lib/dhcp",
    "/var/lib/dhclient",
    "/run/NetworkManager/devices",
];

/// The servers named in any lease file that can be read. `NetworkManager` and dhclient keep theirs
/// readable by root only: ask before dropping privileges, and keep the answer.
pub fn servers() -> Vec<IpAddr> {
    let mut servers: Vec<IpAddr> = FOLDERS
        .iter()
        .flat_map(|folder| read_folder(Path::new(folder)))
        .flat_map(|text| parse(&text))
        .collect();
    servers.sort_unstable();
    servers.dedup();
    servers
}

fn read_folder(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .filter_map(Result::ok)
        .filter_map(|entry| fs::read_to_string(entry.path()).ok())
        .collect()
}

/// The servers of one lease file: `SERVER_ADDRESS=` (systemd-networkd, `NetworkManager`'s own
/// client), `dhcp-server-identifier` (dhclient; `dhcp_server_identifier=` in `NetworkManager`'s
/// device files).
fn parse(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim().trim_end_matches(';');
            let line = line.strip_prefix("option ").unwrap_or(line);
            let value = [
                "SERVER_ADDRESS=",
                "dhcp-server-identifier ",
                "dhcp_server_identifier=",
            ]
            .into_iter()
            .find_map(|key| line.strip_prefix(key))?;
            value.trim().parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn servers_in(text: &str) -> Vec<String> {
        parse(text).iter().map(IpAddr::to_string).collect()
    }

    #[test]
    fn networkd_and_network_manager() {
        let text = "# This is private data. Do not parse.\nADDRESS=192.0.2.7\n\
                    SERVER_ADDRESS=192.0.2.1\nDNS=192.0.2.53\n";
        assert_eq!(servers_in(text), ["192.0.2.1"]);
        assert_eq!(
            servers_in("[dhcp4]\ndhcp_server_identifier=192.0.2.3"),
            ["192.0.2.3"]
        );
    }

    #[test]
    fn dhclient() {
        let text = "lease {\n  interface \"eth0\";\n  fixed-address 192.0.2.7;\n  \
                    option dhcp-server-identifier 192.0.2.2;\n}\n";
        assert_eq!(servers_in(text), ["192.0.2.2"]);
        assert_eq!(
            servers_in("option dhcp-server-identifier nonsense;"),
            [""; 0]
        );
    }
}
