//! IP fragments in captures (RFC 791 section 3.2, RFC 8200 section 4.5), put together within bounds.

use std::collections::{HashMap, VecDeque};

use bot_common::packet::protocol;

use crate::stream::Reassembly;

/// Datagrams in progress; the oldest gives way.
const MAX_DATAGRAMS: usize = 256;
const MAX_PIECES: usize = 64;
const MAX_LENGTH: usize = 65_535;

/// Datagrams that are being put together.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    datagrams: HashMap<Key, Datagram>,
    by_age: VecDeque<Key>,
}

/// Addresses, protocol and identification.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key(Vec<u8>);

#[derive(Debug)]
struct Datagram {
    /// IP header as it stands before the payload, with nothing of fragmentation in it.
    header: Vec<u8>,
    payload: Reassembly,
    /// Length of the payload, once its last piece was seen.
    length: Option<usize>,
}

/// One piece of a datagram.
struct Piece<'a> {
    key: Key,
    header: Vec<u8>,
    offset: usize,
    more: bool,
    payload: &'a [u8],
}

impl Fragments {
    /// Whether a packet is a fragment.
    pub(super) fn concerns(packet: &[u8]) -> bool {
        piece(packet).is_some()
    }

    /// Adds a fragment; the whole packet if this completes it.
    pub(super) fn push(&mut self, packet: &[u8]) -> Option<Vec<u8>> {
        let piece = piece(packet)?;
        if !self.datagrams.contains_key(&piece.key) {
            self.make_room();
            self.by_age.push_back(piece.key.clone());
        }
        let datagram = self
            .datagrams
            .entry(piece.key.clone())
            .or_insert_with(|| Datagram {
                header: piece.header.clone(),
                payload: Reassembly::new(0, MAX_LENGTH, MAX_PIECES),
                length: None,
            });
        let offset = u32::try_from(piece.offset).ok()?;
        datagram.payload.insert(offset, piece.payload).ok()?;
        if piece.offset == 0 {
            datagram.header = piece.header;
        }
        if !piece.more {
            datagram.length = Some(piece.offset + piece.payload.len());
        }
        let payload = datagram.payload.head().get(..datagram.length?)?;
        let whole = with_payload(&datagram.header, payload);
        self.datagrams.remove(&piece.key);
        self.by_age.retain(|key| *key != piece.key);
        whole
    }

    fn make_room(&mut self) {
        while self.by_age.len() >= MAX_DATAGRAMS {
            if let Some(oldest) = self.by_age.pop_front() {
                self.datagrams.remove(&oldest);
            }
        }
    }
}

fn piece(packet: &[u8]) -> Option<Piece<'_>> {
    match packet.first()? >> 4 {
        4 => ipv4_piece(packet),
        6 => ipv6_piece(packet),
        _ => None,
    }
}

fn ipv4_piece(packet: &[u8]) -> Option<Piece<'_>> {
    let header: &[u8; 20] = packet.first_chunk()?;
    let [
        first,
        _,
        len_1,
        len_2,
        id_1,
        id_2,
        flags,
        low,
        _,
        protocol,
        _,
        _,
        addresses @ ..,
    ] = header;
    let field = u16::from_be_bytes([*flags, *low]);
    let (more, offset) = (field & 0x2000 != 0, usize::from(field & 0x1fff) * 8);
    if !more && offset == 0 {
        return None;
    }
    let header_len = usize::from(first & 0x0f) * 4;
    let total_len = usize::from(u16::from_be_bytes([*len_1, *len_2]));
    let mut header = packet.get(..header_len.max(20))?.to_vec();
    header.get_mut(6..8)?.fill(0);
    Some(Piece {
        key: Key([&addresses[..], &[*protocol, *id_1, *id_2]].concat()),
        header,
        offset,
        more,
        payload: packet.get(header_len..total_len)?,
    })
}

fn ipv6_piece(packet: &[u8]) -> Option<Piece<'_>> {
    let base: &[u8; 40] = packet.first_chunk()?;
    let [_, _, _, _, len_1, len_2, next, _, addresses @ ..] = base;
    let end = 40 + usize::from(u16::from_be_bytes([*len_1, *len_2]));
    let (mut next, mut next_at, mut at) = (*next, 6, 40);
    while matches!(
        next,
        protocol::HOP_BY_HOP | protocol::ROUTING | protocol::DESTINATION
    ) {
        let [following, units] = packet.get(at..)?.first_chunk().copied()?;
        (next, next_at) = (following, at);
        at += (usize::from(units) + 1) * 8;
    }
    if next != protocol::FRAGMENT {
        return None;
    }
    let fragment: &[u8; 8] = packet.get(at..)?.first_chunk()?;
    let [following, _, high, low, id @ ..] = fragment;
    let field = u16::from_be_bytes([*high, *low]);
    let (more, offset) = (field & 1 != 0, usize::from(field & 0xfff8));
    if !more && offset == 0 {
        // An atomic fragment (RFC 6946): the walk steps over its header.
        return None;
    }
    let mut header = packet.get(..at)?.to_vec();
    *header.get_mut(next_at)? = *following;
    Some(Piece {
        key: Key([&addresses[..], &id[..]].concat()),
        header,
        offset,
        more,
        payload: packet.get(at + 8..end)?,
    })
}

/// The packet with the length that its payload gives it.
fn with_payload(header: &[u8], payload: &[u8]) -> Option<Vec<u8>> {
    let mut packet = [header, payload].concat();
    let (at, length) = match packet.first()? >> 4 {
        4 => (2, packet.len()),
        _ => (4, packet.len().checked_sub(40)?),
    };
    let length = u16::try_from(length).ok()?.to_be_bytes();
    packet.get_mut(at..at + 2)?.copy_from_slice(&length);
    Some(packet)
}
