//! Packets within packets: IP in IP, GRE (with ERSPAN and PPTP), VXLAN, Geneve, GTP-U.

use bot_common::packet::{Packet, Transport};

use super::{
    ip::payload,
    link::{be16, by_ethertype, ethernet, ppp, split},
};

const IP_IN_IP: u8 = 4;
const IPV6_IN_IP: u8 = 41;
const GRE: u8 = 47;

const GTP_U: u16 = 2152;
const VXLAN: [u16; 2] = [4789, 8472];
const GENEVE: u16 = 6081;

const TRANSPARENT_ETHERNET: u16 = 0x6558;
const GRE_PPP: u16 = 0x880b;
const ERSPAN_II: u16 = 0x88be;
const ERSPAN_III: u16 = 0x22eb;

/// The IP packet within an IP packet of a tunnel.
pub(super) fn inner<'a>(packet: &Packet, bytes: &'a [u8]) -> Option<&'a [u8]> {
    match packet.transport() {
        Transport::Udp => {
            let payload = payload(packet, bytes);
            let is = |port| packet.sport == port || packet.dport == port;
            if VXLAN.into_iter().any(is) {
                vxlan(payload)
            } else if is(GENEVE) {
                geneve(payload)
            } else if is(GTP_U) {
                gtp(payload)
            } else {
                None
            }
        }
        Transport::Other => {
            let payload = ip_payload(packet, bytes)?;
            match packet.protocol {
                IP_IN_IP | IPV6_IN_IP => Some(payload),
                GRE => gre(payload),
                _ => None,
            }
        }
        Transport::Tcp | Transport::Icmp | Transport::LaterFragment | Transport::Unreadable => None,
    }
}

/// What follows the IP header; IPv6 only without extension headers.
fn ip_payload<'a>(packet: &Packet, bytes: &'a [u8]) -> Option<&'a [u8]> {
    let first = *bytes.first()?;
    if first >> 4 == 4 {
        bytes.get(usize::from(first & 0x0f) * 4..)
    } else {
        let (header, rest) = split::<40>(bytes)?;
        let [_, _, _, _, _, _, next, ..] = header;
        (*next == packet.protocol).then_some(rest)
    }
}

/// RFC 2784, RFC 2890; version 1 as in RFC 2637.
fn gre(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = split::<4>(bytes)?;
    let (flags, protocol) = (be16(header, 0), be16(header, 2));
    let has = |mask: u16| usize::from(flags & mask != 0) * 4;
    let optional = has(0xc000) + has(0x2000) + has(0x1000) + has(0x0080);
    let payload = rest.get(optional..)?;
    match protocol {
        TRANSPARENT_ETHERNET => ethernet(payload),
        GRE_PPP => ppp(payload),
        // Type I has neither sequence number nor header.
        ERSPAN_II if flags & 0x1000 == 0 => ethernet(payload),
        ERSPAN_II => ethernet(payload.get(8..)?),
        ERSPAN_III => {
            let (header, frame) = split::<12>(payload)?;
            let subheader = usize::from(be16(header, 10) & 1) * 8;
            ethernet(frame.get(subheader..)?)
        }
        ethertype => by_ethertype(ethertype, payload),
    }
}

/// RFC 7348.
fn vxlan(bytes: &[u8]) -> Option<&[u8]> {
    let (header, frame) = split::<8>(bytes)?;
    let [flags, ..] = header;
    (flags & 0x08 != 0).then_some(frame).and_then(ethernet)
}

/// RFC 8926.
fn geneve(bytes: &[u8]) -> Option<&[u8]> {
    let (header, rest) = split::<8>(bytes)?;
    let [options, ..] = header;
    if options >> 6 != 0 {
        return None;
    }
    let payload = rest.get(usize::from(options & 0x3f) * 4..)?;
    match be16(header, 2) {
        TRANSPARENT_ETHERNET => ethernet(payload),
        ethertype => by_ethertype(ethertype, payload),
    }
}

/// 3GPP TS 29.281: G-PDUs, extension headers stepped over.
fn gtp(bytes: &[u8]) -> Option<&[u8]> {
    let (header, mut rest) = split::<8>(bytes)?;
    let [flags, 0xff, ..] = header else {
        return None;
    };
    if flags >> 4 != 3 {
        return None;
    }
    if flags & 0x07 != 0 {
        let (optional, behind) = split::<4>(rest)?;
        let [_, _, _, mut next] = *optional;
        rest = behind;
        while flags & 0x04 != 0 && next != 0 {
            let length = usize::from(*rest.first()?) * 4;
            next = *rest.get(length.checked_sub(1)?)?;
            rest = rest.get(length..)?;
        }
    }
    Some(rest)
}
