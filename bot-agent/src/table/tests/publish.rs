//! The order of stores: after each of them, every address has its old or its new verdict.

use std::sync::atomic::{AtomicU64, Ordering};

use bot_common::{address::Address, table};
use proptest::prelude::*;

use super::world::{
    any_prefix, any_stroke, naive, paint, paint_over, prefix_v4, prefix_v6, probes, table,
};
use crate::{
    rules::prefix::Prefix,
    table::{Ranges, shared::log},
};

/// The stores of an update on a table that says `old`, the memory before them, and what it says after.
struct Update {
    before: Vec<u64>,
    stores: Vec<(usize, u64)>,
    old: Ranges,
    new: Ranges,
}

fn update(old: &Ranges, region: Prefix, painted: &Ranges) -> Update {
    let mut table = table(old, 5000);
    let before = words(table.memory());
    let inside = painted.within(region);
    let stores = log::of(|| table.update(region, &inside).unwrap());
    Update {
        before,
        stores,
        old: old.clone(),
        new: table.ranges(),
    }
}

fn words(memory: &[AtomicU64]) -> Vec<u64> {
    memory
        .iter()
        .map(|word| word.load(Ordering::Relaxed))
        .collect()
}

/// The first address that has neither its old nor its new verdict after one of the stores.
fn wrong(update: &Update, stores: &[(usize, u64)]) -> Option<Address> {
    let mut probes = probes(&update.old);
    probes.extend(super::world::probes(&update.new));
    let memory: Vec<_> = update.before.iter().copied().map(AtomicU64::new).collect();
    for (at, value) in stores {
        memory[*at].store(*value, Ordering::Relaxed);
        let wrong = probes.iter().find(|address| {
            let said = table::lookup(&memory.as_slice(), address);
            said != naive(&update.old, address) && said != naive(&update.new, address)
        });
        if wrong.is_some() {
            return wrong.copied();
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 512 }))]

    #[test]
    fn after_each_store_an_address_has_its_old_or_its_new_verdict(
        strokes in prop::collection::vec(any_stroke(), 0..16),
        region in any_prefix(),
        more in prop::collection::vec(any_stroke(), 0..8),
    ) {
        // A wide region is many small ones.
        let region = if region.is_v4() && region.bits() < 96 + 14 {
            prefix_v4(0xc000_0000, 15)
        } else {
            region
        };
        let old = paint(&strokes);
        let mut painted = old.clone();
        for (prefix, color) in more {
            paint_over(&mut painted, prefix, color);
        }
        let update = update(&old, region, &painted);
        prop_assert_eq!(wrong(&update, &update.stores), None);
    }
}

/// Changes that move pages, of both families.
fn changes() -> [Update; 2] {
    let v4: Vec<_> = (0..40)
        .map(|nth| (prefix_v4(0xc000_0000 | (nth * 999), 32), 1))
        .collect();
    let v6: Vec<_> = (0..40)
        .map(|nth| (prefix_v6((0x2001_0db8_0000 | nth) << 80 | 5, 128), 1))
        .collect();
    let changed = |strokes: &[(Prefix, u32)]| {
        paint(
            &strokes
                .iter()
                .map(|(prefix, _)| (*prefix, 2))
                .collect::<Vec<_>>(),
        )
    };
    [
        update(&paint(&v4), prefix_v4(0xc000_0000, 16), &changed(&v4)),
        update(&paint(&v6), prefix_v6(0x2001_0db8 << 96, 32), &changed(&v6)),
    ]
}

#[test]
fn the_order_of_changes_that_move_pages() {
    for update in changes() {
        assert_eq!(wrong(&update, &update.stores), None);
        assert_ne!(update.old, update.new);
    }
}

/// Whether the check above sees anything: orders that must be caught.
#[test]
fn a_slot_stored_before_its_pages_is_caught() {
    for mut update in changes() {
        update.stores.reverse();
        assert!(wrong(&update, &update.stores).is_some());
    }
}

#[test]
fn filter_bits_cleared_too_late_are_harmless_but_set_too_early_never_answer() {
    // The filter lets through, the pages answer: any order of filter and root is right as long
    // as bits that stay are never missing.
    let host = prefix_v4(0xc000_0201, 32);
    let other = prefix_v4(0xc000_0301, 32);
    let update = update(
        &paint(&[(host, 1)]),
        prefix_v4(0xc000_0000, 16),
        &paint(&[(host, 1), (other, 1)]),
    );
    let mut cleared = update.stores.clone();
    let (at, _) = *cleared.last().unwrap();
    cleared.insert(0, (at, 0));
    assert_eq!(wrong(&update, &update.stores), None);
    assert!(wrong(&update, &cleared).is_some());
}
