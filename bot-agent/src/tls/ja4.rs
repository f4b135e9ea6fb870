//! JA4: the fingerprint of a TLS client.
//!
//! Written from the text of the specification (FoxIO-LLC/ja4, `technical_details/JA4.md`), with
//! GREASE dropped from signature algorithms too. `JA4 = a_b_c`: a describes, b hashes the cipher
//! suites, c the extensions and signature algorithms.

use std::{fmt, str::FromStr};

use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::{
    ClientHello, Transport,
    hello::{extension, is_grease},
};

const A: usize = 10;
const HASH: usize = 12;
const LENGTH: usize = A + 1 + HASH + 1 + HASH;
const HEX: &[u8; 16] = b"0123456789abcdef";

/// A JA4 fingerprint, such as `t13d1516h2_8daaf6152771_e5627efa2ab1`: 36 ASCII characters.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Ja4([u8; LENGTH]);

impl Ja4 {
    /// The text.
    pub fn as_str(&self) -> &str {
        // Only ASCII is ever put in.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Ja4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Ja4 {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Text that is not a JA4.
#[derive(Clone, Copy, Debug, Eq, Error, PartialEq)]
#[error(
    "not a JA4 fingerprint; write it like t13d1516h2_8daaf6152771_e5627efa2ab1 (JA4, not JA4_r)"
)]
pub struct Ja4Error;

impl FromStr for Ja4 {
    type Err = Ja4Error;

    fn from_str(text: &str) -> Result<Self, Ja4Error> {
        let bytes: [u8; LENGTH] = text.as_bytes().try_into().map_err(|_| Ja4Error)?;
        let fits = bytes.iter().enumerate().all(|(at, byte)| match at {
            0 => b"tqd".contains(byte),
            1 | 2 | 8 | 9 => byte.is_ascii_alphanumeric(),
            3 => b"di".contains(byte),
            4..8 => byte.is_ascii_digit(),
            A | 23 => *byte == b'_',
            _ => HEX.contains(byte),
        });
        if fits { Ok(Self(bytes)) } else { Err(Ja4Error) }
    }
}

/// Everything that the four forms of a JA4 are made of.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fingerprint {
    a: [u8; A],
    ciphers: Vec<u16>,
    extensions: Vec<u16>,
    signature_algorithms: Vec<u16>,
}

impl Fingerprint {
    /// Takes from a hello what its JA4 is made of.
    pub fn new(hello: &ClientHello, transport: Transport) -> Self {
        let ciphers = without_grease(&hello.ciphers);
        let extensions = without_grease(&hello.extensions);
        Self {
            a: describe(hello, transport, ciphers.len(), extensions.len()),
            ciphers,
            extensions,
            signature_algorithms: without_grease(&hello.signature_algorithms),
        }
    }

    /// JA4: lists sorted, so that their order on the wire does not matter.
    pub fn ja4(&self) -> Ja4 {
        self.hashed(&self.sorted_ciphers(), &self.sorted_extensions())
    }

    /// `JA4_r`: the lists of [`Self::ja4`] themselves instead of their hashes.
    pub fn ja4_r(&self) -> String {
        self.raw(&self.sorted_ciphers(), &self.sorted_extensions())
    }

    /// `JA4_o`: lists in wire order, SNI and ALPN included among the extensions.
    pub fn ja4_o(&self) -> Ja4 {
        self.hashed(&self.ciphers, &self.extensions)
    }

    /// `JA4_ro`: the lists of [`Self::ja4_o`] themselves instead of their hashes.
    pub fn ja4_ro(&self) -> String {
        self.raw(&self.ciphers, &self.extensions)
    }

    fn sorted_ciphers(&self) -> Vec<u16> {
        let mut sorted = self.ciphers.clone();
        sorted.sort_unstable();
        sorted
    }

    fn sorted_extensions(&self) -> Vec<u16> {
        let mut sorted = self.extensions.clone();
        sorted.retain(|kind| !matches!(*kind, extension::SERVER_NAME | extension::ALPN));
        sorted.sort_unstable();
        sorted
    }

    fn hashed(&self, ciphers: &[u16], extensions: &[u16]) -> Ja4 {
        let mut list = Vec::new();
        push_list(&mut list, ciphers);
        let b = short_hash(&list);
        list.clear();
        self.push_extensions(&mut list, extensions);
        let c = short_hash(&list);

        let mut text = [b'_'; LENGTH];
        let parts = self.a.iter().chain(b"_").chain(&b).chain(b"_").chain(&c);
        for (to, from) in text.iter_mut().zip(parts) {
            *to = *from;
        }
        Ja4(text)
    }

    fn raw(&self, ciphers: &[u16], extensions: &[u16]) -> String {
        let mut text = self.a.to_vec();
        text.push(b'_');
        push_list(&mut text, ciphers);
        text.push(b'_');
        self.push_extensions(&mut text, extensions);
        // Only ASCII was put in.
        String::from_utf8(text).unwrap_or_default()
    }

    /// Extensions, then signature algorithms in wire order if there are any.
    fn push_extensions(&self, text: &mut Vec<u8>, extensions: &[u16]) {
        push_list(text, extensions);
        if !self.signature_algorithms.is_empty() {
            text.push(b'_');
            push_list(text, &self.signature_algorithms);
        }
    }
}

fn without_grease(values: &[u16]) -> Vec<u16> {
    let mut kept = Vec::with_capacity(values.len());
    kept.extend(values.iter().filter(|value| !is_grease(**value)));
    kept
}

