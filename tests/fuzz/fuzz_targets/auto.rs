//! Contents of which nobody says what they are.

#![no_main]

libfuzzer_sys::fuzz_target!(|content: &[u8]| bot_fuzz::check(content, None));
