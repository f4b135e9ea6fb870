//! The ClientHello handshake message.
//!
//! Structure must be exact: every vector fills what was declared for it, down to the list of
//! extensions. The bodies of extensions are read as far as they make sense, because JA4 counts an
//! extension that is there, whatever is in it.

use super::{
    NotHello, Parsed,
    reader::{Reader, Short},
    text::escape,
};

/// Longest hello that is read, in bytes, with the handshake header.
pub const MAX_HELLO: usize = 16 * 1024;

const HANDSHAKE_HEADER: usize = 4;
const CLIENT_HELLO: u8 = 1;
const RANDOM: usize = 32;
const MAX_SESSION_ID: u8 = 32;

/// Extension types (IANA registry "TLS `ExtensionType` Values") whose bodies are read.
pub(super) mod extension {
    pub(crate) const SERVER_NAME: u16 = 0x0000;
    pub(crate) const SIGNATURE_ALGORITHMS: u16 = 0x000d;
    pub(crate) const ALPN: u16 = 0x0010;
    pub(crate) const SUPPORTED_VERSIONS: u16 = 0x002b;
    pub(crate) const KEY_SHARE: u16 = 0x0033;

    pub(crate) const READ: [u16; 5] = [
        SERVER_NAME,
        SIGNATURE_ALGORITHMS,
        ALPN,
        SUPPORTED_VERSIONS,
        KEY_SHARE,
    ];
}

/// Named groups that resist quantum computers: ML-KEM alone and hybrids with it or with Kyber.
const POST_QUANTUM: [u16; 7] = [
    0x0200, // MLKEM512
    0x0201, // MLKEM768
    0x0202, // MLKEM1024
    0x11eb, // SecP256r1MLKEM768
    0x11ec, // X25519MLKEM768
    0x11ed, // SecP384r1MLKEM1024
    0x6399, // X25519Kyber768Draft00
];

/// Whether a value is one of the sixteen reserved ones of RFC 8701 (`0x0a0a`, `0x1a1a` … `0xfafa`).
pub const fn is_grease(value: u16) -> bool {
    value & 0x0f0f == 0x0a0a && value >> 8 == value & 0xff
}

/// What a client offered. Lists are in wire order, GREASE and duplicates included.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct ClientHello {
    /// `legacy_version`; the record's version is never used.
    pub legacy_version: u16,
    /// Cipher suites.
    pub ciphers: Vec<u16>,
    /// Extension types.
    pub extensions: Vec<u16>,
    /// Entries of the first `supported_versions` extension.
    pub supported_versions: Vec<u16>,
    /// Entries of the first `signature_algorithms` extension.
    pub signature_algorithms: Vec<u16>,
    /// Groups of the first `key_share` extension.
    pub key_shares: Vec<u16>,
    /// Protocol names of the first ALPN extension.
    pub alpn: Vec<Vec<u8>>,
    server_name: Option<Vec<u8>>,
    length: usize,
}

impl ClientHello {
    /// Reads a handshake message, four bytes of header first. Bytes after it are not looked at.
    pub fn parse(message: &[u8]) -> Parsed<Self> {
        match read_message(message) {
            Ok(hello) => Parsed::Complete(hello),
            Err(Failure::Short(Short::NotYet)) => Parsed::NeedMore,
            Err(Failure::Short(Short::Beyond)) => Parsed::Never(NotHello::Malformed),
            Err(Failure::Not(reason)) => Parsed::Never(reason),
        }
    }

    /// Bytes of the handshake message, its header included.
    pub fn length(&self) -> usize {
        self.length
    }

    /// The first host name of the `server_name` extension, see [`escape`].
    pub fn sni(&self) -> Option<String> {
        self.server_name.as_deref().map(escape)
    }

    /// The offered protocol names, see [`escape`].
    pub fn alpn_names(&self) -> impl Iterator<Item = String> {
        self.alpn.iter().map(|name| escape(name))
    }

    /// Offered TLS versions without GREASE: `supported_versions`, or else `legacy_version`.
    pub fn versions(&self) -> Vec<u16> {
        let mut versions = self.supported_versions.clone();
        versions.retain(|&version| !is_grease(version));
        if versions.is_empty() {
            versions.push(self.legacy_version);
        }
        versions
    }

    /// Whether a post-quantum key share was offered.
    pub fn offers_post_quantum(&self) -> bool {
        self.key_shares
            .iter()
            .any(|group| POST_QUANTUM.contains(group))
    }
}

enum Failure {
    Short(Short),
    Not(NotHello),
}

impl From<Short> for Failure {
    fn from(short: Short) -> Self {
        Self::Short(short)
    }
}

const MALFORMED: Failure = Failure::Not(NotHello::Malformed);

