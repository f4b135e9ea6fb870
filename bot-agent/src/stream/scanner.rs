//! The capture side: every ClientHello in one direction of a TCP connection, wherever it begins.
//!
//! A hello may stand behind a CONNECT, a SOCKS or a STARTTLS exchange, so each byte 0x16 is a
//! candidate. A candidate is dropped as soon as its bytes contradict a hello; all lengths of a
//! hello have to agree, so encrypted data does not pass for one. Bytes are kept while a candidate
//! is open, and behind a gap until it closes or too much waits there.

use super::{
    Reassembly,
    record::{self, MAX_STREAM},
};
use crate::tls::{ClientHello, Parsed};

/// Bytes held for one stream at most.
const WINDOW: usize = 256 * 1024;
const FRAGMENTS: usize = 64;
const HANDSHAKE: u8 = 22;
/// No retransmission lies this far back (RFC 7323 windows are smaller in practice): another
/// connection between the same ports, of which the SYN was not captured.
const FAR_BACK: i64 = 64 << 20;

/// One direction of one connection.
#[derive(Clone, Debug)]
pub struct StreamScanner {
    data: Reassembly,
    /// Bytes of the head in which no further hello begins.
    scanned: usize,
    /// Bytes left of the handshake record in which the last hello ended.
    open: usize,
    beginning: Beginning,
}

/// Where the stream begins.
#[derive(Clone, Debug)]
enum Beginning {
    /// At the base: a SYN was seen, or so many bytes that nothing earlier is to come.
    Known,
    /// The capture begins within the connection, so earlier bytes may still turn up out of order.
    /// Until then nothing is let go; hellos already found, by sequence number, are found once.
    Unknown { found: Vec<u32> },
}

impl StreamScanner {
    /// A stream of which the SYN was seen; `first` is the sequence number behind it.
    pub fn from_syn(first: u32) -> Self {
        Self::new(first, Beginning::Known)
    }

    /// A stream that was under way when the capture began, seen from `seq` on.
    pub fn from_middle(seq: u32) -> Self {
        Self::new(seq, Beginning::Unknown { found: Vec::new() })
    }

    fn new(base: u32, beginning: Beginning) -> Self {
        Self {
            data: Reassembly::new(base, WINDOW, FRAGMENTS),
            scanned: 0,
            open: 0,
            beginning,
        }
    }

    /// Bytes held.
    pub fn held(&self) -> usize {
        self.data.held()
    }

    /// Segments that brought other bytes for a place that was taken.
    pub fn conflicts(&self) -> u32 {
        self.data.conflicts()
    }

    /// Adds a segment; hellos that it completes are appended to `hellos` in stream order.
    pub fn push(&mut self, seq: u32, bytes: &[u8], hellos: &mut Vec<ClientHello>) {
        let mut seq = seq;
        for chunk in bytes.chunks(WINDOW / 4) {
            self.push_chunk(seq, chunk, hellos);
            seq = seq.wrapping_add(u32::try_from(chunk.len()).unwrap_or(u32::MAX));
        }
    }

    /// Nothing more will come: scans what waits behind gaps.
    pub fn finish(&mut self, hellos: &mut Vec<ClientHello>) {
        self.scan(true, hellos);
        while self.skip_gap() {
            self.scan(true, hellos);
        }
    }

    fn push_chunk(&mut self, seq: u32, bytes: &[u8], hellos: &mut Vec<ClientHello>) {
        if self.data.distance(seq) < -FAR_BACK {
            self.finish(hellos);
            *self = Self::from_middle(seq);
        }
        if matches!(self.beginning, Beginning::Unknown { .. }) && self.data.distance(seq) < 0 {
            self.data.begin_at(seq);
            self.scanned = 0;
            self.open = 0;
        }
        while self.data.insert(seq, bytes).is_err() {
            // The bytes before the gap were lost by whoever captured: go on behind it.
            self.scan(true, hellos);
            if !self.skip_gap() {
                *self = Self::from_middle(seq);
            }
        }
        self.scan(false, hellos);
        self.let_go();
    }

    fn skip_gap(&mut self) -> bool {
        let skipped = self.data.skip_gap();
        if skipped {
            self.scanned = 0;
            self.open = 0;
            self.beginning = Beginning::Known;
        }
        skipped
    }

    fn scan(&mut self, last: bool, hellos: &mut Vec<ClientHello>) {
        loop {
            let rest = self.data.head().get(self.scanned..).unwrap_or_default();
            if self.open == 0 {
                let candidate = rest.iter().position(|byte| *byte == HANDSHAKE);
                if candidate != Some(0) {
                    self.scanned += candidate.unwrap_or(rest.len());
                    if candidate.is_none() {
                        return;
                    }
                    continue;
                }
            }
            match record::client_hello(rest, self.open) {
                Parsed::Complete(found) => {
                    if self.is_new() {
                        hellos.push(found.hello);
                    }
                    self.scanned += found.length;
                    self.open = found.open;
                }
                Parsed::NeedMore if !last => return,
                Parsed::NeedMore | Parsed::Never(_) if self.open > 0 => self.open = 0,
                Parsed::NeedMore | Parsed::Never(_) => self.scanned += 1,
            }
        }
    }

    /// Whether the hello at the scan position was not found before.
    fn is_new(&mut self) -> bool {
        let Beginning::Unknown { found } = &mut self.beginning else {
            return true;
        };
        let at = u32::try_from(self.scanned).unwrap_or(u32::MAX);
        let seq = self.data.base().wrapping_add(at);
        let new = !found.contains(&seq);
        if new {
            found.push(seq);
        }
        new
    }

    /// Drops what was scanned, unless earlier bytes may still turn up.
    fn let_go(&mut self) {
        if self.scanned > 2 * MAX_STREAM {
            self.beginning = Beginning::Known;
        }
        if matches!(self.beginning, Beginning::Known) {
            self.data.consume(self.scanned);
            self.scanned = 0;
        }
    }
}
