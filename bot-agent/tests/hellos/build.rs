//! Builds ClientHellos, records, segments and frames.

use bot_agent::tls::{ClientHello, Parsed};
use proptest::prelude::*;

/// A hello to be.
#[derive(Clone, Debug)]
pub struct Hello {
    pub version: u16,
    pub session_id: Vec<u8>,
    pub ciphers: Vec<u16>,
    pub extensions: Vec<(u16, Vec<u8>)>,
}

impl Hello {
    /// A small hello with every extension that is looked into.
    pub fn sample() -> Self {
        Self {
            version: 0x0303,
            session_id: vec![7; 32],
            ciphers: vec![0x1301, 0x1302, 0xc02b],
            extensions: vec![
                (0x0000, sni("example.com")),
                (0x000a, list16(&[0x11ec, 0x001d])),
                (0x000d, list16(&[0x0403, 0x0804])),
                (0x0010, alpn(&["h2", "http/1.1"])),
                (0x002b, versions(&[0x0304, 0x0303])),
                (0x0033, key_share(0x11ec, 1216)),
            ],
        }
    }

    /// The handshake message.
    pub fn message(&self) -> Vec<u8> {
        let mut body = self.version.to_be_bytes().to_vec();
        body.extend([0x5a; 32]);
        body.push(self.session_id.len() as u8);
        body.extend(&self.session_id);
        body.extend(list16(&self.ciphers));
        body.extend([1, 0]);
        let mut extensions = Vec::new();
        for (kind, value) in &self.extensions {
            extensions.extend(kind.to_be_bytes());
            extensions.extend((value.len() as u16).to_be_bytes());
            extensions.extend(value);
        }
        body.extend((extensions.len() as u16).to_be_bytes());
        body.extend(extensions);
        let length = (body.len() as u32).to_be_bytes();
        [&[1, length[1], length[2], length[3]], body.as_slice()].concat()
    }
}

/// Any hello.
pub fn hello() -> impl Strategy<Value = Hello> {
    let value = prop::collection::vec(any::<u8>(), 0..40);
    let known = prop_oneof![
        "[a-z.]{0,30}".prop_map(|name| (0x0000, sni(&name))),
        prop::collection::vec(any::<u16>(), 0..12).prop_map(|list| (0x000d, list16(&list))),
        prop::collection::vec(prop::collection::vec(any::<u8>(), 1..9), 0..3)
            .prop_map(|names| (0x0010, alpn(&names))),
        prop::collection::vec(any::<u16>(), 0..6).prop_map(|list| (0x002b, versions(&list))),
        (any::<u16>(), 0_usize..1500).prop_map(|(group, size)| (0x0033, key_share(group, size))),
    ];
    let extension = prop_oneof![known, (any::<u16>(), value)];
    (
        any::<u16>(),
        prop::collection::vec(any::<u8>(), 0..=32),
        prop::collection::vec(any::<u16>(), 0..40),
        prop::collection::vec(extension, 0..20),
    )
        .prop_map(|(version, session_id, ciphers, extensions)| Hello {
            version,
            session_id,
            ciphers,
            extensions,
        })
}

/// The hello in a handshake message.
pub fn read(message: &[u8]) -> ClientHello {
    match ClientHello::parse(message) {
        Parsed::Complete(hello) => hello,
        unread @ (Parsed::NeedMore | Parsed::Never(_)) => panic!("{unread:?}"),
    }
}

pub fn list16(values: &[u16]) -> Vec<u8> {
    let mut list = ((values.len() * 2) as u16).to_be_bytes().to_vec();
    list.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    list
}

pub fn sni(name: &str) -> Vec<u8> {
    let entry = [
        &[0],
        &(name.len() as u16).to_be_bytes()[..],
        name.as_bytes(),
    ]
    .concat();
    [&(entry.len() as u16).to_be_bytes(), entry.as_slice()].concat()
}

pub fn alpn(names: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut list = Vec::new();
    for name in names {
        list.push(name.as_ref().len() as u8);
        list.extend(name.as_ref());
    }
    [&(list.len() as u16).to_be_bytes(), list.as_slice()].concat()
}

pub fn versions(values: &[u16]) -> Vec<u8> {
    let mut list = vec![(values.len() * 2) as u8];
    list.extend(values.iter().flat_map(|value| value.to_be_bytes()));
    list
}

pub fn key_share(group: u16, size: usize) -> Vec<u8> {
    let mut entry = group.to_be_bytes().to_vec();
    entry.extend((size as u16).to_be_bytes());
    entry.extend(vec![0x44; size]);
    [&(entry.len() as u16).to_be_bytes(), entry.as_slice()].concat()
}

/// Handshake records with a message cut after each of `cuts`.
pub fn records(message: &[u8], cuts: &[usize]) -> Vec<u8> {
    let mut stream = Vec::new();
    let mut from = 0;
    for to in cuts.iter().copied().chain([message.len()]) {
        if to > from {
            stream.extend([22, 3, 1]);
            stream.extend(((to - from) as u16).to_be_bytes());
            stream.extend(&message[from..to]);
            from = to;
        }
    }
    stream
}

/// An Ethernet frame with a TCP segment over IPv4.
pub fn frame(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    [
        &[2; 12][..],
        &[8, 0],
        ipv4(6, &tcp(seq, flags, payload)).as_slice(),
    ]
    .concat()
}

pub fn tcp(seq: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
    let mut segment = [50_000_u16.to_be_bytes(), 443_u16.to_be_bytes()].concat();
    segment.extend(seq.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment.extend(payload);
    segment
}

pub fn udp(port: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = [40_000_u16.to_be_bytes(), port.to_be_bytes()].concat();
    datagram.extend(((payload.len() + 8) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

pub fn ipv4(protocol: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(((payload.len() + 20) as u16).to_be_bytes());
    packet.extend([
        0, 9, 0, 0, 64, protocol, 0, 0, 192, 0, 2, 1, 198, 51, 100, 1,
    ]);
    packet.extend(payload);
    packet
}

pub fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend(payload);
    packet
}
