//! TLS ClientHello (RFC 8446 section 4.1.2, RFC 5246 section 7.4.1.2) and its JA4 fingerprint.
//!
//! Pure: bytes in, values out. Nothing here allocates more than the hello itself holds, panics,
//! or looks at anything but the bytes it is given.

mod hello;
mod ja4;
mod reader;
mod text;

use thiserror::Error;

pub use hello::{ClientHello, MAX_HELLO, is_grease};
pub use ja4::{Fingerprint, Ja4, Ja4Error};
pub use text::escape;

/// What carried the hello: the first character of a JA4.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transport {
    /// TLS over TCP.
    Tcp,
    /// TLS inside QUIC's CRYPTO frames.
    Quic,
    /// DTLS.
    Dtls,
}

impl Transport {
    /// Stable name, as it stands in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Quic => "quic",
            Self::Dtls => "dtls",
        }
    }

    const fn ja4_letter(self) -> u8 {
        match self {
            Self::Tcp => b't',
            Self::Quic => b'q',
            Self::Dtls => b'd',
        }
    }
}

/// Outcome of reading a value from bytes that may not all be there yet.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Parsed<T> {
    /// The value.
    Complete(T),
    /// So far it is one; bytes are missing.
    NeedMore,
    /// No further bytes can make it one.
    Never(NotHello),
}

/// Why bytes are not, and will never be, a ClientHello.
#[derive(Clone, Copy, Debug, Eq, Error, Hash, PartialEq)]
pub enum NotHello {
    /// The bytes do not begin with a TLS handshake record.
    #[error("the stream does not begin with a TLS handshake record")]
    NotTls,
    /// The first handshake message is another one.
    #[error("the first handshake message is not a ClientHello")]
    NotClientHello,
    /// A record of another type stands between the records of the hello.
    #[error("a record of another type interrupts the ClientHello")]
    Interrupted,
    /// The hello is longer than [`MAX_HELLO`], or its records longer than can be held.
    #[error("the ClientHello is larger than {MAX_HELLO} bytes")]
    TooLarge,
    /// A length inside the hello contradicts another one.
    #[error("the ClientHello contradicts its own lengths")]
    Malformed,
}
