//! Line lists.

#![no_main]

const NAMES: [&str; 4] = ["plain", "ipsum", "tor-exit-addresses", "asn-list"];

libfuzzer_sys::fuzz_target!(|content: &[u8]| bot_fuzz::read_as(content, &NAMES));
