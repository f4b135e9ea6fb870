//! The packet walk: from a frame's first byte to its transport header.
//!
//! Ethernet with up to two VLAN tags, IPv4 with options, IPv6 with up to six extension headers,
//! then TCP, UDP or ICMP. The source address is known as soon as the fixed IP header is there, so
//! that whatever is wrong behind it cannot hide the source from a rule: see [`Packet::transport`].
//! Lengths are those of the IP header; Ethernet padding is never payload.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::{
    abi::counter::Reject,
    address::Address,
    read::{Read, be16, be32, byte, part},
};

/// VLAN tags that are walked (802.1ad outside, 802.1Q inside).
pub const MAX_VLAN_TAGS: usize = 2;
/// IPv6 extension headers that are walked.
pub const MAX_EXTENSIONS: usize = 6;

/// `EtherType` of IPv4.
pub const ETHERTYPE_IPV4: u16 = 0x0800;
/// `EtherType` of IPv6.
pub const ETHERTYPE_IPV6: u16 = 0x86dd;
/// Tag protocol identifier of an 802.1Q tag.
pub const ETHERTYPE_VLAN: u16 = 0x8100;
/// Tag protocol identifier of an 802.1ad service tag.
pub const ETHERTYPE_SERVICE_VLAN: u16 = 0x88a8;

/// IP protocol numbers (IANA).
pub mod protocol {
    /// IPv6 hop-by-hop options (RFC 8200 §4.3).
    pub const HOP_BY_HOP: u8 = 0;
    /// ICMP for IPv4.
    pub const ICMP: u8 = 1;
    /// TCP.
    pub const TCP: u8 = 6;
    /// UDP.
    pub const UDP: u8 = 17;
    /// IPv6 routing header (RFC 8200 §4.4).
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header (RFC 8200 §4.5).
    pub const FRAGMENT: u8 = 44;
    /// IP authentication header (RFC 4302).
    pub const AUTHENTICATION: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// IPv6 destination options (RFC 8200 §4.6).
    pub const DESTINATION: u8 = 60;
}

/// TCP flag bits (RFC 9293 §3.1).
pub mod tcp_flag {
    /// No more data from the sender.
    pub const FIN: u8 = 0x01;
    /// Synchronise sequence numbers.
    pub const SYN: u8 = 0x02;
    /// Reset the connection.
    pub const RST: u8 = 0x04;
    /// The acknowledgement field counts.
    pub const ACK: u8 = 0x10;
}

/// What stands behind the IP headers of a [`Packet`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub enum Transport {
    /// Cannot be told: [`Packet::reject`] says why.
    Unreadable = 0,
    /// A TCP segment: ports, `seq`, `flags` and `payload` count.
    Tcp = 1,
    /// A UDP datagram: ports and `payload` count.
    Udp = 2,
    /// An ICMP or `ICMPv6` message, as `protocol` says: `flags` is its type.
    Icmp = 3,
    /// A fragment that is not the first: it carries no transport header.
    LaterFragment = 4,
    /// Another protocol.
    Other = 5,
}

/// A frame with a source address. Flat, and every field always written: on the BPF side it lies in
/// map memory, where the paths of the walk meet again.
#[derive(
    Clone, Copy, Debug, Default, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, PartialEq,
)]
#[repr(C)]
pub struct Packet {
    /// Source address.
    pub src: Address,
    /// Destination address.
    pub dst: Address,
    /// Where the payload begins, in bytes from the frame's first.
    pub payload_offset: u32,
    /// Bytes of payload; Ethernet padding is none.
    pub payload_len: u32,
    /// TCP sequence number of the segment's first byte (of the SYN itself, if it is one).
    pub seq: u32,
    /// Source port, or 0.
    pub sport: u16,
    /// Destination port, or 0.
    pub dport: u16,
    /// Protocol number of the transport, or of the header at which the walk ended.
    pub protocol: u8,
    /// TTL or hop limit.
    pub hop_limit: u8,
    /// TCP: [`tcp_flag`] bits. ICMP: the type.
    pub flags: u8,
    transport: u8,
    reject: u8,
    reserved: [u8; 3],
}

