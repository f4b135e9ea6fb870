//! Memory that is no table, or no longer: wrong answers at worst.

use std::sync::atomic::{AtomicU64, Ordering};

use bot_common::{
    address::Address,
    table::{BLOCKS, LINE_WORDS, MAGIC, root_v4, root_v6, slot},
};
use proptest::prelude::*;

use super::world::{any_stroke, memory, paint, table};
use crate::table::{Damaged, Table, View};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 8 } else { 64 }))]

    #[test]
    fn random_words_are_read_to_an_end(
        seed: u64,
        extra in 1_u32..400,
        octets: [u8; 16],
        kinds in prop::collection::vec(0_u64..8, 1..4),
    ) {
        let memory = memory(BLOCKS + extra);
        let mut state = seed;
        for (at, word) in memory.iter().enumerate() {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let line = u64::from(BLOCKS) + (state >> 20) % u64::from(extra);
            let kind = kinds[at % kinds.len()];
            // Half of the words lead somewhere: to any line, by any kind of slot or index.
            let value = if state >> 63 == 0 { state } else { line << 40 | state >> 32 & 0xf00 | kind };
            // Most of the root is empty, for the sake of time.
            let value = if at < BLOCKS as usize * LINE_WORDS && at % 61 > 1 { 0 } else { value };
            word.store(value, Ordering::Relaxed);
        }
        memory[0].store(MAGIC, Ordering::Relaxed);
        memory[1].store(slot::at(BLOCKS) | 9, Ordering::Relaxed);
        memory[3].store(slot::at(BLOCKS) | 9, Ordering::Relaxed);
        memory[5].store(slot::at(BLOCKS) | 1, Ordering::Relaxed);
        let view = View::new(memory.as_slice()).unwrap();
        view.lookup(&Address::from_v6(octets));
        let ranges = view.ranges();
        prop_assert!(ranges.v4.iter().all(|range| range.first <= range.last));
        prop_assert!(ranges.v6.iter().all(|range| range.first <= range.last));
        drop(Table::adopt(memory));
    }

    #[test]
    fn one_wrong_word_is_survived(
        strokes in prop::collection::vec(any_stroke(), 1..30),
        (region, color) in any_stroke(),
        at: prop::sample::Index,
        value: u64,
    ) {
        let mut table = table(&paint(&strokes), 2000);
        let used = table.usage().used as usize;
        // Any word but the header's, most often of a page.
        let at = LINE_WORDS + at.index(used * LINE_WORDS - LINE_WORDS);
        table.memory()[at].store(value, Ordering::Relaxed);
        table.ranges();
        // Room or not: there is an end.
        table.update(region, &paint(&[(region, color)])).ok();
        table.ranges_within(region);
    }
}

#[test]
fn memory_that_begins_otherwise_is_no_table() {
    assert_eq!(View::new(memory(0)).unwrap_err(), Damaged::Size);
    assert_eq!(View::new(memory(BLOCKS)).unwrap_err(), Damaged::Magic);
    let short = memory(BLOCKS);
    short[0].store(MAGIC, Ordering::Relaxed);
    assert_eq!(View::new(short).unwrap_err(), Damaged::Size);
}

#[test]
fn blocks_that_overlap_are_not_adopted() {
    let table = table(&paint(&[("192.0.2.1".parse().unwrap(), 1)]), 10);
    let words: &[AtomicU64] = table.memory();
    let place = |(line, word): (u32, usize)| line as usize * LINE_WORDS + word;
    let page = words[place(root_v4(0xc000))].load(Ordering::Relaxed);
    assert!(Table::adopt(words).is_ok());
    words[place(root_v6(0x2001))].store(page, Ordering::Relaxed);
    assert_eq!(Table::adopt(words).unwrap_err(), Damaged::Blocks);
    words[place(root_v6(0x2001))].store(
        slot::pages(slot::RUNS, BLOCKS - 1, 1, 0, 0),
        Ordering::Relaxed,
    );
    assert_eq!(Table::adopt(words).unwrap_err(), Damaged::Blocks);
    words[place(root_v6(0x2001))]
        .store(slot::pages(slot::RUNS, 1 << 23, 1, 0, 0), Ordering::Relaxed);
    assert_eq!(Table::adopt(words).unwrap_err(), Damaged::Blocks);
}
