//! Changes in place: any order of them gives what one go gives.

use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::world::{
    any_changes, any_stroke, id, naive, paint, paint_over, prefix_v4, prefix_v6, probes, table,
};
use crate::table::{Full, Ranges, Table, Usage, View};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(debug_assertions) { 48 } else { 2048 }))]

    #[test]
    fn changes_end_where_one_go_does(
        strokes in prop::collection::vec(any_stroke(), 0..30),
        changes in any_changes(),
    ) {
        let mut model = paint(&strokes);
        let mut table = table(&model, 20_000);
        for (region, strokes, quiesce) in changes {
            // The region becomes something, and stays what it was outside of it.
            let mut inside = model.clone();
            for (prefix, color) in strokes {
                paint_over(&mut inside, prefix, color);
            }
            let inside = inside.within(region);
            paint_over(&mut model, region, 0);
            merge(&mut model, &inside);
            table.update(region, &inside).unwrap();
            if quiesce {
                table.quiesce();
            }
            prop_assert_eq!(table.ranges_within(region), inside);
            for address in probes(&model) {
                prop_assert_eq!(table.lookup(&address), naive(&model, &address), "{}", address.to_ip());
            }
        }
        prop_assert_eq!(&table.ranges(), &model);
        // No line is lost: what is used is what can be reached.
        table.quiesce();
        let usage = table.usage();
        let adopted = Table::adopt(table.memory().as_slice()).unwrap();
        prop_assert_eq!(adopted.usage(), usage);
        prop_assert_eq!(View::new(table.memory()).unwrap().ranges(), model);
    }

    #[test]
    fn ranges_beyond_the_region_are_not_looked_at(
        strokes in prop::collection::vec(any_stroke(), 0..30),
        (region, _) in any_stroke(),
    ) {
        let ranges = paint(&strokes);
        let mut table = table(&Ranges::default(), 20_000);
        table.update(region, &ranges).unwrap();
        prop_assert_eq!(table.ranges(), ranges.within(region));
    }
}

/// Adds ranges where there are none.
fn merge(model: &mut Ranges, more: &Ranges) {
    for range in &more.v4 {
        let new = [*range].into_iter();
        model.v4 = crate::table::range::splice(&model.v4, range.first, range.last, new);
    }
    for range in &more.v6 {
        let new = [*range].into_iter();
        model.v6 = crate::table::range::splice(&model.v6, range.first, range.last, new);
    }
}

#[test]
fn lines_rest_until_readers_are_gone() {
    let host = prefix_v4(0xc000_0201, 32);
    let mut table = table(&paint(&[(host, 1)]), 1000);
    let before = table.usage();
    table.update(host, &paint(&[(host, 2)])).unwrap();
    let resting = table.usage();
    assert_eq!(resting.limbo, 1);
    assert_eq!(resting.used, before.used);
    assert_eq!(resting.free + 1, before.free);
    table.quiesce();
    assert_eq!(table.usage(), before);
    assert_eq!(table.ranges(), paint(&[(host, 2)]));
}

#[test]
fn a_change_that_changes_nothing_takes_no_lines() {
    let strokes = [
        (prefix_v4(0xc000_0000, 16), 1),
        (prefix_v6(0x2001 << 112, 16), 2),
    ];
    let ranges = paint(&strokes);
    let mut table = table(&ranges, 100);
    let before = table.usage();
    for (region, _) in strokes {
        table.update(region, &ranges.within(region)).unwrap();
    }
    table.update(prefix_v4(0, 8), &Ranges::default()).unwrap();
    table.update(prefix_v6(0, 8), &Ranges::default()).unwrap();
    assert_eq!(table.usage(), before);
}

