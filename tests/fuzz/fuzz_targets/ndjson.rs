//! JSON objects, one a line.

#![no_main]

const NAMES: [&str; 2] = ["spamhaus-drop", "spamhaus-asndrop"];

libfuzzer_sys::fuzz_target!(|content: &[u8]| bot_fuzz::read_as(content, &NAMES));
