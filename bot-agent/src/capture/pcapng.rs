//! Blocks of pcapng files (draft-ietf-opsawg-pcapng section 4) that say something about packets.

use super::{
    container::{NANOS, Place},
    fields::{Order, size},
};

const INTERFACE: u32 = 1;
const OBSOLETE_PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;
const OPTION_END: u16 = 0;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// Interfaces of a section that are believed.
const MAX_INTERFACES: usize = 65_536;

/// Type and length before, length behind.
const FRAME_BEFORE: usize = 8;
const FRAME_BEHIND: usize = 4;

/// What an interface description says of its packets.
#[derive(Clone, Copy)]
pub(super) struct Interface {
    link_type: u16,
    /// Timestamp units in a second.
    resolution: u64,
    /// Seconds to add to timestamps.
    offset: i64,
    /// Bytes of a packet that are captured at most; 0: all.
    snap_len: usize,
}

/// Reads a whole block: an interface is appended to `interfaces`, a packet's place is returned.
/// Other blocks say nothing here. `Err` says what is wrong.
pub(super) fn read(
    order: Order,
    kind: u32,
    block: &[u8],
    interfaces: &mut Vec<Interface>,
) -> Result<Option<Place>, &'static str> {
    match kind {
        INTERFACE if interfaces.len() >= MAX_INTERFACES => Err("it has too many interfaces"),
        INTERFACE => {
            interfaces.push(interface(order, block)?);
            Ok(None)
        }
        OBSOLETE_PACKET => {
            require(block, 28)?;
            let id = usize::from(order.u16(block, 8));
            stamped_packet(order, block, of(interfaces, id)?).map(Some)
        }
        ENHANCED_PACKET => {
            require(block, 28)?;
            let id = size(order.u32(block, 8));
            stamped_packet(order, block, of(interfaces, id)?).map(Some)
        }
        SIMPLE_PACKET => simple_packet(order, block, of(interfaces, 0)?).map(Some),
        _ => Ok(None),
    }
}

fn interface(order: Order, block: &[u8]) -> Result<Interface, &'static str> {
    require(block, 16)?;
    let mut interface = Interface {
        link_type: order.u16(block, FRAME_BEFORE),
        resolution: 1_000_000,
        offset: 0,
        snap_len: size(order.u32(block, 12)),
    };
    let end = block.len() - FRAME_BEHIND;
    let mut at = 16;
    while at + 4 <= end {
        let (code, len) = (order.u16(block, at), order.u16(block, at + 2));
        let value = at + 4;
        match (code, len) {
            (OPTION_END, _) => break,
            (OPTION_TSRESOL, 1) => {
                let power = block.get(value).copied().unwrap_or_default();
                interface.resolution =
                    resolution(power).ok_or("a timestamp resolution is beyond belief")?;
            }
            (OPTION_TSOFFSET, 8) => interface.offset = order.u64(block, value).cast_signed(),
            _ => {}
        }
        at = value + usize::from(len).next_multiple_of(4);
    }
    Ok(interface)
}

/// Units in a second: a power of ten, or of two if the top bit is set.
fn resolution(option: u8) -> Option<u64> {
    let power = u32::from(option & 0x7f);
    if option & 0x80 == 0 {
        10_u64.checked_pow(power)
    } else {
        1_u64.checked_shl(power)
    }
}

/// An enhanced packet block, or its predecessor: they differ in the interface id only.
fn stamped_packet(order: Order, block: &[u8], interface: Interface) -> Result<Place, &'static str> {
    let units = u64::from(order.u32(block, 12)) << 32 | u64::from(order.u32(block, 16));
    let (len, wire_len) = (size(order.u32(block, 20)), size(order.u32(block, 24)));
    place(block, interface, units, 28, len, wire_len)
}

/// A simple packet block: of interface 0, without a time.
fn simple_packet(order: Order, block: &[u8], interface: Interface) -> Result<Place, &'static str> {
    require(block, 12)?;
    let wire_len = size(order.u32(block, FRAME_BEFORE));
    let len = match interface.snap_len {
        0 => wire_len,
        snap_len => wire_len.min(snap_len),
    };
    place(block, interface, 0, 12, len, wire_len)
}

fn place(
    block: &[u8],
    interface: Interface,
    units: u64,
    from: usize,
    len: usize,
    wire_len: usize,
) -> Result<Place, &'static str> {
    if from + len > block.len() - FRAME_BEHIND {
        return Err("it is longer than its block");
    }
    let nanos = i128::from(units) * NANOS / i128::from(interface.resolution);
    Ok(Place {
        time: nanos + i128::from(interface.offset) * NANOS,
        link_type: interface.link_type,
        wire_len,
        from,
        len,
    })
}

fn of(interfaces: &[Interface], id: usize) -> Result<Interface, &'static str> {
    let interface = interfaces.get(id).copied();
    interface.ok_or("its interface is not described")
}

/// Fails unless the block holds `fields` bytes before its trailing length.
fn require(block: &[u8], fields: usize) -> Result<(), &'static str> {
    if block.len() < fields + FRAME_BEHIND {
        return Err("its block is too short");
    }
    Ok(())
}