#[test]
fn rules_that_come_and_go_leave_nothing_behind() {
    let mut table = table(&Ranges::default(), 5000);
    let before = table.usage();
    let hosts: Vec<_> = (0..200_u32)
        .flat_map(|nth| {
            let spread = nth.wrapping_mul(0x9e37_79b9);
            let at = u128::from(spread) << 80 | 0x2001 << 112 | 1;
            [prefix_v4(spread, 32), prefix_v6(at, 128), prefix_v6(at, 64)]
        })
        .collect();
    for host in &hosts {
        table.update(*host, &paint(&[(*host, 3)])).unwrap();
        table.quiesce();
    }
    for host in &hosts {
        table.update(*host, &Ranges::default()).unwrap();
        table.quiesce();
    }
    assert_eq!(table.ranges(), Ranges::default());
    // The first level of IPv6 keeps its pages; a rebuild drops them.
    assert!(
        table.usage().used - before.used < 300,
        "{:?}",
        table.usage()
    );
    assert_eq!(table.usage().limbo, 0);
}

#[test]
fn a_full_table_stays_as_it_is() {
    let mut table = table(&paint(&[(prefix_v4(0xc000_0200, 24), 1)]), 60);
    let mut model = table.ranges();
    let mut refused = 0;
    for nth in 0..400_u32 {
        let spread = nth.wrapping_mul(0x9e37_79b9);
        let region = if nth % 2 == 0 {
            prefix_v4(spread, 16)
        } else {
            prefix_v6(0x2001 << 112 | u128::from(spread) << 72, 56)
        };
        let mut inside = Ranges::default();
        for host in 0..nth % 40 {
            let bits = u128::from(host) * 3;
            let host = if nth % 2 == 0 {
                prefix_v4((spread & 0xffff_0000) | (host * 700), 32)
            } else {
                prefix_v6(0x2001 << 112 | u128::from(spread) << 72 | bits, 128)
            };
            paint_over(&mut inside, host, 2);
        }
        let inside = inside.within(region);
        let before = table.usage();
        match table.update(region, &inside) {
            Ok(()) => {
                paint_over(&mut model, region, 0);
                merge(&mut model, &inside);
            }
            Err(full) => {
                refused += 1;
                assert!(full.needed > 0 && full.lines == before.total);
                assert_eq!(table.usage(), before);
            }
        }
        assert_eq!(table.ranges(), model);
        if nth % 5 == 0 {
            table.quiesce();
        }
    }
    assert!(refused > 10, "{refused}");
    assert!(model.v4.len() > 10 && model.v6.len() > 10);
}

#[test]
fn an_image_needs_its_lines() {
    let image = crate::table::Image::build(&paint(&[(prefix_v4(0xc000_0201, 32), 1)])).unwrap();
    let lines = image.lines();
    let refusal = Table::install(super::world::memory(lines - 1), image).unwrap_err();
    assert_eq!(
        refusal,
        Full {
            needed: lines,
            free: lines - 1,
            lines: lines - 1
        }
    );
}

#[test]
fn room_is_found_in_pieces_that_touch() {
    let mut table = table(&Ranges::default(), 32);
    // Eight pages one after the other, then a block that only fits where they were.
    let hosts: Vec<_> = (1..=32).map(|nth| prefix_v4(nth << 16 | 1, 32)).collect();
    for host in &hosts {
        table.update(*host, &paint(&[(*host, 1)])).unwrap();
    }
    assert_eq!(table.usage().free, 0);
    for host in &hosts {
        table.update(*host, &Ranges::default()).unwrap();
    }
    let dense: Vec<_> = (0..64)
        .map(|nth| (prefix_v4(0xc000_0000 | (nth * 1024), 32), 1 + nth % 2))
        .collect();
    let dense = paint(&dense);
    let region = prefix_v4(0xc000_0000, 16);
    assert!(table.update(region, &dense).is_err());
    table.quiesce();
    table.update(region, &dense).unwrap();
    assert_eq!(table.ranges(), dense);
}

#[test]
fn ids_reach_to_the_last_one() {
    let host = prefix_v6(0x2001_0db8 << 96 | 7, 128);
    let mut table = table(&Ranges::default(), 100);
    table.update(host, &paint(&[(host, 65_535)])).unwrap();
    assert_eq!(table.lookup(&host.address()), id(65_535));
    assert_eq!(
        table.usage().total,
        Usage::default().total + table.usage().total
    );
    assert!(
        table
            .memory()
            .iter()
            .any(|word| word.load(Ordering::Relaxed) != 0)
    );
}