impl Packet {
    /// What stands behind the IP headers.
    #[inline(always)]
    pub const fn transport(&self) -> Transport {
        match self.transport {
            1 => Transport::Tcp,
            2 => Transport::Udp,
            3 => Transport::Icmp,
            4 => Transport::LaterFragment,
            5 => Transport::Other,
            _ => Transport::Unreadable,
        }
    }

    /// Why the transport is unreadable, if it is.
    pub fn reject(&self) -> Option<Reject> {
        match self.transport() {
            Transport::Unreadable => Reject::from_code(self.reject),
            Transport::Tcp
            | Transport::Udp
            | Transport::Icmp
            | Transport::LaterFragment
            | Transport::Other => None,
        }
    }

    /// A SYN without ACK: a connection attempt.
    #[inline(always)]
    pub const fn is_attempt(&self) -> bool {
        matches!(self.transport(), Transport::Tcp)
            && self.flags & (tcp_flag::SYN | tcp_flag::ACK) == tcp_flag::SYN
    }
}

/// Walks a frame that begins with an Ethernet header (IEEE 802.3) into `packet`.
///
/// `Err`: there is no source address. A packet whose transport cannot be read has one: that is
/// `Ok`, and [`Packet::transport`] says [`Transport::Unreadable`].
#[inline(always)]
pub fn walk_ethernet<R: Read + ?Sized>(frame: &R, packet: &mut Packet) -> Result<(), Reject> {
    let header: [u8; 14] = frame.load(0).ok_or(Reject::LinkTruncated)?;
    walk_tagged(frame, 14, be16(&header, 12), packet)
}

/// Walks a frame whose `ethertype` is known and whose next header stands at `offset`; VLAN tags may follow.
#[inline(always)]
pub fn walk_tagged<R: Read + ?Sized>(
    frame: &R,
    mut offset: usize,
    mut ethertype: u16,
    packet: &mut Packet,
) -> Result<(), Reject> {
    for _ in 0..MAX_VLAN_TAGS {
        if !is_vlan(ethertype) {
            break;
        }
        let tag: [u8; 4] = frame.load(offset).ok_or(Reject::LinkTruncated)?;
        ethertype = be16(&tag, 2);
        offset += 4;
    }
    let offset = frame.forget(offset);
    match ethertype {
        ETHERTYPE_IPV4 => walk_ipv4(frame, offset, packet),
        ETHERTYPE_IPV6 => walk_ipv6(frame, offset, packet),
        tag if is_vlan(tag) => Err(Reject::VlanDepth),
        _ => Err(Reject::NotIp),
    }
}

/// Walks a frame that has an IP header at `offset`, of the family that its version field tells.
pub fn walk_ip<R: Read + ?Sized>(
    frame: &R,
    offset: usize,
    packet: &mut Packet,
) -> Result<(), Reject> {
    let [first] = frame.load(offset).ok_or(Reject::LinkTruncated)?;
    match first >> 4 {
        4 => walk_ipv4(frame, offset, packet),
        6 => walk_ipv6(frame, offset, packet),
        _ => Err(Reject::NotIp),
    }
}

#[inline(always)]
const fn is_vlan(ethertype: u16) -> bool {
    matches!(ethertype, ETHERTYPE_VLAN | ETHERTYPE_SERVICE_VLAN)
}

/// Stores what was found behind the IP headers.
#[inline(always)]
fn settle(packet: &mut Packet, found: Result<Transport, Reject>) {
    let (transport, reject) = match found {
        Ok(transport) => (transport as u8, 0),
        Err(reject) => (Transport::Unreadable as u8, reject as u8),
    };
    packet.transport = transport;
    packet.reject = reject;
}