fn read_message(message: &[u8]) -> Result<ClientHello, Failure> {
    let mut header = Reader::new(message, HANDSHAKE_HEADER);
    if header.u8()? != CLIENT_HELLO {
        return Err(Failure::Not(NotHello::NotClientHello));
    }
    let length = header.u24()?;
    if HANDSHAKE_HEADER + length > MAX_HELLO {
        return Err(Failure::Not(NotHello::TooLarge));
    }
    let body = message.get(HANDSHAKE_HEADER..).unwrap_or_default();
    let mut hello = read_body(Reader::new(body, length))?;
    hello.length = HANDSHAKE_HEADER + length;
    Ok(hello)
}

fn read_body(mut body: Reader<'_>) -> Result<ClientHello, Failure> {
    let legacy_version = body.u16()?;
    body.bytes(RANDOM)?;
    let session_id = body.u8()?;
    if session_id > MAX_SESSION_ID {
        return Err(MALFORMED);
    }
    body.bytes(usize::from(session_id))?;
    let cipher_bytes = usize::from(body.u16()?);
    if cipher_bytes % 2 != 0 {
        return Err(MALFORMED);
    }
    let ciphers = pairs(body.bytes(cipher_bytes)?).collect();
    let compression_methods = body.u8()?;
    if compression_methods == 0 {
        return Err(MALFORMED);
    }
    body.bytes(usize::from(compression_methods))?;
    let mut hello = ClientHello {
        legacy_version,
        ciphers,
        ..ClientHello::default()
    };
    if body.is_at_end() {
        return Ok(hello);
    }
    let length = usize::from(body.u16()?);
    let extensions = body.nested(length)?;
    if !body.is_at_end() {
        return Err(MALFORMED);
    }
    read_extensions(extensions, &mut hello)?;
    Ok(hello)
}

fn read_extensions(mut list: Reader<'_>, hello: &mut ClientHello) -> Result<(), Short> {
    hello.extensions.reserve(24);
    let mut seen = Seen::default();
    while !list.is_at_end() {
        let kind = list.u16()?;
        let length = usize::from(list.u16()?);
        let body = list.bytes(length)?;
        hello.extensions.push(kind);
        if seen.is_new(kind) {
            read_extension(kind, Reader::new(body, length), hello);
        }
    }
    Ok(())
}

/// Which of [`extension::READ`] have been read, a bit each.
#[derive(Default)]
struct Seen(u8);

impl Seen {
    /// Whether the body of this extension is to be read: of duplicates, which RFC 8446 section 4.2
    /// forbids, the first counts.
    fn is_new(&mut self, kind: u16) -> bool {
        let Some(at) = extension::READ.iter().position(|read| *read == kind) else {
            return false;
        };
        let bit = 1 << at;
        let new = self.0 & bit == 0;
        self.0 |= bit;
        new
    }
}

fn read_extension(kind: u16, mut body: Reader<'_>, hello: &mut ClientHello) {
    match kind {
        extension::SERVER_NAME => hello.server_name = host_name(body),
        extension::SIGNATURE_ALGORITHMS => {
            let length = body.u16().unwrap_or_default();
            hello.signature_algorithms = list(body, length.into());
        }
        extension::ALPN => hello.alpn = protocol_names(body),
        extension::SUPPORTED_VERSIONS => {
            let length = body.u8().unwrap_or_default();
            hello.supported_versions = list(body, length.into());
        }
        extension::KEY_SHARE => hello.key_shares = key_share_groups(body),
        _ => {}
    }
}

/// The first entry of type `host_name` (RFC 6066 section 3).
fn host_name(mut body: Reader<'_>) -> Option<Vec<u8>> {
    body.u16().ok()?;
    loop {
        let kind = body.u8().ok()?;
        let length = usize::from(body.u16().ok()?);
        let name = body.bytes(length).ok()?;
        if kind == 0 {
            return Some(name.to_vec());
        }
    }
}

/// Protocol names (RFC 7301 section 3.1) up to the first that does not fit.
fn protocol_names(mut body: Reader<'_>) -> Vec<Vec<u8>> {
    let length = usize::from(body.u16().unwrap_or_default());
    let mut rest = Reader::new(body.remaining(), length);
    let mut names = Vec::new();
    while let Ok(name) = rest.u8().and_then(|length| rest.bytes(length.into())) {
        names.push(name.to_vec());
    }
    names
}

/// Groups of the key share entries (RFC 8446 section 4.2.8).
fn key_share_groups(mut body: Reader<'_>) -> Vec<u16> {
    let mut groups = Vec::new();
    if body.u16().is_err() {
        return groups;
    }
    while let Ok(group) = body.u16() {
        groups.push(group);
        let Ok(length) = body.u16() else { break };
        if body.bytes(length.into()).is_err() {
            break;
        }
    }
    groups
}

/// A list of `length` bytes, or of what is there.
fn list(body: Reader<'_>, length: usize) -> Vec<u16> {
    pairs(Reader::new(body.remaining(), length).remaining()).collect()
}

fn pairs(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let (pairs, _odd) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| u16::from_be_bytes(*pair))
}
