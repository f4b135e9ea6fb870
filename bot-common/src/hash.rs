//! Keyed hashing for tables that traffic fills. Not cryptographic: the secret seed keeps an
//! attacker from aiming at a slot, which costs him knowledge he cannot measure from outside.

use crate::{address::Address, read::part};

/// Mixes one word into a state (the finaliser of splitmix64; every bit depends on every bit).
#[inline(always)]
const fn mix(state: u64, word: u64) -> u64 {
    let mut z = (state ^ word).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[inline(always)]
fn mix_address(state: u64, address: &Address) -> u64 {
    let octets = address.octets();
    let state = mix(state, u64::from_ne_bytes(part(&octets, 0)));
    mix(state, u64::from_ne_bytes(part(&octets, 8)))
}

/// Tag of a TCP flow; never 0.
#[inline(always)]
pub fn flow_tag(seed: u64, src: &Address, dst: &Address, sport: u16, dport: u16) -> u64 {
    let state = mix_address(mix_address(seed, src), dst);
    mix(state, u64::from(sport) << 16 | u64::from(dport)) | 1
}

/// Tag of a source and an outcome; never 0.
#[inline(always)]
pub fn report_tag(seed: u64, src: &Address, outcome: u8) -> u64 {
    mix(mix_address(seed, src), u64::from(outcome)) | 1
}
