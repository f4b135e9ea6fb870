//! Packed contents: gzip and zstd, recognised by their first bytes.
//!
//! Invariant: never more than the allowed number of bytes are unpacked, whatever a stream claims, and
//! what is given back is the whole of an intact stream.

use std::{
    borrow::Cow,
    io::{self, Read},
};

use flate2::bufread::MultiGzDecoder;
use ruzstd::decoding::{
    StreamingDecoder,
    errors::{FrameDecoderError, ReadFrameHeaderError},
};

use crate::wording::grouped;

/// Layers that are taken off: a packed file, sent packed.
const LAYERS: usize = 2;
/// Window that every zstd stream may ask for, bytes: what RFC 8878 recommends to support.
const WINDOW: u64 = 8 << 20;

/// Why a content cannot be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// More than may be.
    #[error("longer than {} bytes{}", grouped(u128::from(*most)), if *packed { " unpacked" } else { "" })]
    TooLong {
        /// What may be, bytes.
        most: u64,
        /// Whether it became so long by unpacking.
        packed: bool,
    },
    /// Cut off or damaged.
    #[error("cannot be unpacked as {packing}, it is cut off or damaged: {why}")]
    Damaged {
        /// How it is packed.
        packing: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// Packed again and again.
    #[error("packed more than {LAYERS} times")]
    TooDeep,
}

/// A way to pack.
#[derive(Clone, Copy)]
enum Packing {
    Gzip,
    Zstd,
}

/// The plain content of `bytes`, of which at most `most` may be there at each layer.
pub fn unpack(bytes: &[u8], most: u64) -> Result<Cow<'_, [u8]>, UnpackError> {
    if bytes.len() as u64 > most {
        return Err(UnpackError::TooLong {
            most,
            packed: false,
        });
    }
    let mut content = Cow::Borrowed(bytes);
    for _ in 0..LAYERS {
        let Some(packing) = Packing::of(&content) else {
            return Ok(content);
        };
        content = Cow::Owned(packing.unpack(&content, most)?);
    }
    match Packing::of(&content) {
        Some(_) => Err(UnpackError::TooDeep),
        None => Ok(content),
    }
}

