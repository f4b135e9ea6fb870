//! JSON documents.

#![no_main]

const NAMES: [&str; 8] = [
    "google-prefixes",
    "aws",
    "aws:service=CLOUDFRONT",
    "azure",
    "oracle",
    "github",
    "abuseipdb-json",
    "feodo-json",
];

libfuzzer_sys::fuzz_target!(|content: &[u8]| bot_fuzz::read_as(content, &NAMES));
