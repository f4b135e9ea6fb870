//! The TLS record layer (RFC 8446 section 5.1) as far as a ClientHello needs it.
//!
//! A hello may be spread over several handshake records, and a record may hold more than one
//! handshake message. No other record may come between the parts of a hello.

use std::borrow::Cow;

use crate::tls::{ClientHello, NotHello, Parsed};

const RECORD_HEADER: usize = 5;
const HANDSHAKE: u8 = 22;
const MAX_RECORD: usize = 1 << 14;

/// Longest run of stream bytes in which a hello is looked for: 16 KiB and record headers.
pub const MAX_STREAM: usize = 20 * 1024;

/// A hello and where the stream goes on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The hello.
    pub hello: ClientHello,
    /// Bytes from the first record header to the end of the hello.
    pub length: usize,
    /// Bytes of the last record behind the hello: more handshake messages.
    pub open: usize,
}

/// Reads the ClientHello at the beginning of `stream`. `open` is the number of bytes that are left
/// of a handshake record which began before (see [`Found::open`]), 0 if a record begins here.
pub fn client_hello(stream: &[u8], open: usize) -> Parsed<Found> {
    let mut message = Cow::Borrowed(&[][..]);
    let mut records = Records {
        stream,
        at: 0,
        open,
    };
    loop {
        let part = match records.next() {
            Parsed::Complete(part) => part,
            Parsed::NeedMore if records.at >= MAX_STREAM => {
                return Parsed::Never(NotHello::TooLarge);
            }
            Parsed::NeedMore => return Parsed::NeedMore,
            Parsed::Never(NotHello::NotTls) if !message.is_empty() => {
                return Parsed::Never(NotHello::Interrupted);
            }
            Parsed::Never(reason) => return Parsed::Never(reason),
        };
        if message.is_empty() {
            message = Cow::Borrowed(part);
        } else {
            message.to_mut().extend_from_slice(part);
        }
        match ClientHello::parse(&message) {
            Parsed::Complete(hello) => {
                let surplus = message.len() - hello.length();
                return Parsed::Complete(Found {
                    hello,
                    length: records.at - surplus,
                    open: records.open + surplus,
                });
            }
            Parsed::NeedMore => {}
            Parsed::Never(reason) => return Parsed::Never(reason),
        }
    }
}

/// Cursor over the payload of handshake records.
struct Records<'a> {
    stream: &'a [u8],
    at: usize,
    open: usize,
}

impl<'a> Records<'a> {
    /// The next bytes of handshake payload that are here, at least one.
    fn next(&mut self) -> Parsed<&'a [u8]> {
        let rest = self.stream.get(self.at..).unwrap_or_default();
        let payload = if self.open > 0 {
            rest
        } else {
            match record_length(rest) {
                Parsed::Complete(length) => self.open = length,
                Parsed::NeedMore => return Parsed::NeedMore,
                Parsed::Never(reason) => return Parsed::Never(reason),
            }
            self.at += RECORD_HEADER;
            rest.get(RECORD_HEADER..).unwrap_or_default()
        };
        let part = payload.get(..self.open).unwrap_or(payload);
        if part.is_empty() {
            return Parsed::NeedMore;
        }
        self.at += part.len();
        self.open -= part.len();
        Parsed::Complete(part)
    }
}

/// Payload length of the handshake record that begins here. The record's version says nothing
/// (RFC 8446 appendix D) but that its major number is 3, as in every version since SSL 3.0.
fn record_length(bytes: &[u8]) -> Parsed<usize> {
    let looks_right = match bytes {
        [] => true,
        [kind] | [kind, 3] => *kind == HANDSHAKE,
        [kind, 3, minor, ..] => *kind == HANDSHAKE && *minor <= 4,
        _ => false,
    };
    if !looks_right {
        return Parsed::Never(NotHello::NotTls);
    }
    let [_, _, _, high, low, ..] = bytes else {
        return Parsed::NeedMore;
    };
    match usize::from(u16::from_be_bytes([*high, *low])) {
        // Handshake records are never empty (RFC 8446 section 5.1).
        0 => Parsed::Never(NotHello::Malformed),
        length if length > MAX_RECORD => Parsed::Never(NotHello::Malformed),
        length => Parsed::Complete(length),
    }
}