impl Packing {
    fn of(content: &[u8]) -> Option<Self> {
        match content {
            [0x1f, 0x8b, ..] => Some(Self::Gzip),
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(Self::Zstd),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn unpack(self, packed: &[u8], most: u64) -> Result<Vec<u8>, UnpackError> {
        let mut plain = Vec::new();
        let done = match self {
            Self::Gzip => read_up_to(MultiGzDecoder::new(packed), most, &mut plain),
            Self::Zstd => frames(packed, most, &mut plain),
        };
        done.map_err(|error| UnpackError::Damaged {
            packing: self.name(),
            why: error.to_string(),
        })?;
        if plain.len() as u64 > most {
            return Err(UnpackError::TooLong { most, packed: true });
        }
        Ok(plain)
    }
}

/// Reads until `plain` has one byte more than `most`, which tells that there is too much.
fn read_up_to(stream: impl Read, most: u64, plain: &mut Vec<u8>) -> io::Result<()> {
    let left = most.saturating_add(1).saturating_sub(plain.len() as u64);
    stream.take(left).read_to_end(plain).map(|_| ())
}

/// All frames of a zstd stream. Their checksums are compared, which the decoder leaves to its user.
fn frames(mut packed: &[u8], most: u64, plain: &mut Vec<u8>) -> io::Result<()> {
    while !packed.is_empty() && plain.len() as u64 <= most {
        let window = most.max(WINDOW);
        let mut stream = match StreamingDecoder::new_with_max_window_size(&mut packed, window) {
            Ok(stream) => stream,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length,
                ..
            })) => {
                packed = usize::try_from(length)
                    .ok()
                    .and_then(|length| packed.get(length..))
                    .ok_or(io::ErrorKind::UnexpectedEof)?;
                continue;
            }
            Err(error) => return Err(io::Error::other(error)),
        };
        read_up_to(&mut stream, most, plain)?;
        let frame = &stream.decoder;
        let said = frame.get_checksum_from_data();
        if said.is_some() && said != frame.get_calculated_checksum() && plain.len() as u64 <= most {
            return Err(io::Error::other("its checksum does not match"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    const MOST: u64 = 1 << 20;

    fn gzip(plain: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(plain).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(plain: &[u8]) -> Vec<u8> {
        compress_to_vec(plain, CompressionLevel::Fastest)
    }

    fn refusal(bytes: &[u8], most: u64) -> String {
        unpack(bytes, most).unwrap_err().to_string()
    }

    #[test]
    fn plain_content_is_left_alone() {
        let plain = unpack(b"192.0.2.1\n", MOST).unwrap();
        assert!(matches!(plain, Cow::Borrowed(b"192.0.2.1\n")));
        assert_eq!(*unpack(b"", MOST).unwrap(), *b"");
    }

    #[test]
    fn up_to_two_layers_are_taken_off() {
        for pack in [gzip, zstd] {
            let once = pack(b"192.0.2.1\n");
            assert_eq!(*unpack(&once, MOST).unwrap(), *b"192.0.2.1\n");
            let twice = gzip(&once);
            assert_eq!(*unpack(&twice, MOST).unwrap(), *b"192.0.2.1\n");
            assert_eq!(refusal(&gzip(&twice), MOST), "packed more than 2 times");
        }
    }

    #[test]
    fn members_and_frames_follow_each_other() {
        let members = [gzip(b"a\n"), gzip(b"b\n")].concat();
        assert_eq!(*unpack(&members, MOST).unwrap(), *b"a\nb\n");
        let skipped = [&[0x5a, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"any"].concat();
        let frames = [skipped, zstd(b"a\n"), zstd(b"b\n")].concat();
        assert_eq!(*unpack(&frames, MOST).unwrap(), *b"a\nb\n");
    }

    #[test]
    fn bombs_are_stopped_at_the_limit() {
        let zeros = vec![0; 50 << 20];
        for bomb in [gzip(&zeros), zstd(&zeros)] {
            assert_eq!(refusal(&bomb, MOST), "longer than 1,048,576 bytes unpacked");
        }
        let many = zstd(&zeros[..1 << 20]).repeat(50);
        assert_eq!(refusal(&many, MOST), "longer than 1,048,576 bytes unpacked");
        assert_eq!(refusal(b"12345", 4), "longer than 4 bytes");
        assert_eq!(*unpack(&gzip(b"1234"), 40).unwrap(), *b"1234");
    }

    #[test]
    fn what_is_cut_off_or_damaged_is_refused() {
        let plain: Vec<u8> = (0..2000u32).flat_map(u32::to_be_bytes).collect();
        for (name, packed) in [("gzip", gzip(&plain)), ("zstd", zstd(&plain))] {
            for length in [5, packed.len() / 2, packed.len() - 1] {
                let error = refusal(&packed[..length], MOST);
                assert!(error.contains(name) && error.contains("cut off"), "{error}");
            }
            let mut damaged = packed.clone();
            damaged[packed.len() / 2] ^= 0x55;
            assert!(refusal(&damaged, MOST).contains("damaged"));
            let rubbish_behind = [packed, b"rubbish".to_vec()].concat();
            assert!(refusal(&rubbish_behind, MOST).contains("damaged"));
        }
    }

    /// Its header asks for a window of a gigabyte.
    #[test]
    fn memory_is_not_asked_for_by_a_header() {
        let frame = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00];
        assert!(refusal(&frame, MOST).contains("zstd"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_unpacked_or_refused(bytes: Vec<u8>, magic in 0..3usize) {
            let magic = [&b""[..], b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd"][magic];
            if let Ok(plain) = unpack(&[magic, &bytes].concat(), 1000) {
                prop_assert!(plain.len() <= 1000);
            }
        }

        #[test]
        fn what_is_packed_comes_back(bytes: Vec<u8>) {
            prop_assume!(Packing::of(&bytes).is_none());
            for packed in [gzip(&bytes), zstd(&bytes)] {
                prop_assert_eq!(&*unpack(&packed, MOST).unwrap(), &bytes[..]);
            }
        }
    }
}
