//! From a link-layer header to the IP packet behind it (link types: tcpdump.org/linktypes.html).
//!
//! Any number of VLAN tags, MPLS labels and PPPoE are stepped over: a capture is read for what is
//! in it, not for what the filter would do with it.

use bot_common::packet::{ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_SERVICE_VLAN, ETHERTYPE_VLAN};

const NULL: u16 = 0;
pub(super) const ETHERNET: u16 = 1;
const PPP: u16 = 9;
const PPP_HDLC: u16 = 50;
const PPP_ETHER: u16 = 51;
const RAW: u16 = 101;
/// The values of `DLT_RAW` on OpenBSD and elsewhere, found in files of old programs.
const RAW_OLD: [u16; 2] = [12, 14];
const CISCO_HDLC: u16 = 104;
const LOOP: u16 = 108;
const LINUX_SLL: u16 = 113;
const PPP_WITH_DIRECTION: u16 = 204;
const IPV4: u16 = 228;
const IPV6: u16 = 229;
const LINUX_SLL2: u16 = 276;

const QINQ_OLD: [u16; 2] = [0x9100, 0x9200];
const MPLS: [u16; 2] = [0x8847, 0x8848];
const PPPOE_SESSION: u16 = 0x8864;
/// Values up to here are the length of an IEEE 802.3 frame, not a type.
const MAX_802_3_LENGTH: u16 = 1500;

/// Why a frame gives no IP packet.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NoIp {
    /// The link type is not read.
    LinkType,
    /// Another protocol, or the frame ends before.
    Other,
}

/// The IP packet in a frame, with whatever follows it.
pub(super) fn ip_packet(link_type: u16, frame: &[u8]) -> Result<&[u8], NoIp> {
    let packet = match link_type {
        ETHERNET => ethernet(frame),
        RAW | IPV4 | IPV6 => Some(frame),
        raw if RAW_OLD.contains(&raw) => Some(frame),
        // An address family in the byte order of who wrote it: IPv4 is 2 everywhere, IPv6 is not.
        NULL | LOOP => frame.get(4..),
        LINUX_SLL => {
            split::<16>(frame).and_then(|(header, rest)| by_ethertype(be16(header, 14), rest))
        }
        LINUX_SLL2 => {
            split::<20>(frame).and_then(|(header, rest)| by_ethertype(be16(header, 0), rest))
        }
        CISCO_HDLC => {
            split::<4>(frame).and_then(|(header, rest)| by_ethertype(be16(header, 2), rest))
        }
        PPP | PPP_HDLC => ppp(frame),
        PPP_WITH_DIRECTION => frame.get(1..).and_then(ppp),
        PPP_ETHER => pppoe(frame),
        _ => return Err(NoIp::LinkType),
    };
    packet.filter(|packet| is_ip(packet)).ok_or(NoIp::Other)
}

pub(super) fn by_ethertype(ethertype: u16, rest: &[u8]) -> Option<&[u8]> {
    let (mut ethertype, mut rest) = (ethertype, rest);
    while is_vlan(ethertype) {
        let (tag, behind) = split::<4>(rest)?;
        (ethertype, rest) = (be16(tag, 2), behind);
    }
    match ethertype {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Some(rest),
        PPPOE_SESSION => pppoe(rest),
        label if MPLS.contains(&label) => mpls(rest),
        length if length <= MAX_802_3_LENGTH => snap(rest),
        _ => None,
    }
}

fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN) || QINQ_OLD.contains(&ethertype)
}

pub(super) fn ethernet(frame: &[u8]) -> Option<&[u8]> {
    let (header, rest) = split::<14>(frame)?;
    by_ethertype(be16(header, 12), rest)
}

/// LLC with a SNAP header (RFC 1042) that names an `EtherType`.
fn snap(rest: &[u8]) -> Option<&[u8]> {
    let (header, rest) = split::<8>(rest)?;
    let [0xaa, 0xaa, 3, 0, 0, 0, ..] = header else {
        return None;
    };
    match be16(header, 6) {
        ETHERTYPE_IPV4 | ETHERTYPE_IPV6 => Some(rest),
        _ => None,
    }
}

fn mpls(rest: &[u8]) -> Option<&[u8]> {
    let mut rest = rest;
    loop {
        let (label, behind) = split::<4>(rest)?;
        rest = behind;
        let [_, _, bottom, _] = label;
        if bottom & 1 == 1 {
            break;
        }
    }
    if is_ip(rest) {
        return Some(rest);
    }
    // An Ethernet pseudowire (RFC 4448) with its control word.
    let (control, frame) = split::<4>(rest)?;
    let [0, ..] = control else { return None };
    ethernet(frame)
}

fn pppoe(rest: &[u8]) -> Option<&[u8]> {
    let (header, rest) = split::<6>(rest)?;
    let [0x11, 0, ..] = header else { return None };
    ppp(rest)
}

/// PPP (RFC 1661, RFC 1662), with or without address and control, its protocol field compressed or not.
pub(super) fn ppp(frame: &[u8]) -> Option<&[u8]> {
    let frame = frame.strip_prefix(&[0xff, 0x03]).unwrap_or(frame);
    match frame {
        [0x00, 0x21 | 0x57, rest @ ..] | [0x21 | 0x57, rest @ ..] => Some(rest),
        [0x02, 0x81 | 0x83, rest @ ..] => mpls(rest),
        _ => None,
    }
}

fn is_ip(packet: &[u8]) -> bool {
    packet
        .first()
        .is_some_and(|first| matches!(first >> 4, 4 | 6))
}

pub(super) fn split<const N: usize>(bytes: &[u8]) -> Option<(&[u8; N], &[u8])> {
    bytes.split_first_chunk::<N>()
}

/// Big-endian `u16` at `at`, a constant below `N - 1`.
pub(super) fn be16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    let field = bytes.get(at..).and_then(<[u8]>::first_chunk);
    field.map_or(0, |field| u16::from_be_bytes(*field))
}
