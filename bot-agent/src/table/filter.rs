//! Which bits of the filters a range needs.

use bot_common::table::FILTER_V4_WORDS;

use super::{range::Range, row::Run};

/// What the IPv6 filter must know for a range.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Mark {
    /// The bit of the /48 with these first 64 bits.
    Bit48(u64),
    /// The bit of the /32 with these first 64 bits.
    Bit32(u64),
    /// [`bot_common::table::slot::WIDE`] of the root slots from the first to the second.
    Wide(u32, u32),
}

/// Ranges over more /48 than this have the bits of their /32 set.
const MOST_48S: u64 = 16;
/// Ranges over more /32 than this make root slots wide.
const MOST_32S: u64 = 4096;

/// Calls for each mark of a range.
pub(super) fn marks(range: &Range<u128>, mut mark: impl FnMut(Mark)) {
    let (first, last) = (range.first >> 64, range.last >> 64);
    let (first, last) = ((first & LOW) as u64, (last & LOW) as u64);
    if (last >> 16) - (first >> 16) < MOST_48S {
        for bits in first >> 16..=last >> 16 {
            mark(Mark::Bit48(bits << 16));
        }
    } else if (last >> 32) - (first >> 32) < MOST_32S {
        for bits in first >> 32..=last >> 32 {
            mark(Mark::Bit32(bits << 32));
        }
    } else {
        mark(Mark::Wide((first >> 48) as u32, (last >> 48) as u32));
    }
}

const LOW: u128 = u64::MAX as u128;

/// The filter's bits of a /16 of IPv4, one for each /24.
pub(super) fn v4(runs: &[Run<u16>]) -> [u64; FILTER_V4_WORDS] {
    let mut bits = [0; FILTER_V4_WORDS];
    for (nth, run) in runs.iter().enumerate() {
        if run.value == 0 {
            continue;
        }
        let last = runs.get(nth + 1).map_or(0xffff, |next| next.start - 1);
        for (at, word) in (0..).zip(&mut bits) {
            let first = (run.start >> 8).max(at * 64);
            let last = (last >> 8).min(at * 64 + 63);
            if first <= last {
                *word |= u64::MAX >> (63 - (last - first)) << (first & 63);
            }
        }
    }
    bits
}