#[inline(always)]
fn walk_ipv4<R: Read + ?Sized>(
    frame: &R,
    offset: usize,
    packet: &mut Packet,
) -> Result<(), Reject> {
    let header: [u8; 20] = frame.load(offset).ok_or(Reject::Ipv4Truncated)?;
    *packet = Packet {
        src: Address::from_v4(part(&header, 12)),
        dst: Address::from_v4(part(&header, 16)),
        hop_limit: byte(&header, 8),
        protocol: byte(&header, 9),
        ..Packet::default()
    };
    let found = behind_ipv4(frame, offset, &header, packet);
    settle(packet, found);
    Ok(())
}

#[inline(always)]
fn behind_ipv4<R: Read + ?Sized>(
    frame: &R,
    offset: usize,
    header: &[u8; 20],
    packet: &mut Packet,
) -> Result<Transport, Reject> {
    if byte(header, 0) >> 4 != 4 {
        return Err(Reject::Ipv4Version);
    }
    let header_len = usize::from(byte(header, 0) & 0x0f) * 4;
    if header_len < 20 {
        return Err(Reject::Ipv4HeaderLength);
    }
    if !frame.holds(offset + header_len) {
        return Err(Reject::Ipv4Truncated);
    }
    let total_len = usize::from(be16(header, 2));
    if total_len < header_len || !frame.holds(offset + total_len) {
        return Err(Reject::Ipv4TotalLength);
    }
    // Fragment offset: the low 13 bits (RFC 791 §3.1).
    if be16(header, 6) & 0x1fff != 0 {
        return Ok(Transport::LaterFragment);
    }
    walk_transport(frame, offset + header_len, offset + total_len, packet)
}

#[inline(always)]
fn walk_ipv6<R: Read + ?Sized>(
    frame: &R,
    offset: usize,
    packet: &mut Packet,
) -> Result<(), Reject> {
    let header: [u8; 40] = frame.load(offset).ok_or(Reject::Ipv6Truncated)?;
    *packet = Packet {
        src: Address::from_v6(part(&header, 8)),
        dst: Address::from_v6(part(&header, 24)),
        hop_limit: byte(&header, 7),
        protocol: byte(&header, 6),
        ..Packet::default()
    };
    let found = behind_ipv6(frame, offset, &header, packet);
    settle(packet, found);
    Ok(())
}

#[inline(always)]
fn behind_ipv6<R: Read + ?Sized>(
    frame: &R,
    offset: usize,
    header: &[u8; 40],
    packet: &mut Packet,
) -> Result<Transport, Reject> {
    if byte(header, 0) >> 4 != 6 {
        return Err(Reject::Ipv6Version);
    }
    let end = frame.forget(offset + 40 + usize::from(be16(header, 4)));
    if !frame.holds(end) {
        return Err(Reject::Ipv6PayloadLength);
    }
    let mut at = offset + 40;
    for _ in 0..MAX_EXTENSIONS {
        if !is_extension(packet.protocol) {
            break;
        }
        let extension = within(at, 8, end).then(|| frame.load::<8>(at)).flatten();
        let extension = extension.ok_or(Reject::ExtensionTruncated)?;
        // Fragment offset: the high 13 bits (RFC 8200 §4.5).
        let later = packet.protocol == protocol::FRAGMENT && be16(&extension, 2) & 0xfff8 != 0;
        at = frame.forget(at + extension_len(packet.protocol, byte(&extension, 1)));
        packet.protocol = byte(&extension, 0);
        if later {
            return Ok(Transport::LaterFragment);
        }
    }
    if is_extension(packet.protocol) {
        return Err(Reject::ExtensionDepth);
    }
    if at > end {
        return Err(Reject::ExtensionTruncated);
    }
    walk_transport(frame, at, end, packet)
}

#[inline(always)]
const fn is_extension(next: u8) -> bool {
    matches!(
        next,
        protocol::HOP_BY_HOP
            | protocol::ROUTING
            | protocol::FRAGMENT
            | protocol::AUTHENTICATION
            | protocol::DESTINATION
    )
}

/// Length of an extension header in bytes: 8-octet units without the first (RFC 8200), but
/// 4-octet units without the first two for AH (RFC 4302 §2.2) and a fixed 8 for fragments.
#[inline(always)]
fn extension_len(kind: u8, units: u8) -> usize {
    let units = usize::from(units);
    match kind {
        protocol::FRAGMENT => 8,
        protocol::AUTHENTICATION => (units + 2) * 4,
        _ => (units + 1) * 8,
    }
}