fn describe(
    hello: &ClientHello,
    transport: Transport,
    ciphers: usize,
    extensions: usize,
) -> [u8; A] {
    let [version_1, version_2] = version(hello);
    let sni = if hello.extensions.contains(&extension::SERVER_NAME) {
        b'd'
    } else {
        b'i'
    };
    let [ciphers_1, ciphers_2] = two_digits(ciphers);
    let [extensions_1, extensions_2] = two_digits(extensions);
    let [alpn_1, alpn_2] = alpn(hello.alpn.first().map_or(&[], Vec::as_slice));
    [
        transport.ja4_letter(),
        version_1,
        version_2,
        sni,
        ciphers_1,
        ciphers_2,
        extensions_1,
        extensions_2,
        alpn_1,
        alpn_2,
    ]
}

/// The numerically highest version offered, also when it is one that has no name.
fn version(hello: &ClientHello) -> [u8; 2] {
    let offered = hello.supported_versions.iter().copied();
    let highest = offered.filter(|version| !is_grease(*version)).max();
    match highest.unwrap_or(hello.legacy_version) {
        0x0304 => *b"13",
        0x0303 => *b"12",
        0x0302 => *b"11",
        0x0301 => *b"10",
        0x0300 => *b"s3",
        0x0002 => *b"s2",
        0xfeff => *b"d1",
        0xfefd => *b"d2",
        0xfefc => *b"d3",
        _ => *b"00",
    }
}

#[expect(clippy::cast_possible_truncation, reason = "at most 99")]
fn two_digits(count: usize) -> [u8; 2] {
    let count = count.min(99) as u8;
    [b'0' + count / 10, b'0' + count % 10]
}

/// First and last character of a protocol name, or the outer nibbles of its hexadecimal form.
fn alpn(name: &[u8]) -> [u8; 2] {
    let (Some(&first), Some(&last)) = (name.first(), name.last()) else {
        return *b"00";
    };
    if first.is_ascii_alphanumeric() && last.is_ascii_alphanumeric() {
        [first, last]
    } else {
        [hex(first >> 4), hex(last)]
    }
}

/// Hexadecimal digit of the low four bits.
#[expect(clippy::indexing_slicing, reason = "four bits index sixteen digits")]
const fn hex(nibble: u8) -> u8 {
    HEX[(nibble & 0x0f) as usize]
}

fn push_list(text: &mut Vec<u8>, values: &[u16]) {
    text.reserve(5 * values.len() + 1);
    for value in values {
        let [high, low] = value.to_be_bytes();
        text.extend([hex(high >> 4), hex(high), hex(low >> 4), hex(low), b',']);
    }
    if !values.is_empty() {
        text.pop();
    }
}

/// First twelve hexadecimal digits of the SHA-256; zeros for an empty list.
fn short_hash(list: &[u8]) -> [u8; HASH] {
    let mut digits = [b'0'; HASH];
    if list.is_empty() {
        return digits;
    }
    let hash = Sha256::digest(list);
    let nibbles = hash.iter().flat_map(|byte| [byte >> 4, *byte]);
    for (digit, nibble) in digits.iter_mut().zip(nibbles) {
        *digit = hex(nibble);
    }
    digits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alpn_takes_outer_characters_or_outer_nibbles() {
        let cases: [(&[u8], &str); 15] = [
            (b"", "00"),
            (b"h2", "h2"),
            (b"http/1.1", "h1"),
            (b"h", "hh"),
            (b"\xab", "ab"),
            (b"\x20", "20"),
            (b"\xab\xcd", "ad"),
            (b"\x20\x61", "21"),
            (b"\x30\xab", "3b"),
            (b"\x61\x20", "60"),
            (b"\x30\x31\xab\xcd", "3d"),
            (b"\x30\xab\xcd\x31", "01"),
            (b"h_", "6f"),
            (b"--", "2d"),
            (b"H2Q", "HQ"),
        ];
        for (name, expected) in cases {
            assert_eq!(alpn(name), *expected.as_bytes(), "{name:x?}");
        }
    }

    #[test]
    fn grease_is_sixteen_values_and_not_its_neighbours() {
        let all: Vec<u16> = (0..=u16::MAX).filter(|value| is_grease(*value)).collect();
        assert_eq!(all.len(), 16);
        assert!(all.contains(&0x0a0a) && all.contains(&0xfafa) && !all.contains(&0x0a1a));
    }

    #[test]
    fn counts_stop_at_99() {
        assert_eq!(two_digits(0), *b"00");
        assert_eq!(two_digits(7), *b"07");
        assert_eq!(two_digits(99), *b"99");
        assert_eq!(two_digits(100), *b"99");
    }

    #[test]
    fn a_ja4_is_read_back_and_anything_else_is_refused() {
        let text = "t13d1516h2_8daaf6152771_e5627efa2ab1";
        assert_eq!(text.parse::<Ja4>().unwrap().to_string(), text);
        for wrong in [
            "",
            "t13d1516h2_8daaf6152771",
            "x13d1516h2_8daaf6152771_e5627efa2ab1",
            "t13d1516h2_8daaf6152771_E5627EFA2AB1",
            "t13d1516h2-8daaf6152771-e5627efa2ab1",
            "t13d1516h2_002f,0035_0005,000a_0403",
        ] {
            assert_eq!(wrong.parse::<Ja4>(), Err(Ja4Error), "{wrong}");
        }
    }
}
