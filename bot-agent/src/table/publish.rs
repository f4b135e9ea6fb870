//! The order in which the words of a change are stored.

use bot_common::table::{FilterV6, filter_v4, root_v4, root_v6, slot};

use super::{
    filter::{self, Mark},
    plan::{Step, StepV4},
    range::Range,
    shared::Shared,
};

/// Filter bits go before the root, and come after it: what the filter stops has no verdict, in
/// the old table where bits come, in the new one where they go.
pub(super) fn v4(words: Shared<'_>, steps: &[StepV4]) {
    for step in steps {
        let (line, first) = filter_v4(step.index);
        for (word, bits) in (first..).zip(step.bits) {
            let old = words.read(line, word);
            if old & !bits != 0 {
                words.publish(line, word, old & bits);
            }
        }
        let (root, slot) = root_v4(step.index);
        words.publish(root, slot, step.root);
        for (word, bits) in (first..).zip(step.bits) {
            if words.read(line, word) != bits {
                words.publish(line, word, bits);
            }
        }
    }
}

/// The filter of IPv6 only gains bits: which range needs a bit that others need, too, nobody counts.
pub(super) fn v6(words: Shared<'_>, filter: &FilterV6, steps: &[Step], ranges: &[Range<u128>]) {
    for step in steps {
        words.publish(step.line, step.word, step.slot);
    }
    let add = |line: u32, word: usize, bits: u64| {
        let old = words.read(line, word);
        if old & bits != bits {
            words.publish(line, word, old | bits);
        }
    };
    for range in ranges {
        filter::marks(range, |mark| match mark {
            Mark::Bit48(high) => {
                let (line, word, bit) = filter.bit48(high);
                add(line, word, 1 << bit);
            }
            Mark::Bit32(high) => {
                let (line, word, bit) = filter.bit32(high);
                add(line, word, 1 << bit);
            }
            Mark::Wide(first, last) => {
                for index in first..=last {
                    let (line, word) = root_v6(index);
                    add(line, word, slot::WIDE);
                }
            }
        });
    }
}