#[inline(always)]
fn walk_transport<R: Read + ?Sized>(
    frame: &R,
    at: usize,
    end: usize,
    packet: &mut Packet,
) -> Result<Transport, Reject> {
    match packet.protocol {
        protocol::TCP => walk_tcp(frame, at, end, packet),
        protocol::UDP => walk_udp(frame, at, end, packet),
        protocol::ICMP | protocol::ICMPV6 => {
            let message = within(at, 4, end).then(|| frame.load::<4>(at)).flatten();
            let message = message.ok_or(Reject::IcmpTruncated)?;
            packet.flags = byte(&message, 0);
            Ok(Transport::Icmp)
        }
        _ => Ok(Transport::Other),
    }
}

#[inline(always)]
fn walk_tcp<R: Read + ?Sized>(
    frame: &R,
    at: usize,
    end: usize,
    packet: &mut Packet,
) -> Result<Transport, Reject> {
    let header = within(at, 20, end).then(|| frame.load::<20>(at)).flatten();
    let header = header.ok_or(Reject::TcpTruncated)?;
    let header_len = usize::from(byte(&header, 12) >> 4) * 4;
    if header_len < 20 {
        return Err(Reject::TcpHeaderLength);
    }
    if !within(at, header_len, end) {
        return Err(Reject::TcpTruncated);
    }
    packet.sport = be16(&header, 0);
    packet.dport = be16(&header, 2);
    packet.seq = be32(&header, 4);
    packet.flags = byte(&header, 13);
    payload(packet, at + header_len, end);
    Ok(Transport::Tcp)
}

#[inline(always)]
fn walk_udp<R: Read + ?Sized>(
    frame: &R,
    at: usize,
    end: usize,
    packet: &mut Packet,
) -> Result<Transport, Reject> {
    let header = within(at, 8, end).then(|| frame.load::<8>(at)).flatten();
    let header = header.ok_or(Reject::UdpTruncated)?;
    let len = usize::from(be16(&header, 4));
    if len < 8 || !within(at, len, end) {
        return Err(Reject::UdpLength);
    }
    packet.sport = be16(&header, 0);
    packet.dport = be16(&header, 2);
    payload(packet, at + 8, at + len);
    Ok(Transport::Udp)
}

#[inline(always)]
const fn within(at: usize, len: usize, end: usize) -> bool {
    at + len <= end
}

/// Notes the payload between two offsets; both are below 2^17, as IP lengths have 16 bits.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "IP lengths have 16 bits")]
fn payload(packet: &mut Packet, from: usize, end: usize) {
    packet.payload_offset = from as u32;
    packet.payload_len = (end - from) as u32;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever the bytes: no panic, and a payload that lies within them.
        #[test]
        fn any_bytes_are_walked(
            link in prop::collection::vec(any::<u8>(), 12),
            ethertype in prop::sample::select(&[
                ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_VLAN, ETHERTYPE_SERVICE_VLAN, 0x0806,
            ][..]),
            first in prop::sample::select(&[0x45u8, 0x46, 0x4f, 0x60, 0x00][..]),
            rest in prop::collection::vec(any::<u8>(), 0..200),
        ) {
            let mut frame = [0; 300];
            let head = link.iter().copied().chain(ethertype.to_be_bytes()).chain([first]);
            let len = frame.iter_mut().zip(head.chain(rest)).map(|(to, byte)| *to = byte).count();
            let frame = &frame[..len];
            let mut packet = Packet::default();
            for walked in [walk_ethernet(frame, &mut packet), walk_ip(frame, 14, &mut packet)] {
                if walked.is_ok() {
                    let end = packet.payload_offset + packet.payload_len;
                    prop_assert!(end as usize <= len);
                    prop_assert_eq!(packet.reject().is_some(), packet.transport() == Transport::Unreadable);
                }
            }
        }
    }
}
