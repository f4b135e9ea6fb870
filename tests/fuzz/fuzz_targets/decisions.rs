//! Answers of a CrowdSec Local API.

#![no_main]

use bot_agent::feeds::crowdsec::{Answer, Poll};

libfuzzer_sys::fuzz_target!(|content: &[u8]| drop(Answer::parse(Poll::Changes, content)));
