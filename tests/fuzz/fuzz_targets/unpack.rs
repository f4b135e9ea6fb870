//! Packed contents.

#![no_main]

use bot_agent::feeds::format::unpack::unpack;

/// Bytes that may be unpacked.
const MOST: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|content: &[u8]| {
    if let Ok(plain) = unpack(content, MOST) {
        assert!(plain.len() as u64 <= MOST);
    }
});
