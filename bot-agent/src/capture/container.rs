//! pcap (draft-ietf-opsawg-pcap) and pcapng (draft-ietf-opsawg-pcapng) files, compressed by gzip or not.
//!
//! Only what a packet needs is read: its bytes, its time and its interface's link type. All other
//! blocks and all options of packets are stepped over.

use std::io::{self, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use thiserror::Error;

use super::{
    fields::{Order, low_half, size},
    pcapng::{self, Interface},
};

/// Longest packet or block that is believed, bytes.
const MAX_BLOCK: usize = 16 << 20;
pub(super) const NANOS: i128 = 1_000_000_000;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;

/// Why a capture cannot be read, or not any further.
#[derive(Debug, Error)]
pub enum CaptureError {
    /// Neither pcap nor pcapng.
    #[error("not a pcap or pcapng capture (first bytes {0:02x?})")]
    Format(Vec<u8>),
    /// The file ends within a packet.
    #[error("the capture is cut off within packet {packet}; everything before it was read")]
    Cut {
        /// Number of the packet, from 1.
        packet: u64,
    },
    /// The file says something that cannot be.
    #[error("the capture is damaged at packet {packet}: {what}; everything before it was read")]
    Damaged {
        /// Number of the packet, from 1.
        packet: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The file cannot be read.
    #[error("cannot read on after packet {packets}: {source}")]
    Io {
        /// Packets read before.
        packets: u64,
        /// What the system says.
        source: io::Error,
    },
}

/// A packet as it was captured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CapturePacket<'a> {
    /// Capture time in nanoseconds since 1970-01-01 UTC.
    pub time: i128,
    /// Link type (`LINKTYPE_` registry of tcpdump.org).
    pub link_type: u16,
    /// Bytes on the wire; more than were captured if a snapshot length cut the packet.
    pub wire_len: usize,
    /// The captured bytes.
    pub data: &'a [u8],
}

/// Reads the packets of a capture one after another.
pub struct CaptureReader<'a> {
    input: Box<dyn Read + 'a>,
    format: Format,
    order: Order,
    /// The packet or block that was read last.
    buffer: Vec<u8>,
    packets: u64,
}

enum Format {
    Pcap(Pcap),
    /// With the interfaces that the section has described so far.
    PcapNg(Vec<Interface>),
}

#[derive(Clone, Copy)]
struct Pcap {
    link_type: u16,
    /// Nanoseconds in a unit of the fraction field.
    fraction: u32,
    record_header: usize,
}

/// A packet of which the bytes are in the buffer.
pub(super) struct Place {
    pub(super) time: i128,
    pub(super) link_type: u16,
    pub(super) wire_len: usize,
    pub(super) from: usize,
    pub(super) len: usize,
}

impl<'a> CaptureReader<'a> {
    /// Reads the beginning of a capture.
    pub fn new(input: impl Read + 'a) -> Result<Self, CaptureError> {
        let mut reader = Self {
            input: decompressed(input).map_err(|source| CaptureError::Io { packets: 0, source })?,
            format: Format::PcapNg(Vec::new()),
            order: Order::Little,
            buffer: Vec::new(),
            packets: 0,
        };
        reader.append(4)?;
        if reader.buffer == SECTION_HEADER.to_be_bytes() {
            reader.require(4)?;
            reader.section()?;
        } else {
            reader.format = Format::Pcap(reader.pcap_header()?);
        }
        Ok(reader)
    }

