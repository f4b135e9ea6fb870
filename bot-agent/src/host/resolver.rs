//! DNS servers in use.

use std::{fs, net::IpAddr, path::Path};

/// Where resolvers stand: the C library's file, and what systemd-resolved asks behind its stub.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"];

/// The servers of `/etc/resolv.conf` and of systemd-resolved. Files that are missing count as empty.
pub fn nameservers() -> Vec<IpAddr> {
    FILES
        .iter()
        .filter_map(|path| fs::read_to_string(Path::new(path)).ok())
        .flat_map(|text| parse(&text))
        .collect()
}

/// The `nameserver` lines of a resolv.conf(5); zone ids (`fe80::1%eth0`) are cut off.
fn parse(text: &str) -> Vec<IpAddr> {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            if words.next()? != "nameserver" {
                return None;
            }
            let address = words.next()?;
            let address = address.split_once('%').map_or(address, |(ip, _)| ip);
            address.parse().ok()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nameserver_lines_are_read_and_nothing_else() {
        let text = "# nameserver 192.0.2.1\nsearch example.net\nnameserver 192.0.2.53\n\
                    nameserver\t2001:db8::53 # comment\nnameserver fe80::1%eth0\n\
                    nameserver\nnameserver none\noptions edns0";
        let servers: Vec<String> = parse(text).iter().map(IpAddr::to_string).collect();
        assert_eq!(servers, ["192.0.2.53", "2001:db8::53", "fe80::1"]);
    }
}
