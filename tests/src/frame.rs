//! Frames from the outside in: headers with boring defaults, lengths and checksums filled in.
//!
//! Addresses default to documentation space (RFC 5737, RFC 3849), MACs to locally administered.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A frame under construction: link header, IP header, transport, payload.
#[derive(Clone, Debug)]
pub struct Frame {
    /// VLAN tags, outermost first: (TPID, VLAN id).
    pub vlans: Vec<(u16, u16)>,
    /// Source address; its family is the packet's.
    pub src: IpAddr,
    /// Destination address of the same family.
    pub dst: IpAddr,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// IPv4 options, a multiple of four bytes.
    pub options: Vec<u8>,
    /// IPv6 extension headers: (protocol number, body without the next-header byte).
    pub extensions: Vec<(u8, Vec<u8>)>,
    /// IPv4 flags and fragment offset, as they stand in the header.
    pub fragment: u16,
    /// What the IP header carries.
    pub transport: Transport,
    /// Bytes behind the transport header.
    pub payload: Vec<u8>,
    /// Bytes behind the IP packet (Ethernet padding).
    pub padding: usize,
}

/// The transport header of a [`Frame`].
#[derive(Clone, Debug)]
pub enum Transport {
    /// TCP with options (a multiple of four bytes).
    Tcp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
        /// Sequence number.
        seq: u32,
        /// Flag bits.
        flags: u8,
        /// Options.
        options: Vec<u8>,
    },
    /// UDP.
    Udp {
        /// Source port.
        sport: u16,
        /// Destination port.
        dport: u16,
    },
    /// ICMP of the frame's family.
    Icmp {
        /// Type.
        kind: u8,
        /// Code.
        code: u8,
    },
    /// Any protocol number; the payload follows the IP header directly.
    Raw(u8),
}

/// TCP flags for [`Frame::tcp`].
pub mod flag {
    /// SYN.
    pub const SYN: u8 = 0x02;
    /// ACK.
    pub const ACK: u8 = 0x10;
    /// PSH and ACK: ordinary data.
    pub const DATA: u8 = 0x18;
    /// SYN and ACK: the answer to a connection that this host opened.
    pub const SYN_ACK: u8 = 0x12;
}