    /// The next packet; `None` at the end. After an error there is no next one.
    pub fn next_packet(&mut self) -> Result<Option<CapturePacket<'_>>, CaptureError> {
        let place = match self.format {
            Format::Pcap(header) => self.pcap_record(header)?,
            Format::PcapNg(_) => self.packet_block()?,
        };
        let Some(place) = place else { return Ok(None) };
        self.packets += 1;
        Ok(Some(CapturePacket {
            time: place.time,
            link_type: place.link_type,
            wire_len: place.wire_len.max(place.len),
            data: self
                .buffer
                .get(place.from..place.from + place.len)
                .unwrap_or_default(),
        }))
    }

    fn pcap_header(&mut self) -> Result<Pcap, CaptureError> {
        let Some(magic) = self.buffer.first_chunk::<4>().copied() else {
            return Err(CaptureError::Format(self.buffer.clone()));
        };
        let (order, fraction, record_header) = match u32::from_le_bytes(magic) {
            0xa1b2_c3d4 => (Order::Little, 1000, 16),
            0xd4c3_b2a1 => (Order::Big, 1000, 16),
            0xa1b2_3c4d => (Order::Little, 1, 16),
            0x4d3c_b2a1 => (Order::Big, 1, 16),
            // Kuznetzov's variant: two more words in the header of each record.
            0xa1b2_cd34 => (Order::Little, 1000, 24),
            0x34cd_b2a1 => (Order::Big, 1000, 24),
            _ => return Err(CaptureError::Format(self.buffer.clone())),
        };
        self.require(20)?;
        self.order = order;
        Ok(Pcap {
            // The upper half says how long the frame check sequence is.
            link_type: low_half(order.u32(&self.buffer, 20)),
            fraction,
            record_header,
        })
    }

    fn pcap_record(&mut self, header: Pcap) -> Result<Option<Place>, CaptureError> {
        if !self.fill(header.record_header)? {
            return Ok(None);
        }
        let field = |at| self.order.u32(&self.buffer, at);
        let nanos = u64::from(field(4)) * u64::from(header.fraction);
        let time = i128::from(field(0)) * NANOS + i128::from(nanos);
        let (len, wire_len) = (size(field(8)), size(field(12)));
        if len > MAX_BLOCK {
            return Err(self.damaged("its length is beyond belief"));
        }
        self.require(len)?;
        Ok(Some(Place {
            time,
            link_type: header.link_type,
            wire_len,
            from: header.record_header,
            len,
        }))
    }

    /// Steps over blocks up to one that holds a packet.
    fn packet_block(&mut self) -> Result<Option<Place>, CaptureError> {
        loop {
            if !self.fill(8)? {
                return Ok(None);
            }
            let kind = self.order.u32(&self.buffer, 0);
            if kind == SECTION_HEADER {
                self.section()?;
                continue;
            }
            self.body()?;
            let Format::PcapNg(interfaces) = &mut self.format else {
                return Ok(None);
            };
            match pcapng::read(self.order, kind, &self.buffer, interfaces) {
                Ok(None) => {}
                Ok(Some(place)) => return Ok(Some(place)),
                Err(what) => return Err(self.damaged(what)),
            }
        }
    }

    /// A section header, of which type and length are in the buffer: the byte order of the section.
    fn section(&mut self) -> Result<(), CaptureError> {
        self.require(4)?;
        self.order = [Order::Little, Order::Big]
            .into_iter()
            .find(|order| order.u32(&self.buffer, 8) == BYTE_ORDER_MAGIC)
            .ok_or_else(|| self.damaged("a section header has no byte-order magic"))?;
        self.format = Format::PcapNg(Vec::new());
        self.body()
    }

    /// Reads the rest of a block, trailing length included.
    fn body(&mut self) -> Result<(), CaptureError> {
        let len = size(self.order.u32(&self.buffer, 4));
        if !(12..=MAX_BLOCK).contains(&len) {
            return Err(self.damaged("the length of a block is beyond belief"));
        }
        self.require(len.saturating_sub(self.buffer.len()))
    }

    /// Replaces the buffer by the next `len` bytes; `false` if there is nothing left at all.
    fn fill(&mut self, len: usize) -> Result<bool, CaptureError> {
        self.buffer.clear();
        let complete = self.append(len)?;
        if !complete && !self.buffer.is_empty() {
            return Err(self.cut());
        }
        Ok(complete)
    }

    /// Appends the next `len` bytes to the buffer, or else the capture is cut.
    fn require(&mut self, len: usize) -> Result<(), CaptureError> {
        if self.append(len)? {
            Ok(())
        } else {
            Err(self.cut())
        }
    }

    /// Appends the next `len` bytes to the buffer; `false` if there are fewer.
    fn append(&mut self, len: usize) -> Result<bool, CaptureError> {
        let wanted = u64::try_from(len).unwrap_or(u64::MAX);
        match self
            .input
            .by_ref()
            .take(wanted)
            .read_to_end(&mut self.buffer)
        {
            Ok(read) => Ok(read == len),
            // A gzip stream that is cut off.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.cut()),
            Err(source) => Err(CaptureError::Io {
                packets: self.packets,
                source,
            }),
        }
    }

    fn cut(&self) -> CaptureError {
        CaptureError::Cut {
            packet: self.packets + 1,
        }
    }

    fn damaged(&self, what: &'static str) -> CaptureError {
        CaptureError::Damaged {
            packet: self.packets + 1,
            what,
        }
    }
}

fn decompressed<'a>(mut input: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut magic = Vec::with_capacity(2);
    input.by_ref().take(2).read_to_end(&mut magic)?;
    let compressed = magic == GZIP;
    let input = BufReader::with_capacity(1 << 16, io::Cursor::new(magic).chain(input));
    Ok(if compressed {
        Box::new(BufReader::with_capacity(
            1 << 16,
            MultiGzDecoder::new(input),
        ))
    } else {
        Box::new(input)
    })
}
