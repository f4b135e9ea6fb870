//! CSV.

#![no_main]

const NAMES: [&str; 6] = [
    "dshield",
    "asn-csv",
    "provider-csv",
    "provider-csv:kind=cdn,kind=vpn,provider=Example",
    "abuseipdb-csv",
    "feodo-csv",
];

libfuzzer_sys::fuzz_target!(|content: &[u8]| bot_fuzz::read_as(content, &NAMES));