impl Frame {
    /// A packet from `src` to this host (192.0.2.1 or `2001:db8::1`).
    pub fn from(src: &str) -> Self {
        let src: IpAddr = src.parse().expect("an address");
        let dst = match src {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1)),
        };
        Self {
            vlans: Vec::new(),
            src,
            dst,
            hop_limit: 64,
            options: Vec::new(),
            extensions: Vec::new(),
            fragment: 0,
            transport: Transport::Raw(253),
            payload: Vec::new(),
            padding: 0,
        }
    }

    /// As a TCP segment from port 40000.
    pub fn tcp(mut self, dport: u16, flags: u8) -> Self {
        self.transport = Transport::Tcp {
            sport: 40000,
            dport,
            seq: 1000,
            flags,
            options: Vec::new(),
        };
        self
    }

    /// As a UDP datagram from port 40000.
    pub fn udp(mut self, dport: u16) -> Self {
        self.transport = Transport::Udp {
            sport: 40000,
            dport,
        };
        self
    }

    /// As an ICMP message of the frame's family.
    pub fn icmp(mut self, kind: u8, code: u8) -> Self {
        self.transport = Transport::Icmp { kind, code };
        self.payload = vec![0; 4];
        self
    }

    /// With another source port (TCP and UDP).
    pub fn sport(mut self, port: u16) -> Self {
        match &mut self.transport {
            Transport::Tcp { sport, .. } | Transport::Udp { sport, .. } => *sport = port,
            Transport::Icmp { .. } | Transport::Raw(_) => panic!("this transport has no ports"),
        }
        self
    }

    /// With another TCP sequence number.
    pub fn seq(mut self, number: u32) -> Self {
        match &mut self.transport {
            Transport::Tcp { seq, .. } => *seq = number,
            Transport::Udp { .. } | Transport::Icmp { .. } | Transport::Raw(_) => panic!("not TCP"),
        }
        self
    }

    /// With a payload.
    pub fn payload(mut self, bytes: &[u8]) -> Self {
        self.payload = bytes.to_vec();
        self
    }

    /// Inside one more VLAN tag (outermost first).
    pub fn vlan(mut self, tpid: u16, id: u16) -> Self {
        self.vlans.push((tpid, id));
        self
    }

    /// With an IPv4 fragment field.
    pub fn fragment(mut self, field: u16) -> Self {
        self.fragment = field;
        self
    }

    /// With another TTL or hop limit.
    pub fn hop_limit(mut self, limit: u8) -> Self {
        self.hop_limit = limit;
        self
    }

    /// Behind one more IPv6 extension header.
    pub fn extension(mut self, kind: u8, body: &[u8]) -> Self {
        self.extensions.push((kind, body.to_vec()));
        self
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
        for (tpid, id) in &self.vlans {
            frame.extend(tpid.to_be_bytes());
            frame.extend(id.to_be_bytes());
        }
        let body = self.transport_bytes();
        match (self.src, self.dst) {
            (IpAddr::V4(src), IpAddr::V4(dst)) => self.put_ipv4(&mut frame, src, dst, &body),
            (IpAddr::V6(src), IpAddr::V6(dst)) => self.put_ipv6(&mut frame, src, dst, &body),
            _ => panic!("addresses of two families"),
        }
        frame.extend(std::iter::repeat_n(0, self.padding));
        frame
    }

    fn put_ipv4(&self, frame: &mut Vec<u8>, src: Ipv4Addr, dst: Ipv4Addr, body: &[u8]) {
        frame.extend(0x0800u16.to_be_bytes());
        let header_len = 20 + self.options.len();
        let mut header = vec![0x40 | (header_len / 4) as u8, 0];
        header.extend(((header_len + body.len()) as u16).to_be_bytes());
        header.extend([0, 1]);
        header.extend(self.fragment.to_be_bytes());
        header.extend([self.hop_limit, self.protocol(), 0, 0]);
        header.extend(src.octets());
        header.extend(dst.octets());
        header.extend(&self.options);
        let checksum = checksum(&[&header]);
        header[10..12].copy_from_slice(&checksum.to_be_bytes());
        frame.extend(header);
        frame.extend(body);
    }

    fn put_ipv6(&self, frame: &mut Vec<u8>, src: Ipv6Addr, dst: Ipv6Addr, body: &[u8]) {
        frame.extend(0x86ddu16.to_be_bytes());
        let kinds = self
            .extensions
            .iter()
            .map(|(kind, _)| *kind)
            .chain([self.protocol()]);
        let mut kinds = kinds.collect::<Vec<_>>().into_iter();
        let first = kinds.next().expect("at least the transport");
        let mut rest = Vec::new();
        for ((_, body), next) in self.extensions.iter().zip(kinds) {
            rest.push(next);
            rest.extend(body);
        }
        rest.extend(body);
        frame.extend([0x60, 0, 0, 0]);
        frame.extend((rest.len() as u16).to_be_bytes());
        frame.extend([first, self.hop_limit]);
        frame.extend(src.octets());
        frame.extend(dst.octets());
        frame.extend(rest);
    }

    fn protocol(&self) -> u8 {
        match &self.transport {
            Transport::Tcp { .. } => 6,
            Transport::Udp { .. } => 17,
            Transport::Icmp { .. } => {
                if self.src.is_ipv4() {
                    1
                } else {
                    58
                }
            }
            Transport::Raw(protocol) => *protocol,
        }
    }

    fn transport_bytes(&self) -> Vec<u8> {
        let mut bytes = match &self.transport {
            Transport::Tcp {
                sport,
                dport,
                seq,
                flags,
                options,
            } => {
                let mut header = [sport.to_be_bytes(), dport.to_be_bytes()].concat();
                header.extend(seq.to_be_bytes());
                header.extend([0, 0, 0, 0, (((20 + options.len()) / 4) << 4) as u8, *flags]);
                header.extend([0xff, 0xff, 0, 0, 0, 0]);
                header.extend(options);
                header
            }
            Transport::Udp { sport, dport } => {
                let len = (8 + self.payload.len()) as u16;
                [
                    sport.to_be_bytes(),
                    dport.to_be_bytes(),
                    len.to_be_bytes(),
                    [0, 0],
                ]
                .concat()
            }
            Transport::Icmp { kind, code } => vec![*kind, *code, 0, 0],
            Transport::Raw(_) => Vec::new(),
        };
        bytes.extend(&self.payload);
        let at = match self.transport {
            Transport::Tcp { .. } => 16,
            Transport::Udp { .. } => 6,
            Transport::Icmp { .. } => 2,
            Transport::Raw(_) => return bytes,
        };
        let sum = checksum(&[&self.pseudo_header(bytes.len()), &bytes]);
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// What the transport checksum covers besides the segment; nothing for ICMP over IPv4.
    fn pseudo_header(&self, len: usize) -> Vec<u8> {
        let mut header = match (self.src, self.dst, &self.transport) {
            (IpAddr::V4(_), _, Transport::Icmp { .. }) => return Vec::new(),
            (IpAddr::V4(src), IpAddr::V4(dst), _) => [src.octets(), dst.octets()].concat(),
            (IpAddr::V6(src), IpAddr::V6(dst), _) => [src.octets(), dst.octets()].concat(),
            _ => panic!("addresses of two families"),
        };
        header.extend((len as u32).to_be_bytes());
        header.extend([0, 0, 0, self.protocol()]);
        header
    }
}

/// The Internet checksum (RFC 1071) over all parts; every part but the last has an even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(u16::from_be_bytes([
                pair[0],
                pair.get(1).copied().unwrap_or(0),
            ]));
        }
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// A TLS `ClientHello` of roughly `size` bytes in one record: enough of one for the kernel to see it.
pub fn client_hello(size: usize) -> Vec<u8> {
    let message = size.max(60) - 9;
    let mut bytes = vec![0x16, 3, 1];
    bytes.extend(((message + 4) as u16).to_be_bytes());
    bytes.extend([1, 0]);
    bytes.extend((message as u16).to_be_bytes());
    bytes.extend([3, 3]);
    bytes.extend((0..message - 2).map(|i| (i % 251) as u8));
    bytes
}
